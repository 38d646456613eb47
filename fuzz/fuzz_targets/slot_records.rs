#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (hotshoe_fuzz::find("slot_records").run)(data));
