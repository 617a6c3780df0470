//! Keeps panics that a test provokes out of its output.

use parking_lot::Mutex;
use std::any::Any;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

static ONCE: Once = Once::new();

/// Not captured by the hook: ThreadSanitizer does not see the lock that the
/// standard library has around that.
static EXPECTED: Mutex<Option<&str>> = Mutex::new(None);

/// What a panic says.
pub fn message_of(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

/// From here on, nothing is printed of panics that say `expected`.
pub fn keep_quiet_about(expected: &'static str) {
    *EXPECTED.lock() = Some(expected);
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            let expected = *EXPECTED.lock();
            let is_expected = |part| message_of(panic.payload()).contains(part);
            if !expected.is_some_and(is_expected) {
                usual(panic);
            }
        }));
    });
}
