//! The journal's desk under random schedules: appending against forgetting.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_shuttle' cargo test --release --features journal --lib journal::model
//! ```

use super::codec::{Codecs, Postcard};
use super::file::{File, Sink};
use super::{Entry, Log};
use crate::wait::{ThreadAlarm, block_on};
use shuttle::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A map that does what the database is told.
#[derive(Clone, Default)]
struct Map(Arc<Mutex<BTreeMap<Vec<u8>, u64>>>);

impl Sink for Map {
    fn commit(&self, appends: &[(u64, Entry)], forgets: &[(Vec<u8>, u64)]) -> Result<(), String> {
        let mut map = self.0.lock().unwrap();
        for (version, entry) in appends {
            let before = map.insert(entry.key.clone(), *version);
            assert!(before < Some(*version), "committed out of order");
        }
        for (key, version) in forgets {
            if map.get(key) == Some(version) {
                map.remove(key);
            }
        }
        Ok(())
    }
}

#[test]
fn forgetting_a_version_never_drops_a_newer_one_and_closing_keeps_what_was_acknowledged() {
    let scenario = || {
        let map = Map::default();
        let codecs = Codecs::<u64, u64> { key: Box::new(Postcard), value: Box::new(Postcard) };
        let file = Arc::new(File::start(map.clone(), codecs).unwrap());
        // The engine's lock, under which versions are given out.
        let versions = Arc::new(Mutex::new(0_u64));
        let writers: Vec<_> = (0..2_u64)
            .map(|_| {
                let (file, versions) = (Arc::clone(&file), Arc::clone(&versions));
                shuttle::thread::spawn(move || {
                    let entry = file.encode(&1, &Some(7)).unwrap();
                    let mut version = versions.lock().unwrap();
                    *version += 1;
                    let (own, commit) = (*version, file.append(*version, entry));
                    drop(version);
                    block_on(commit.done(), &ThreadAlarm::default()).map(|()| own)
                })
            })
            .collect();
        let forgetter = {
            let file = Arc::clone(&file);
            shuttle::thread::spawn(move || file.forget(&[(&1, 1)]))
        };
        let safe: Vec<u64> =
            writers.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect();
        forgetter.join().unwrap();
        file.close();
        let kept = map.0.lock().unwrap().values().next().copied();
        assert_eq!((safe.iter().max(), kept), (Some(&2), Some(2)));
    };
    shuttle::check_random(scenario, 10_000);
}
