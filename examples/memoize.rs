//! A slow function over a real tree of files, before and after `#[memoize]`.
//!
//! ```text
//! cargo run --release --example memoize --features macros
//! ```
//!
//! It makes a tree of text files in a temporary directory and counts the words
//! below every directory of it, as a file browser would show them. The count of
//! a directory is the sum of its files and of the directories in it, so each
//! subtree is read again for every directory above it: unless the counts are
//! remembered. A changed file is then told to the directories above it.

use larder::memoize;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, io, process};

/// Directories in each directory, and how deep they go.
const BRANCHES: usize = 3;
const DEPTH: usize = 5;
const FILES: usize = 4;
const WORDS: usize = 2000;

/// Words in all files below `directory`: the slow function.
fn words_before(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        sum += if path.is_dir() { words_before(&path)? } else { words_in_file(&path)? };
    }
    Ok(sum)
}

/// The same, but for its first line. It calls itself by way of the cache, too.
#[memoize(capacity = 100_000, ttl = "10m", record_stats)]
fn words(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        sum += if path.is_dir() { words(&path)? } else { words_in_file(&path)? };
    }
    Ok(sum)
}

fn words_in_file(path: &Path) -> io::Result<u64> {
    Ok(fs::read_to_string(path)?.split_whitespace().count() as u64)
}

/// `path` has changed: so have the directories above it.
fn changed(path: &Path) {
    path.ancestors().skip(1).for_each(words::invalidate);
}

fn main() -> io::Result<()> {
    let root = env::temp_dir().join(format!("larder-memoize-{}", process::id()));
    let result = compare(&root);
    fs::remove_dir_all(&root)?;
    result
}

fn compare(root: &Path) -> io::Result<()> {
    let mut directories = Vec::new();
    make_tree(root, DEPTH, &mut directories)?;
    println!(
        "{} directories, {} files of {WORDS} words\n",
        directories.len(),
        directories.len() * FILES
    );
    let before = show("before", &directories, words_before)?;
    let first = show("after, nothing cached", &directories, words)?;
    let second = show("after, all cached", &directories, words)?;
    assert!(before == first && first == second, "all of them count alike");

    let file = directories[directories.len() - 1].join("0.txt");
    fs::write(&file, "one word less is now in here: eight")?;
    changed(&file);
    let third = show("after, one file changed", &directories, words)?;
    assert_eq!(third, sum(&directories, words_before)?);

    let stats = words::stats();
    println!("\n{} hits, {} misses, {} counts cached", stats.hits, stats.misses, stats.entries);
    assert_eq!(words(&root.join("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    println!("an error is the function's own, and is not cached");
    Ok(())
}

fn sum(directories: &[PathBuf], count: fn(&Path) -> io::Result<u64>) -> io::Result<u64> {
    directories.iter().map(|directory| count(directory)).sum()
}

fn show(
    when: &str,
    directories: &[PathBuf],
    count: fn(&Path) -> io::Result<u64>,
) -> io::Result<u64> {
    let began = Instant::now();
    let words = sum(directories, count)?;
    println!("{when:<24} {:>10.3} ms", began.elapsed().as_secs_f64() * 1000.0);
    Ok(words)
}

fn make_tree(directory: &Path, depth: usize, all: &mut Vec<PathBuf>) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    all.push(directory.to_owned());
    let text = "larder ".repeat(WORDS);
    for file in 0..FILES {
        fs::write(directory.join(format!("{file}.txt")), &text)?;
    }
    for branch in 0..if depth == 0 { 0 } else { BRANCHES } {
        make_tree(&directory.join(format!("{branch}")), depth - 1, all)?;
    }
    Ok(())
}
