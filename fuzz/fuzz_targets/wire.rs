//! Bodies of requests from anywhere: cut into records, each checked at every door.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cofferdam_fuzz::wire(bytes));
