//! How many operations a second.

use crate::scene::{Figure, Figures, Operation, Scene};
use peers::args::Args;
use peers::chart::{self, Series};
use peers::contenders::Contender;
use peers::keys::{self, Popularity};
use peers::measure::processors;
use peers::pace::{Pace, Stint, Turns, in_turns};
use peers::peer::{Peer, Value};
use peers::sheet::Sheet;
use peers::table::Table;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const HUNDRED_THOUSAND: usize = 100_000;
const MILLION: usize = 1_000_000;

/// Keys that no other scene uses.
const NEW_KEYS_FROM: u64 = 1 << 40;

/// Keys are drawn ahead: so many, and for read-through, where what comes back
/// soon is a hit, a multiple of the entries as well.
const DRAWS: usize = 1 << 20;
const DRAWS_AN_ENTRY: usize = 16;

const ZIPF: Popularity = Popularity::Zipf(0.99);
pub const ZIPF_READ_THROUGH: Popularity = Popularity::Zipf(0.9);
const KEYS_AN_ENTRY: usize = 10;

/// Scenes that share their caches.
struct Group {
    entries: usize,
    scenes: Vec<(Operation, Popularity)>,
    threads: Vec<usize>,
}

pub fn run(args: &Args, sheet: &mut Sheet) -> io::Result<Figures> {
    let mut figures = Figures::default();
    sheet.add(METHOD);
    for group in groups_of_u64(args) {
        group.run::<u64>(args, sheet, &mut figures)?;
    }
    for group in groups_of_arcs(args) {
        group.run::<Arc<u64>>(args, sheet, &mut figures)?;
    }
    Ok(figures)
}

const METHOD: &str = "\
Nanoseconds for one operation, as its thread sees it: with more threads than
processors they wait for one another. *min*: the best slice of all rounds.
*median*: of the means over whole turns. *×*: how many times as long as larder's
default in the same round, of the means, the median of all rounds: **above 1,
larder is faster**. *hits*: of the gets, with the first number of threads.
Charts show all threads together, by the medians.";

fn groups_of_u64(args: &Args) -> Vec<Group> {
    use Operation::{Hit, InsertEvict, Miss, Mix, ReadThrough};
    use Popularity::{OneHotKey, Uniform};
    let through = (ReadThrough, ZIPF_READ_THROUGH);
    let insert = (InsertEvict, Uniform);
    if args.is_quick {
        let scenes = vec![
            (Hit, Uniform),
            (Hit, OneHotKey),
            (Miss, Uniform),
            (Mix(25), ZIPF),
            through,
            insert,
        ];
        return vec![
            Group { entries: HUNDRED_THOUSAND, scenes, threads: threads(args, &[1, 2, 4]) },
            Group { entries: MILLION, scenes: vec![(Hit, Uniform)], threads: threads(args, &[1]) },
        ];
    }
    let scenes = vec![
        (Hit, Uniform),
        (Hit, ZIPF),
        (Hit, OneHotKey),
        (Miss, Uniform),
        (Mix(25), Uniform),
        (Mix(25), ZIPF),
        (Mix(50), Uniform),
        (Mix(50), ZIPF),
        through,
        insert,
    ];
    let of_a_million =
        vec![(Hit, Uniform), (Hit, ZIPF), (Miss, Uniform), (Mix(25), ZIPF), through, insert];
    vec![
        Group { entries: HUNDRED_THOUSAND, scenes, threads: threads(args, &[1, 2, 4, 8]) },
        Group { entries: MILLION, scenes: of_a_million, threads: threads(args, &[1, 2, 4, 8]) },
    ]
}

fn groups_of_arcs(args: &Args) -> Vec<Group> {
    use Operation::{Hit, InsertEvict, Mix, Read, ReadThrough};
    use Popularity::{OneHotKey, Uniform};
    let hot = [(Hit, OneHotKey), (Read, OneHotKey)];
    let uniform = [(Hit, Uniform), (Read, Uniform)];
    if args.is_quick {
        let scenes = vec![hot[1], (InsertEvict, Uniform)];
        return vec![Group { entries: HUNDRED_THOUSAND, scenes, threads: threads(args, &[1, 2]) }];
    }
    let more = [(Mix(25), ZIPF), (ReadThrough, ZIPF_READ_THROUGH), (InsertEvict, Uniform)];
    let scenes = uniform.into_iter().chain(hot).chain(more).collect();
    let of_a_million = uniform.into_iter().chain([(InsertEvict, Uniform)]).collect();
    vec![
        Group { entries: HUNDRED_THOUSAND, scenes, threads: threads(args, &[1, 2, 4, 8]) },
        Group { entries: MILLION, scenes: of_a_million, threads: threads(args, &[1, 2]) },
    ]
}

fn threads(args: &Args, usual: &[usize]) -> Vec<usize> {
    if !args.threads.is_empty() {
        return args.threads.clone();
    }
    // With as many processors, one step more says whether it goes on.
    let more = [16].into_iter().filter(|&more| usual.ends_with(&[8]) && processors() >= more);
    usual.iter().copied().chain(more).collect()
}

impl Group {
    fn run<V: Value>(
        &self,
        args: &Args,
        sheet: &mut Sheet,
        figures: &mut Figures,
    ) -> io::Result<()> {
        for has_room in [true, false] {
            let scenes: Vec<Scene> = self.scenes::<V>(has_room).collect();
            if scenes.is_empty() {
                continue;
            }
            let subjects = self.subjects::<V>(has_room);
            for scene in scenes {
                eprintln!("speed: {scene}");
                run_scene(scene, &self.threads, args, &subjects, figures);
                show(scene, &self.threads, sheet, figures)?;
            }
        }
        Ok(())
    }

    fn scenes<V: Value>(&self, has_room: bool) -> impl Iterator<Item = Scene> {
        let chosen =
            self.scenes.iter().filter(move |(operation, _)| operation.has_room() == has_room);
        let entries = self.entries;
        let scene = move |&(operation, popularity)| Scene {
            operation,
            popularity,
            entries,
            value: V::NAME,
        };
        chosen.map(scene)
    }

    /// Full caches, or caches that hold all keys and have some room to spare:
    /// where each shard has a capacity of its own, some would have evicted.
    fn subjects<V: Value>(&self, has_room: bool) -> Vec<Subject<V>> {
        let spare = if has_room { self.entries / 20 + 500 } else { 0 };
        let contenders = Contender::for_speed().into_iter();
        let contenders = contenders.filter(|one| has_room || one.evicts_in_bounded_time());
        contenders
            .map(|one| Subject::filled(one, self.entries + spare, self.entries as u64))
            .collect()
    }
}

/// A contender at work.
struct Subject<V> {
    contender: Contender,
    cache: Box<dyn Peer<V>>,
    next_new: AtomicU64,
    gets: AtomicUsize,
    hits: AtomicUsize,
}

impl<V: Value> Subject<V> {
    fn filled(contender: Contender, capacity: usize, entries: u64) -> Self {
        let cache = contender.build::<V>(capacity);
        for from in (0..entries).step_by(1000) {
            cache.insert_all(from..(from + 1000).min(entries));
            // stretto drops what it cannot queue.
            cache.settle();
        }
        let (gets, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Subject { contender, cache, next_new: AtomicU64::new(NEW_KEYS_FROM), gets, hits }
    }

    /// Brings a full cache into the state that the scene leaves it in.
    fn warm_up(&self, scene: Scene, keys: &[u32]) {
        match scene.operation {
            Operation::ReadThrough => {
                // Other keys than those of the stints: what was just read
                // through is a hit.
                self.cache.read_through_all(&keys[keys.len() * 3 / 4..]);
            }
            Operation::InsertEvict => self.insert_new(scene.entries),
            // Those that evict within sets may lack just this one.
            _ if scene.popularity == Popularity::OneHotKey => {
                self.cache.insert(keys[0].into(), V::of(keys[0].into()));
            }
            _ => {}
        }
        self.gets.store(0, Ordering::Relaxed);
        self.hits.store(0, Ordering::Relaxed);
    }

    fn insert_new(&self, count: usize) {
        let from = self.next_new.fetch_add(count as u64, Ordering::Relaxed);
        self.cache.insert_all(from..from + count as u64);
    }

    fn work(&self, operation: Operation, keys: &[u32]) {
        let hits = match operation {
            Operation::Hit | Operation::Miss => self.cache.get_all(keys),
            Operation::Read => self.cache.read_all(keys),
            Operation::Mix(_) => self.cache.mix_all(keys),
            Operation::ReadThrough => self.cache.read_through_all(keys),
            Operation::InsertEvict => return self.insert_new(keys.len()),
        };
        let gets = match operation {
            Operation::Mix(_) => keys.iter().filter(|key| *key & peers::peer::WRITE == 0).count(),
            _ => keys.len(),
        };
        self.gets.fetch_add(gets, Ordering::Relaxed);
        self.hits.fetch_add(hits, Ordering::Relaxed);
    }

    fn hit_percent(&self) -> f64 {
        100.0 * self.hits.load(Ordering::Relaxed) as f64 / self.gets.load(Ordering::Relaxed) as f64
    }
}

fn run_scene<V: Value>(
    scene: Scene,
    threads: &[usize],
    args: &Args,
    subjects: &[Subject<V>],
    figures: &mut Figures,
) {
    let keys = draw(scene);
    subjects.iter().for_each(|subject| subject.warm_up(scene, &keys));
    for &threads in threads {
        let suits = |one: &&Subject<V>| scene.operation.suits(one.contender, threads);
        let subjects: Vec<&Subject<V>> = subjects.iter().filter(suits).collect();
        let turns = in_turns(&subjects, pace(args, threads, subjects.len()), |subject, stint| {
            subject.work(scene.operation, window(&keys, threads, stint));
        });
        figures.0.extend(subjects.iter().zip(turns).map(|(subject, turns)| {
            let (contender, hit_percent) = (subject.contender, subject.hit_percent());
            Figure { scene, threads, contender, turns, hit_percent }
        }));
    }
}

fn draw(scene: Scene) -> Vec<u32> {
    let (entries, popularity) = (scene.entries, scene.popularity);
    match scene.operation {
        Operation::Mix(writes) => keys::with_writes(keys::draw(popularity, DRAWS, entries), writes),
        Operation::Miss => {
            let keys = keys::draw(popularity, DRAWS, entries);
            keys.into_iter().map(|key| key + entries as u32).collect()
        }
        Operation::ReadThrough => {
            let draws = DRAWS.max(DRAWS_AN_ENTRY * entries);
            keys::draw(popularity, draws, KEYS_AN_ENTRY * entries)
        }
        _ => keys::draw(popularity, DRAWS, entries),
    }
}

/// The keys of a stint, of the first three quarters: the last one is for
/// warming up. Threads begin at different places and go round.
fn window(keys: &[u32], threads: usize, stint: Stint) -> &[u32] {
    let keys = &keys[..keys.len() * 3 / 4];
    let first = keys.len() / threads * stint.thread + stint.done;
    let start = first % (keys.len() - stint.operations + 1);
    &keys[start..start + stint.operations]
}

fn pace(args: &Args, threads: usize, subjects: usize) -> Pace {
    let is_crowded = threads > processors();
    let (rounds, turn_ms) = match (args.is_quick, is_crowded) {
        (true, false) => (3, 8),
        (true, true) => (3, 30),
        (false, false) => (9, 25),
        (false, true) => (7, 60),
    };
    let turn = Duration::from_millis(turn_ms);
    Pace { threads, rounds, turn, limit: turn * (2 * rounds * subjects) as u32 }
}

fn show(scene: Scene, threads: &[usize], sheet: &mut Sheet, figures: &Figures) -> io::Result<()> {
    sheet.add(format!("### {scene}"));
    sheet.add(table(scene, threads, figures));
    let (unit, title) = ("million operations a second, all threads together", scene.to_string());
    let series: Vec<Series> = contenders(scene, threads, figures)
        .map(|contender| {
            let figure = |&threads: &usize| figures.find(scene, threads, contender);
            let rate = |figure: &Figure| figure.threads as f64 * 1000.0 / figure.turns.median();
            let values = threads.iter().map(|threads| figure(threads).map(rate)).collect();
            Series { name: contender.to_string(), values }
        })
        .collect();
    let positions: Vec<String> =
        threads.iter().map(|threads| format!("{threads} threads")).collect();
    let svg = match threads {
        [_] => chart::bars(&title, unit, &series),
        _ => chart::lines(&title, unit, &positions, &series),
    };
    sheet.chart(&scene.slug(), &title, &svg)
}

fn contenders<'f>(
    scene: Scene,
    threads: &'f [usize],
    figures: &'f Figures,
) -> impl Iterator<Item = Contender> + 'f {
    let took_part = move |one: &Contender| figures.find(scene, threads[0], *one).is_some();
    Contender::for_speed().into_iter().filter(took_part)
}

fn table(scene: Scene, threads: &[usize], figures: &Figures) -> Table {
    let mut heading = vec!["threads".to_owned()];
    for threads in threads {
        heading.extend([format!("{threads}: min"), "median".to_owned(), "×".to_owned()]);
    }
    heading.push("hits".to_owned());
    let mut table = Table::new(&heading.iter().map(String::as_str).collect::<Vec<_>>());
    for contender in contenders(scene, threads, figures) {
        let mut row = vec![contender.to_string()];
        for &threads in threads {
            let base = figures.find(scene, threads, Contender::Larder).map(|base| &base.turns);
            let figure = figures.find(scene, threads, contender).map(|figure| &figure.turns);
            row.extend(numbers(figure.zip(base)));
        }
        let percent =
            figures.find(scene, threads[0], contender).map_or(f64::NAN, |f| f.hit_percent);
        row.push(if percent.is_nan() { String::new() } else { format!("{percent:.1} %") });
        table.row(row);
    }
    table
}

fn numbers(turns_and_base: Option<(&Turns, &Turns)>) -> [String; 3] {
    let Some((turns, base)) = turns_and_base else { return Default::default() };
    let ratio = format!("{:.2}", turns.ratio_to(base));
    [format!("{:.1}", turns.min()), format!("{:.1}", turns.median()), ratio]
}
