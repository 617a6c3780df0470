//! What can be said of a single entry when it is written.

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
    pub(super) weight: Option<u32>,
    pub(super) tags: Vec<String>,
}

impl EntryOptions {
    /// Nothing set.
    ///
    /// ```
    /// assert_eq!(larder::EntryOptions::new(), larder::EntryOptions::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        EntryOptions::default()
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
