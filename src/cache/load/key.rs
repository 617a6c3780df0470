//! From a key as it is looked up to a key that can be kept.

use equivalent::Equivalent;
use std::hash::Hash;

/// A key as it is looked up, from which the key to be stored can be made.
///
/// A load looks up first, and makes the owned key on a miss only. Whatever is
/// [`ToOwned`] has this already: `&str` for `String`, `[u8]` for `Vec<u8>`, and
/// every key that is [`Clone`] for itself. For a borrowed form of a key of your
/// own, implement it beside [`Equivalent`]:
///
/// ```
/// use larder::{Cache, Equivalent, ToKey};
///
/// #[derive(PartialEq, Eq, Hash)]
/// struct Page {
///     host: String,
///     number: u32,
/// }
///
/// #[derive(Hash)]
/// struct PageRef<'a> {
///     host: &'a str,
///     number: u32,
/// }
///
/// impl Equivalent<Page> for PageRef<'_> {
///     fn equivalent(&self, page: &Page) -> bool {
///         self.host == page.host && self.number == page.number
///     }
/// }
///
/// impl ToKey<Page> for PageRef<'_> {
///     fn to_key(&self) -> Page {
///         Page { host: self.host.to_owned(), number: self.number }
///     }
/// }
///
/// let pages: Cache<Page, &str> = Cache::new(100);
/// let page = PageRef { host: "example.org", number: 1 };
/// assert_eq!(pages.get_with(&page, || "Welcome"), "Welcome");
/// ```
pub trait ToKey<K>: Hash + Equivalent<K> {
    /// The key to be stored. It must be equivalent to this one.
    fn to_key(&self) -> K;
}

impl<Q> ToKey<Q::Owned> for Q
where
    Q: ?Sized + ToOwned + Hash + Equivalent<Q::Owned>,
{
    fn to_key(&self) -> Q::Owned {
        self.to_owned()
    }
}
