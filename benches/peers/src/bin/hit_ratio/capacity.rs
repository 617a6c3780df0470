//! Whether each contender keeps to its capacity. Whoever holds more than it was
//! told to hits more, and cannot be compared.

use peers::contenders::{Contender, Kind};
use peers::keys::{SplitMix64, Zipf};
use peers::sheet::Sheet;
use peers::table::Table;

const CAPACITIES: [usize; 5] = [10, 100, 1000, 10_000, 100_000];

const METHOD: &str = "\
What each contender held at most, found by looking every key up, at eight points of a
workload of ten times as many accesses as the capacity (a Zipf distribution over ten
times as many keys, with scans between), after whatever it had put off was done.";

pub fn run(sheet: &mut Sheet) {
    sheet.add("### Who keeps to the capacity");
    sheet.add(METHOD);
    let heading = CAPACITIES.map(|capacity| format!("of {capacity}"));
    let heading = [""].into_iter().chain(heading.iter().map(String::as_str));
    let mut table = Table::new(&heading.collect::<Vec<_>>());
    let caches = Contender::for_hit_ratio().into_iter().filter(|one| one.kind() == Kind::Cache);
    for contender in caches {
        let held = CAPACITIES.map(|capacity| {
            // See there: it would take hours.
            let is_endless = !contender.evicts_in_bounded_time() && capacity > 1000;
            if is_endless {
                String::new()
            } else {
                cell(held_at_most(contender, capacity), capacity)
            }
        });
        table.row([contender.to_string()].into_iter().chain(held));
    }
    sheet.add(table);
}

fn cell(held: usize, capacity: usize) -> String {
    if held > capacity { format!("**{held}**") } else { held.to_string() }
}

fn held_at_most(contender: Contender, capacity: usize) -> usize {
    const LOOKS: usize = 8;
    let cache = contender.build::<u64>(capacity);
    let (law, mut random) = (Zipf::new(10 * capacity, 0.8), SplitMix64(1));
    let mut scanned = 10 * capacity as u64;
    let mut most = 0;
    for _ in 0..LOOKS {
        for at in 0..10 * capacity / LOOKS {
            // A fifth of all is a scan.
            let key = if at % 5 == 0 {
                scanned += 1;
                scanned
            } else {
                law.draw(&mut random) as u64
            };
            if cache.get(key).is_none() {
                cache.insert(key, key);
            }
            if at % 1000 == 0 {
                cache.settle();
            }
        }
        most = most.max(cache.held(0..scanned + 1));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larder_and_a_plain_lru_hold_what_they_may() {
        for contender in [Contender::Larder, Contender::LruMutex] {
            assert_eq!(held_at_most(contender, 1000), 1000, "{contender}");
        }
    }
}
