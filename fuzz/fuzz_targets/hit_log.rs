//! Hits in order: beside a vector.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::hit_log(bytes));
