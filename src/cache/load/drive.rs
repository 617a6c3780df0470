//! What a caller does who has missed: join or lead, until there is an outcome.
//!
//! There is one such way for threads and for tasks. A thread runs it with
//! [`block_on`](crate::wait::block_on).

use super::lead::Lead;
use super::{LoadError, ToKey};
use crate::alarm::AlarmClock;
use crate::cache::{Cache, EntryOptions, Shared};
use crate::expiry::Freshness;
use crate::flight::{AtTheControls, Flight, Landing, Purpose};
use crate::hash::KeyHash;
use crate::shard::{Boarding, ShortBoarding, Stale, Visit};
use crate::sync::modelled;
use crate::tags::TagSet;
use crate::wait::Alarm;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What is asked of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) options: EntryOptions,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) negative_ttl: Option<Duration>,
    /// Whether the caller can do with "there is no value".
    pub(crate) takes_absent: bool,
    /// Whether the caller cannot be told of an error.
    pub(crate) must_succeed: bool,
    /// Whether to load although there is a value.
    pub(crate) is_forced: bool,
}

/// What an entry's options say of it, but for its tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) ttl: Option<Duration>,
    pub(crate) tti: Option<Duration>,
    pub(crate) weight: Option<u32>,
}

impl Request {
    /// Whether it asks for nothing that only some loads do.
    fn is_plain(&self) -> bool {
        self.options.is_nothing() && !self.is_forced
    }

    pub(crate) fn terms(&self) -> Terms {
        let EntryOptions { ttl, tti, weight, .. } = self.options;
        Terms { ttl, tti, weight }
    }

    /// The landing as this caller sees it; `None` if it has to load by itself.
    pub(crate) fn accept<V, E>(
        &self,
        landing: Landing<V>,
    ) -> Option<Result<Option<V>, LoadError<E>>>
    where
        E: Send + Sync + 'static,
    {
        match landing {
            Landing::Value(value) => Some(Ok(Some(value))),
            Landing::Absent => self.takes_absent.then_some(Ok(None)),
            Landing::Failed(error) => {
                error.downcast::<E>().ok().map(|error| Err(LoadError::Failed(error)))
            }
            Landing::Panicked => (!self.must_succeed).then_some(Err(LoadError::Panicked)),
            Landing::Abandoned => None,
        }
    }
}

/// What became of a wait.
pub(crate) enum Waited<V> {
    Landed(Landing<V>),
    TimedOut,
    /// The flight waits, in the end, for this very caller.
    Recursive,
}

/// Waits for `flight`, until `deadline` at the most.
pub(crate) async fn wait_for<V: Clone>(
    flight: &modelled::Arc<Flight<V>>,
    deadline: Option<Instant>,
    alarm: &impl Alarm,
) -> Waited<V> {
    let mut join = pin!(flight.join());
    let mut set = None;
    poll_fn(|cx| {
        if let Poll::Ready(landing) = join.as_mut().poll(cx) {
            return Poll::Ready(Waited::Landed(landing));
        }
        if AtTheControls::is_leading(flight) {
            return Poll::Ready(Waited::Recursive);
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        if deadline <= Instant::now() {
            return Poll::Ready(Waited::TimedOut);
        }
        // The old one first: taking it back must not undo the new one.
        drop(set.take());
        set = Some(alarm.set(deadline, cx.waker()));
        Poll::Pending
    })
    .await
}

/// What a caller who has missed may do.
pub(crate) enum Turn<K, V> {
    Hit(V),
    Join(modelled::Arc<Flight<V>>),
    Lead(Lead<K, V>),
}

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// Looks again, and registers a load if there is nothing to find or join.
    pub(crate) fn board<Q>(
        &self,
        hash: KeyHash,
        key: &Q,
        request: &Request,
        useless: Option<&modelled::Arc<Flight<V>>>,
    ) -> Turn<K, V>
    where
        Q: ToKey<K> + ?Sized,
    {
        // Before the lock, since it is the user's code; most who get here need
        // it.
        let mut owned = Arc::new(key.to_key());
        if self.shared.is_plain && request.is_plain() {
            match self.board_plainly(hash, key, owned, request) {
                Ok(turn) => return turn,
                Err(unused) => owned = unused,
            }
        }
        let tags = self.shared.tags.set_of(&request.options.tags);
        loop {
            let mut visit = self.shard(hash).visit(&self.shared.hub);
            let turn = match visit.board(hash, key, useless, request.is_forced) {
                Boarding::Hit(value) => Turn::Hit(value),
                Boarding::Join(flight) => Turn::Join(flight),
                // What the visit has removed is told after it, perhaps to
                // someone who asks for this key: not while we lead.
                Boarding::Free(_) if visit.has_consequences() => continue,
                Boarding::Free(found) => {
                    let purpose = found.map_or(Purpose::Missing, Purpose::Reload);
                    let tags = found.map_or(tags, |slot| visit.tags_of(slot));
                    let flight = visit.begin_load(hash, Arc::clone(&owned), tags.clone(), purpose);
                    drop(visit);
                    let lead = Lead::new(&self.shared, hash, owned, flight, tags, request);
                    return Turn::Lead(if found.is_some() { lead.reloading() } else { lead });
                }
            };
            // Before the value is on its way out: see `steady`.
            drop((visit, owned));
            return turn;
        }
    }

    /// [`board`](Cache::board) where nothing else is going on. If that is not
    /// so, the key is given back.
    fn board_plainly<Q>(
        &self,
        hash: KeyHash,
        key: &Q,
        owned: Arc<K>,
        request: &Request,
    ) -> Result<Turn<K, V>, Arc<K>>
    where
        Q: ToKey<K> + ?Sized,
    {
        let flight = Flight::take_off();
        let shard = self.shard(hash);
        match shard.board_plainly(&self.shared.hub, hash, (key, &owned), &flight) {
            ShortBoarding::NotTaken => Err(owned),
            ShortBoarding::Begun => {
                let tags = TagSet::default();
                let lead = Lead::new(&self.shared, hash, owned, flight, tags, request);
                Ok(Turn::Lead(lead.plain()))
            }
            ShortBoarding::Hit(value) => {
                // Before the value is on its way out: see `Taken::into_value`.
                drop(owned);
                Ok(Turn::Hit(value))
            }
        }
    }

    /// The value of `key`, which has just been missed.
    pub(crate) async fn find_or_load<Q, E, F>(
        &self,
        key: &Q,
        request: &Request,
        load: F,
        alarm: &impl Alarm,
    ) -> Result<Option<V>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        F: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let turn = self.board(self.hash(key), key, request, None);
        self.go_on((key, turn), request, load, alarm).await
    }

    /// [`find_or_load`](Cache::find_or_load) for someone whose first turn was
    /// `turn`.
    pub(crate) async fn go_on<Q, E, F>(
        &self,
        (key, turn): (&Q, Turn<K, V>),
        request: &Request,
        load: F,
        alarm: &impl Alarm,
    ) -> Result<Option<V>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        F: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let mut load = pin!(Some(load));
        let mut useless = None;
        let found = match load.as_mut().as_pin_mut() {
            Some(load) => self.join_or_lead((key, turn), request, load, &mut useless, alarm).await,
            None => unreachable!("it is taken out below"),
        };
        // Before what was found is on its way out: see `steady`.
        load.set(None);
        drop(useless);
        found
    }

    /// `useless` is the last flight that was waited for, which may have the
    /// last copy of a value.
    async fn join_or_lead<Q, E, F>(
        &self,
        (key, mut turn): (&Q, Turn<K, V>),
        request: &Request,
        load: Pin<&mut F>,
        useless: &mut Option<modelled::Arc<Flight<V>>>,
        alarm: &impl Alarm,
    ) -> Result<Option<V>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        F: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let mut has_timed_out = false;
        loop {
            let flight = match turn {
                Turn::Hit(value) => return Ok(Some(value)),
                Turn::Lead(lead) => return lead.fly(load).await,
                Turn::Join(flight) => useless.insert(flight),
            };
            match wait_for(flight, self.deadline(request), alarm).await {
                Waited::Recursive => return Err(LoadError::Recursive),
                Waited::TimedOut if !request.must_succeed => return Err(LoadError::TimedOut),
                // Once, this caller takes the place of a leader that seems to
                // be stuck; but it will not wait for ever.
                Waited::TimedOut if has_timed_out => return alone(load).await,
                Waited::TimedOut => has_timed_out = true,
                Waited::Landed(landing) => {
                    if let Some(outcome) = request.accept(landing) {
                        return outcome;
                    }
                }
            }
            turn = self.board(self.hash(key), key, request, useless.as_ref());
        }
    }

    /// Until when a wait that begins now may last.
    pub(crate) fn deadline(&self, request: &Request) -> Option<Instant> {
        let timeout = request.wait_timeout.or(self.shared.load_timeout)?;
        Instant::now().checked_add(timeout)
    }
}

/// For a cache that knows its loader.
impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    pub(crate) fn hash_of<Q: Hash + ?Sized>(&self, key: &Q) -> KeyHash {
        self.hash(key)
    }

    /// How old the value of `key` is, and until when it lives.
    pub(crate) fn age<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> Option<(Freshness, u64)> {
        let hash = self.hash(key);
        self.shard(hash).age(&self.shared.hub, hash, key)
    }

    /// The value of `key`, also if it has expired not long ago, if its age
    /// suits `will_do`.
    pub(crate) fn stale<Q>(&self, key: &Q, will_do: impl FnOnce(Freshness) -> bool) -> Option<V>
    where
        Q: ToKey<K> + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        let stale = self.shard(hash).stale(&self.shared.hub, hash, key)?;
        let Stale { value, age, has_expired } = stale;
        if !will_do(age) {
            return None;
        }
        self.shared.visit(hash).tally().stale_served += u64::from(has_expired);
        Some(value)
    }
}

impl<K, V> Shared<K, V> {
    pub(crate) fn visit(&self, hash: KeyHash) -> Visit<'_, K, V> {
        self.shard(hash).visit(&self.hub)
    }

    pub(crate) fn now(&self) -> u64 {
        self.hub.lifetimes.now()
    }

    pub(crate) fn alarms(&self) -> &AlarmClock {
        &self.alarms
    }
}

/// Loads without telling anyone; the value is not stored.
async fn alone<V, E, F>(load: Pin<&mut F>) -> Result<Option<V>, LoadError<E>>
where
    F: Future<Output = Result<Option<V>, E>>,
{
    load.await.map_err(|error| LoadError::Failed(Arc::new(error)))
}
