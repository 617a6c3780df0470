//! Any settings and any item in the hands of `#[memoize]`: an expansion that
//! is Rust, or an error, but no panic: that would hide from users what is
//! wrong with their code.
//!
//! Each byte is a fragment of Rust, so that the fuzzer builds functions rather
//! than looking for letters; one of them means that plain text follows.

#![no_main]

#[path = "../../macros/src/duration.rs"]
mod duration;
#[path = "../../macros/src/expand.rs"]
mod expand;
#[path = "../../macros/src/function.rs"]
mod function;
#[path = "../../macros/src/handle.rs"]
mod handle;
#[path = "../../macros/src/settings.rs"]
mod settings;
#[path = "../../macros/src/value.rs"]
mod value;

use libfuzzer_sys::fuzz_target;
use proc_macro2::TokenStream;
use quote::quote;

fuzz_target!(|bytes: &[u8]| {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let mut next = || tokens(halves.next().unwrap_or_default());
    let (Some(settings), Some(item)) = (next(), next()) else { return };
    match expand::memoize(settings.clone(), item.clone()) {
        Ok(expanded) => assert!(is_rust(&expanded), "({settings}) {item}\nbecomes {expanded}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// Items, or what stands in an `impl` block.
fn is_rust(expanded: &TokenStream) -> bool {
    let within = quote!(impl Something { #expanded });
    syn::parse2::<syn::File>(expanded.clone()).is_ok()
        || syn::parse2::<syn::ItemImpl>(within).is_ok()
}

fn tokens(bytes: &[u8]) -> Option<TokenStream> {
    let source = source(bytes);
    // syn takes twice as long for each range that begins within another one.
    let is_quick = source.matches("..").count() <= RANGES_MAX;
    is_quick.then(|| source.parse().ok())?
}

const RANGES_MAX: usize = 8;

fn source(mut bytes: &[u8]) -> String {
    let mut source = String::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match FRAGMENTS.get(usize::from(*first)) {
            Some(fragment) => source.push_str(fragment),
            None => {
                // As many bytes as it is beyond the fragments.
                let length = (usize::from(*first) - FRAGMENTS.len() + 1).min(rest.len());
                let (text, rest) = rest.split_at(length);
                source.push_str(&String::from_utf8_lossy(text));
                bytes = rest;
                continue;
            }
        }
        source.push(' ');
    }
    source
}

const FRAGMENTS: &[&str] = &[
    "",
    "fn",
    "f",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ":",
    "::",
    "->",
    "=",
    "&",
    "&mut",
    "*",
    "#",
    "!",
    "?",
    "|",
    "..",
    ".",
    "'a",
    "'static",
    "_",
    "+",
    "-",
    "1",
    "0",
    // Settings.
    "capacity =",
    "weight_capacity =",
    "weigher =",
    "ttl =",
    "tti =",
    "jitter =",
    "expiry =",
    "eviction =",
    "refresh_after =",
    "stale_if_error =",
    "early_refresh =",
    "retry_after =",
    "spawner =",
    "shards =",
    "on_removal =",
    "clock =",
    "maintenance =",
    "record_stats",
    "cache =",
    "key =",
    "key: u64 =",
    "skip(",
    "include(self)",
    "associated",
    "result",
    "some_only",
    "negative_ttl =",
    "tags =",
    "name =",
    "crate = my::larder",
    "capacity",
    "ttl",
    "size = 1",
    "key: (u8, u8) =",
    "skip(a)",
    "skip(a, b)",
    "key = (a, b)",
    "key = a",
    "name = g",
    // Their values.
    "\"30s\"",
    "\"1h30m\"",
    "\"18446744073709551615d\"",
    "\"\"",
    "\"5 parsecs\"",
    "\"s3-fifo\"",
    "\"lru\"",
    "0.5",
    "1.5",
    "-1",
    "0.1f32",
    "64",
    "63",
    "100_000",
    "1u8",
    "0xFF",
    "1e9",
    "TTL",
    "18446744073709551615",
    "99999999999999999999999",
    "b\"30s\"",
    "\"30\\u{73}\"",
    "r#\"1s\"#",
    "true",
    "'x'",
    "[\"a\", b]",
    "format!(\"{a}\")",
    "|a, b| 1",
    "Lfu { ageing: None }",
    // Functions.
    "pub",
    "pub(crate)",
    "async",
    "const",
    "unsafe",
    "extern \"C\"",
    "impl",
    "dyn",
    "where",
    "self",
    "&self",
    "&mut self",
    "mut self",
    "self: &Self",
    "self: Arc<Self>",
    "Self",
    "mut",
    "ref",
    "a: u64",
    "b: &str",
    "mut c: String",
    "(d, e): (u8, u8)",
    "[x, ..]: [u8; 3]",
    "_: u8",
    "P { x, y }: P",
    "list: &[u8]",
    "t: T",
    "t: &'a T",
    "f: impl Fn(u8) -> u8",
    "d: &dyn Any",
    "x: Box<dyn Any>",
    "p: *const u8",
    "n: f64",
    "o: Option<&str>",
    "args: ...",
    "fn f(a: u64) -> u64 { a }",
    "fn f() -> u64 { 1 }",
    "fn f(&self, a: u64) -> u64 { a }",
    "async fn f(a: u64) -> Result<u64, E> { Ok(a) }",
    "-> u64",
    "-> Result<u64, E>",
    "-> io::Result<String>",
    "-> Option<u64>",
    "-> Result<Option<u64>, E>",
    "-> impl Future<Output = u8>",
    "-> &str",
    "-> &'static str",
    "-> Self",
    "-> !",
    "-> ()",
    "-> Vec<&'a u8>",
    "-> Box<dyn Any>",
    "-> <T as A>::B",
    "-> [u8; N]",
    "<T>",
    "<T: Clone + Hash>",
    "<'a>",
    "<'a, T: 'a>",
    "<const N: usize>",
    "<T = u8>",
    "where T: Clone,",
    "where for<'x> &'x T: A,",
    "{ a }",
    "{ }",
    "{ return a; }",
    "{ self.x }",
    "{ f(a) }",
    "{ async move { 1 } }",
    "{ #![allow(unused)] 1 }",
    "{ let Self = 1; }",
    "#[memoize]",
    "#[cfg(x)]",
    "#[doc = \"x\"]",
    "#[inline]",
    "#[allow(unused)]",
    "#[must_use]",
    "#[track_caller]",
    "#[cfg_attr(x, y)]",
    "/// x\n",
    "//! x\n",
    "/* x */",
    "struct S;",
    "impl S { }",
    "trait A { }",
    "mod m { }",
    "enum",
    "type",
    "let",
    "r#type",
    "r#self",
    "r#fn",
    "Arc",
    "u64",
    "T",
    "E",
    "b",
    "c",
    "$",
    "@",
    "~",
    "\u{e9}",
    "\"x\"",
    "b'x'",
    "c\"x\"",
    "Vec<",
    "Result<",
    "Option<",
    "std::",
    "crate::",
    "super::",
];
