//! Expansions, compared with those in `src/expansions`: one for each form of a
//! function. `LARDER_EXPANSIONS=write cargo test -p larder-macros` writes them
//! anew; what changed is then seen in the difference.

use crate::expand::memoize;
use std::path::PathBuf;
use std::{env, fs};

fn expansion(source: &str) -> String {
    let file = syn::parse_file(source).unwrap();
    let mut items = Vec::new();
    for item in file.items {
        let syn::Item::Fn(function) = item else { panic!("only functions: {source}") };
        let (memoized, attrs): (Vec<_>, Vec<_>) =
            function.attrs.iter().cloned().partition(|attr| attr.path().is_ident("memoize"));
        let settings = match &memoized[0].meta {
            syn::Meta::List(list) => list.tokens.clone(),
            _ => proc_macro2::TokenStream::new(),
        };
        let function = syn::ItemFn { attrs, ..function };
        let expanded = memoize(settings, quote::quote!(#function)).unwrap();
        let expanded: syn::File = syn::parse2(expanded).unwrap();
        items.extend(expanded.items);
    }
    prettyplease::unparse(&syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items })
}

/// A method is expanded inside of an `impl` block.
fn method_expansion(source: &str) -> String {
    let block: syn::ItemImpl = syn::parse_str(source).unwrap();
    let mut expanded = block.clone();
    expanded.items.clear();
    for item in block.items {
        let syn::ImplItem::Fn(mut method) = item else { panic!("only methods: {source}") };
        let memoized = method.attrs.remove(0);
        let settings = match &memoized.meta {
            syn::Meta::List(list) => list.tokens.clone(),
            _ => proc_macro2::TokenStream::new(),
        };
        let tokens = memoize(settings, quote::quote!(#method)).unwrap();
        let within: syn::ItemImpl = syn::parse_quote!(impl X { #tokens });
        expanded.items.extend(within.items);
    }
    let items = vec![syn::Item::Impl(expanded)];
    prettyplease::unparse(&syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items })
}

fn check(name: &str, expanded: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/expansions")
        .join(format!("{name}.expanded"));
    if env::var_os("LARDER_EXPANSIONS").is_some() {
        fs::write(&path, expanded).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expanded, expected, "the expansion differs from {}", path.display());
}

macro_rules! expansions {
    ($($how:ident $name:ident $source:literal)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), &$how($source));
        }
    )*};
}

expansions! {
    expansion a_function_of_one_number
    "#[memoize] pub fn square(n: u64) -> u64 { n * n }"

    expansion a_function_without_arguments
    "#[memoize] fn answer() -> u64 { 42 }"

    expansion a_function_with_every_kind_of_argument
    "#[memoize(skip(log))]
    fn mix(text: &str, list: &[u8], (a, mut b): (u8, u8), mut n: String, log: &mut Vec<u8>) -> u8 {
        b += 1; n.push('x'); log.push(a + b + list[0]); text.len() as u8
    }"

    expansion every_setting_of_the_cache
    "#[memoize(
        capacity = 1000, weight_capacity = 1 << 20, weigher = weigh, ttl = \"1h30m\", tti = TTI,
        jitter = 0.1, expiry = expiry(), eviction = \"s3-fifo\", shards = 8, on_removal = tell,
        clock = clock(), maintenance = \"250ms\", record_stats, name = Squares,
    )]
    fn square(n: u64) -> u64 { n * n }"

    expansion a_fallible_function
    "#[memoize(negative_ttl = \"2s\")]
    fn read(path: &Path) -> io::Result<String> { fs::read_to_string(path) }"

    expansion an_optional_value
    "#[memoize(some_only)] fn find(id: u64) -> Option<User> { lookup(id) }"

    expansion a_fallible_optional_value_of_another_name
    "#[memoize(some_only, result)] fn find(id: u64) -> Fetched<Option<User>> { lookup(id) }"

    expansion a_key_by_an_expression_and_tags
    "#[memoize(key: u64 = user.id, tags = [user.team.clone()])]
    fn greeting(user: &User, loud: bool) -> String { greet(user, loud) }"

    expansion a_key_of_some_arguments
    "#[memoize(key = (a, c))] fn sum(a: u8, b: u8, c: &str) -> u8 { a + b }"

    expansion an_existing_cache
    "#[memoize(cache = SQUARES, tags = \"squares\")] fn square(n: u64) -> u64 { n * n }"

    expansion an_async_function
    "#[memoize(ttl = \"30s\")]
    pub(crate) async fn fetch(client: &Client, url: String) -> Result<Page, Error> {
        client.get(url).await
    }"

    expansion a_generic_function
    "#[memoize(capacity = 10)]
    fn largest<'a, T, const N: usize>(list: &'a [T; N]) -> Option<T>
    where T: Ord + Clone + Hash + Send + Sync + 'static
    { list.iter().max().cloned() }"

    expansion a_function_that_is_reloaded
    "#[memoize(refresh_after = \"1m\", ttl = \"10m\", spawner = Inline)]
    fn page(host: &str, n: u32) -> io::Result<String> { get(host, n) }"

    expansion an_async_function_that_is_reloaded
    "#[memoize(stale_if_error = \"10m\")] async fn page(host: &str) -> Result<Page, Error> { get(host).await }"

    expansion attributes_and_visibility
    "/// Squares.
    #[memoize]
    #[must_use]
    #[inline]
    #[cfg(unix)]
    #[allow(clippy::let_and_return)]
    #[expect(unused_variables)]
    #[instrument]
    #[deprecated(note = \"use `cube`\")]
    pub(in crate::math) fn square(n: u64) -> u64 { let m = n * n; m }"

    expansion a_renamed_crate
    "#[memoize(crate = pantry::larder, eviction = \"lru\")] fn square(n: u64) -> u64 { n * n }"

    method_expansion a_method_whose_receiver_is_in_the_key
    "impl Shape { #[memoize(include(self))] pub fn area(&self, scale: u32) -> u32 { self.0 * scale } }"

    method_expansion a_method_whose_receiver_is_left_out
    "impl Shape { #[memoize(skip(self))] fn scale(self, by: String) -> u32 { by.len() as u32 } }"

    method_expansion a_method_whose_cache_is_in_a_field
    "impl Shapes { #[memoize(cache = self.areas)]
    fn area(&self, id: u32) -> Result<u32, Error> { self.find(id)?.area() } }"

    method_expansion an_async_method
    "impl Shapes { #[memoize(include(self))]
    async fn area(&self, id: u32) -> Result<u32, Error> { self.find(id).await?.area().await } }"

    method_expansion a_method_with_a_handle
    "impl Shape { #[memoize(include(self), name = areas, capacity = 10)]
    pub fn area(&self, scale: u32) -> u32 { self.0 * scale } }"

    method_expansion an_associated_function
    "impl Shape { #[memoize(associated)] fn unit(scale: u32) -> u32 { scale } }"

    method_expansion an_associated_function_that_names_self
    "impl Shape { #[memoize] fn new(scale: u32) -> Self { Shape(scale) } }"

    method_expansion a_method_of_a_trait
    "impl Area for Shape { #[memoize(include(self))] fn area(&self) -> u32 { self.0 } }"
}
