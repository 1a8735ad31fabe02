//! Segment files from a disk nobody vouches for.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cofferdam_fuzz::segment(bytes));
