//! Writes through a cache over a store.
//!
//! * `store/put/POLICY`: one put, over a store in memory that costs next to
//!   nothing, so what is seen is larder; with a journal, what is seen is the
//!   disk under the temporary folder.
//! * `store/flush/…`: 1000 rows into SQLite, written back in batches, against
//!   bare loops of inserts.

use criterion::{BatchSize, Criterion, Throughput};
use larder::Cache;
use larder::store::{Loader, Store, StoreCache, WriteBack, WritePolicy, Written};
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs, process};

const KEYS: u64 = 10_000;
const ROWS: u64 = 1000;

#[derive(Default)]
struct Memory(Mutex<HashMap<u64, u64>>);

impl Loader<u64, u64> for Memory {
    type Error = Infallible;
    fn load(&self, key: &u64) -> Result<Option<u64>, Infallible> {
        Ok(self.0.lock().unwrap().get(key).copied())
    }
}

impl Store<u64, u64> for Memory {
    fn write(&self, key: &u64, value: &u64) -> Result<(), Infallible> {
        self.0.lock().unwrap().insert(*key, *value);
        Ok(())
    }
    fn delete(&self, key: &u64) -> Result<(), Infallible> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
    fn write_many(&self, entries: &[(&u64, &u64)]) -> Result<Written<Infallible>, Infallible> {
        let mut rows = self.0.lock().unwrap();
        rows.extend(entries.iter().map(|(key, value)| (**key, **value)));
        Ok(Written::all())
    }
}

fn back() -> WriteBack {
    WriteBack::new().delay(Duration::from_millis(10))
}

fn put(c: &mut Criterion) {
    let mut group = c.benchmark_group("store/put");
    group.throughput(Throughput::Elements(1));
    let policies = [
        ("through", WritePolicy::Through),
        ("around", WritePolicy::Around),
        ("back", WritePolicy::Back(back())),
    ];
    for (name, policy) in policies {
        let cache = StoreCache::builder(Cache::new(KEYS as usize), Memory::default());
        let cache = cache.policy(policy).build().unwrap();
        let mut key = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                key = (key + 7919) % KEYS;
                cache.put(key, key).unwrap();
            });
        });
    }
    #[cfg(feature = "journal")]
    journaled(&mut group);
    group.finish();
}

#[cfg(feature = "journal")]
fn journaled(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>) {
    use larder::store::{Durability, Journal};
    use std::thread;

    for (name, durability) in [("process", Durability::Process), ("disk", Durability::Disk)] {
        let folder = temporary(name);
        let journal = Journal::options().durability(durability).open(&folder).unwrap();
        let cache = StoreCache::builder(Cache::new(KEYS as usize), Memory::default())
            .policy(WritePolicy::Back(back()))
            .journal(journal)
            .build()
            .unwrap();
        let mut key = 0;
        group.bench_function(format!("back/journal-{name}"), |b| {
            b.iter(|| {
                key = (key + 7919) % KEYS;
                cache.put(key, key).unwrap();
            });
        });
        group.bench_function(format!("back/journal-{name}/threads-8"), |b| {
            b.iter_custom(|puts| {
                let begin = std::time::Instant::now();
                thread::scope(|scope| {
                    for thread in 0..8 {
                        let cache = &cache;
                        scope.spawn(move || {
                            for at in 0..puts.div_ceil(8) {
                                cache.put((at * 8 + thread) % KEYS, at).unwrap();
                            }
                        });
                    }
                });
                begin.elapsed()
            });
        });
        drop(cache);
        fs::remove_dir_all(folder).unwrap();
    }
}

fn temporary(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("larder-bench-{name}-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A table, as a store: a transaction for each batch.
struct Table(Mutex<Connection>);

const INSERT: &str = "INSERT OR REPLACE INTO numbers VALUES (?1, ?2)";

impl Table {
    fn new(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("bench.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.pragma_update(None, "synchronous", "normal").unwrap();
        let create = "CREATE TABLE IF NOT EXISTS numbers (id INTEGER PRIMARY KEY, n INTEGER)";
        connection.execute_batch(create).unwrap();
        Table(Mutex::new(connection))
    }

    fn insert(&self, rows: &[(u64, u64)]) {
        let mut connection = self.0.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        {
            let mut insert = transaction.prepare_cached(INSERT).unwrap();
            for (key, value) in rows {
                insert.execute(params![*key as i64, *value as i64]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

impl Loader<u64, u64> for Table {
    type Error = Infallible;
    fn load(&self, _: &u64) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }
}

impl Store<u64, u64> for Table {
    fn write(&self, key: &u64, value: &u64) -> Result<(), Infallible> {
        self.insert(&[(*key, *value)]);
        Ok(())
    }
    fn delete(&self, _: &u64) -> Result<(), Infallible> {
        Ok(())
    }
    fn write_many(&self, entries: &[(&u64, &u64)]) -> Result<Written<Infallible>, Infallible> {
        let rows: Vec<(u64, u64)> = entries.iter().map(|(key, value)| (**key, **value)).collect();
        self.insert(&rows);
        Ok(Written::all())
    }
}

fn flush(c: &mut Criterion) {
    let mut group = c.benchmark_group("store/flush");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    let folder = temporary("flush");
    let rows: Vec<(u64, u64)> = (0..ROWS).map(|key| (key, key)).collect();
    let table = Table::new(&folder);
    group.bench_function("bare/one-by-one", |b| {
        b.iter(|| rows.iter().for_each(|row| table.insert(&[*row])));
    });
    group.bench_function("bare/batches-128", |b| {
        b.iter(|| rows.chunks(128).for_each(|rows| table.insert(rows)));
    });
    let idle = WriteBack::new().workers(0).delay(Duration::from_secs(3600)).batch(128);
    let cache = StoreCache::builder(Cache::new(KEYS as usize), table)
        .policy(WritePolicy::Back(idle))
        .build()
        .unwrap();
    group.bench_function("back/batches-128", |b| {
        let fill = || rows.iter().for_each(|(key, value)| cache.put(*key, *value).unwrap());
        b.iter_batched(fill, |()| cache.flush(), BatchSize::PerIteration);
    });
    group.finish();
    drop(cache);
    fs::remove_dir_all(folder).unwrap();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    put(&mut criterion);
    flush(&mut criterion);
    criterion.final_summary();
}
