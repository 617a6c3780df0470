//! Caches over a store with bombs, for threads and for tasks.

use crate::bombs::{Bomb, Failure};
use crate::matrix::{KEY, NEW, Operation, explode, reads, sweeps, takes_steps, writes};
use crate::shop::{Policy, Shape, Shop};
use larder::EntryOptions;
use std::time::Duration;

/// Some are cached, one is stored, some are nowhere.
const MANY: [u64; 4] = [KEY, NEW, 1, NEW + 1];
const NO: Option<Failure> = Some(Failure { is_ambiguous: false });
const PERHAPS: Option<Failure> = Some(Failure { is_ambiguous: true });

impl Shop {
    /// Work that the store fails at.
    fn failing(&self, how: Option<Failure>, work: impl FnOnce(&Shop)) {
        self.table.fail(how);
        work(self);
        self.table.fail(None);
    }

    fn forget(&self, key: u64) {
        self.cache.cache().invalidate(&self.key(key));
    }

    fn run_due(&self) {
        self.flush();
        self.time.advance(Duration::from_secs(3600));
    }
}

const OPERATIONS: &[Operation<Shop>] = &[
    reads("get a hit", |shop| _ = shop.get(KEY)),
    reads("get what is stored", |shop| {
        shop.forget(KEY);
        shop.get(KEY);
    }),
    reads("get nothing, twice", |shop| {
        shop.get(NEW);
        shop.get(NEW);
    }),
    reads("get many", |shop| {
        shop.forget(1);
        shop.get_many(&MANY);
    }),
    writes("put", NEW, |shop| shop.put(NEW)),
    writes("put over", KEY, |shop| shop.put(KEY)),
    writes("put with options", KEY, |shop| {
        let options = EntryOptions::new().tag("odd").weight(1);
        drop(match shop.is_async() {
            true => pollster::block_on(shop.cache.put_with_async(
                shop.key(KEY),
                shop.value(KEY),
                options,
            )),
            false => shop.cache.put_with(shop.key(KEY), shop.value(KEY), options),
        });
    }),
    takes_steps("put and flush", KEY, |shop| {
        shop.put(KEY);
        shop.flush();
    }),
    takes_steps("put twice and get", KEY, |shop| {
        shop.put(KEY);
        shop.put(KEY);
        shop.get(KEY);
        shop.flush_key(KEY);
    }),
    takes_steps("put, forget and get", KEY, |shop| {
        shop.put(KEY);
        shop.forget(KEY);
        shop.get(KEY);
    }),
    sweeps("put many", |shop| shop.put_many(&[KEY, NEW, 1, NEW, NEW + 1])),
    sweeps("put many and flush", |shop| {
        shop.put_many(&[KEY, NEW, 1, NEW, NEW + 1]);
        shop.flush();
    }),
    sweeps("put, delete, put, and flush", |shop| {
        shop.put(0);
        shop.delete(1);
        shop.put(NEW);
        shop.get_many(&[0, 1, NEW]);
        shop.flush();
    }),
    writes("delete", KEY, |shop| shop.delete(KEY)),
    writes("delete nothing", NEW, |shop| shop.delete(NEW)),
    takes_steps("delete and flush", KEY, |shop| {
        shop.delete(KEY);
        shop.get(KEY);
        shop.flush();
    }),
    takes_steps("put what the store refuses", KEY, |shop| {
        shop.failing(NO, |shop| {
            shop.put(KEY);
            shop.flush();
        });
    }),
    takes_steps("put what the store may have", KEY, |shop| {
        shop.failing(PERHAPS, |shop| {
            shop.put(KEY);
            shop.flush();
        });
    }),
    takes_steps("delete what the store refuses", KEY, |shop| {
        shop.failing(NO, |shop| {
            shop.delete(KEY);
            shop.flush();
        });
    }),
    sweeps("put many that the store refuses", |shop| {
        shop.failing(NO, |shop| {
            shop.put_many(&[KEY, NEW, 1]);
            shop.flush();
        });
    }),
    sweeps("put many that the store may have", |shop| {
        shop.failing(PERHAPS, |shop| shop.put_many(&[KEY, NEW, 1]));
        shop.flush();
    }),
    sweeps("fail, look, and retry", |shop| {
        shop.failing(NO, |shop| {
            shop.put_many(&[KEY, NEW]);
            shop.flush();
        });
        drop(shop.cache.failed());
        shop.get(KEY);
        shop.cache.retry_failed();
        shop.run_due();
    }),
    sweeps("fail, and discard", |shop| {
        shop.failing(NO, |shop| {
            shop.put_many(&[KEY, NEW]);
            shop.flush();
        });
        drop(shop.cache.discard_failed());
        shop.get(KEY);
    }),
    takes_steps("fail, and put anew", KEY, |shop| {
        shop.failing(NO, |shop| {
            shop.put(KEY);
            shop.flush();
        });
        shop.put(KEY);
        shop.flush();
    }),
    sweeps("put more than there is room for", |shop| {
        (0..13).for_each(|key| shop.put(key));
        shop.get_many(&MANY);
    }),
    sweeps("put and close", |shop| {
        shop.put_many(&[KEY, NEW]);
        drop(shop.close());
        drop(shop.close());
    }),
    sweeps("close while the store refuses", |shop| {
        shop.put_many(&[KEY, NEW]);
        shop.failing(NO, |shop| drop(shop.close()));
    }),
];

/// So many operations meet so many bombs, but for one or two where the machine is so
/// busy that a thread comes too late.
pub const CELLS: [usize; 6] = [248, 248, 247, 247, 99, 23];

#[track_caller]
fn check(is_async: bool, policies: &[Policy], bombs: &[Bomb], at_least: usize) {
    let cells = explode::<Shop>(&Shape::all(is_async, policies), OPERATIONS, bombs);
    assert!(cells.len() + 2 >= at_least, "only {} cells", cells.len());
}

#[test]
fn a_panic_in_a_cache_over_a_store_spoils_nothing() {
    check(false, &[Policy::Through, Policy::Around], &Bomb::ALL, CELLS[0]);
}

#[test]
fn a_panic_in_a_cache_over_a_store_spoils_nothing_for_tasks() {
    check(true, &[Policy::Through, Policy::Around], &Bomb::ALL, CELLS[1]);
}

#[test]
fn a_panic_in_a_cache_that_stores_later_spoils_nothing() {
    check(false, &[Policy::Back, Policy::Cramped], &Bomb::ALL, CELLS[2]);
}

#[test]
fn a_panic_in_a_cache_that_stores_later_spoils_nothing_for_tasks() {
    check(true, &[Policy::Back, Policy::Cramped], &Bomb::ALL, CELLS[3]);
}

#[cfg(feature = "journal")]
#[test]
fn a_panic_beside_a_journal_spoils_nothing() {
    let bombs = [Bomb::Encode, Bomb::Hash, Bomb::CloneValue, Bomb::DropValue];
    check(false, &[Policy::Journaled], &bombs, CELLS[4]);
}

#[cfg(feature = "journal")]
#[test]
fn a_panic_beside_a_journal_spoils_nothing_for_tasks() {
    check(true, &[Policy::Journaled], &[Bomb::Encode], CELLS[5]);
}
