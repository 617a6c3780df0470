//! Every operation with every bomb, first at its first use, then at its second,
//! until the operation gets by without it.

use crate::bombs::{BOOM, Bomb, Census, arm, disarm};
use crate::quiet::{keep_quiet_about, message_of};
use crate::watchdog::must_end;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// The keys that are there at first.
pub const FIRST: std::ops::Range<u64> = 0..6;
/// One of them, and one that is none of them.
pub const KEY: u64 = 3;
pub const NEW: u64 = 9;

/// Values by key, each by its number.
pub type Holdings = BTreeMap<u64, u64>;

/// Which keys an operation is about: the others must get through its panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Only reads.
    Nothing,
    One(u64),
    All,
}

pub struct Operation<S> {
    pub name: &'static str,
    pub scope: Scope,
    /// It changes nothing before it has run most of the user's code.
    pub is_one_step: bool,
    pub run: fn(&S),
}

pub const fn reads<S>(name: &'static str, run: fn(&S)) -> Operation<S> {
    Operation { name, scope: Scope::Nothing, is_one_step: true, run }
}

pub const fn writes<S>(name: &'static str, key: u64, run: fn(&S)) -> Operation<S> {
    Operation { name, scope: Scope::One(key), is_one_step: true, run }
}

pub const fn takes_steps<S>(name: &'static str, key: u64, run: fn(&S)) -> Operation<S> {
    Operation { name, scope: Scope::One(key), is_one_step: false, run }
}

pub const fn sweeps<S>(name: &'static str, run: fn(&S)) -> Operation<S> {
    Operation { name, scope: Scope::All, is_one_step: false, run }
}

/// One try: which operation, with what, where.
pub struct Try<'a, S: Scene> {
    pub what: &'a str,
    pub shape: S::Shape,
    pub operation: &'static Operation<S>,
    pub bomb: Bomb,
    pub before: Holdings,
    /// What the panic said that reached the caller.
    pub message: Option<String>,
}

/// What operations are tried on.
pub trait Scene: Send + Sync + Sized + 'static {
    type Shape: Copy + Debug + Send + 'static;

    /// With `FIRST` in it.
    fn set(shape: Self::Shape) -> Self;
    fn census(&self) -> Arc<Census>;
    fn holdings(&self) -> Holdings;
    /// Right after the panic.
    fn check(&self, tried: &Try<'_, Self>);
    /// Again, when everything has been used since.
    fn check_again(&self, _tried: &Try<'_, Self>) {}
    /// The end of it. Whatever then lives is a leak.
    fn strike(self, tried: &Try<'_, Self>);
}

/// Tries all of it, and returns which operations met which bombs.
///
/// # Panics
/// If something is spoilt anywhere; all of these places are told.
pub fn explode<S: Scene>(
    shapes: &[S::Shape],
    operations: &'static [Operation<S>],
    bombs: &[Bomb],
) -> BTreeSet<(&'static str, Bomb)> {
    keep_quiet_about(BOOM);
    let (mut cells, mut spoilt) = (BTreeSet::new(), Vec::new());
    for shape in shapes.iter().copied() {
        for operation in operations {
            for bomb in bombs.iter().copied() {
                // Each of the first, and some of the later.
                for at_use in (1..12).chain((12..).step_by(7)) {
                    let what = format!("{}, {bomb:?} at use {at_use}, {shape:?}", operation.name);
                    let name = what.clone();
                    let tried = must_end(&what, move || {
                        has_exploded(&name, shape, (operation, operations), bomb, at_use)
                    });
                    match tried {
                        Ok(false) => break,
                        Ok(true) => drop(cells.insert((operation.name, bomb))),
                        Err(panic) => {
                            spoilt.push(format!("{what}: {}", message_of(&*panic)));
                            if at_use > 150 {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(spoilt.is_empty(), "{} are spoilt:\n{}", spoilt.len(), spoilt.join("\n"));
    cells
}

fn has_exploded<S: Scene>(
    what: &str,
    shape: S::Shape,
    (operation, all): (&'static Operation<S>, &'static [Operation<S>]),
    bomb: Bomb,
    at_use: u32,
) -> bool {
    let scene = Arc::new(S::set(shape));
    let census = scene.census();
    let before = scene.holdings();
    assert_eq!(before.len() as u64, FIRST.end, "all fit: {what}");
    arm(bomb, at_use);
    let ended = catch_unwind(AssertUnwindSafe(|| (operation.run)(&scene)));
    let has_exploded = !disarm();
    let message = ended.err().map(|panic| message_of(&*panic).to_owned());
    if !has_exploded {
        assert_eq!(message, None, "a panic without a bomb: {what}");
        return false;
    }
    assert!(message.as_ref().is_none_or(|message| message.contains(BOOM)), "{message:?}: {what}");
    let tried = Try { what, shape, operation, bomb, before, message };
    scene.check(&tried);
    let again = Arc::clone(&scene);
    // What is known of this thread shall be of no help.
    let ended = thread::spawn(move || all.iter().for_each(|o| (o.run)(&again))).join();
    assert!(
        ended.is_ok(),
        "afterwards: {}",
        ended.map_err(|p| message_of(&*p).to_owned()).unwrap_err()
    );
    scene.check_again(&tried);
    let scene = Arc::into_inner(scene).expect("nobody else has it");
    scene.strike(&tried);
    census.assert_all_gone(what);
    true
}
