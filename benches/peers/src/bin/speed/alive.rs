//! Values alive beyond the capacity, while threads race to insert: what is
//! evicted but not yet dropped, and what a cache lets in before it makes room.

use peers::args::Args;
use peers::contenders::Contender;
use peers::peer::Value;
use peers::sheet::Sheet;
use peers::table::Table;
use std::io;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

const CAPACITY: usize = 10_000;

const METHOD: &str = "\
Capacity 10000; each thread inserts new keys as fast as it can, and looks at a
count of all living values after each insert. *most*: how many were alive beyond
the capacity at worst, the newcomers of all threads included. *at rest*: beyond
the capacity at the end, when all that was put off is done.";

/// A value that is counted while it lives.
struct Live;

static LIVING: AtomicI64 = AtomicI64::new(0);

impl Live {
    fn new() -> Self {
        LIVING.fetch_add(1, Ordering::Relaxed);
        Live
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Counted {
    _live: Arc<Live>,
}

impl Value for Counted {
    const NAME: &'static str = "counted";

    fn of(_key: u64) -> Self {
        Counted { _live: Arc::new(Live::new()) }
    }
}

/// Values beyond the capacity.
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    pub contender: Contender,
    pub threads: usize,
    pub most: i64,
    pub at_rest: i64,
}

pub fn run(args: &Args, sheet: &mut Sheet) -> io::Result<Vec<Excess>> {
    eprintln!("alive");
    let threads = if args.threads.is_empty() { vec![1, 2, 8, 32] } else { args.threads.clone() };
    let inserts = if args.is_quick { 50_000 } else { 400_000 };
    sheet.add("### Values alive beyond the capacity, with racing writers");
    sheet.add(METHOD);
    let heading: Vec<String> = threads
        .iter()
        .flat_map(|n| [format!("threads: {n}, most"), "at rest".to_owned()])
        .collect();
    let heading = [""].into_iter().chain(heading.iter().map(String::as_str));
    let mut table = Table::new(&heading.collect::<Vec<_>>());
    let mut all = Vec::new();
    for contender in Contender::for_speed().into_iter().filter(|one| one.evicts_in_bounded_time()) {
        let excess = threads.iter().map(|&threads| measure(contender, threads, inserts / threads));
        let excess: Vec<Excess> = excess.collect();
        let cells = excess.iter().flat_map(|one| [one.most.to_string(), one.at_rest.to_string()]);
        table.row([contender.to_string()].into_iter().chain(cells));
        all.extend(excess);
    }
    sheet.add(table);
    Ok(all)
}

fn measure(contender: Contender, threads: usize, inserts: usize) -> Excess {
    let before = LIVING.load(Ordering::SeqCst);
    let living = move || LIVING.load(Ordering::Relaxed) - before - CAPACITY as i64;
    let cache = contender.build::<Counted>(CAPACITY);
    let together = Barrier::new(threads);
    let worker = |thread: usize| {
        let mut most = i64::MIN;
        together.wait();
        for key in (thread * inserts..).take(inserts) {
            cache.insert(key as u64, Counted::of(0));
            most = most.max(living());
        }
        most
    };
    let most = thread::scope(|scope| {
        let worker = &worker;
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || worker(thread))).collect();
        let of_threads = workers.into_iter().map(|worker| worker.join().expect("no peer panics"));
        of_threads.max().expect("there is a thread")
    });
    cache.settle();
    Excess { contender, threads, most, at_rest: living() }
}
