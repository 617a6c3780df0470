//! What larder wants to reach, beside what was measured.

use crate::alive::Excess;
use crate::instructions::{self, Count, Instructions};
use crate::latency::{Call, Latency};
use crate::memory::Footprint;
use crate::scene::{Figures, Operation, Scene};
use crate::throughput::ZIPF_READ_THROUGH;
use larder::Eviction;
use peers::contenders::{Contender, Kind};
use peers::keys::Popularity::{self, OneHotKey, Uniform, Zipf};
use peers::measure::processors;
use peers::sheet::Sheet;
use peers::table::Table;

const SIEVE: Contender = Contender::LarderWith(Eviction::Sieve);
const S3_FIFO: Contender = Contender::LarderWith(Eviction::S3Fifo);
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// All that was measured; parts that did not run are empty.
#[derive(Debug, Default)]
pub struct Measured {
    pub figures: Figures,
    pub latencies: Vec<Latency>,
    pub footprints: Vec<Footprint>,
    pub excesses: Vec<Excess>,
    pub instructions: Vec<Instructions>,
}

/// A figure that is to be at most so much.
struct Aim {
    what: String,
    measured: f64,
    at_most: f64,
}

pub fn show(measured: &Measured, sheet: &mut Sheet) {
    let parts = [ratios, hot_key, read_through, counts, memory, latency, alive];
    let aims: Vec<Aim> = parts.iter().flat_map(|part| part(measured)).collect();
    let mut table = Table::new(&["aim", "measured", "at most", "met"]);
    for Aim { what, measured, at_most } in aims {
        let met = if measured <= at_most { "yes" } else { "**no**" };
        table.row([what, format!("{measured:.2}"), format!("{at_most:.2}"), met.to_owned()]);
    }
    sheet.add("## Aims");
    sheet.add("Ratios are of times, by the best slices of each round, the median of all rounds.");
    sheet.add(table);
}

fn scene(
    operation: Operation,
    popularity: Popularity,
    entries: usize,
    value: &'static str,
) -> Scene {
    Scene { operation, popularity, entries, value }
}

/// One contender against another, with each number of threads that was tried.
fn pair(
    measured: &Measured,
    scene: Scene,
    [one, base]: [Contender; 2],
    at_most: impl Fn(usize) -> f64,
) -> Vec<Aim> {
    let aim = |threads: usize| {
        let ratio = measured.figures.ratio(scene, threads, [one, base])?;
        let what = format!("{scene}, threads: {threads}: {one} ÷ {base}");
        Some(Aim { what, measured: ratio, at_most: at_most(threads) })
    };
    THREADS.into_iter().filter_map(aim).collect()
}

fn ratios(measured: &Measured) -> Vec<Aim> {
    use Operation::{Hit, InsertEvict, Miss};
    let mut aims = Vec::new();
    let against_quick_cache = [Contender::Larder, Contender::QuickCache];
    for popularity in [Uniform, Zipf(0.99)] {
        let scene = scene(Hit, popularity, 100_000, "u64");
        let at_most = |threads| if threads == 1 { 0.8 } else { 0.5 };
        aims.extend(pair(measured, scene, against_quick_cache, at_most));
        aims.extend(against_all(measured, scene));
    }
    let miss = scene(Miss, Uniform, 100_000, "u64");
    aims.extend(pair(measured, miss, against_quick_cache, |_| 1.0));
    let million = scene(Hit, Uniform, 1_000_000, "u64");
    aims.extend(pair(measured, million, against_quick_cache, |_| 0.7));
    for value in ["u64", "Arc"] {
        let insert = scene(InsertEvict, Uniform, 100_000, value);
        for clock in [Contender::Larder, SIEVE, S3_FIFO] {
            aims.extend(pair(measured, insert, [clock, Contender::QuickCache], |_| 0.8));
        }
    }
    aims
}

/// Against the fastest of all that evict.
fn against_all(measured: &Measured, scene: Scene) -> Vec<Aim> {
    let aim = |threads: usize| {
        let ratio = |peer| measured.figures.ratio(scene, threads, [Contender::Larder, peer]);
        let ratios = evicting_peers().filter_map(|peer| Some((ratio(peer)?, peer)));
        let (measured, peer) = ratios.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let what = format!("{scene}, threads: {threads}: larder ÷ the fastest peer ({peer})");
        Some(Aim { what, measured, at_most: 1.0 })
    };
    THREADS.into_iter().filter_map(aim).collect()
}

fn evicting_peers() -> impl Iterator<Item = Contender> {
    let all = Contender::for_speed().into_iter();
    all.filter(|one| one.kind() == Kind::Cache && !one.is_larder())
}

/// As long as each thread has a processor, it should not notice the others.
fn hot_key(measured: &Measured) -> Vec<Aim> {
    let mut aims = Vec::new();
    for (operation, value) in [(Operation::Hit, "u64"), (Operation::Read, "Arc")] {
        let scene = scene(operation, OneHotKey, 100_000, value);
        let min = |threads| {
            let figure = measured.figures.find(scene, threads, Contender::Larder)?;
            Some(figure.turns.min())
        };
        let threads = THREADS[1..].iter().copied().filter(|&threads| threads <= processors());
        aims.extend(threads.filter_map(|threads| {
            let what = format!("{scene}: larder, {threads} threads ÷ 1 thread");
            Some(Aim { what, measured: min(threads)? / min(1)?, at_most: 1.2 })
        }));
    }
    aims
}

fn read_through(measured: &Measured) -> Vec<Aim> {
    let scene = scene(Operation::ReadThrough, ZIPF_READ_THROUGH, 100_000, "u64");
    let peers = [Contender::QuickCache, Contender::LruMutex, Contender::SieveCache];
    let against = |peer| pair(measured, scene, [Contender::Larder, peer], |_| 1.0);
    let mut aims: Vec<Aim> = peers.into_iter().flat_map(against).collect();
    aims.extend(pair(measured, scene, [Contender::Larder, SIEVE], |_| 1.1));
    aims
}

fn counts(measured: &Measured) -> Vec<Aim> {
    let wanted = [
        (Contender::Larder, Count::GetHit, 100.0),
        (Contender::Larder, Count::InsertEvict, 300.0),
        (SIEVE, Count::InsertEvict, 300.0),
        (S3_FIFO, Count::InsertEvict, 300.0),
    ];
    let aim = |(contender, count, at_most)| {
        let measured = instructions::find(&measured.instructions, contender, count)?;
        Some(Aim {
            what: format!("Instructions, {}: {contender}", count.name()),
            measured,
            at_most,
        })
    };
    wanted.into_iter().filter_map(aim).collect()
}

fn memory(measured: &Measured) -> Vec<Aim> {
    let ours = measured.footprints.iter();
    let ours = ours.filter(|one| one.contender == Contender::Larder && one.entries == 1_000_000);
    let aim = |one: &Footprint| {
        let what = "Bytes on the heap for each of 1000000 entries, full: larder".to_owned();
        Aim { what, measured: one.full.an_entry, at_most: 48.0 }
    };
    ours.map(aim).collect()
}

fn latency(measured: &Measured) -> Vec<Aim> {
    let ours = measured.latencies.iter().filter(|one| one.contender == Some(Contender::Larder));
    let aim = |ours: &Latency| {
        let peers = measured.latencies.iter();
        let peers = peers.filter(|one| one.call == ours.call && one.threads == ours.threads);
        let peers = peers.filter(|one| evicting_peers().any(|peer| Some(peer) == one.contender));
        let best = peers.map(|one| one.at(0.999)[0]).fold(f64::INFINITY, f64::min);
        let call = match ours.call {
            Call::Get => "get",
            Call::Insert => "insert",
        };
        let what =
            format!("99.9 % of {call} in ns, threads: {}: larder, the best peer", ours.threads);
        Aim { what, measured: ours.at(0.999)[0], at_most: best }
    };
    ours.map(aim).collect()
}

/// The contract: one for each shard and each writing thread.
fn alive(measured: &Measured) -> Vec<Aim> {
    let ours = measured.excesses.iter().filter(|one| one.contender == Contender::Larder);
    let aim = |one: &Excess| {
        let shards = (4 * processors()).next_power_of_two();
        let what = format!("Values alive beyond the capacity, {} threads: larder", one.threads);
        Aim { what, measured: one.most as f64, at_most: (shards + one.threads) as f64 }
    };
    ours.map(aim).collect()
}
