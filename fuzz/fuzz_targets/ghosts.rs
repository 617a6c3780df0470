//! Who left lately: beside a list of all that left.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::ghosts(bytes));
