//! A cache over an SQLite database, under each write policy.
//!
//! Seeds a table of orders, serves the same mix of reads and writes, a few
//! orders being far more popular than the others, from several threads, without
//! a cache and with one; then compares what it took, and whether cache and
//! database agree in the end.

mod chart;
mod table;

use larder::Cache;
use larder::store::{Loader, Store, StoreCache, WriteBack, WritePolicy, Written};
use rusqlite::{Connection, OptionalExtension, params};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

const ORDERS: u64 = 10_000;
const CACHED: usize = 1_000;
const THREADS: u64 = 4;
const REQUESTS_PER_THREAD: u64 = 10_000;
/// Of a hundred requests, those that write.
const WRITES: u64 = 10;
const CHART: &str = "orders.svg";

#[derive(Clone, Debug, PartialEq)]
struct Order {
    item: String,
    quantity: u32,
}

/// The database, as a store. Every write is a transaction that is on the disk
/// when it returns.
struct Database {
    readers: Vec<Mutex<Connection>>,
    writer: Mutex<Connection>,
    next_reader: AtomicU64,
    calls: Calls,
}

#[derive(Default)]
struct Calls {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Database {
    fn seed(path: &Path) -> rusqlite::Result<Self> {
        let mut writer = open(path)?;
        writer.execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL)",
        )?;
        let seeding = writer.transaction()?;
        {
            let mut insert = seeding.prepare("INSERT INTO orders VALUES (?1, ?2, 0)")?;
            for id in 0..ORDERS {
                insert.execute(params![id as i64, format!("item {}", id % 100)])?;
            }
        }
        seeding.commit()?;
        let readers = (0..THREADS).map(|_| open(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        let (next_reader, calls) = (AtomicU64::new(0), Calls::default());
        Ok(Database { readers, writer: Mutex::new(writer), next_reader, calls })
    }

    fn row(&self, id: u64) -> rusqlite::Result<Option<Order>> {
        let at = self.next_reader.fetch_add(1, Ordering::Relaxed) as usize % self.readers.len();
        let connection = self.readers[at].lock().unwrap();
        let mut select =
            connection.prepare_cached("SELECT item, quantity FROM orders WHERE id = ?1")?;
        let order =
            |row: &rusqlite::Row<'_>| Ok(Order { item: row.get(0)?, quantity: row.get(1)? });
        select.query_row([id as i64], order).optional()
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

impl Loader<u64, Order> for Database {
    type Error = rusqlite::Error;

    fn load(&self, id: &u64) -> rusqlite::Result<Option<Order>> {
        self.calls.reads.fetch_add(1, Ordering::Relaxed);
        self.row(*id)
    }
}

const WRITE: &str = "INSERT INTO orders VALUES (?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET item = excluded.item, quantity = excluded.quantity";

impl Store<u64, Order> for Database {
    fn write(&self, id: &u64, order: &Order) -> rusqlite::Result<()> {
        self.write_many(&[(id, order)]).map(drop)
    }

    fn delete(&self, id: &u64) -> rusqlite::Result<()> {
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        let writer = self.writer.lock().unwrap();
        writer.execute("DELETE FROM orders WHERE id = ?1", [*id as i64]).map(drop)
    }

    /// One transaction: all or nothing.
    fn write_many(&self, orders: &[(&u64, &Order)]) -> rusqlite::Result<Written<rusqlite::Error>> {
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        let mut writer = self.writer.lock().unwrap();
        let transaction = writer.transaction()?;
        {
            let mut write = transaction.prepare_cached(WRITE)?;
            for (id, order) in orders {
                write.execute(params![**id as i64, order.item, order.quantity])?;
            }
        }
        transaction.commit()?;
        Ok(Written::all())
    }
}

/// What one round has taken.
struct Round {
    name: &'static str,
    took: Duration,
    hit_ratio: f64,
    reads: u64,
    writes: u64,
    coalesced: u64,
    /// Sorted.
    read_latency: Vec<Duration>,
    write_latency: Vec<Duration>,
    disagree: usize,
}

/// The popularity of orders: Zipf, the most popular twice as much as the next.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let weights = (1..=ORDERS).map(|rank| {
            sum += 1.0 / (rank as f64).powf(0.99);
            sum
        });
        Zipf(weights.collect())
    }

    fn pick(&self, random: &mut u64) -> u64 {
        let sum = self.0.last().copied().unwrap_or(0.0);
        let at = next(random) as f64 / u64::MAX as f64 * sum;
        let rank = self.0.partition_point(|upto| *upto < at) as u64;
        // So that popular orders are not neighbours in the table.
        rank.min(ORDERS - 1) * 7919 % ORDERS
    }
}

/// xorshift64*
fn next(random: &mut u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    random.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

type Cached = StoreCache<u64, Order, Database>;

fn read(cache: Option<&Cached>, database: &Database, id: u64) -> Option<Order> {
    match cache {
        Some(cache) => cache.get(&id).expect("the database answers"),
        None => database.load(&id).expect("the database answers"),
    }
}

/// Serves the requests, and returns latencies of reads and of writes.
fn serve(
    cache: Option<&Cached>,
    database: &Database,
    zipf: &Zipf,
) -> (Vec<Duration>, Vec<Duration>) {
    let one = |seed: u64| {
        let mut random = 0x9E37_79B9_7F4A_7C15 * (seed + 1);
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS_PER_THREAD {
            let id = zipf.pick(&mut random);
            if next(&mut random) % 100 >= WRITES {
                let begin = Instant::now();
                assert!(read(cache, database, id).is_some());
                reads.push(begin.elapsed());
                continue;
            }
            let mut order = read(cache, database, id).expect("no order is deleted");
            order.quantity += 1;
            let begin = Instant::now();
            match cache {
                Some(cache) => cache.put(id, order).expect("the database takes it"),
                None => database.write(&id, &order).expect("the database takes it"),
            }
            writes.push(begin.elapsed());
        }
        (reads, writes)
    };
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || one(seed))).collect();
        for thread in threads {
            let (mut some_reads, mut some_writes) = thread.join().expect("no request panics");
            reads.append(&mut some_reads);
            writes.append(&mut some_writes);
        }
    });
    reads.sort();
    writes.sort();
    (reads, writes)
}

fn round(
    name: &'static str,
    policy: Option<WritePolicy>,
    zipf: &Zipf,
    folder: &Path,
) -> Result<Round, Box<dyn Error>> {
    let database = Database::seed(&folder.join(format!("{}.db", name.replace(' ', "-"))))?;
    let Some(policy) = policy else {
        let begin = Instant::now();
        let (read_latency, write_latency) = serve(None, &database, zipf);
        return Ok(Round {
            name,
            took: begin.elapsed(),
            hit_ratio: 0.0,
            reads: database.calls.reads.into_inner(),
            writes: database.calls.writes.into_inner(),
            coalesced: 0,
            read_latency,
            write_latency,
            disagree: 0,
        });
    };
    let memory = Cache::builder().capacity(CACHED).record_stats().build()?;
    let cache = StoreCache::builder(memory, database).policy(policy).build()?;
    let begin = Instant::now();
    let (read_latency, write_latency) = serve(Some(&cache), cache.store(), zipf);
    let report = cache.close(Duration::from_secs(60));
    let took = begin.elapsed();
    assert!(report.is_clean(), "not everything was stored: {report:?}");
    let stats = cache.stats();
    Ok(Round {
        name,
        took,
        hit_ratio: stats.cache.hit_ratio().unwrap_or(0.0),
        reads: cache.store().calls.reads.load(Ordering::Relaxed),
        writes: cache.store().calls.writes.load(Ordering::Relaxed),
        coalesced: stats.coalesced,
        read_latency,
        write_latency,
        disagree: disagreements(&cache)?,
    })
}

/// Orders of which the cache says something else than the database.
fn disagreements(cache: &Cached) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    for id in 0..ORDERS {
        // First the cache, which must not load it now.
        if let Some(cached) = cache.cache().peek(&id) {
            count += usize::from(cache.store().row(id)?.as_ref() != Some(&cached));
        }
    }
    Ok(count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = env::temp_dir().join(format!("larder-orders-{}", process::id()));
    fs::create_dir_all(&folder)?;
    let zipf = Zipf::new();
    println!(
        "{ORDERS} orders in SQLite, {CACHED} of them cached; {THREADS} threads make {} requests, \
         {WRITES} % of them writes.\n",
        THREADS * REQUESTS_PER_THREAD,
    );
    let back = WriteBack::new().delay(Duration::from_millis(20));
    let rounds = [
        ("no cache", None),
        ("write-through", Some(WritePolicy::Through)),
        ("write-around", Some(WritePolicy::Around)),
        ("write-back", Some(WritePolicy::Back(back))),
    ];
    let rounds: Result<Vec<Round>, _> =
        rounds.into_iter().map(|(name, policy)| round(name, policy, &zipf, &folder)).collect();
    let rounds = rounds?;
    fs::remove_dir_all(&folder)?;
    print!("{}", table::text(&rounds));
    fs::write(CHART, chart::svg(&rounds)?)?;
    println!("\nThe chart is in {CHART}.");
    for round in &rounds {
        assert_eq!(round.disagree, 0, "{}: cache and database disagree", round.name);
    }
    println!("After each round, cache and database agreed on every order that was cached.");
    Ok(())
}
