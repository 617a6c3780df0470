//! A line on standard error that says how far the replays are.
//!
//! It is shown on a terminal only, is rewritten in place, and is gone at the
//! end: what remains on the screen are the results.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Rewriting a line more often is flicker, and takes time from the replay.
const REDRAW_AFTER: Duration = Duration::from_millis(100);

pub struct Progress {
    visible: bool,
    drawn_at: Option<Instant>,
    accesses_done: u64,
    accesses_all: u64,
}

impl Progress {
    pub fn new(wanted: bool, accesses_all: u64) -> Self {
        Progress {
            visible: wanted && io::stderr().is_terminal(),
            drawn_at: None,
            accesses_done: 0,
            accesses_all,
        }
    }

    /// Counts some more accesses, made for `what`.
    pub fn advance(&mut self, accesses: usize, what: impl FnOnce() -> String) {
        self.accesses_done += accesses as u64;
        let fresh = self.drawn_at.is_some_and(|at| at.elapsed() < REDRAW_AFTER);
        if self.visible && !fresh {
            self.drawn_at = Some(Instant::now());
            let percent = 100 * self.accesses_done / self.accesses_all.max(1);
            draw(&format!("replaying {percent:3} %  {}", what()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn_at.is_some() {
            draw("");
        }
    }
}

/// Puts `line` in place of what the current line shows.
fn draw(line: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is harmed by progress that cannot be shown.
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
