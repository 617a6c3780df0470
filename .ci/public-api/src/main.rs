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
            println!("{api}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
