//! Linked queues, weighed and plain: beside vectors.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::lanes(bytes));
