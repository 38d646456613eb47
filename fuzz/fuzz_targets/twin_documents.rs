#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (hotshoe_fuzz::find("twin_documents").run)(data));
