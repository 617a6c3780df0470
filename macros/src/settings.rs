//! What stands in the parentheses of `#[memoize(…)]`.

use crate::value;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, Path, Result, Token, Type, parenthesized, parse_quote};

/// Settings, each checked alone. Whether they fit together and with the
/// function is seen where it is expanded.
pub struct Settings {
    /// The path to larder.
    pub krate: Path,
    /// Calls of the cache's builder, in the order written.
    pub builder: Vec<Call>,
    pub cache: Option<Expr>,
    /// `key: Type = expression`.
    pub key: Option<Key>,
    /// `key = (a, b)`: the arguments that are in the key.
    pub picks: Option<Vec<Ident>>,
    pub skip: Vec<Ident>,
    /// `include(self)`.
    pub include_self: Option<Span>,
    /// The function is in an `impl` block, though nothing shows it.
    pub associated: Option<Span>,
    /// The function returns a `Result`, though it is not spelled so.
    pub result: Option<Span>,
    pub some_only: Option<Span>,
    pub negative_ttl: Option<(Span, TokenStream)>,
    pub tags: Option<Expr>,
    pub name: Option<Ident>,
}

/// One call of the builder: the setting, the method and its argument.
pub struct Call {
    pub setting: Ident,
    pub method: &'static str,
    pub argument: TokenStream,
    /// Whether the argument is a path within larder.
    pub in_larder: bool,
}

impl Call {
    /// Whether it is about reloads: the builder has these once it knows the
    /// loader.
    pub fn is_of_reloads(&self) -> bool {
        RELOADS.iter().chain(&OF_RELOADS).any(|setting| self.setting == *setting)
    }
}

/// Settings that make the cache call the function of its own accord.
const RELOADS: [&str; 3] = ["refresh_after", "stale_if_error", "early_refresh"];
/// Settings of how it does.
const OF_RELOADS: [&str; 2] = ["retry_after", "spawner"];

pub struct Key {
    pub span: Span,
    pub ty: Option<Type>,
    pub expr: Expr,
}

impl Key {
    /// The arguments that the key consists of, if it is said to be just them:
    /// `key = a` or `key = (a, b)`.
    fn picks(&self) -> Option<Vec<Ident>> {
        let name = |expr: &Expr| match expr {
            Expr::Path(path) => path.path.get_ident().cloned(),
            _ => None,
        };
        match (&self.ty, &self.expr) {
            (None, Expr::Tuple(tuple)) => tuple.elems.iter().map(name).collect(),
            (None, expr) => name(expr).map(|name| vec![name]),
            (Some(_), _) => None,
        }
    }
}

/// How the value of a setting is to be read.
#[derive(Clone, Copy)]
enum Kind {
    Flag,
    Count,
    Shards,
    Duration,
    Fraction,
    Eviction,
    Expr,
}

/// The settings that are calls of the builder: name, method and kind.
const BUILDER: [(&str, &str, Kind); 18] = [
    ("capacity", "capacity", Kind::Count),
    ("weight_capacity", "weight_capacity", Kind::Count),
    ("weigher", "weigher", Kind::Expr),
    ("ttl", "time_to_live", Kind::Duration),
    ("tti", "time_to_idle", Kind::Duration),
    ("jitter", "ttl_jitter", Kind::Fraction),
    ("expiry", "expiry", Kind::Expr),
    ("eviction", "eviction", Kind::Eviction),
    ("refresh_after", "refresh_after", Kind::Duration),
    ("stale_if_error", "stale_if_error", Kind::Duration),
    ("early_refresh", "early_refresh", Kind::Expr),
    ("retry_after", "retry_after", Kind::Duration),
    ("spawner", "spawner", Kind::Expr),
    ("shards", "shards", Kind::Shards),
    ("on_removal", "on_removal", Kind::Expr),
    ("clock", "clock", Kind::Expr),
    ("maintenance", "maintenance", Kind::Duration),
    ("record_stats", "record_stats", Kind::Flag),
];

const OTHERS: [&str; 12] = [
    "cache",
    "key",
    "skip",
    "include",
    "associated",
    "result",
    "some_only",
    "negative_ttl",
    "tags",
    "name",
    "crate",
    "self",
];

/// What other crates call it, and what it is called here.
const FOREIGN: [(&str, &str); 20] = [
    ("size", "write `capacity = …`"),
    ("max_size", "write `capacity = …`"),
    ("max_capacity", "write `capacity = …`"),
    ("unbound", "every cache is bounded: write `capacity = …`"),
    ("time", "write `ttl = \"60s\"`"),
    ("ttl_secs", "write `ttl = \"60s\"`"),
    ("time_refresh", "write `tti = \"60s\"`"),
    ("time_to_live", "write `ttl = \"60s\"`"),
    ("time_to_idle", "write `tti = \"60s\"`"),
    ("convert", "write `key: Type = expression`"),
    ("max_cost", "write `weight_capacity = …` and `weigher = …`"),
    ("ttl_millis", "write `ttl = \"60ms\"`"),
    ("refresh", "write `tti = \"60s\"`, or `refresh_after` for reloads"),
    ("result_fallback", "write `stale_if_error = \"10m\"`"),
    ("cache_err", "write `negative_ttl = \"2s\"`"),
    ("cache_none", "`None` is cached unless `some_only` is said"),
    ("in_impl", "write `include(self)`, `skip(self)` or `associated`"),
    ("option", "write `some_only`"),
    ("sync_writes", "callers always share one call: leave it out"),
    ("with_cached_flag", "not offered: compare `NAME::stats()`"),
];

impl Settings {
    fn new() -> Self {
        Settings {
            krate: parse_quote!(::larder),
            builder: Vec::new(),
            cache: None,
            key: None,
            picks: None,
            skip: Vec::new(),
            include_self: None,
            associated: None,
            result: None,
            some_only: None,
            negative_ttl: None,
            tags: None,
            name: None,
        }
    }

    /// Whether the builder is told `setting`.
    pub fn builder_has(&self, setting: &str) -> Option<&Ident> {
        self.builder.iter().map(|call| &call.setting).find(|ident| *ident == setting)
    }

    /// A setting that makes the cache call the function of its own accord.
    pub fn reloads(&self) -> Option<&Ident> {
        RELOADS.into_iter().find_map(|setting| self.builder_has(setting))
    }

    pub fn skips_self(&self) -> bool {
        self.skip.iter().any(|ident| ident == "self")
    }

    fn take(&mut self, name: &Ident, input: ParseStream) -> Result<()> {
        let span = name.span();
        match name.to_string().as_str() {
            "cache" => self.cache = Some(value_of(name, input)?.parse()?),
            "key" => {
                let key = key(name, input)?;
                self.picks = key.picks();
                self.key = self.picks.is_none().then_some(key);
            }
            "skip" => self.skip.extend(names(name, input)?),
            "include" => self.include_self = Some(include(name, input)?),
            "associated" => self.associated = Some(flag(name, input)?),
            "result" => self.result = Some(flag(name, input)?),
            "some_only" => self.some_only = Some(flag(name, input)?),
            "negative_ttl" => {
                let ttl = value_of(name, input)?.parse()?;
                self.negative_ttl = Some((span, value::duration(ttl)?));
            }
            "tags" => self.tags = Some(value_of(name, input)?.parse()?),
            "name" => {
                let input = value_of(name, input)?;
                self.name = Some(input.parse().map_err(|error| {
                    Error::new(error.span(), "`name` is an identifier: `name = TOTALS`")
                })?);
            }
            "crate" => self.krate = value_of(name, input)?.call(Path::parse_mod_style)?,
            "self" => {
                return Err(Error::new(
                    span,
                    "write `include(self)` to make the receiver part of the key, or `skip(self)` \
                     to leave it out",
                ));
            }
            other => return self.take_builder(name, other, input),
        }
        Ok(())
    }

    fn take_builder(&mut self, name: &Ident, text: &str, input: ParseStream) -> Result<()> {
        let Some((_, method, kind)) = BUILDER.iter().find(|(setting, ..)| *setting == text) else {
            return Err(unknown(name, text));
        };
        let (mut argument, mut in_larder) = (TokenStream::new(), false);
        if let Kind::Flag = kind {
            flag(name, input)?;
        } else {
            let expr: Expr = value_of(name, input)?.parse()?;
            in_larder = matches!(kind, Kind::Eviction) && value::literal(&expr).is_some();
            argument = match kind {
                Kind::Count => value::count(name, expr)?,
                Kind::Shards => value::shards(name, expr)?,
                Kind::Duration => value::duration(expr)?,
                Kind::Fraction => value::fraction(name, expr)?,
                Kind::Eviction => value::eviction(expr)?,
                Kind::Expr | Kind::Flag => quote!(#expr),
            };
        }
        self.builder.push(Call { setting: name.clone(), method, argument, in_larder });
        Ok(())
    }

    /// What is wrong whatever the function is.
    fn check(&self) -> Result<()> {
        let mut errors = Errors::default();
        if self.cache.is_some() {
            for call in &self.builder {
                errors.add(
                    &call.setting,
                    format!(
                        "`{}` is a setting of the cache, and `cache = …` is one that exists: set \
                         it where that is built",
                        call.setting
                    ),
                );
            }
        }
        for (setting, needs, why) in [
            ("weigher", "weight_capacity", "a weigher has no effect"),
            ("jitter", "ttl", "there is nothing to shorten"),
        ] {
            if let (Some(ident), None) = (self.builder_has(setting), self.builder_has(needs)) {
                errors.add(ident, format!("without `{needs} = …`, {why}"));
            }
        }
        for setting in OF_RELOADS.into_iter().filter_map(|setting| self.builder_has(setting)) {
            if self.reloads().is_none() {
                errors.add(
                    setting,
                    "without `refresh_after`, `early_refresh` or `stale_if_error`, nothing is \
                     reloaded",
                );
            }
        }
        let skipped = self.skip.iter().find(|skipped| *skipped != "self");
        let says_key = self.key.is_some() || self.picks.is_some();
        if let (true, Some(skip)) = (says_key, skipped) {
            errors.add(skip, "`key = …` already says what the key is: leave out `skip`");
        }
        if let (true, Some(span)) = (says_key, self.include_self) {
            errors.add_at(span, "`key = …` already says what the key is: leave out `include`");
        }
        if let (true, Some(span)) = (self.skips_self(), self.include_self) {
            errors.add_at(span, "`self` cannot be both in the key and left out");
        }
        if let (None, Some(Key { span, ty: None, expr })) = (&self.cache, &self.key) {
            if !matches!(expr, Expr::Cast(_)) {
                errors.add_at(
                    *span,
                    "the cache needs to know the type of the key: write `key: Type = expression`",
                );
            }
        }
        errors.finish()
    }

    /// Whether the receiver is a part of the key.
    pub fn includes_self(&self) -> bool {
        self.include_self.is_some() || self.picks_name("self")
    }

    fn picks_name(&self, name: &str) -> bool {
        self.picks.iter().flatten().any(|picked| picked == name)
    }

    /// Whether the argument of this name is left out of the key.
    pub fn leaves_out(&self, name: &Ident) -> bool {
        self.skip.contains(name) || self.picks.is_some() && !self.picks_name(&name.to_string())
    }
}

impl Parse for Settings {
    fn parse(input: ParseStream) -> Result<Self> {
        let mut settings = Settings::new();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            if input.peek(syn::Lit) {
                return Err(input.error("a setting has a name: `capacity = 1000`"));
            }
            let name = input.call(Ident::parse_any)?;
            if seen.contains(&name) {
                return Err(Error::new(name.span(), format!("`{name}` is set twice")));
            }
            settings.take(&name, input)?;
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        settings.check()?;
        Ok(settings)
    }
}

/// What follows the `=` of a setting.
fn value_of<'a>(name: &Ident, input: ParseStream<'a>) -> Result<ParseStream<'a>> {
    if !input.peek(Token![=]) {
        return Err(Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`")));
    }
    input.parse::<Token![=]>()?;
    Ok(input)
}

fn flag(name: &Ident, input: ParseStream) -> Result<Span> {
    if input.peek(Token![=]) || input.peek(syn::token::Paren) {
        return Err(input.error(format!("`{name}` takes no value: it is said or left out")));
    }
    Ok(name.span())
}

/// `key = expression` or `key: Type = expression`.
fn key(name: &Ident, input: ParseStream) -> Result<Key> {
    let ty = match input.parse::<Option<Token![:]>>()? {
        Some(_) => Some(input.parse()?),
        None => None,
    };
    let expr: Expr = value_of(name, input)?.parse()?;
    if let Some(lit) = value::literal(&expr) {
        return Err(Error::new(
            lit.span(),
            "a key of a literal is the same for all arguments: write an expression of them, such \
             as `key: u64 = user.id`",
        ));
    }
    Ok(Key { span: name.span(), ty, expr })
}

/// `skip(a, b)`.
fn names(name: &Ident, input: ParseStream) -> Result<Vec<Ident>> {
    if !input.peek(syn::token::Paren) {
        return Err(Error::new(name.span(), format!("write `{name}(argument, …)`")));
    }
    let inside;
    parenthesized!(inside in input);
    let names: Punctuated<Ident, Token![,]> =
        inside.parse_terminated(Ident::parse_any, Token![,])?;
    if names.is_empty() {
        return Err(Error::new(name.span(), format!("`{name}()` names no argument")));
    }
    Ok(names.into_iter().collect())
}

fn include(name: &Ident, input: ParseStream) -> Result<Span> {
    for included in names(name, input)? {
        if included != "self" {
            return Err(Error::new(
                included.span(),
                format!("`{included}` is part of the key anyway: only `self` has to be included"),
            ));
        }
    }
    Ok(name.span())
}

fn unknown(name: &Ident, text: &str) -> Error {
    if let Some((_, advice)) = FOREIGN.iter().find(|(foreign, _)| *foreign == text) {
        return Error::new(name.span(), format!("there is no setting `{text}`: {advice}"));
    }
    let known = || BUILDER.iter().map(|(setting, ..)| *setting).chain(OTHERS);
    let near = known().map(|setting| (value::distance(text, setting), setting)).min();
    let advice = match near {
        Some((distance, setting)) if distance <= 2 => format!("did you mean `{setting}`?"),
        _ => {
            let all: Vec<&str> = known().filter(|setting| *setting != "self").collect();
            format!("there are {}", all.join(", "))
        }
    };
    Error::new(name.span(), format!("there is no setting `{text}`: {advice}"))
}

/// Errors that are told together.
#[derive(Default)]
pub struct Errors(Option<Error>);

impl Errors {
    pub fn add(&mut self, at: impl ToTokens, message: impl std::fmt::Display) {
        self.push(Error::new_spanned(at, message));
    }

    pub fn add_at(&mut self, at: Span, message: impl std::fmt::Display) {
        self.push(Error::new(at, message));
    }

    fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        }
    }

    pub fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
