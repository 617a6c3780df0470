//! Caches whose entries expire, by each rule that each library knows.

use crate::peer::Peer;
use larder::{Builder, Cache};
use std::fmt;
use std::time::{Duration, Instant};

/// So long that nothing expires while it is measured.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// This one.
    Larder,
    /// The usual choice.
    Moka,
    /// Its smaller sister.
    MiniMoka,
    /// Without expiry of its own: here for scale.
    QuickCache,
}

/// When entries expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Never.
    Never,
    /// A [`LIFETIME`] after they were written.
    Ttl,
    /// A [`LIFETIME`] after they were read or written.
    Tti,
    /// By both rules, whichever ends them first.
    Both,
    /// When user code says so, which is asked after each read and write.
    PerEntry,
}

/// A cache, and how it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Whose cache it is.
    pub library: Library,
    /// The rule its entries are under.
    pub rule: Rule,
}

impl Contender {
    /// Each library under each rule, its cache without expiry first.
    pub const ALL: [Contender; 13] = {
        use Library::{Larder, MiniMoka, Moka, QuickCache};
        use Rule::{Both, Never, PerEntry, Tti, Ttl};
        [
            Contender::new(Larder, Never),
            Contender::new(Larder, Ttl),
            Contender::new(Larder, Tti),
            Contender::new(Larder, Both),
            Contender::new(Larder, PerEntry),
            Contender::new(Moka, Never),
            Contender::new(Moka, Ttl),
            Contender::new(Moka, Tti),
            Contender::new(Moka, PerEntry),
            Contender::new(MiniMoka, Never),
            Contender::new(MiniMoka, Ttl),
            Contender::new(MiniMoka, Tti),
            Contender::new(QuickCache, Never),
        ]
    };

    const fn new(library: Library, rule: Rule) -> Self {
        Contender { library, rule }
    }

    /// The same library without expiry.
    #[must_use]
    pub fn base(self) -> Self {
        Contender { rule: Rule::Never, ..self }
    }

    /// Sets up an empty cache of `capacity` entries.
    #[must_use]
    pub fn build(self, capacity: usize) -> Box<dyn Peer<u64>> {
        match self.library {
            Library::Larder => {
                Box::new(larder(capacity, self.rule).build().expect("the settings are in order"))
            }
            Library::Moka => Box::new(moka(capacity as u64, self.rule)),
            Library::MiniMoka => Box::new(mini_moka(capacity as u64, self.rule)),
            Library::QuickCache => Box::new(quick_cache::sync::Cache::new(capacity)),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = match self.library {
            Library::Larder => "larder",
            Library::Moka => "moka",
            Library::MiniMoka => "mini-moka",
            Library::QuickCache => "quick_cache",
        };
        let rule = match self.rule {
            Rule::Never => "no expiry",
            Rule::Ttl => "time to live",
            Rule::Tti => "time to idle",
            Rule::Both => "both",
            Rule::PerEntry => "per entry",
        };
        write!(f, "{library}, {rule}")
    }
}

/// A cache of larder's, to be built with whatever else it needs.
pub fn larder(capacity: usize, rule: Rule) -> Builder<u64, u64> {
    let builder = Cache::builder().capacity(capacity);
    match rule {
        Rule::Never => builder,
        Rule::Ttl => builder.time_to_live(LIFETIME),
        Rule::Tti => builder.time_to_idle(LIFETIME),
        Rule::Both => builder.time_to_live(LIFETIME).time_to_idle(LIFETIME),
        Rule::PerEntry => builder.expiry(larder::after_access(|_: &u64, _: &u64| LIFETIME)),
    }
}

fn moka(capacity: u64, rule: Rule) -> moka::sync::Cache<u64, u64> {
    let builder = moka::sync::Cache::builder().max_capacity(capacity);
    match rule {
        Rule::Never => builder,
        Rule::Ttl => builder.time_to_live(LIFETIME),
        Rule::Tti => builder.time_to_idle(LIFETIME),
        Rule::Both => builder.time_to_live(LIFETIME).time_to_idle(LIFETIME),
        Rule::PerEntry => builder.expire_after(AfterAccess),
    }
    .build()
}

fn mini_moka(capacity: u64, rule: Rule) -> mini_moka::sync::Cache<u64, u64> {
    let builder = mini_moka::sync::Cache::builder().max_capacity(capacity);
    match rule {
        Rule::Never => builder,
        Rule::Ttl => builder.time_to_live(LIFETIME),
        Rule::Tti => builder.time_to_idle(LIFETIME),
        Rule::Both => builder.time_to_live(LIFETIME).time_to_idle(LIFETIME),
        Rule::PerEntry => unreachable!("mini-moka has no lifetimes per entry"),
    }
    .build()
}

/// What `larder::after_access` does, for moka.
struct AfterAccess;

impl moka::Expiry<u64, u64> for AfterAccess {
    fn expire_after_create(&self, _key: &u64, _value: &u64, _at: Instant) -> Option<Duration> {
        Some(LIFETIME)
    }

    fn expire_after_update(
        &self,
        _key: &u64,
        _value: &u64,
        _at: Instant,
        _current: Option<Duration>,
    ) -> Option<Duration> {
        Some(LIFETIME)
    }

    fn expire_after_read(
        &self,
        _key: &u64,
        _value: &u64,
        _at: Instant,
        _current: Option<Duration>,
        _written_at: Instant,
    ) -> Option<Duration> {
        Some(LIFETIME)
    }
}
