//! Keeps panics that a test provokes out of its output.

use std::any::Any;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

static ONCE: Once = Once::new();

/// What a panic says.
pub fn message_of(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

/// From here on, nothing is printed of panics that say `expected`.
pub fn keep_quiet_about(expected: &'static str) {
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !message_of(panic.payload()).contains(expected) {
                usual(panic);
            }
        }));
    });
}
