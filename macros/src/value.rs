//! The values of settings: literals are checked, expressions are passed on.

use crate::duration;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, ExprLit, ExprUnary, Ident, Lit, Result, UnOp};

pub fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        // As `macro_rules!` passes on what it was given.
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

fn is_negative(expr: &Expr) -> bool {
    matches!(expr, Expr::Unary(ExprUnary { op: UnOp::Neg(_), .. }))
}

/// A whole number, or an expression.
pub fn count(name: &Ident, expr: Expr) -> Result<TokenStream> {
    match literal(&expr) {
        None if is_negative(&expr) => {
            Err(Error::new_spanned(&expr, format!("`{name}` cannot be negative")))
        }
        None | Some(Lit::Int(_)) => Ok(quote!(#expr)),
        Some(other) => {
            Err(Error::new_spanned(other, format!("`{name}` is a whole number: `{name} = 1000`")))
        }
    }
}

/// A power of two, or an expression.
pub fn shards(name: &Ident, expr: Expr) -> Result<TokenStream> {
    if let Some(Lit::Int(given)) = literal(&expr) {
        let number: u64 = given.base10_parse()?;
        if !number.is_power_of_two() {
            return Err(Error::new_spanned(
                given,
                format!("shards must be a power of two, not {number}"),
            ));
        }
    }
    count(name, expr)
}

/// A fraction from 0 to 1, or an expression.
pub fn fraction(name: &Ident, expr: Expr) -> Result<TokenStream> {
    let within = |given: &dyn std::fmt::Display| {
        Error::new_spanned(&expr, format!("`{name}` must be from 0 to 1, not {given}"))
    };
    match literal(&expr) {
        None if is_negative(&expr) => Err(within(&quote!(#expr))),
        None => Ok(quote!(#expr)),
        Some(Lit::Float(number)) => {
            let given: f64 = number.base10_parse()?;
            if (0.0..=1.0).contains(&given) { Ok(quote!(#expr)) } else { Err(within(number)) }
        }
        Some(Lit::Int(number)) => {
            let given: u64 = number.base10_parse()?;
            if given > 1 {
                return Err(within(number));
            }
            let given = given as f64;
            Ok(quote!(#given))
        }
        Some(_) => {
            Err(Error::new_spanned(&expr, format!("`{name}` is a fraction: `{name} = 0.1`")))
        }
    }
}

/// A text such as `"1h30m"`, or an expression of type `Duration`.
pub fn duration(expr: Expr) -> Result<TokenStream> {
    match literal(&expr) {
        None => Ok(quote!(#expr)),
        Some(Lit::Str(text)) => {
            let duration =
                duration::parse(&text.value()).map_err(|error| Error::new_spanned(text, error))?;
            let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
            Ok(quote!(::core::time::Duration::new(#secs, #nanos)))
        }
        Some(Lit::Int(number)) if number.suffix().is_empty() => Err(Error::new_spanned(
            number,
            format!("{number} of what? Write \"{number}s\" for seconds, or \"{number}ms\""),
        )),
        Some(other) => Err(Error::new_spanned(
            other,
            "a duration is a text such as \"30s\" or \"1h30m\", or an expression of type `Duration`",
        )),
    }
}

/// The policies by the names of `Eviction`'s `Display`.
const EVICTIONS: [(&str, &str); 7] = [
    ("adaptive", "Adaptive"),
    ("adaptive-by-weight", "AdaptiveByWeight"),
    ("fifo", "Fifo"),
    ("lru", "Lru"),
    ("sieve", "Sieve"),
    ("s3-fifo", "S3Fifo"),
    ("tiny-lfu", "TinyLfu"),
];

/// The name of a policy, made a path within larder; or an expression of type
/// `Eviction`, as it is.
pub fn eviction(expr: Expr) -> Result<TokenStream> {
    let text = match literal(&expr) {
        None => return Ok(quote!(#expr)),
        Some(Lit::Str(text)) => text,
        Some(other) => {
            return Err(Error::new_spanned(
                other,
                "a policy is named by a text, such as \"lru\", or an expression of type `Eviction`",
            ));
        }
    };
    let name = text.value();
    if let Some((_, variant)) = EVICTIONS.iter().find(|(known, _)| *known == name) {
        let variant = Ident::new(variant, text.span());
        return Ok(quote!(Eviction::#variant));
    }
    if name == "lfu" {
        return Ok(quote!(Eviction::lfu()));
    }
    if name == "lfu-no-ageing" {
        return Ok(quote!(Eviction::Lfu { ageing: ::core::option::Option::None }));
    }
    if let Some(times) =
        name.strip_prefix("lfu-ageing-").and_then(|times| times.parse::<u32>().ok())
    {
        return Ok(quote!(Eviction::Lfu { ageing: ::core::option::Option::Some(#times) }));
    }
    let names: Vec<&str> = EVICTIONS.iter().map(|(name, _)| *name).collect();
    Err(Error::new_spanned(
        text,
        format!(
            "\"{name}\" is no eviction policy: there are {}, lfu, lfu-no-ageing and lfu-ageing-N",
            names.join(", ")
        ),
    ))
}

/// How many letters must be changed, added or left out to get from one to the
/// other.
pub fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn every_policy_can_be_named() {
        for policy in larder::Eviction::ALL {
            let name = policy.to_string();
            assert!(eviction(parse_quote!(#name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_distance_is_that_of_levenshtein() {
        assert_eq!(distance("capactiy", "capacity"), 2);
        assert_eq!(distance("tll", "ttl"), 1);
        assert_eq!(distance("", "key"), 3);
        assert_eq!(distance("key", "key"), 0);
    }
}
