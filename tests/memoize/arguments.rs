//! What makes two calls the same call.

use crate::Calls;
use larder::memoize;
use std::cell::Cell;
use std::path::{Path, PathBuf};

thread_local! {
    static CLONES: Cell<u32> = const { Cell::new(0) };
}

/// Tells when an owned key is made of it.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Word(&'static str);

impl Clone for Word {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self(self.0)
    }
}

#[memoize]
fn borrowed(word: &Word, n: u8) -> usize {
    word.0.len() * usize::from(n)
}

#[memoize]
#[expect(clippy::needless_pass_by_value, reason = "to have one that is not borrowed")]
fn owned(word: Word) -> usize {
    word.0.len()
}

#[test]
fn a_hit_makes_no_owned_key() {
    assert_eq!(borrowed(&Word("pear"), 2), 8);
    assert_eq!(CLONES.replace(0), 1, "the key of a miss");
    assert_eq!(borrowed(&Word("pear"), 2), 8);
    assert_eq!(CLONES.replace(0), 0);
    assert_eq!(owned(Word("plum")), 4);
    assert_eq!(CLONES.replace(0), 2, "the key of a miss, and the argument");
    assert_eq!(owned(Word("plum")), 4);
    assert_eq!(CLONES.replace(0), 0);
}

static SUMS: Calls = Calls::new();

#[memoize]
fn sum(text: &str, list: &[u8], path: &Path, (a, mut b): (u8, u8), mut owned: String) -> usize {
    SUMS.add();
    b += a;
    owned.push('!');
    text.len() + list.len() + path.as_os_str().len() + usize::from(b) + owned.len()
}

#[test]
fn every_argument_is_part_of_the_key() {
    let call = |text: &str, list: &[u8], path: &str, pair, owned: &str| {
        sum(text, list, Path::new(path), pair, owned.to_owned())
    };
    assert_eq!(call("a", &[1], "p", (1, 2), "o"), 8);
    assert_eq!(call("a", &[1], "p", (1, 2), "o"), 8);
    assert_eq!(SUMS.take(), 1);
    for (text, list, path, pair, owned) in [
        ("b", &[1][..], "p", (1, 2), "o"),
        ("a", &[2], "p", (1, 2), "o"),
        ("a", &[1, 1], "p", (1, 2), "o"),
        ("a", &[1], "q", (1, 2), "o"),
        ("a", &[1], "p", (2, 2), "o"),
        ("a", &[1], "p", (1, 3), "o"),
        ("a", &[1], "p", (1, 2), "u"),
    ] {
        call(text, list, path, pair, owned);
        assert_eq!(SUMS.take(), 1, "{text} {list:?} {path} {pair:?} {owned}");
    }
    let found: (String, Vec<u8>, PathBuf, (u8, u8), String) =
        ("a".to_owned(), vec![1], PathBuf::from("p"), (1, 2), "o".to_owned());
    assert_eq!(sum::cache().get(&found), Some(8));
}

static SKIPS: Calls = Calls::new();

#[memoize(skip(log))]
fn skipping(n: u8, log: &mut Vec<u8>) -> u8 {
    SKIPS.add();
    log.push(n);
    n
}

#[test]
fn what_is_skipped_is_not_part_of_the_key() {
    let mut log = Vec::new();
    assert_eq!((skipping(1, &mut log), skipping(1, &mut Vec::new())), (1, 1));
    assert_eq!((SKIPS.take(), log), (1, vec![1]));
}

#[memoize(skip(shown))]
fn skipping_a_trait(n: u8, shown: impl std::fmt::Display) -> String {
    format!("{n}{shown}")
}

#[test]
fn what_is_skipped_may_be_anything() {
    assert_eq!(skipping_a_trait(1, "x"), "1x");
    assert_eq!(skipping_a_trait(1, 5), "1x");
}

#[memoize(key = (a, c))]
fn of_some(a: u8, b: u8, c: &str) -> String {
    format!("{a}{b}{c}")
}

#[test]
fn the_key_may_be_some_of_the_arguments() {
    assert_eq!(of_some(1, 2, "x"), "12x");
    assert_eq!(of_some(1, 3, "x"), "12x");
    assert_eq!(of_some(2, 3, "x"), "23x");
    assert_eq!(of_some::cache().get(&(1, "x".to_owned())), Some("12x".to_owned()));
}

struct User {
    id: u64,
    name: String,
}

#[memoize(key: u64 = user.id)]
fn greeting(user: &User) -> String {
    format!("Hello {}", user.name)
}

#[test]
fn the_key_may_be_an_expression() {
    let user = |id, name: &str| User { id, name: name.to_owned() };
    assert_eq!(greeting(&user(1, "Ann")), "Hello Ann");
    assert_eq!(greeting(&user(1, "Bob")), "Hello Ann");
    assert_eq!(greeting(&user(2, "Bob")), "Hello Bob");
    assert_eq!(greeting::cache().get(&1), Some("Hello Ann".to_owned()));
}

#[memoize(key = x.round() as i64)]
#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
fn rounded(x: f32) -> i32 {
    x.round() as i32
}

#[test]
fn a_cast_says_the_type_of_a_key() {
    assert_eq!((rounded(1.6), rounded(1.6)), (2, 2));
    assert_eq!(rounded::cache().len(), 1);
}

static ANSWERS: Calls = Calls::new();

#[memoize]
fn answer() -> u64 {
    ANSWERS.add();
    42
}

#[test]
fn a_function_without_arguments_is_called_once() {
    assert_eq!((answer(), answer()), (42, 42));
    assert_eq!(ANSWERS.take(), 1);
    answer::invalidate();
    assert_eq!((answer(), ANSWERS.take()), (42, 1));
}

#[memoize]
#[expect(
    clippy::too_many_arguments,
    clippy::many_single_char_names,
    reason = "as many as a key can have"
)]
fn twelve(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: &str,
) -> usize {
    [a, b, c, d, e, f, g, h, i, j, k].map(usize::from).iter().sum::<usize>() + l.len()
}

#[test]
fn twelve_arguments_make_a_key() {
    assert_eq!(twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "x"), 67);
    assert_eq!(twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "x"), 67);
    assert_eq!(twelve::cache().len(), 1);
}

#[memoize]
fn names_of_the_macro(key: u8, cache: u8, value: u8, returned: u8) -> u8 {
    key + cache + value + returned
}

#[test]
fn arguments_may_have_the_names_that_the_macro_uses() {
    assert_eq!(names_of_the_macro(1, 2, 3, 4), 10);
    names_of_the_macro::prime(1, 1, 1, 1, 9);
    assert_eq!(names_of_the_macro(1, 1, 1, 1), 9);
}

macro_rules! made {
    ($name:ident($arg:ident: $ty:ty) -> $returns:ty) => {
        #[memoize(capacity = 3)]
        fn $name($arg: $ty) -> $returns {
            $arg.parse()
        }
    };
}

made!(made_by_a_macro(text: &str) -> Result<u8, std::num::ParseIntError>);

#[test]
fn a_function_may_be_written_by_another_macro() {
    assert_eq!((made_by_a_macro("3"), made_by_a_macro::get("3")), (Ok(3), Some(3)));
}
