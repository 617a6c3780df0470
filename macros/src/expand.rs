//! The memoized function: a call of the cache's loading methods.
//!
//! ```text
//!   free function f    fn f(…)           calls load(f::cache(), key, f::uncached(…))
//!                      enum f {}         beside it, in the namespace of types
//!                      impl f { … }      cache, get, invalidate, …, uncached
//!
//!   method m           fn m(&self, …)    calls load(a cache, key, the body)
//!       name = n       fn n_cache(), …   beside it, in the same `impl`
//! ```

use crate::function::{Arg, Function, Part, mentions};
use crate::handle;
use crate::settings::{Call, Settings};
use crate::value;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, FnArg, GenericParam, Ident, ImplItemFn, Lit, Meta, Result, Type, parse_quote,
};

/// What `#[memoize(settings)] item` becomes.
///
/// # Errors
/// What cannot be memoized, and what would help. `item` should then be kept as
/// it is, so that its callers are not at fault as well.
pub fn memoize(settings: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let settings: Settings = syn::parse2(settings)?;
    let item: ImplItemFn =
        syn::parse2(item.clone()).map_err(|_| crate::function::not_a_function(item))?;
    let function = Function::new(item, &settings)?;
    Ok(Expansion::new(&settings, &function).tokens())
}

/// The function of the handle that returns a cache that calls the function. It
/// is not for users: to them, it is a cache.
pub const LOADING: &str = "loading";

pub struct Expansion<'a> {
    pub settings: &'a Settings,
    pub function: &'a Function,
    /// The path to what only expansions use.
    pub private: TokenStream,
    /// What is kept in the cache.
    pub kept: TokenStream,
}

impl<'a> Expansion<'a> {
    fn new(settings: &'a Settings, function: &'a Function) -> Self {
        let krate = &settings.krate;
        let private = quote!(#krate::__private);
        let returns = &function.returns;
        let span = returns.span();
        let kept = match (function.is_fallible(settings), settings.some_only) {
            (false, None) => quote!(#returns),
            (false, Some(_)) => quote_spanned!(span=> <#returns as #private::Optional>::Some),
            (true, None) => quote_spanned!(span=> <#returns as #private::Fallible>::Ok),
            (true, Some(_)) => quote_spanned! {span=>
                <<#returns as #private::Fallible>::Ok as #private::Optional>::Some
            },
        };
        Expansion { settings, function, private, kept }
    }

    fn tokens(&self) -> TokenStream {
        let memoized = self.memoized();
        let handle = handle::tokens(self);
        quote!(#memoized #handle)
    }

    /// Whether the body is in a function of its own.
    pub fn has_handle(&self) -> bool {
        !self.function.is_associated || self.settings.name.is_some()
    }

    /// The name of a function of the handle, as it is called from within.
    pub fn handle_fn(&self, what: &str) -> TokenStream {
        let name = self.handle_ident(what);
        if self.function.is_associated {
            return quote!(Self::#name);
        }
        let handle = self.handle_name();
        quote!(#handle::#name)
    }

    pub fn handle_ident(&self, what: &str) -> Ident {
        if self.function.is_associated {
            format_ident!("{}_{}", self.handle_name(), what)
        } else {
            Ident::new(what, Span::call_site())
        }
    }

    pub fn handle_name(&self) -> &Ident {
        self.settings.name.as_ref().unwrap_or(&self.function.sig.ident)
    }

    /// The function that takes the place of the user's.
    fn memoized(&self) -> TokenStream {
        let Function { vis, sig, .. } = self.function;
        let mut attrs: Vec<Attribute> =
            self.attrs(|attr| !self.has_handle() || is_outer(attr)).into_iter().cloned().collect();
        if self.has_handle() {
            // Whether a lint is met depends on the body, which is elsewhere.
            let expected = self.attrs(|attr| attr.path().is_ident("expect"));
            attrs.extend(expected.iter().filter_map(|attr| match &attr.meta {
                Meta::List(list) => {
                    let lints = &list.tokens;
                    Some(parse_quote!(#[allow(#lints)]))
                }
                _ => None,
            }));
        }
        let mut sig = sig.clone();
        sig.inputs = self.inputs();
        let load = self.load();
        quote! {
            #(#attrs)*
            #vis #sig {
                #load
            }
        }
    }

    pub fn attrs(&self, is_wanted: impl Fn(&Attribute) -> bool) -> Vec<&Attribute> {
        self.function.attrs.iter().filter(|attr| is_wanted(attr)).collect()
    }

    /// The arguments by name: a pattern is taken apart only where the function
    /// itself runs.
    fn inputs(&self) -> syn::punctuated::Punctuated<FnArg, syn::Token![,]> {
        let receiver = self.function.receiver.iter().map(|receiver| {
            let mut receiver = receiver.clone();
            receiver.mutability = None;
            FnArg::Receiver(receiver)
        });
        let args = self.function.args.iter().map(|arg| {
            let Arg { name, ty, .. } = arg;
            parse_quote!(#name: #ty)
        });
        receiver.chain(args).collect()
    }

    fn load(&self) -> TokenStream {
        let private = &self.private;
        let cache = Ident::new("cache", Span::mixed_site());
        let key = Ident::new("key", Span::mixed_site());
        let checks = self.checks();
        let set_cache = match self.settings.reloads() {
            Some(_) => {
                let (source, generics) = (self.handle_fn(LOADING), self.turbofish());
                quote!(let #cache = #source #generics ();)
            }
            None => self.set_cache(&cache),
        };
        let (plan, how) = (self.plan(), self.how());
        let set_key = self.set_key(&key);
        let body = if self.has_handle() { self.call_uncached() } else { self.inline() };
        if self.function.is_async() {
            let awaited = quote!(#private::load_async(#plan, #cache, #key, #how, #body).await);
            return quote!(#checks #set_cache #set_key #awaited);
        }
        quote!(#checks #set_cache #set_key #private::load(#plan, #cache, #key, #how, #body))
    }

    /// A statement that makes `cache` a reference to the cache.
    pub fn set_cache(&self, cache: &Ident) -> TokenStream {
        let krate = &self.settings.krate;
        let (key, kept, expr) = (self.key_type(), &self.kept, self.cache());
        // What the user's path leads to may only be made into a reference.
        let ty = self.settings.cache.as_ref().map(|_| quote!(: &#krate::Cache<#key, #kept, _>));
        quote!(let #cache #ty = #expr;)
    }

    /// The cache, as an expression in the memoized function or the handle.
    fn cache(&self) -> TokenStream {
        if let Some(cache) = &self.settings.cache {
            return quote_spanned!(cache.span()=> &#cache);
        }
        if self.has_handle() {
            let (cache, generics) = (self.handle_fn("cache"), self.turbofish());
            return quote!(#cache #generics ());
        }
        // Only with a handle are there reloads.
        let made = self.cache_of_instance();
        quote!({ #made })
    }

    /// Statements that end with the cache of this instance of a function, where
    /// there may be several.
    pub fn cache_of_instance(&self) -> TokenStream {
        let (private, built) = (&self.private, self.built());
        quote! {
            static CACHES: #private::Caches = #private::Caches::new();
            CACHES.of(|| #built)
        }
    }

    /// The call of the builder.
    pub fn built(&self) -> TokenStream {
        let Expansion { settings, private, .. } = self;
        let krate = &settings.krate;
        let (key, kept) = (self.key_type(), &self.kept);
        let name = self.function.sig.ident.to_string();
        let default_capacity = (settings.builder_has("capacity").is_none()
            && settings.builder_has("weight_capacity").is_none())
        .then(|| quote!(.capacity(#private::DEFAULT_CAPACITY)));
        let call = |call: &Call| {
            let method = Ident::new(call.method, call.setting.span());
            let argument = &call.argument;
            let larder = call.in_larder.then(|| quote!(#krate::));
            quote!(.#method(#larder #argument))
        };
        let (of_reloads, of_cache): (Vec<&Call>, Vec<&Call>) =
            settings.builder.iter().partition(|call| call.is_of_reloads());
        let of_cache = of_cache.into_iter().map(call);
        let builder = quote! {
            #krate::Cache::<#key, #kept>::builder() #default_capacity #(#of_cache)*
        };
        if settings.reloads().is_none() {
            return quote!(#private::built(#name, #builder));
        }
        let (loader, of_reloads) = (self.loader(), of_reloads.into_iter().map(call));
        quote!(#private::built_loading(#name, #builder #loader #(#of_reloads)*))
    }

    /// How a cache that reloads calls the function: with the arguments in the
    /// key.
    fn loader(&self) -> TokenStream {
        let private = &self.private;
        let (key, plan) = (Ident::new("key", Span::mixed_site()), self.plan());
        let (uncached, generics) = (self.handle_fn("uncached"), self.turbofish());
        let parts = self.parts_of_key(&key);
        let call = quote!(#uncached #generics (#(#parts),*));
        if self.function.is_async() {
            // The future outlives the key that it is given.
            return quote! {
                .loader_async(|#key| {
                    let #key = ::core::clone::Clone::clone(#key);
                    async move {
                        let #key = &#key;
                        #private::reload_async(#plan, #call).await
                    }
                })
            };
        }
        quote!(.loader(|#key| #private::reload(#plan, #call)))
    }

    /// The type that [`built`](Self::built) builds.
    pub fn built_type(&self) -> TokenStream {
        let Expansion { settings, private, kept, .. } = self;
        let (krate, key) = (&settings.krate, self.key_type());
        match settings.reloads() {
            Some(_) => quote!(#krate::LoadingCache<#key, #kept, #private::Untold>),
            None => quote!(#krate::Cache<#key, #kept>),
        }
    }

    fn parts_of_key(&self, key: &Ident) -> Vec<TokenStream> {
        let receiver = self.settings.includes_self().then(|| {
            let by_reference = self
                .function
                .receiver
                .as_ref()
                .is_some_and(|r| matches!(r.kind, syn::ReceiverKind::Reference(..)));
            if by_reference { Part::Borrowed } else { Part::Owned }
        });
        let kept: Vec<Part> =
            receiver.into_iter().chain(self.function.args.iter().map(|arg| arg.part)).collect();
        let is_single = kept.len() == 1;
        kept.iter()
            .enumerate()
            .map(|(at, part)| {
                let at = syn::Index::from(at);
                let place = if is_single { quote!(*#key) } else { quote!(#key.#at) };
                match part {
                    Part::Borrowed => quote!(::core::borrow::Borrow::borrow(&#place)),
                    _ => quote!(::core::clone::Clone::clone(&#place)),
                }
            })
            .collect()
    }

    /// What is kept of what the function returns, by the types.
    fn plan(&self) -> TokenStream {
        let Expansion { settings, function, private, .. } = self;
        let returns = &function.returns;
        let is_fallible = function.is_fallible(settings);
        let (name, kinds) = match (is_fallible, settings.some_only, &settings.negative_ttl) {
            (false, None, _) => ("Returned", Some(("ReturnKind", "ValueKind"))),
            (false, Some(_), _) => ("Maybe", None),
            (true, None, None) => ("Fails", Some(("FallibleKind", "RetryKind"))),
            (true, Some(_), None) => ("MaybeFails", Some(("FallibleKind", "RetryKind"))),
            (true, None, Some(_)) => ("SharedFails", None),
            (true, Some(_), Some(_)) => ("SharedMaybeFails", None),
        };
        let name = Ident::new(name, returns.span());
        let plan = quote!(#private::#name::<#returns>::NEW);
        let Some((first, second)) = kinds else { return plan };
        let (first, second) =
            (Ident::new(first, Span::call_site()), Ident::new(second, Span::call_site()));
        quote!({
            use #private::{#first as _, #second as _};
            (&#plan).plan()
        })
    }

    fn how(&self) -> TokenStream {
        let Expansion { settings, private, .. } = self;
        let options = self
            .options()
            .map_or_else(|| quote!(#private::no_options), |options| quote!(|| #options));
        let negative_ttl = match &settings.negative_ttl {
            Some((_, ttl)) => quote!(::core::option::Option::Some(#ttl)),
            None => quote!(::core::option::Option::None),
        };
        quote!(#private::How { options: #options, negative_ttl: #negative_ttl })
    }

    /// The options of an entry, if there are any to be said.
    pub fn options(&self) -> Option<TokenStream> {
        let krate = &self.settings.krate;
        self.settings.tags.as_ref().map(|tags| match value::literal(tags) {
            Some(Lit::Str(tag)) => quote!(#krate::EntryOptions::new().tag(#tag)),
            _ => quote!(#krate::EntryOptions::new().tags(#tags)),
        })
    }

    /// The type of the key.
    pub fn key_type(&self) -> TokenStream {
        if let Some(key) = &self.settings.key {
            return match (&key.ty, &key.expr) {
                (Some(ty), _) => quote!(#ty),
                (None, Expr::Cast(cast)) => cast.ty.to_token_stream(),
                (None, _) => quote!(_),
            };
        }
        let receiver = self.settings.includes_self().then(|| quote!(Self));
        let args = self.parts().map(Arg::kept);
        let kept: Vec<TokenStream> = receiver.into_iter().chain(args).collect();
        match &*kept {
            [] => quote!(()),
            [one] => one.clone(),
            kept => quote!((#(#kept),*)),
        }
    }

    /// What cannot be kept is told where its type is written.
    fn checks(&self) -> TokenStream {
        let Expansion { settings, function, private, kept, .. } = self;
        let part = |ty: &TokenStream, span: Span| {
            let assert = Ident::new("assert_key_part", span);
            quote_spanned!(span=> #private::#assert::<#ty>();)
        };
        let mut checks = TokenStream::new();
        if let Some(key) = &settings.key {
            checks.extend(key.ty.as_ref().map(|ty| part(&quote!(#ty), ty.span())));
        } else {
            let receiver = function.receiver.as_ref().filter(|_| settings.includes_self());
            checks.extend(receiver.map(|self_arg| part(&quote!(Self), self_arg.self_token.span)));
            checks.extend(self.parts().map(|arg| {
                let seen = arg.seen();
                part(&quote!(#seen), seen.span())
            }));
        }
        let (returns, span) = (&function.returns, function.returns.span());
        let assert = Ident::new("assert_kept", span);
        checks.extend(quote_spanned!(span=> #private::#assert::<#kept>();));
        if settings.negative_ttl.is_some() && function.is_fallible(settings) {
            let assert = Ident::new("assert_shareable", span);
            checks.extend(quote_spanned!(span=> #private::#assert::<#returns>();));
        }
        checks
    }

    fn parts(&self) -> impl Iterator<Item = &Arg> {
        self.function.args.iter().filter(|arg| arg.part != Part::Skipped)
    }

    /// Statements that make `key` a reference to the key as it is looked up.
    pub fn set_key(&self, key: &Ident) -> TokenStream {
        if let Some(given) = &self.settings.key {
            let expr = &given.expr;
            let ty = given.ty.as_ref().map(|ty| quote!(: #ty));
            return quote!(let #key #ty = #expr; let #key = &#key;);
        }
        let receiver = self.settings.includes_self().then(|| {
            match self.function.receiver.as_ref().map(|receiver| &receiver.kind) {
                Some(syn::ReceiverKind::Reference(..)) => quote!(self),
                _ => quote!(&self),
            }
        });
        let seen: Vec<TokenStream> =
            receiver.into_iter().chain(self.parts().map(Arg::look_up)).collect();
        let private = &self.private;
        match &*seen {
            [] => quote!(let #key = &();),
            [one] => quote!(let #key = #one;),
            seen => quote!(let #key = &#private::Args((#(#seen),*));),
        }
    }

    /// Whether the argument is still borrowed where the function is called.
    fn is_cloned(&self, arg: &Arg) -> bool {
        let in_tags = || {
            let tags = self.settings.tags.as_ref().map(ToTokens::to_token_stream);
            tags.is_some_and(|tags| mentions(tags, &arg.name.to_string()))
        };
        let in_cache = || {
            let cache = self.settings.cache.as_ref().map(ToTokens::to_token_stream);
            cache.is_some_and(|cache| mentions(cache, &arg.name.to_string()))
        };
        let is_part = arg.part == Part::Owned && self.settings.key.is_none();
        is_part || !matches!(arg.ty, Type::Reference(_)) && (in_tags() || in_cache())
    }

    /// An argument as the function gets it.
    fn passed(&self, arg: &Arg) -> TokenStream {
        let name = &arg.name;
        if self.is_cloned(arg) {
            quote!(::core::clone::Clone::clone(&#name))
        } else {
            quote!(#name)
        }
    }

    fn call_uncached(&self) -> TokenStream {
        let (uncached, generics) = (self.handle_fn("uncached"), self.turbofish());
        let receiver = self.function.receiver.as_ref().map(|receiver| {
            match (&receiver.kind, self.settings.includes_self()) {
                (syn::ReceiverKind::Value, true) => quote!(::core::clone::Clone::clone(&self)),
                _ => quote!(self),
            }
        });
        let args = self.function.args.iter().map(|arg| self.passed(arg));
        let args: Vec<TokenStream> = receiver.into_iter().chain(args).collect();
        let call = quote!(#uncached #generics (#(#args),*));
        if self.function.is_async() { quote!(async { #call.await }) } else { quote!(|| #call) }
    }

    /// The body, where there is no place for it to be a function.
    fn inline(&self) -> TokenStream {
        let Function { body, returns, .. } = self.function;
        let lets = self.function.args.iter().map(|arg| {
            let (pat, passed) = (&arg.pat, self.passed(arg));
            quote!(let #pat = #passed;)
        });
        if self.function.is_async() {
            // A block cannot say what it returns; one `return` can.
            return quote!(async {
                #[allow(unreachable_code, clippy::all, clippy::pedantic, clippy::nursery)]
                if false {
                    let returned: #returns = loop {};
                    return returned;
                }
                #(#lets)*
                #body
            });
        }
        quote!(|| -> #returns { #(#lets)* #body })
    }

    /// The type parameters, for a call of the handle's functions.
    pub fn turbofish(&self) -> Option<TokenStream> {
        let params: Vec<&Ident> = self
            .function
            .sig
            .generics
            .params
            .iter()
            .filter_map(|param| match param {
                GenericParam::Type(param) => Some(&param.ident),
                GenericParam::Const(param) => Some(&param.ident),
                GenericParam::Lifetime(_) => None,
            })
            .collect();
        (!params.is_empty()).then(|| quote!(::<#(#params),*>))
    }
}

/// Attributes that are about the function as others see it.
fn is_outer(attr: &Attribute) -> bool {
    const OUTER: [&str; 12] = [
        "doc",
        "must_use",
        "deprecated",
        "inline",
        "cold",
        "track_caller",
        "cfg",
        "allow",
        "warn",
        "deny",
        "forbid",
        "rustfmt",
    ];
    attr.path().segments.first().is_some_and(|first| OUTER.iter().any(|name| first.ident == name))
}

/// Attributes that are about the body, or about whatever they stand on.
pub fn is_inner(attr: &Attribute) -> bool {
    const OUTER_ALONE: [&str; 6] =
        ["doc", "must_use", "deprecated", "inline", "cold", "track_caller"];
    !OUTER_ALONE.iter().any(|name| attr.path().is_ident(name))
}

/// Attributes that decide whether there is anything at all.
pub fn is_cfg(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg")
}
