//! Prints every public name of a crate with its signature, one a line, from
//! what rustdoc wrote about it as JSON.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(json) = std::env::args().nth(1) else {
        eprintln!("usage: list-public-api CRATE.json");
        return ExitCode::FAILURE;
    };
    // What every type has by itself is left out.
    let read = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(false)
        .omit_auto_derived_impls(false)
        .build();
    match read {
        Ok(api) => {
            let mut lines: Vec<_> = api.items().map(|item| settled(&item.to_string())).collect();
            lines.dedup();
            println!("{}", lines.join("\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Conditions of `Send` and the like are found out by the compiler, which lists
/// them now in one order and now in another.
fn settled(line: &str) -> String {
    let Some((what, conditions)) = line.split_once(" where ") else { return line.to_owned() };
    if !what.starts_with("impl") || !what.contains(" core::marker::") {
        return line.to_owned();
    }
    let mut conditions: Vec<_> = conditions.split(", ").map(sorted_bounds).collect();
    conditions.sort_unstable();
    format!("{what} where {}", conditions.join(", "))
}

fn sorted_bounds(condition: &str) -> String {
    let Some((who, bounds)) = condition.split_once(": ") else { return condition.to_owned() };
    let mut bounds: Vec<_> = bounds.split(" + ").collect();
    bounds.sort_unstable();
    format!("{who}: {}", bounds.join(" + "))
}
