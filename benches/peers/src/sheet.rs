//! Where results go: to the screen as they come, and into a directory as
//! Markdown, with charts beside it.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The versions that were built.
const LOCK: &str = include_str!("../Cargo.lock");

/// A Markdown file that grows.
#[derive(Debug)]
pub struct Sheet {
    folder: PathBuf,
    name: String,
    text: String,
}

impl Sheet {
    /// Begins `NAME.md` in a folder that need not exist yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Sheet { folder: folder.to_owned(), name: name.to_owned(), text: String::new() })
    }

    /// Adds a paragraph, a heading or a table, and shows it.
    pub fn add(&mut self, part: impl Display) {
        let part = part.to_string();
        println!("{}\n", part.trim_end());
        self.text += part.trim_end();
        self.text += "\n\n";
    }

    /// Writes a chart beside the file, and shows it at this place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn chart(&mut self, name: &str, title: &str, svg: &str) -> io::Result<()> {
        let charts = self.folder.join("charts");
        fs::create_dir_all(&charts)?;
        fs::write(charts.join(format!("{name}.svg")), svg)?;
        self.text += &format!("![{title}](charts/{name}.svg)\n\n");
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> io::Result<()> {
        fs::write(self.folder.join(format!("{}.md", self.name)), self.text)
    }
}

/// The machine, its load and the compiler, in a few words.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let (cores, os) = (crate::measure::processors(), std::env::consts::OS);
    let (model, arch) = (if model.is_empty() { "unknown" } else { model }, std::env::consts::ARCH);
    format!(
        "{cores} processors ({model}, {arch}, {os}), {}, load before the run: {load}.",
        rustc.unwrap_or_default()
    )
}

/// Names and versions of these crates, as they were built.
#[must_use]
pub fn versions(crates: &[&str]) -> String {
    let version = |name: &&str| format!("{name} {}", version_in(LOCK, name).unwrap_or("?"));
    crates.iter().map(version).collect::<Vec<_>>().join(", ")
}

/// The highest of them, if a lock file has several.
fn version_in<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let head = format!("name = \"{name}\"\nversion = \"");
    let (_, after) = lock.rsplit_once(&head)?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\nversion = \"4.0.0\"\n";
        assert_eq!(version_in(lock, "a"), Some("1.2.3"));
        assert_eq!(version_in(lock, "ab"), Some("4.0.0"));
        assert_eq!(version_in(lock, "b"), None);
        assert!(!versions(&["larder", "moka"]).contains('?'));
    }
}
