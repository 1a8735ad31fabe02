//! Questions as JSON, asked of a small world.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cofferdam_fuzz::query_json(bytes));
