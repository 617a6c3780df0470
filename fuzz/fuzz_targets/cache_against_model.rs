//! Any script of operations by one thread, on any cache: every result, and
//! everything the listener hears, is compared with the ledger and the model.

#![no_main]

use larder_fuzz::script::Script;
use larder_fuzz::trial;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| trial::run(&script));
