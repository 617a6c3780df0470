//! What is measured with all contenders at once, and what came of it.

use peers::contenders::{Contender, Kind};
use peers::keys::Popularity;
use peers::pace::Turns;
use std::fmt;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// A get of a key that is there.
    Hit,
    /// A look at the value of a key that is there, without a copy of it.
    Read,
    /// A get of a key that is not there.
    Miss,
    /// Gets of keys that are there, with this percentage of writes to them.
    Mix(u32),
    /// A get, and an insert if it finds nothing.
    ReadThrough,
    /// An insert of a new key into a full cache.
    InsertEvict,
}

impl Operation {
    /// Whether the caches have room for all keys, or have to evict.
    pub fn has_room(self) -> bool {
        !matches!(self, Operation::ReadThrough | Operation::InsertEvict)
    }

    /// Whether a contender can take part.
    pub fn suits(self, contender: Contender, threads: usize) -> bool {
        match contender.kind() {
            _ if !self.has_room() => contender.evicts_in_bounded_time(),
            Kind::MapOfOneThread => threads == 1,
            Kind::Cache | Kind::Map => true,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Hit => f.write_str("Hits"),
            Operation::Read => f.write_str("Hits, read in place"),
            Operation::Miss => f.write_str("Misses"),
            Operation::Mix(writes) => write!(f, "{} % gets, {writes} % replacements", 100 - writes),
            Operation::ReadThrough => f.write_str("Read-through"),
            Operation::InsertEvict => f.write_str("Inserts that evict"),
        }
    }
}

/// One comparison, for some numbers of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    pub operation: Operation,
    pub popularity: Popularity,
    pub entries: usize,
    /// The name of the values' type.
    pub value: &'static str,
}

impl Scene {
    /// As the name of a file.
    pub fn slug(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.to_string().chars().map(plain).collect();
        let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scene { operation, popularity, entries, value } = self;
        write!(f, "{operation}, ")?;
        if *operation != Operation::InsertEvict {
            write!(f, "{popularity}, ")?;
        }
        write!(f, "{entries} entries, {value} values")
    }
}

/// One contender in one scene with some threads.
#[derive(Clone, Debug)]
pub struct Figure {
    pub scene: Scene,
    pub threads: usize,
    pub contender: Contender,
    pub turns: Turns,
    /// Of the gets, in percent. NaN if there were none.
    pub hit_percent: f64,
}

/// All that was measured so far.
#[derive(Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    pub fn find(&self, scene: Scene, threads: usize, contender: Contender) -> Option<&Figure> {
        let mut figures = self.0.iter();
        figures.find(|f| f.scene == scene && f.threads == threads && f.contender == contender)
    }

    /// How many times as long one contender takes as another, with nothing
    /// else going on: by the best slices of each round.
    pub fn ratio(&self, scene: Scene, threads: usize, pair: [Contender; 2]) -> Option<f64> {
        let [one, base] = pair.map(|contender| self.find(scene, threads, contender));
        Some(one?.turns.best_ratio_to(&base?.turns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_has_a_name_that_a_file_can_have() {
        let operation = Operation::Mix(25);
        let popularity = Popularity::Zipf(0.99);
        let scene = Scene { operation, popularity, entries: 100, value: "u64" };
        assert_eq!(scene.slug(), "75-gets-25-replacements-zipf-0-99-100-entries-u64-values");
    }

    #[test]
    fn maps_take_part_where_nothing_is_evicted() {
        assert!(Operation::Hit.suits(Contender::Hashbrown, 1));
        assert!(!Operation::Hit.suits(Contender::Hashbrown, 2));
        assert!(!Operation::InsertEvict.suits(Contender::DashMap, 1));
        assert!(Operation::InsertEvict.suits(Contender::Moka, 8));
    }
}
