//! Random scripts of operations against obviously right models.
//!
//! The scripts, the models and the comparison are those of the fuzz target, so
//! that a failure found there can be played here: for every policy a ledger of
//! what must and must not be there, and for FIFO, LRU and LFU with one shard
//! the textbook in a `Vec`, which knows each victim. The cache's structure is
//! validated as each script goes.

#[path = "../fuzz/src/hashing.rs"]
mod hashing;
#[path = "../fuzz/src/ledger.rs"]
#[allow(dead_code, reason = "public there, and whole; used here in part")]
mod ledger;
#[path = "../fuzz/src/model.rs"]
#[allow(dead_code, reason = "public there, and whole; used here in part")]
mod model;
#[path = "../fuzz/src/script.rs"]
mod script;
#[path = "../fuzz/src/trial.rs"]
mod trial;

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;
use script::{Policy, Script, Shards};

fn script(bytes: &[u8]) -> Script {
    // The bytes are all there is to read, and whatever they are, they are a
    // script: only a lack of them could fail, and then a shorter one is read.
    Script::arbitrary_take_rest(Unstructured::new(bytes)).expect("every text is a script")
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..900)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cache_does_as_its_model_does(bytes in bytes()) {
        trial::run(&script(&bytes));
    }

    #[test]
    fn one_shard_of_an_exact_policy_picks_the_textbooks_victims(bytes in bytes()) {
        let mut script = script(&bytes);
        script.settings.shards = Shards::One;
        let ageings = [None, Some(1), Some(2), Some(10)];
        let lfus = ageings.map(|ageing| Policy::Lfu { ageing });
        for policy in [Policy::Fifo, Policy::Lru].into_iter().chain(lfus) {
            script.settings.policy = policy;
            trial::run(&script);
        }
    }
}
