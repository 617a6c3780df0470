//! The bounds of deadlines: beside a sorted list, with a clock that jumps both ways.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::bounds(bytes));
