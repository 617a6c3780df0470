//! `#[memoize]` of the cache library [larder](https://docs.rs/larder). Use it as
//! `larder::memoize`, with larder's feature `macros`.

extern crate proc_macro;

mod duration;
mod expand;
mod function;
mod handle;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use proc_macro::TokenStream;
use quote::quote;

#[doc = include_str!("memoize.md")]
#[proc_macro_attribute]
pub fn memoize(settings: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let expanded = expand::memoize(settings.into(), item.clone());
    expanded
        .unwrap_or_else(|error| {
            let error = error.to_compile_error();
            quote!(#error #item)
        })
        .into()
}
