//! Each misuse is told with what would help, at the place that is wrong.

use std::process::Command;

/// The compiler that the expected messages are from. Another one may put its
/// own part of them in other words.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn every_misuse_is_explained() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(COMPILER) {
        eprintln!("SKIPPED: the expected messages are those of {COMPILER}x, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
