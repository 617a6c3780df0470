//! The one who loads.
//!
//! ```text
//!   board ──► register ──► load, no lock ──► visit: still registered? store
//!                               │                   │
//!                               │ panic, error,     └─► land: all who wait
//!                               │ cancelled                   have it
//!                               └─► end the registration, land without a value
//! ```

use super::LoadError;
use super::drive::{Request, Terms};
use crate::budget::{Cost, Credit};
use crate::cache::Shared;
use crate::expiry::nanos;
use crate::flight::{AtTheControls, Flight, Landing};
use crate::hash::KeyHash;
use crate::inside::Inside;
use crate::shard::{Incoming, Visit};
use crate::slab::Entry;
use crate::sync::{modelled, thread};
use crate::tags::TagSet;
use smallvec::SmallVec;
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;

/// A load that was registered and has not ended. Dropping it hands over to
/// those who wait.
pub(crate) struct Lead<K, V> {
    shared: Arc<Shared<K, V>>,
    hash: KeyHash,
    /// Ours and the shard's; gone once the entry owns the key.
    key: Option<Arc<K>>,
    flight: modelled::Arc<Flight<V>>,
    terms: Terms,
    tags: TagSet,
    negative_ttl: u64,
    is_reload: bool,
    /// Whether the value may be stored the short way.
    is_plain: bool,
    began: u64,
    is_over: bool,
}

impl<K, V> Lead<K, V> {
    /// For a load that was just registered for `key`.
    pub(crate) fn new(
        shared: &Arc<Shared<K, V>>,
        hash: KeyHash,
        key: Arc<K>,
        flight: modelled::Arc<Flight<V>>,
        tags: TagSet,
        request: &Request,
    ) -> Self {
        Lead {
            shared: Arc::clone(shared),
            hash,
            key: Some(key),
            flight,
            terms: request.terms(),
            tags,
            negative_ttl: request.negative_ttl.map_or(0, nanos),
            is_reload: false,
            is_plain: false,
            began: shared.hub.stopwatch(),
            is_over: false,
        }
    }

    /// The load is for a key that has a value.
    pub(crate) fn reloading(mut self) -> Self {
        self.is_reload = true;
        self
    }

    /// The entry is to be a key and a value, and nothing else.
    pub(crate) fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// The key that is to be loaded.
    pub(crate) fn key(&self) -> &K {
        self.key.as_ref().expect("the key is here until it is stored")
    }

    pub(crate) fn flight(&self) -> &modelled::Arc<Flight<V>> {
        &self.flight
    }

    fn took(&self) -> u64 {
        self.shared.hub.stopwatch().saturating_sub(self.began)
    }
}

/// Polls a loader as the leader of `flights`: its panic is caught, and what it
/// asks this cache for is known to come from it.
pub(super) async fn at_the_controls<V, F: Future>(
    flights: &[&modelled::Arc<Flight<V>>],
    mut load: Pin<&mut F>,
) -> Result<F::Output, Box<dyn Any + Send>> {
    poll_fn(|cx| {
        let _leading: SmallVec<[AtTheControls; 1]> =
            flights.iter().map(|flight| AtTheControls::of(flight)).collect();
        // Others wait for this thread, so it must not wait for a listener.
        let _inside = Inside::enter();
        match catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

impl<K: Eq, V: Clone> Lead<K, V> {
    /// Runs the loader, and lands.
    pub(crate) async fn fly<E, F>(self, load: Pin<&mut F>) -> Result<Option<V>, LoadError<E>>
    where
        F: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let outcome = at_the_controls(&[&self.flight], load).await;
        self.conclude(outcome)
    }

    /// Like [`fly`](Lead::fly), for a loader that is no task.
    pub(crate) fn fly_here<E>(
        self,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let outcome = {
            let _leading = AtTheControls::of(&self.flight);
            let _inside = Inside::enter();
            catch_unwind(AssertUnwindSafe(load))
        };
        self.conclude(outcome)
    }

    fn conclude<E>(
        self,
        outcome: Result<Result<Option<V>, E>, Box<dyn Any + Send>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        match outcome {
            Ok(loaded) => self.land(loaded.map_err(Arc::new)),
            Err(panic) => {
                self.fail(Landing::Panicked);
                resume_unwind(panic)
            }
        }
    }

    /// Ends the load with what the loader has returned.
    pub(crate) fn land<E>(
        self,
        loaded: Result<Option<V>, Arc<E>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        match loaded {
            Ok(Some(value)) => {
                self.succeed(&value);
                Ok(Some(value))
            }
            Ok(None) => {
                self.fail(Landing::Absent);
                Ok(None)
            }
            Err(error) => {
                self.fail(Landing::Failed(Arc::<E>::clone(&error)));
                Err(LoadError::Failed(error))
            }
        }
    }

    /// Ends the load without a value.
    pub(crate) fn fail(mut self, landing: Landing<V>) {
        let nanos = self.took();
        let is_absent = matches!(landing, Landing::Absent);
        // A value that is still there has a pause of its own after a failure.
        let is_remembered = self.negative_ttl > 0
            && !self.is_reload
            && (is_absent || matches!(landing, Landing::Failed(_)));
        let mut visit = self.shared.shard(self.hash).visit(&self.shared.hub);
        visit.count_load(is_absent, self.is_reload, nanos);
        let may_land = visit.may_land(self.hash, self.key(), &self.flight);
        if may_land && !is_absent {
            visit.back_off(self.hash, self.key());
        }
        match may_land && is_remembered {
            true => visit.remember(self.hash, &self.flight, self.negative_ttl),
            false => visit.end_load(self.hash, &self.flight),
        }
        visit.unlock();
        self.flight.land(landing);
        self.is_over = true;
        drop(visit);
    }

    /// Ends the load with `value`: stores it, if nothing has happened to the
    /// key meanwhile, and gives it to those who wait.
    fn succeed(mut self, value: &V) {
        let nanos = self.took();
        // Weighers and the like may ask for this key before it has landed.
        let _leading = AtTheControls::of(&self.flight);
        let mut unstored = Some(value.clone());
        if self.is_plain && self.succeed_plainly(value, &mut unstored, nanos) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        while let Some(copy) = &unstored {
            let (incoming, was_found) = self.incoming(copy);
            let departed = self.try_store(&shared, incoming, was_found, nanos, &mut unstored);
            // Also if it has to be tried again: nobody need wait for that.
            self.give(value);
            self.is_over = unstored.is_none();
            drop(departed);
        }
    }

    /// Stores the value where nothing else is going on. `false`, and nothing
    /// is done, if that is not so.
    fn succeed_plainly(&mut self, value: &V, unstored: &mut Option<V>, nanos: u64) -> bool {
        let Lead { shared, hash, key, flight, .. } = self;
        let shard = shared.shard(*hash);
        let landed = shard.land_plainly(&shared.hub, *hash, (key, unstored), flight, nanos);
        let Some(victim) = landed else { return false };
        self.give(value);
        self.is_over = true;
        drop(victim);
        true
    }

    /// Lands with `value`, if anybody waits.
    fn give(&self, value: &V) {
        if modelled::Arc::strong_count(&self.flight) > 1 {
            self.flight.land(Landing::Value(value.clone()));
        }
    }

    /// Weighs the value and asks how long it shall live; and whether that was
    /// said of an update.
    fn incoming(&self, value: &V) -> (Incoming, Option<bool>) {
        let (key, hub, hash) = (self.key(), &self.shared.hub, self.hash);
        let weigh = || self.shared.weigher.as_ref().map_or(1, |weigh| weigh(key, value));
        let cost = Cost::of(self.terms.weight.unwrap_or_else(weigh));
        let seed = u64::from(hash.fragment());
        let mut span = hub.lifetimes.span(self.terms.ttl, self.terms.tti, seed);
        let was_found = hub.lifetimes.expiry.as_ref().map(|expiry| {
            let current = self.shared.shard(hash).expires_in(hub, hash, key);
            let own = match current {
                Some(current) => expiry.on_update(key, value, current),
                None => expiry.on_create(key, value),
            };
            span.own = Some(nanos(own));
            current.is_some()
        });
        (Incoming { hash, cost, span }, was_found)
    }

    /// Stores the value and takes it, or only takes it if the load was
    /// overtaken. It is still there if this has to be tried again: others were
    /// quicker to take what room there was, or the key's entry has expired
    /// since its `Expiry` was asked. What left is told and dropped with the
    /// result.
    fn try_store<'a>(
        &mut self,
        shared: &'a Shared<K, V>,
        incoming: Incoming,
        was_found: Option<bool>,
        nanos: u64,
        unstored: &mut Option<V>,
    ) -> (SmallVec<[Visit<'a, K, V>; 2]>, Option<V>) {
        let Lead { hash, key, flight, tags, is_reload, .. } = self;
        let (shard, hub) = (shared.shard(*hash), &shared.hub);
        let (mut departed, mut discarded) = (SmallVec::new(), None);
        let mut visit = shard.visit(hub);
        let mut credit = Credit::new(&hub.budget);
        loop {
            let own = key.as_ref().expect("the key is here until it is stored");
            let found = visit.find(*hash, &**own);
            if !visit.may_land(*hash, &**own, flight) || tags.any_dead() {
                visit.end_load(*hash, flight);
                discarded = unstored.take();
                break;
            }
            if was_found.is_some_and(|was_found| was_found != found.is_some()) {
                break;
            }
            visit.load_took(nanos);
            let stored = visit.store(incoming, found, &mut credit, |visit| {
                visit.end_load(*hash, flight);
                let key = key.take().and_then(Arc::into_inner);
                let key = key.expect("a load's key is shared by nobody else");
                let value = unstored.take().expect("a value is stored once");
                Entry { key, value, tags: std::mem::take(tags) }
            });
            let Err(shortage) = stored else { break };
            visit.unlock();
            departed.push(visit);
            departed.push(shared.borrow(shortage, &mut credit));
            visit = shard.visit(hub);
            if credit.raise_to(shortage.wanted).is_err() {
                // Others are quicker: let them.
                thread::yield_now();
                break;
            }
        }
        if unstored.is_none() {
            visit.count_load(true, *is_reload, nanos);
        }
        visit.unlock();
        departed.push(visit);
        drop(credit);
        (departed, discarded)
    }
}

/// Whoever leads and goes away lets those who wait do it.
impl<K, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        if !self.is_over {
            // First: the visit may run the user's code.
            self.flight.land(Landing::Abandoned);
            let mut visit = self.shared.shard(self.hash).visit(&self.shared.hub);
            visit.end_load(self.hash, &self.flight);
        }
    }
}
