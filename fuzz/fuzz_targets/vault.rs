//! Entries that readers stay with while they are replaced and removed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder::fuzzing::vault(bytes));
