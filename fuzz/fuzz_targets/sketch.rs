//! Counts that age: beside exact ones.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::sketch(bytes));
