//! From hashes to slots: beside a map.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::index(bytes));
