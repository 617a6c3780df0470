//! The function, as far as it can be memoized.

use crate::settings::{Errors, Settings};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Error, Expr, FnArg, Ident, ImplItemFn, Lifetime, Pat, Receiver, ReceiverKind,
    Result, ReturnType, Signature, Type, TypeReference, Visibility,
};

/// As many arguments as a key can have.
const PARTS_MAX: usize = 12;

pub struct Function {
    pub attrs: Vec<Attribute>,
    pub vis: Visibility,
    pub sig: Signature,
    pub body: Block,
    pub receiver: Option<Receiver>,
    pub args: Vec<Arg>,
    /// What it returns, without the future around it.
    pub returns: Type,
    pub is_associated: bool,
}

pub struct Arg {
    /// As the user wrote it.
    pub pat: Pat,
    pub ty: Type,
    /// What it is called where the pattern is not to be taken apart yet.
    pub name: Ident,
    pub part: Part,
}

/// What an argument is in the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Skipped,
    /// It is a part, and cloned for that.
    Owned,
    /// What it refers to is a part, copied for that.
    Borrowed,
}

impl Arg {
    /// The type that is hashed and compared.
    pub fn seen(&self) -> &Type {
        match (&self.part, &self.ty) {
            (Part::Borrowed, Type::Reference(reference)) => &reference.elem,
            (_, ty) => ty,
        }
    }

    /// The type that is in the key.
    pub fn kept(&self) -> TokenStream {
        let seen = self.seen();
        match self.part {
            Part::Borrowed => {
                quote_spanned!(seen.span()=> <#seen as ::std::borrow::ToOwned>::Owned)
            }
            _ => quote!(#seen),
        }
    }

    /// A reference to what is hashed and compared.
    pub fn look_up(&self) -> TokenStream {
        let name = &self.name;
        match self.part {
            Part::Borrowed => quote!(#name),
            _ => quote!(&#name),
        }
    }
}

impl Function {
    pub fn new(item: ImplItemFn, settings: &Settings) -> Result<Self> {
        let mut errors = Errors::default();
        qualifiers(&item, &mut errors);
        let uses_self = SelfType::is_in(&item);
        let (mut receiver, mut args) = (None, Vec::new());
        for (at, input) in item.sig.inputs.iter().enumerate() {
            match input {
                FnArg::Receiver(self_arg) => receiver = Some(self_arg.clone()),
                FnArg::Typed(arg) => args.push(Arg {
                    pat: (*arg.pat).clone(),
                    ty: ungrouped(&arg.ty).clone(),
                    name: name_of(&arg.pat, at),
                    part: part(&arg.pat, ungrouped(&arg.ty), settings),
                }),
            }
        }
        named_exist(settings, &args, receiver.as_ref(), &mut errors);
        check_receiver(settings, receiver.as_ref(), &item.sig, &mut errors);
        if settings.key.is_none() {
            for arg in args.iter().filter(|arg| arg.part != Part::Skipped) {
                check_part(arg, &mut errors);
            }
        }
        let returns = returned(&item.sig, &mut errors);
        let is_associated = receiver.is_some() || settings.associated.is_some() || uses_self;
        let function = Function {
            attrs: item.attrs,
            vis: item.vis,
            sig: item.sig,
            body: item.block,
            receiver,
            args,
            returns,
            is_associated,
        };
        let parts = function.parts(settings);
        if settings.key.is_none() && parts > PARTS_MAX {
            errors.add(
                &function.sig.ident,
                format!(
                    "a key of {parts} arguments is too long: {PARTS_MAX} are possible; gather \
                         some in a struct, or `skip` them"
                ),
            );
        }
        function.check_loads(settings, &mut errors);
        errors.finish()?;
        Ok(function)
    }

    fn parts(&self, settings: &Settings) -> usize {
        let args = self.args.iter().filter(|arg| arg.part != Part::Skipped).count();
        args + usize::from(settings.includes_self())
    }

    pub fn is_async(&self) -> bool {
        self.sig.asyncness.is_some()
    }

    /// Whether what it returns is a `Result`: by its spelling, or because the
    /// user says so.
    pub fn is_fallible(&self, settings: &Settings) -> bool {
        settings.result.is_some() || last_segment(&self.returns).is_some_and(|s| s == "Result")
    }

    fn check_loads(&self, settings: &Settings, errors: &mut Errors) {
        if let Some((span, _)) = settings.negative_ttl {
            if !self.is_fallible(settings) && settings.some_only.is_none() {
                errors.add_at(
                    span,
                    "nothing here is negative: `negative_ttl` is for functions that return a \
                     `Result` (say `result` if it is one by another name), or for `some_only`",
                );
            }
        }
        if let Some(setting) = settings.reloads() {
            self.check_reloads(settings, setting, errors);
        }
    }

    /// A cache that calls the function of its own accord has only the key to
    /// call it with.
    fn check_reloads(&self, settings: &Settings, setting: &Ident, errors: &mut Errors) {
        if let Some(key) = &settings.key {
            errors.add_at(
                key.span,
                format!(
                    "`{setting}` calls the function with the arguments in the key, and they \
                         cannot be had back from `key = …`"
                ),
            );
        }
        for Arg { pat, name, .. } in self.args.iter().filter(|arg| arg.part == Part::Skipped) {
            errors.add(
                pat,
                format!(
                    "`{setting}` calls the function with the arguments in the key, and \
                         `{name}` is not in it"
                ),
            );
        }
        if let (Some(receiver), false) = (&self.receiver, settings.includes_self()) {
            errors.add(
                receiver,
                format!(
                    "`{setting}` calls the function with the arguments in the key, and the \
                         receiver is not in it: `include(self)`"
                ),
            );
        }
        for arg in self.args.iter().filter(|arg| matches!(arg.ty, Type::ImplTrait(_))) {
            errors.add(&arg.ty, format!("`{setting}` has to name the types of all arguments"));
        }
        if self.is_associated && settings.name.is_none() {
            errors.add(
                setting,
                format!(
                    "`{setting}` in an `impl` block needs `name = …`: the cache calls the \
                         function that is added there"
                ),
            );
        }
    }
}

fn qualifiers(item: &ImplItemFn, errors: &mut Errors) {
    let sig = &item.sig;
    if let Some(token) = &sig.constness {
        errors
            .add(token, "a `const fn` cannot be memoized: a cache does not exist at compile time");
    }
    if let Some(token) = first_token(&sig.safety) {
        errors.add_at(
            token,
            "an `unsafe fn` cannot be memoized: a hit would skip what its caller has to promise; \
             memoize a safe function that calls it",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.add(abi, "a function with a foreign ABI cannot be memoized: memoize one it calls");
    }
    if let Some(variadic) = &sig.variadic {
        errors.add(variadic, "variadic arguments cannot be part of a key");
    }
}

fn first_token(tokens: &impl ToTokens) -> Option<Span> {
    tokens.to_token_stream().into_iter().next().map(|token| token.span())
}

fn part(pat: &Pat, ty: &Type, settings: &Settings) -> Part {
    let is_left_out = match pat {
        Pat::Ident(pat) => settings.leaves_out(&pat.ident),
        _ => settings.picks.is_some(),
    };
    if is_left_out {
        return Part::Skipped;
    }
    match ty {
        Type::Reference(_) => Part::Borrowed,
        _ => Part::Owned,
    }
}

/// The name of an argument, or one for a pattern.
fn name_of(pat: &Pat, at: usize) -> Ident {
    match pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => format_ident!("argument_{}", at + 1),
    }
}

fn named_exist(
    settings: &Settings,
    args: &[Arg],
    receiver: Option<&Receiver>,
    errors: &mut Errors,
) {
    for named in settings.skip.iter().chain(settings.picks.iter().flatten()) {
        let is_there = match named == "self" {
            true => receiver.is_some(),
            false => {
                args.iter().any(|arg| matches!(&arg.pat, Pat::Ident(pat) if pat.ident == *named))
            }
        };
        if !is_there {
            errors.add(
                named,
                format!(
                    "there is no argument `{named}`; one that is a pattern needs a name: \
                         `{named} @ (a, b)`"
                ),
            );
        }
    }
}

fn check_receiver(
    settings: &Settings,
    receiver: Option<&Receiver>,
    sig: &Signature,
    errors: &mut Errors,
) {
    let Some(receiver) = receiver else {
        if let Some(span) = settings.include_self {
            errors.add_at(span, format!("`{}` has no receiver to include", sig.ident));
        }
        return;
    };
    if is_mutable(receiver) {
        errors.add(
            receiver,
            "a method that takes `&mut self` cannot be memoized: a hit would skip what it changes",
        );
        return;
    }
    let cache_is_self = settings.cache.as_ref().is_some_and(is_in_self);
    let decided = settings.include_self.is_some()
        || settings.skips_self()
        || settings.key.is_some()
        || settings.picks.is_some()
        || cache_is_self;
    if !decided {
        errors.add(
            receiver,
            "is the receiver part of the key? Say `include(self)` if its value matters (it is \
             hashed, compared, and cloned on a miss), `skip(self)` if it does not, `key: Type = \
             …` if a part of it does, or `cache = self.field` if each has a cache of its own",
        );
    }
    if settings.includes_self() && matches!(receiver.kind, ReceiverKind::Typed(..)) {
        errors.add(
            receiver,
            "only `self` and `&self` can be included: say what the key is with `key: Type = …`",
        );
    }
}

fn is_in_self(cache: &Expr) -> bool {
    mentions(cache.to_token_stream(), "self")
}

fn is_mutable(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_some(),
        ReceiverKind::Typed(_, ty) => {
            matches!(**ty, Type::Reference(TypeReference { mutability: Some(_), .. }))
        }
        _ => false,
    }
}

fn check_part(arg: &Arg, errors: &mut Errors) {
    let name = arg.name.to_string();
    match &arg.ty {
        Type::Reference(TypeReference { mutability: Some(_), .. }) => errors.add(
            &arg.ty,
            format!(
                "a `&mut` argument cannot be part of the key, since the function may change \
                     it: take it by value, or leave it out with `skip({name})`"
            ),
        ),
        Type::ImplTrait(_) => errors.add(
            &arg.ty,
            format!(
                "`impl Trait` has no type that a cache could keep: name it, as in `fn f<T: …>\
                     ({name}: T)`, say what the key is with `key: Type = …`, or leave it out with \
                     `skip({name})`"
            ),
        ),
        Type::Reference(reference) if matches!(*reference.elem, Type::TraitObject(_)) => errors
            .add(
                &arg.ty,
                format!(
                    "a trait object has no owned form for the key: say what the key is with \
                         `key: Type = …`, or leave it out with `skip({name})`"
                ),
            ),
        _ if is_float(arg.seen()) => errors.add(
            &arg.ty,
            format!(
                "a float is not `Eq`, so it cannot be part of the key: write `key: u64 = \
                 {name}.to_bits()`, or leave it out with `skip({name})`"
            ),
        ),
        _ => {
            if let Some(borrow) = Borrows::first_in(arg.seen()) {
                errors.add_at(
                    borrow,
                    format!(
                        "what is borrowed within an argument cannot be kept in the key: say \
                             what the key is, as in `key: Type = {name}.to_owned()`, or leave it \
                             out with `skip({name})`"
                    ),
                );
            }
        }
    }
}

fn is_float(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("f64") || path.path.is_ident("f32"))
}

fn returned(sig: &Signature, errors: &mut Errors) -> Type {
    let ReturnType::Type(_, ty) = &sig.output else {
        errors.add(
            &sig.ident,
            format!("`{}` returns nothing, so there is nothing to cache", sig.ident),
        );
        return syn::parse_quote!(());
    };
    let ty = ungrouped(ty);
    match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            errors.add(ty, format!("`{}` returns nothing, so there is nothing to cache", sig.ident))
        }
        Type::Never(_) => {
            errors.add(ty, format!("`{}` never returns, so there is nothing to cache", sig.ident))
        }
        Type::ImplTrait(of) if of.to_token_stream().to_string().contains("Future") => errors.add(
            ty,
            "a future can be awaited once, so it cannot be cached: write `async fn`, and what it \
             returns will be",
        ),
        Type::ImplTrait(_) => errors.add(
            ty,
            "`impl Trait` has no name that the type of the cache could have: return a type that \
             can be named; an iterator can be collected, as in `-> Vec<T>` or `-> Arc<[T]>`",
        ),
        _ => {
            if let Some(borrow) = Borrows::first_in(ty) {
                errors.add_at(
                    borrow,
                    "a borrowed value cannot be kept in a cache: return an owned one, such as \
                     `String` or `Vec<T>`, or an `Arc<str>` or `Arc<T>`, which is cheap to clone",
                );
            }
        }
    }
    ty.clone()
}

/// A type as the user wrote it: `macro_rules!` passes on `$ty:ty` in a group.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// Looks for lifetimes that end.
struct Borrows(Option<Span>);

impl Borrows {
    fn first_in(ty: &Type) -> Option<Span> {
        let mut borrows = Borrows(None);
        borrows.visit_type(ty);
        borrows.0
    }
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if reference.lifetime.is_none() {
            self.0.get_or_insert_with(|| reference.span());
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.0.get_or_insert_with(|| lifetime.span());
        }
    }

    // The lifetimes in `fn(&str) -> &str` are its own.
    fn visit_type_fn_ptr(&mut self, _pointer: &'ast syn::TypeFnPtr) {}
}

/// Looks for `Self`, which only functions in `impl` blocks and traits can name.
struct SelfType(bool);

impl SelfType {
    fn is_in(item: &ImplItemFn) -> bool {
        let mut found = SelfType(false);
        found.visit_impl_item_fn(item);
        found.0
    }
}

impl<'ast> Visit<'ast> for SelfType {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.0 |= ident == "Self";
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.0 |= mentions(called.tokens.clone(), "Self");
    }

    // An item within the body may have a `Self` of its own.
    fn visit_item(&mut self, _item: &'ast syn::Item) {}
}

pub fn mentions(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => ident == word,
        proc_macro2::TokenTree::Group(group) => mentions(group.stream(), word),
        _ => false,
    })
}

/// Something other than a function with a body.
pub fn not_a_function(item: TokenStream) -> Error {
    let mut tokens = item.clone().into_iter().filter(|t| t.to_string() != "pub");
    let advice = match tokens.next().map(|token| token.to_string()).as_deref() {
        Some("impl" | "trait") => ": write it on each function inside",
        Some("fn" | "async") => " with a body: write it where the trait is implemented",
        _ => "",
    };
    Error::new_spanned(item, format!("`#[memoize]` is for functions{advice}"))
}
