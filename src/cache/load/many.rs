//! Loading many keys with one call of a loader.

use super::drive::{Request, Turn, Waited, wait_for};
use super::lead::{Lead, at_the_controls};
use super::request::sure;
use super::{LoadError, ToKey};
use crate::cache::{Cache, EntryOptions};
use crate::flight::{AtTheControls, Flight, Landing};
use crate::sync::modelled;
use crate::wait::{Alarm, ThreadAlarm, block_on, outcome_of};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;

/// Loading many keys at once.
impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The values of `keys`, in their order; what is missing is loaded with one
    /// call of `load`, which gets exactly the keys that are missing and that
    /// nobody else loads. For the others, this waits afterwards: calls whose
    /// keys overlap never wait for each other in a circle.
    ///
    /// `load` returns pairs, in any order. A key that it leaves out has no
    /// value, and is `None` in the result; other callers who wait for it load
    /// for themselves. A pair whose key was not asked for is dropped: nobody
    /// knows whether that key was invalidated meanwhile.
    ///
    /// `load` is called a second time only if another caller's load, which this
    /// one waited for, was cancelled or panicked, or failed with an error: then
    /// for the keys that are still missing.
    ///
    /// # Panics
    /// If `load` does. If `load` asks for one of its own keys.
    ///
    /// ```
    /// let cache: larder::Cache<String, usize> = larder::Cache::new(100);
    /// cache.insert("fig".to_owned(), 7);
    /// let found = cache.get_many_with(["pear", "fig"], |missing| {
    ///     assert_eq!(missing, ["pear"]);
    ///     missing.into_iter().map(|key| (key.to_owned(), key.len()))
    /// });
    /// assert_eq!(found, [Some(4), Some(7)]);
    /// ```
    pub fn get_many_with<'q, Q, R>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> R,
    ) -> Vec<Option<V>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
    {
        let alarm = ThreadAlarm::default();
        let load = move |missing| std::future::ready(Ok(load(missing)));
        sure(block_on(self.find_or_load_many(keys, &CERTAIN, load, &alarm), &alarm))
    }

    /// Like [`get_many_with`](Cache::get_many_with) with a loader that may
    /// fail. A failure is one of all its keys, and nothing of them is stored.
    ///
    /// # Errors
    /// As [`try_get_with`](Cache::try_get_with), for any of the keys: the
    /// loader's error, or that of another caller's load of one of them.
    ///
    /// # Panics
    /// If `load` does.
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let parse = |missing: Vec<&str>| -> Result<Vec<_>, std::num::ParseIntError> {
    ///     missing.into_iter().map(|key| Ok((key.to_owned(), key.parse()?))).collect()
    /// };
    /// assert_eq!(cache.try_get_many_with(["1", "2"], parse)?, [Some(1), Some(2)]);
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// ```
    pub fn try_get_many_with<'q, Q, R, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> Result<R, E>,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        E: Send + Sync + 'static,
    {
        let alarm = ThreadAlarm::default();
        let load = move |missing| std::future::ready(load(missing));
        block_on(self.find_or_load_many(keys, &FALLIBLE, load, &alarm), &alarm)
    }

    /// [`get_many_with`](Cache::get_many_with) for tasks.
    ///
    /// # Panics
    /// As [`get_many_with`](Cache::get_many_with).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<u64, u64> = larder::Cache::new(100);
    /// let square = |missing: Vec<&u64>| {
    ///     let squares: Vec<_> = missing.into_iter().map(|n| (*n, n * n)).collect();
    ///     async { squares }
    /// };
    /// assert_eq!(cache.get_many_with_async(&[2, 3], square).await, [Some(4), Some(9)]);
    /// # });
    /// ```
    pub async fn get_many_with_async<'q, Q, R, F>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Vec<Option<V>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = R>,
    {
        let load = move |missing| {
            let loading = load(missing);
            async { Ok(outcome_of(loading).await) }
        };
        sure(self.find_or_load_many(keys, &CERTAIN, load, &self.shared.alarms).await)
    }

    /// [`try_get_many_with`](Cache::try_get_many_with) for tasks.
    ///
    /// # Errors
    /// As [`try_get_many_with`](Cache::try_get_many_with).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<u64, u64> = larder::Cache::new(100);
    /// let none = |_missing: Vec<&u64>| async { Err::<Vec<_>, _>("no numbers today") };
    /// let error = cache.try_get_many_with_async(&[2, 3], none).await.unwrap_err();
    /// assert_eq!(error.failure(), Some(&"no numbers today"));
    /// # });
    /// ```
    pub async fn try_get_many_with_async<'q, Q, R, F, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = Result<R, E>>,
        E: Send + Sync + 'static,
    {
        self.find_or_load_many(keys, &FALLIBLE, load, &self.shared.alarms).await
    }

    async fn find_or_load_many<'q, Q, R, F, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        request: &Request,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
        alarm: &impl Alarm,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = Result<R, E>>,
        E: Send + Sync + 'static,
    {
        let mut all: Vec<Wanted<'q, Q, V>> = keys.into_iter().map(Wanted::new).collect();
        for wanted in &mut all {
            wanted.found = self.get(wanted.key).map(Some);
        }
        let filled = self.fill(&mut all, request, &mut load, alarm).await;
        // Before the values are on their way out: see `steady`.
        drop(load);
        match filled {
            Ok(()) => Ok(all.into_iter().map(|wanted| wanted.found.flatten()).collect()),
            Err(error) => {
                drop(all);
                Err(error)
            }
        }
    }

    /// Finds or loads what is wanted.
    async fn fill<'q, Q, R, F, E>(
        &self,
        all: &mut [Wanted<'q, Q, V>],
        request: &Request,
        load: &mut impl FnMut(Vec<&'q Q>) -> F,
        alarm: &impl Alarm,
    ) -> Result<(), LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = Result<R, E>>,
        E: Send + Sync + 'static,
    {
        loop {
            // All that nobody loads is ours, before anything is waited for.
            let (mut leads, mut joins) = (Vec::new(), Vec::new());
            for (at, wanted) in all.iter_mut().enumerate().filter(|(_, w)| w.found.is_none()) {
                let useless = wanted.joined.take();
                match self.board(self.hash(wanted.key), wanted.key, request, useless.as_ref()) {
                    Turn::Hit(value) => wanted.found = Some(Some(value)),
                    Turn::Lead(lead) => leads.push((at, lead)),
                    Turn::Join(flight) => {
                        wanted.joined = Some(flight);
                        joins.push(at);
                    }
                }
            }
            if leads.is_empty() && joins.is_empty() {
                return Ok(());
            }
            if !leads.is_empty() {
                let missing = leads.iter().map(|(at, _)| all[*at].key).collect();
                let (places, leads): (Vec<usize>, Vec<_>) = leads.into_iter().unzip();
                let values = fly_together(leads, async { outcome_of(load(missing)).await }).await?;
                for (at, value) in places.into_iter().zip(values) {
                    all[at].found = Some(value);
                }
            }
            let deadline = self.deadline(request);
            for at in joins {
                let Some(flight) = &all[at].joined else { continue };
                match wait_for(flight, deadline, alarm).await {
                    Waited::Recursive => return Err(LoadError::Recursive),
                    Waited::TimedOut if !request.must_succeed => return Err(LoadError::TimedOut),
                    Waited::TimedOut => {}
                    Waited::Landed(landing) => {
                        all[at].found = request.accept(landing).transpose()?;
                    }
                }
            }
        }
    }
}

const CERTAIN: Request = of_many(true);
const FALLIBLE: Request = of_many(false);

/// Callers of many can do with "there is no value".
const fn of_many(must_succeed: bool) -> Request {
    let options = EntryOptions::NOTHING;
    Request {
        options,
        wait_timeout: None,
        negative_ttl: None,
        takes_absent: true,
        must_succeed,
        is_forced: false,
    }
}

/// One of the keys that were asked for.
struct Wanted<'q, Q: ?Sized, V> {
    key: &'q Q,
    /// `Some(None)`: it is known that there is no value.
    found: Option<Option<V>>,
    /// The last load that was joined: of no use, if the key is still missing.
    joined: Option<modelled::Arc<Flight<V>>>,
}

impl<'q, Q: ?Sized, V> Wanted<'q, Q, V> {
    fn new(key: &'q Q) -> Self {
        Wanted { key, found: None, joined: None }
    }
}

/// Leads all of `leads` with one loader, and lands them all. Returns their
/// values in their order.
async fn fly_together<K, V, R, E>(
    leads: Vec<Lead<K, V>>,
    load: impl Future<Output = Result<R, E>>,
) -> Result<Vec<Option<V>>, LoadError<E>>
where
    K: Hash + Eq,
    V: Clone,
    R: IntoIterator<Item = (K, V)>,
    E: Send + Sync + 'static,
{
    let loaded = {
        let flights: Vec<_> = leads.iter().map(Lead::flight).collect();
        // The pairs may be made only as they are asked for.
        let load = pin!(async { load.await.map(|pairs| Vec::from_iter(pairs)) });
        at_the_controls(&flights, load).await
    };
    // What is dropped, weighed and told from here on may ask for any of them
    // that has not landed. The last is at the bottom, and the next on top.
    let controls = leads.iter().rev().map(|lead| AtTheControls::of(lead.flight()));
    let mut leading: Vec<AtTheControls> = controls.collect();
    let values = match loaded {
        Ok(Ok(pairs)) => sort(pairs, &leads),
        Ok(Err(error)) => {
            let error = Arc::new(error);
            for lead in leads {
                let _ = lead.land(Err(Arc::clone(&error)));
                leading.pop();
            }
            return Err(LoadError::Failed(error));
        }
        Err(panic) => {
            for lead in leads {
                lead.fail(Landing::Panicked);
                leading.pop();
            }
            resume_unwind(panic)
        }
    };
    let land = |(lead, value): (Lead<K, V>, Option<V>)| {
        let landed = lead.land(Ok(value));
        leading.pop();
        landed
    };
    leads.into_iter().zip(values).map(land).collect()
}

/// The values of `leads`, in their order.
fn sort<K: Hash + Eq, V: Clone>(pairs: Vec<(K, V)>, leads: &[Lead<K, V>]) -> Vec<Option<V>> {
    let places: HashMap<&K, usize, ahash::RandomState> =
        leads.iter().enumerate().map(|(at, lead)| (lead.key(), at)).collect();
    let mut values: Vec<Option<V>> = leads.iter().map(|_| None).collect();
    for (key, value) in pairs {
        if let Some(at) = places.get(&key) {
            values[*at] = Some(value);
        }
    }
    // A key that was asked for twice is led twice, if its first load was
    // overtaken before the second one was asked about.
    for (at, lead) in leads.iter().enumerate() {
        let place = places[lead.key()];
        if place != at {
            values[at] = values[place].clone();
        }
    }
    values
}
