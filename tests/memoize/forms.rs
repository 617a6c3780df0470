//! Where a function may stand, and what of it carries over.

use crate::Calls;
use larder::{Cache, memoize};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::num::ParseIntError;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Shape(u32);

static AREAS: Calls = Calls::new();
static OTHERS: Calls = Calls::new();

impl Shape {
    #[memoize(include(self), name = areas, capacity = 10)]
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "to have one that is borrowed")]
    fn area(&self, scale: u32) -> u32 {
        if self.0 < 5 {
            AREAS.add();
        }
        self.0 * scale
    }

    #[memoize(include(self))]
    fn by_value(self, scale: u32) -> u32 {
        OTHERS.add();
        self.0 * scale
    }

    #[memoize(skip(self))]
    fn without_self(self, scale: &str) -> Result<u32, ParseIntError> {
        let scale: u32 = scale.parse()?;
        if scale == 0 {
            return Ok(7);
        }
        Ok(self.0 * scale)
    }

    #[memoize(key: u32 = self.0 / 10)]
    fn decade(self) -> String {
        format!("{}s", self.0 / 10 * 10)
    }

    #[memoize(associated)]
    fn twice(n: u32) -> u32 {
        OTHERS.add();
        n * 2
    }

    #[memoize(name = made)]
    fn new(n: u32) -> Self {
        Self(n)
    }
}

#[test]
fn a_receiver_is_in_the_key_or_not_as_it_is_said() {
    assert_eq!((Shape(2).area(3), Shape(2).area(3), AREAS.take()), (6, 6, 1));
    assert_eq!((Shape(3).area(3), AREAS.take()), (9, 1));
    assert_eq!((Shape(2).by_value(3), Shape(2).by_value(3), OTHERS.take()), (6, 6, 1));
    assert_eq!((Shape(3).by_value(3), OTHERS.take()), (9, 1));
    assert_eq!((Shape(2).without_self("3"), Shape(9).without_self("3")), (Ok(6), Ok(6)));
    assert_eq!(Shape(2).without_self("0"), Ok(7));
    assert!(Shape(2).without_self("x").is_err());
    assert_eq!((Shape(41).decade(), Shape(45).decade()), ("40s".to_owned(), "40s".to_owned()));
    assert_eq!((Shape::twice(2), Shape::twice(2), OTHERS.take()), (4, 4, 1));
}

#[test]
fn a_method_has_a_handle_if_it_is_given_a_name() {
    Shape(5).areas_prime(2, 11);
    assert_eq!((Shape(5).area(2), Shape(5).areas_get(2)), (11, Some(11)));
    assert_eq!(Shape(5).areas_uncached(2), 10);
    Shape(5).areas_invalidate(2);
    assert_eq!(Shape(5).area(2), 10);
    assert_eq!(Shape::areas_cache().capacity(), 10);
    assert!(Shape::areas_stats().entries > 0);
    assert_eq!((Shape::new(1), Shape::made_get(1)), (Shape(1), Some(Shape(1))));
    Shape::made_invalidate_all();
    assert_eq!(Shape::made_get(1), None);
}

struct Shapes {
    scale: u32,
    areas: Cache<u32, u32>,
}

impl Shapes {
    #[memoize(cache = self.areas, name = memo)]
    fn area(&self, n: u32) -> u32 {
        n * self.scale
    }
}

#[test]
fn each_receiver_may_have_a_cache_of_its_own() {
    let of = |scale| Shapes { scale, areas: Cache::new(10) };
    let (twos, threes) = (of(2), of(3));
    assert_eq!((twos.area(5), threes.area(5)), (10, 15));
    assert_eq!((twos.areas.len(), twos.memo_get(5), threes.memo_get(5)), (1, Some(10), Some(15)));
    twos.memo_invalidate_all();
    assert_eq!((twos.memo_get(5), threes.memo_get(5)), (None, Some(15)));
    assert_eq!(threes.memo_stats().inserts, 1);
}

trait Area {
    fn area(&self) -> u32;
    #[memoize(include(self))]
    fn doubled(&self) -> u32
    where
        Self: Clone + Hash + Eq + Send + Sync + 'static,
    {
        TRAIT_CALLS.add();
        self.area() * 2
    }
}

static TRAIT_CALLS: Calls = Calls::new();

impl Area for Shape {
    #[memoize(include(self))]
    fn area(&self) -> u32 {
        TRAIT_CALLS.add();
        self.0
    }
}

impl Area for u8 {
    fn area(&self) -> u32 {
        u32::from(*self)
    }
}

#[test]
fn a_method_of_a_trait_may_be_memoized() {
    assert_eq!((Area::area(&Shape(8)), Area::area(&Shape(8)), TRAIT_CALLS.take()), (8, 8, 1));
    assert_eq!((Shape(8).doubled(), Shape(8).doubled(), TRAIT_CALLS.take()), (16, 16, 1));
    assert_eq!((8_u8.doubled(), 8_u8.doubled(), TRAIT_CALLS.take()), (16, 16, 1));
}

struct Holder<T>(T);

impl<T: Clone + Eq + Hash + Display + Send + Sync + 'static> Holder<T> {
    #[memoize(skip(self))]
    fn shown(&self, n: u32) -> String {
        format!("{}{n}", self.0)
    }
}

#[test]
fn each_instance_of_a_generic_type_has_a_cache() {
    assert_eq!((Holder(1_u8).shown(1), Holder("x").shown(1)), ("11".to_owned(), "x1".to_owned()));
    assert_eq!(Holder(2_u8).shown(1), "11");
}

#[memoize(capacity = 10)]
fn repeated<T, const N: usize>(item: T) -> Vec<T>
where
    T: Clone + Eq + Hash + Debug + Send + Sync + 'static,
{
    vec![item; N]
}

#[test]
fn each_instance_of_a_generic_function_has_a_cache() {
    assert_eq!(repeated::<u8, 2>(1), [1, 1]);
    assert_eq!(repeated::<u8, 3>(1), [1, 1, 1]);
    assert_eq!(repeated::<&str, 2>("x"), ["x", "x"]);
    assert_eq!(repeated::cache::<u8, 2>().len(), 1);
    repeated::invalidate::<u8, 2>(1);
    assert_eq!(repeated::get::<u8, 2>(1), None);
    assert_eq!(repeated::get::<u8, 3>(1), Some(vec![1, 1, 1]));
}

#[memoize]
fn longest<'a>(a: &'a str, b: &'a str) -> String {
    if a.len() > b.len() { a } else { b }.to_owned()
}

#[test]
fn lifetimes_do_not_matter() {
    let a = "pear".to_owned();
    assert_eq!(longest(&a, "fig"), "pear");
    assert_eq!(longest::get("pear", "fig"), Some("pear".to_owned()));
}

mod renamed {
    pub(crate) use larder as pantry;

    #[pantry::memoize(crate = crate::forms::renamed::pantry, eviction = "lru", tags = "x")]
    pub(crate) fn square(n: u64) -> u64 {
        n * n
    }
}

#[test]
fn the_crate_may_have_another_name() {
    assert_eq!((renamed::square(3), renamed::square::get(3)), (9, Some(9)));
}

#[test]
fn a_function_within_a_function_may_be_memoized() {
    #[memoize]
    fn square(n: u64) -> u64 {
        n * n
    }
    assert_eq!((square(3), square::get(3)), (9, Some(9)));
}

mod hostile {
    //! What the macro writes must not meet what the user has named alike.
    #![allow(dead_code, non_camel_case_types, reason = "these are in the way on purpose")]

    pub(crate) struct Cache;
    pub(crate) struct String;
    pub(crate) struct Option;
    pub(crate) struct LazyLock;
    pub(crate) mod std {}
    pub(crate) mod core {}
    pub(crate) static CACHE: u64 = 5;
    pub(crate) const CACHES: u64 = 6;

    #[larder::memoize(ttl = "1s", tags = "a", record_stats)]
    pub(crate) fn r#match(n: u64) -> u64 {
        n + CACHE + CACHES
    }

    #[derive(Clone, PartialEq, Eq, Hash)]
    pub(crate) struct Thing;

    impl Thing {
        #[larder::memoize(include(self))]
        pub(crate) fn of(&self, n: u64) -> u64 {
            n + CACHE + CACHES
        }
    }
}

#[test]
fn names_in_scope_do_not_matter() {
    assert_eq!((hostile::r#match(1), hostile::r#match::get(1)), (12, Some(12)));
    assert_eq!(hostile::Thing.of(1), 12);
}
