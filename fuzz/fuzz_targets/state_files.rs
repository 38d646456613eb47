#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (hotshoe_fuzz::find("state_files").run)(data));
