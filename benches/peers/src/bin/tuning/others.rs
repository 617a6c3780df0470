//! The best of all others in each cell, measured once and kept in a file.

use crate::halves::Subject;
use crate::{on_all_processors, percent};
use larder::Eviction;
use peers::contenders::{Contender, Foyer};
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Who had the highest hit ratio, in percent.
pub type Winner = (String, f64);

/// The best at one capacity of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    pub library: Winner,
    /// Of larder's own static policies: of all, and of each part of a sequence
    /// that turns.
    pub own: [Winner; 3],
}

/// By subject and capacity.
pub struct Others(HashMap<(String, usize), Best>);

impl Others {
    /// From the file, and where that knows nothing, by replay.
    pub fn measured(subjects: &[Subject], file: &Path) -> Result<Self, Box<dyn Error>> {
        let text = if file.exists() { fs::read_to_string(file)? } else { String::new() };
        let mut known: HashMap<_, _> = text.lines().filter_map(parse).collect();
        let missing: Vec<(&Subject, usize)> = subjects
            .iter()
            .flat_map(|subject| subject.capacities.iter().map(move |c| (subject, *c)))
            .filter(|(subject, capacity)| !known.contains_key(&(subject.name.clone(), *capacity)))
            .collect();
        if !missing.is_empty() {
            eprintln!("tuning: measuring the others in {} cells", missing.len());
        }
        let found = on_all_processors(&missing, |(subject, capacity)| best(subject, *capacity));
        let names = missing.iter().map(|(subject, capacity)| (subject.name.clone(), *capacity));
        known.extend(names.zip(found));
        if !missing.is_empty() {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            let lines = known.iter().map(|(place, best)| line(place, best));
            fs::write(file, lines.collect::<String>())?;
        }
        Ok(Others(known))
    }

    pub fn of(&self, subject: &Subject, capacity: usize) -> &Best {
        &self.0[&(subject.name.clone(), capacity)]
    }
}

fn best(subject: &Subject, capacity: usize) -> Best {
    let nobody = || (String::new(), 0.0);
    let mut best = Best { library: nobody(), own: [(); 3].map(|()| nobody()) };
    let offer = |best: &mut Winner, name: String, percent: f64| {
        if percent > best.1 {
            *best = (name, percent);
        }
    };
    for contender in contenders() {
        let Some(hits) = replay(subject, capacity, contender) else { continue };
        let percent = percent(subject, hits);
        match contender {
            Contender::LarderWith(eviction) => {
                let parts = best.own.iter_mut().zip(percent);
                parts.for_each(|(best, percent)| offer(best, eviction.to_string(), percent));
            }
            _ => offer(&mut best.library, contender.to_string(), percent[0]),
        }
    }
    best
}

/// Those that are ever best, without those that take long and never are.
fn contenders() -> Vec<Contender> {
    let ours = Eviction::ALL.iter().filter(|policy| **policy != Eviction::default());
    let foyer = [Foyer::Lru, Foyer::Fifo, Foyer::Lfu, Foyer::S3Fifo, Foyer::Sieve];
    let others = [Contender::QuickCache, Contender::Moka, Contender::TinyUfo, Contender::LruMutex];
    let ours = ours.map(|policy| Contender::LarderWith(*policy));
    ours.chain(foyer.map(Contender::Foyer)).chain(others).collect()
}

/// Hits before and after the turn; `None` if it held more than it may, by an
/// entry and by a hundredth.
fn replay(subject: &Subject, capacity: usize, contender: Contender) -> Option<[usize; 2]> {
    let cache = contender.build::<u64>(capacity);
    // moka puts work off, and decides better if it is done often.
    let settles_every = if contender == Contender::Moka { (capacity / 16).clamp(1, 64) } else { 0 };
    let mut hits = [0, 0];
    for (at, &key) in subject.accesses.iter().enumerate() {
        match cache.get(key) {
            Some(_) => hits[usize::from(at >= subject.turns_at)] += 1,
            None => cache.insert(key, key),
        }
        if settles_every > 0 && at % settles_every == 0 {
            cache.settle();
        }
    }
    cache.settle();
    let mut keys = subject.accesses.clone();
    keys.sort_unstable();
    keys.dedup();
    let held = keys.into_iter().filter(|key| cache.get(*key).is_some()).count();
    (held <= (capacity + 1).max(capacity + capacity / 100)).then_some(hits)
}

fn line((name, capacity): &(String, usize), best: &Best) -> String {
    let winners = [&best.library].into_iter().chain(&best.own);
    let winners = winners.map(|(who, percent)| format!("\t{who}\t{percent}"));
    format!("{name}\t{capacity}{}\n", winners.collect::<String>())
}

fn parse(line: &str) -> Option<((String, usize), Best)> {
    let mut fields = line.split('\t');
    let place = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    let mut winner = || Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?));
    Some((place, Best { library: winner()?, own: [winner()?, winner()?, winner()?] }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::halves::Half;

    #[test]
    fn what_is_written_is_read_again() {
        let winner = |name: &str, percent| (name.to_owned(), percent);
        let own = [winner("sieve", 2.0), winner("", 0.0), winner("lru", 1.0)];
        let best = Best { library: winner("foyer, LRU", 12.3), own };
        let place = ("t".to_owned(), 10);
        let text = line(&place, &best);
        assert_eq!(text.lines().filter_map(parse).collect::<Vec<_>>(), [(place, best)]);
    }

    #[test]
    fn the_best_of_each_side_is_found() {
        let accesses = (0..50).flat_map(|_| 0..30).collect();
        let subject = Subject::of("loop", "t", Half::Choose, accesses);
        let best = best(&subject, 20);
        assert!(best.library.1 > 30.0 && best.own[0].1 > 30.0, "{best:?}");
    }
}
