//! Loads that outlive their caller.

use super::drive::{Request, Turn, Waited, wait_for};
use super::request::{Load, present};
use super::{LoadError, ToKey};
use crate::flight::{Flight, Landing};
use crate::spawn::Spawn;
use crate::sync::modelled;
use crate::wait::outcome_of;
use std::hash::{BuildHasher, Hash};
use std::pin::pin;

impl<K, V, S, Q> Load<'_, K, V, S, Q>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: ToKey<K> + ?Sized,
{
    /// The value, or else what `load` returns, stored. `load` runs where
    /// `spawner` puts it, so it goes on if this call is dropped, and others who
    /// wait for it still have its value.
    ///
    /// # Errors
    /// As [`try_with`](Load::try_with). Since the loader is not run by this
    /// caller, its panic is [`LoadError::Panicked`], and a time that is longer
    /// than the [wait timeout](Load::wait_timeout) is [`LoadError::TimedOut`]
    /// for this caller, too. [`LoadError::Cancelled`] if the spawner drops it.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use larder::Task;
    ///
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let spawner = |task: Task| drop(std::thread::spawn(|| pollster::block_on(task)));
    /// let load = async { "3".parse::<u32>() };
    /// let parsed = cache.load("pear").try_with_detached(&spawner, load).await?;
    /// assert_eq!(parsed, 3);
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// # }).unwrap();
    /// ```
    pub async fn try_with_detached<E>(
        self,
        spawner: &(impl Spawn + ?Sized),
        load: impl Future<Output = Result<V, E>> + Send + 'static,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let (mut load, mut useless) = (Some(load), None);
        let found = match self.cache.get(self.key) {
            Some(value) => Ok(value),
            None => self.join_or_spawn(spawner, &mut load, &mut useless).await,
        };
        // Before what was found is on its way out: see `steady`.
        drop((load, useless));
        found
    }

    /// `useless` is the last flight that was waited for, which may have the
    /// last copy of a value.
    async fn join_or_spawn<E, F>(
        &self,
        spawner: &(impl Spawn + ?Sized),
        load: &mut Option<F>,
        useless: &mut Option<modelled::Arc<Flight<V>>>,
    ) -> Result<V, LoadError<E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let Load { cache, key, request } = self;
        let (hash, deadline) = (cache.hash_of(key), cache.deadline(request));
        loop {
            let flight = match cache.board(hash, *key, request, useless.as_ref()) {
                Turn::Hit(value) => return Ok(value),
                Turn::Join(flight) => flight,
                Turn::Lead(lead) => {
                    let flight = lead.flight().clone();
                    // Without a loader of its own, this caller does not lead.
                    let Some(load) = load.take() else { return Err(LoadError::Cancelled) };
                    spawner.spawn(Box::pin(async move {
                        let _ = lead.fly(pin!(async { outcome_of(load).await.map(Some) })).await;
                    }));
                    flight
                }
            };
            let flight = useless.insert(flight);
            match wait_for(flight, deadline, cache.shared().alarms()).await {
                Waited::Recursive => return Err(LoadError::Recursive),
                Waited::TimedOut => return Err(LoadError::TimedOut),
                Waited::Landed(landing) => {
                    if let Some(outcome) = outcome(request, landing, load.is_none()) {
                        return outcome;
                    }
                }
            }
        }
    }
}

/// The landing as this caller sees it; `None` if it has to load by itself.
fn outcome<V, E>(
    request: &Request,
    landing: Landing<V>,
    has_led: bool,
) -> Option<Result<V, LoadError<E>>>
where
    E: Send + Sync + 'static,
{
    let is_cancelled = has_led && matches!(landing, Landing::Abandoned);
    let accepted = request.accept(landing).map(|outcome| outcome.map(present));
    if is_cancelled { Some(Err(LoadError::Cancelled)) } else { accepted }
}
