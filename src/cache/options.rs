//! What can be said of a single entry when it is written.

use std::time::Duration;

/// Settings for one entry, for [`Cache::insert_with`](crate::Cache::insert_with).
/// What is not set is as the cache has it.
///
/// ```
/// use larder::{Cache, EntryOptions};
///
/// let cache = Cache::new(100);
/// cache.insert_with("ann", 34, EntryOptions::new().weight(2).tag("staff").tag("paris"));
/// cache.invalidate_tag("paris");
/// assert_eq!(cache.get("ann"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) tti: Option<Duration>,
    pub(super) weight: Option<u32>,
    pub(super) tags: Vec<String>,
}

impl EntryOptions {
    pub(crate) const NOTHING: EntryOptions =
        EntryOptions { ttl: None, tti: None, weight: None, tags: Vec::new() };

    /// Whether nothing is set.
    pub(crate) fn is_nothing(&self) -> bool {
        let EntryOptions { ttl, tti, weight, tags } = self;
        ttl.is_none() && tti.is_none() && weight.is_none() && tags.is_empty()
    }

    /// Nothing set.
    ///
    /// ```
    /// assert_eq!(larder::EntryOptions::new(), larder::EntryOptions::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        EntryOptions::default()
    }

    /// How long the entry lives from now on. If the cache has a time to live,
    /// the shorter one counts. `Duration::MAX` is no limit, zero means that
    /// the entry has expired at once.
    ///
    /// ```
    /// use larder::EntryOptions;
    /// use std::time::Duration;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("pear", 3, EntryOptions::new().ttl(Duration::ZERO));
    /// assert_eq!(cache.get("pear"), None);
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long the entry lives after it was last written or read. If the
    /// cache has a time to idle, the shorter one counts.
    ///
    /// ```
    /// use larder::EntryOptions;
    /// use std::time::Duration;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("pear", 3, EntryOptions::new().tti(Duration::from_secs(60)));
    /// assert_eq!(cache.get("pear"), Some(3));
    /// ```
    #[must_use]
    pub fn tti(mut self, tti: Duration) -> Self {
        self.tti = Some(tti);
        self
    }

    /// The entry's weight; the cache's weigher is not asked.
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("pear", 3, EntryOptions::new().weight(7));
    /// assert_eq!(cache.weight(), 7);
    /// ```
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Puts the entry into the group that
    /// [`invalidate_tag`](crate::Cache::invalidate_tag) removes together. May
    /// be called several times; a tag named twice counts once.
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("pear", 3, EntryOptions::new().tag("fruit"));
    /// cache.invalidate_tag("fruit");
    /// assert!(cache.is_empty());
    /// ```
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Several tags at once, besides those set before.
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let one_by_one = EntryOptions::new().tag("fruit").tag("green");
    /// assert_eq!(EntryOptions::new().tags(["fruit", "green"]), one_by_one);
    /// ```
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}
