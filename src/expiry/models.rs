//! Every interleaving of readers of stamps with a writer that moves the base.

use super::stamps::{Scale, Stamps, State};
use super::{NEVER, Span};
use crate::slot::Slot;
use crate::sync::modelled::{Arc, thread};

/// As many ticks as a life may have: a tick is a nanosecond.
const LIFE: u64 = (1 << 30) - 1;

fn model(steps: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(steps);
}

fn stamps(tti: u64, span: Span) -> (Arc<Stamps>, Slot) {
    let (ttl, slot) = (if tti == NEVER { LIFE } else { NEVER }, Slot::from_index(0));
    let stamps = Arc::new(Stamps::new(Scale::new(ttl, tti), 0));
    assert!(stamps.begin(slot, span, 0));
    (stamps, slot)
}

/// Fails if the base is stored with `Relaxed`, or before the marks are set: then
/// what has ended long ago seems to be still to come.
#[test]
fn what_is_over_is_over_to_whom_sees_the_base_move() {
    model(|| {
        let (stamps, slot) = stamps(NEVER, Span { ttl: LIFE, ..Span::ENDLESS });
        // Just so late that a stamp of before the new base reads as one to come.
        let now = (1 << 32) + 7;
        let writer = thread::spawn({
            let stamps = Arc::clone(&stamps);
            move || stamps.move_base(now)
        });
        assert!(!stamps.lasts(slot, now));
        assert_eq!(stamps.state(slot, now), State::Over);
        assert_eq!(stamps.state(slot, LIFE), State::Over);
        writer.join().unwrap();
        assert_eq!(stamps.state(slot, now + 1), State::Over);
    });
}

/// Fails if a reader does not look again: it would go by the old base, by which
/// the new stamp is one of long ago.
#[test]
fn a_life_that_was_prolonged_is_alive_to_whom_has_seen_the_base_of_before() {
    model(|| {
        let (stamps, slot) = stamps(LIFE, Span { tti: LIFE, ..Span::ENDLESS });
        let steps = [LIFE - 1, 2 * LIFE - 2, 3 * LIFE - 3];
        for now in steps {
            assert!(stamps.touch(slot, now));
        }
        // Another life that begins where the first one stands: a new stamp, and
        // more than 2^32 ticks after the old base.
        let now = 4 * LIFE - 4;
        let writer = thread::spawn({
            let stamps = Arc::clone(&stamps);
            move || {
                stamps.move_base(now - 1);
                assert!(stamps.touch(slot, now - 1));
                assert!(stamps.touch(slot, now + LIFE / 2));
            }
        });
        assert_eq!(stamps.state(slot, now - 2), State::Alive);
        writer.join().unwrap();
        assert_eq!(stamps.state(slot, now + LIFE), State::Alive);
    });
}

/// Fails if a use is noted with a plain store: it would undo what the writer
/// said.
#[test]
fn a_use_does_not_undo_a_new_deadline() {
    model(|| {
        let (stamps, slot) = stamps(LIFE, Span { tti: LIFE, ..Span::ENDLESS });
        let reader = thread::spawn({
            let stamps = Arc::clone(&stamps);
            move || stamps.touch(slot, LIFE / 2)
        });
        let short = Span { ttl: LIFE / 2 + 9, tti: LIFE, own: None };
        assert!(stamps.begin(slot, short, 1));
        assert!(reader.join().unwrap());
        assert_eq!(stamps.end(slot), Some(LIFE / 2 + 10));
    });
}
