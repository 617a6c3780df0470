//! x
extern crate proc_macro;

mod duration;
mod expand;
mod function;
mod handle;
mod settings;
mod value;

use proc_macro::TokenStream;
use quote::quote;

/// x
#[proc_macro_attribute]
pub fn memoize(settings: TokenStream, item: TokenStream) -> TokenStream {
    let (settings, item) =
        (proc_macro2::TokenStream::from(settings), proc_macro2::TokenStream::from(item));
    expand::memoize(settings, item.clone())
        .unwrap_or_else(|error| {
            let error = error.to_compile_error();
            quote!(#error #item)
        })
        .into()
}
