//! One load, and those who wait for it.
//!
//! The one who loads is the leader. Who asks for the same key meanwhile joins
//! the flight: a task leaves its waker, and a thread is a task whose waker
//! rings a bell it waits for ([`block_on`](crate::wait::block_on)). Nothing here
//! differs between the two.
//!
//! ```text
//!               join, leave                      join
//!                ┌─────┐                        ┌─────┐
//!                ▼     │                        ▼     │
//!   take off ──► flying ──── land (once) ────► landed ────► each who waits
//!                                                           takes a copy
//! ```
//!
//! A flight knows no key and no cache. Which flights are in the air for which
//! keys is in the [`table`] of their shard, under the shard's lock; a flight
//! that is not in its shard's table any more was overtaken: it still lands, for
//! those aboard, but its value is not stored.

#[cfg(all(test, larder_loom))]
mod models;
mod table;

pub(crate) use table::{Flights, Overtaken, Purpose};

use crate::sync::modelled::{self, Mutex};
use crate::wait::{WakerSet, wake_all};
use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// How a load ended.
#[derive(Clone)]
pub(crate) enum Landing<V> {
    Value(V),
    /// The loader says that there is no value.
    Absent,
    /// The loader's error, an `E` that this module does not know: those who
    /// wait may each have asked with another type.
    Failed(std::sync::Arc<dyn Any + Send + Sync>),
    Panicked,
    /// The leader was cancelled: whoever wants the value has to lead.
    Abandoned,
}

pub(crate) struct Flight<V> {
    state: Mutex<State<V>>,
}

enum State<V> {
    /// With those who wait.
    Flying(WakerSet),
    Landed(Landing<V>),
}

impl<V> Flight<V> {
    pub(crate) fn take_off() -> modelled::Arc<Self> {
        modelled::Arc::new(Flight { state: Mutex::new(State::Flying(WakerSet::default())) })
    }

    /// Ends the flight and wakes all who wait. Only the first landing counts.
    pub(crate) fn land(&self, landing: Landing<V>) {
        let mut state = self.state.lock();
        if let State::Landed(_) = &*state {
            drop(state);
            return;
        }
        let flown = std::mem::replace(&mut *state, State::Landed(landing));
        drop(state);
        if let State::Flying(mut waiting) = flown {
            wake_all(waiting.drain());
        }
    }

    /// Waits until the flight lands.
    pub(crate) fn join(&self) -> Join<'_, V> {
        Join { flight: self, seat: None }
    }

    fn poll(&self, seat: &mut Option<u64>, waker: &Waker) -> Poll<Landing<V>>
    where
        V: Clone,
    {
        let mine = waker.clone();
        let mut state = self.state.lock();
        let (polled, unused) = match &mut *state {
            State::Landed(landing) => (Poll::Ready(landing.clone()), Some(mine)),
            State::Flying(waiting) => (Poll::Pending, waiting.add(seat, mine)),
        };
        drop(state);
        drop(unused);
        polled
    }

    fn leave(&self, seat: u64) {
        let mut state = self.state.lock();
        let waker = match &mut *state {
            State::Flying(waiting) => waiting.remove(seat),
            State::Landed(_) => None,
        };
        drop(state);
        drop(waker);
    }

    #[cfg(all(test, not(larder_shuttle)))]
    fn waiting(&self) -> usize {
        match &*self.state.lock() {
            State::Flying(waiting) => waiting.len(),
            State::Landed(_) => 0,
        }
    }
}

/// A wait for a flight. It can be dropped at any time.
pub(crate) struct Join<'a, V> {
    flight: &'a Flight<V>,
    seat: Option<u64>,
}

impl<V: Clone> Future for Join<'_, V> {
    type Output = Landing<V>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Landing<V>> {
        let Join { flight, seat } = &mut *self;
        flight.poll(seat, cx.waker())
    }
}

impl<V> Drop for Join<'_, V> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.flight.leave(seat);
        }
    }
}

modelled::thread_local! {
    /// The flights that this thread is just leading, by address: a loader that
    /// asks for one of these keys would wait for itself.
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro knows no `const`")]
    static LEADING: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}

fn address<V>(flight: &modelled::Arc<Flight<V>>) -> usize {
    &raw const **flight as usize
}

/// As long as this lives, this thread runs the loader of a flight.
pub(crate) struct AtTheControls {
    /// Not to be sent to another thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl AtTheControls {
    pub(crate) fn of<V>(flight: &modelled::Arc<Flight<V>>) -> Self {
        let _ = LEADING.try_with(|leading| leading.borrow_mut().push(address(flight)));
        AtTheControls { _here: std::marker::PhantomData }
    }

    /// Whether this thread is inside the loader of `flight`.
    pub(crate) fn is_leading<V>(flight: &modelled::Arc<Flight<V>>) -> bool {
        let is_led = LEADING.try_with(|leading| leading.borrow().contains(&address(flight)));
        is_led.unwrap_or(false)
    }
}

impl Drop for AtTheControls {
    fn drop(&mut self) {
        let _ = LEADING.try_with(|leading| leading.borrow_mut().pop());
    }
}

#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests {
    use super::*;
    use std::pin::pin;

    #[test]
    fn who_leaves_does_not_wait_any_more() {
        let flight = Flight::<u32>::take_off();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let mut join = pin!(flight.join());
            assert!(join.as_mut().poll(&mut cx).is_pending());
            assert!(join.as_mut().poll(&mut cx).is_pending());
            assert_eq!(flight.waiting(), 1);
        }
        assert_eq!(flight.waiting(), 0);
        flight.land(Landing::Value(3));
        flight.land(Landing::Absent);
        let mut late = pin!(flight.join());
        let landing = late.as_mut().poll(&mut cx);
        assert!(matches!(landing, Poll::Ready(Landing::Value(3))), "the first landing counts");
    }

    #[test]
    fn a_thread_knows_which_flights_it_leads() {
        let (one, two) = (Flight::<u32>::take_off(), Flight::<u32>::take_off());
        let outer = AtTheControls::of(&one);
        let inner = AtTheControls::of(&two);
        assert!(AtTheControls::is_leading(&one) && AtTheControls::is_leading(&two));
        drop(inner);
        assert!(AtTheControls::is_leading(&one) && !AtTheControls::is_leading(&two));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!AtTheControls::is_leading(&one)));
        });
        drop(outer);
        assert!(!AtTheControls::is_leading(&one));
    }
}
