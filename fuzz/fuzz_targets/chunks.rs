//! An array that grows in chunks, which come and go: beside a map.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::chunks(bytes));
