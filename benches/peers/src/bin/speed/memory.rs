//! Bytes on the heap for each entry.

use peers::args::Args;
use peers::chart::{self, Series};
use peers::contenders::Contender;
use peers::heap;
use peers::sheet::Sheet;
use peers::table::Table;
use std::io;

const METHOD: &str = "\
As asked of the allocator, which adds some 8 to 16 bytes for each block; u64 keys
and values. *full*: as many keys were inserted as the capacity has it. *later*:
after twice as many again, each of which makes another leave. Divided by the
entries that were then to be found. Maps were told how many will come; a cache that
was not asked for its memory in advance grows by doubling.";

/// What a contender takes for an entry.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    pub contender: Contender,
    pub entries: usize,
    pub full: Bytes,
    /// None of maps.
    pub later: Option<Bytes>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    pub an_entry: f64,
    pub blocks_an_entry: f64,
    pub held: usize,
}

pub fn run(_args: &Args, sheet: &mut Sheet) -> io::Result<Vec<Footprint>> {
    sheet.add(METHOD);
    let mut all = Vec::new();
    for entries in [100_000, 1_000_000] {
        eprintln!("memory: {entries} entries");
        let footprints: Vec<Footprint> =
            Contender::for_speed().into_iter().map(|one| measure(one, entries)).collect();
        let title = format!("Bytes on the heap for each of {entries} entries");
        sheet.add(format!("### {title}"));
        let mut table = Table::new(&["", "full", "blocks", "held", "later", "blocks", "held"]);
        footprints.iter().for_each(|footprint| table.row(row(footprint)));
        sheet.add(table);
        let bar = |one: &Footprint| Series::bar(one.contender.to_string(), one.full.an_entry);
        let bars: Vec<Series> = footprints.iter().map(bar).collect();
        let svg = chart::bars(&title, "bytes, without what the allocator adds", &bars);
        sheet.chart(&format!("memory-{entries}"), &title, &svg)?;
        all.extend(footprints);
    }
    Ok(all)
}

fn row(footprint: &Footprint) -> Vec<String> {
    let cells = |bytes: Bytes| {
        let Bytes { an_entry, blocks_an_entry, held } = bytes;
        [format!("{an_entry:.1}"), format!("{blocks_an_entry:.2}"), held.to_string()]
    };
    let later = footprint.later.map_or_else(Default::default, cells);
    let name = footprint.contender.to_string();
    [name].into_iter().chain(cells(footprint.full)).chain(later).collect()
}

fn measure(contender: Contender, entries: usize) -> Footprint {
    let end = entries as u64;
    let (cache, full) = heap::of(|| {
        let cache = contender.build::<u64>(entries);
        for from in (0..end).step_by(1000) {
            cache.insert_all(from..(from + 1000).min(end));
            // stretto drops what it cannot queue.
            cache.settle();
        }
        cache
    });
    let bytes = |usage: heap::Usage, held: usize| Bytes {
        an_entry: usage.bytes as f64 / held as f64,
        blocks_an_entry: usage.blocks as f64 / held as f64,
        held,
    };
    let full_bytes = bytes(full, cache.held(0..end));
    let later = contender.evicts_in_bounded_time().then(|| {
        let ((), more) = heap::of(|| {
            cache.insert_all(end..3 * end);
            cache.settle();
        });
        let usage =
            heap::Usage { bytes: full.bytes + more.bytes, blocks: full.blocks + more.blocks };
        bytes(usage, cache.held(0..3 * end))
    });
    Footprint { contender, entries, full: full_bytes, later }
}
