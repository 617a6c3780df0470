//! What the binaries are told.

use std::path::PathBuf;

/// What can be said to all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// Less of everything: to see that it works, or to get an idea.
    pub is_quick: bool,
    /// Where results are written.
    pub out: PathBuf,
    /// The parts that were asked for; empty: all.
    pub only: Vec<String>,
    /// Numbers of threads; empty: as each part has it.
    pub threads: Vec<usize>,
    /// Everything else, such as folders of traces.
    pub rest: Vec<String>,
}

/// How to call them.
pub const USAGE: &str = "\
  --out DIR         where tables and charts are written (default: target/bench)
  --quick           less of everything
  --only A,B        only these parts
  --threads 1,2,4   with as many threads";

impl Args {
    /// From the command line, without the program's name.
    ///
    /// # Errors
    /// What is wrong with which argument.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Args { out: PathBuf::from("target/bench"), ..Args::default() };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--quick" => parsed.is_quick = true,
                "--out" => parsed.out = PathBuf::from(value()?),
                "--only" => parsed.only = value()?.split(',').map(str::to_owned).collect(),
                "--threads" => parsed.threads = numbers(&value()?)?,
                unknown if unknown.starts_with('-') => {
                    return Err(format!("`{unknown}` is not known; there are\n{USAGE}"));
                }
                _ => parsed.rest.push(arg),
            }
        }
        Ok(parsed)
    }

    /// Whether a part is to run.
    #[must_use]
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn numbers(list: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is no number of threads")),
    };
    list.split(',').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_come_in_any_order() {
        let args = parse("traces --only heap,latency --out there --threads 1,16 --quick").unwrap();
        assert_eq!(args.rest, ["traces"]);
        assert_eq!((args.threads.as_slice(), args.is_quick), ([1, 16].as_slice(), true));
        assert_eq!(args.out, PathBuf::from("there"));
        assert!(args.wants("heap") && !args.wants("speed"));
        assert!(parse("").unwrap().wants("speed"));
    }

    #[test]
    fn an_error_names_the_argument() {
        assert!(parse("--slow").unwrap_err().contains("`--slow`"));
        assert!(parse("--out").unwrap_err().contains("`--out`"));
        assert!(parse("--threads 1,0").unwrap_err().contains("`0`"));
    }
}
