//! The call of the cache's own loading methods.

use super::returns::Plan;
use super::source::Source;
use crate::cache::load::RECURSION;
use crate::wait::outcome_of;
use crate::{Cache, EntryOptions, Load, LoadError, ToKey};
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// What a function says of its loads. The options are made on a miss only.
#[derive(Clone, Copy, Debug)]
pub struct How<O> {
    pub options: O,
    pub negative_ttl: Option<Duration>,
}

/// What `function` returns, from `cache` if it can be had there.
///
/// The caller that runs the function gets its own error. Others that waited
/// get a clone, or call it themselves if there is none to be had.
///
/// # Panics
/// If the function does, or calls itself with the same arguments.
#[inline]
pub fn load<P, K, C, Q>(
    _plan: P,
    source: &C,
    key: &Q,
    how: How<impl Fn() -> EntryOptions>,
    function: impl FnOnce() -> P::Returned,
) -> P::Returned
where
    P: Plan<Kept: Clone>,
    K: Hash + Eq,
    C: Source<K, P::Kept>,
    Q: ToKey<K> + ?Sized,
{
    match source.cache().get(key) {
        Some(value) => {
            source.note_hit(key);
            // Before the value is on its way out: see `steady`.
            drop((function, how));
            P::join(Ok(Some(value)))
        }
        None => {
            let How { options, negative_ttl } = how;
            let how = How { options: &options as &dyn Fn() -> EntryOptions, negative_ttl };
            let mut own = Some(function);
            let returned = load_missing::<P, K, C, Q>(source, key, how, &mut || take(&mut own)());
            drop((own, options));
            returned
        }
    }
}

/// Compiled once for all functions of the same types.
#[cold]
fn load_missing<P, K, C, Q>(
    source: &C,
    key: &Q,
    how: How<&dyn Fn() -> EntryOptions>,
    function: &mut dyn FnMut() -> P::Returned,
) -> P::Returned
where
    P: Plan<Kept: Clone>,
    K: Hash + Eq,
    C: Source<K, P::Kept>,
    Q: ToKey<K> + ?Sized,
{
    if let Some(value) = source.stale_for_now(key) {
        return P::join(Ok(Some(value)));
    }
    let (mut error, mut tries) = (None, 0);
    loop {
        let load = how.begin(source.cache(), key);
        let loaded = load.load_missing(P::IS_OPTIONAL, || {
            let returned = function();
            P::split(returned).map_err(|own| P::tell(error.insert(own)))
        });
        tries += 1;
        match verdict::<P>(loaded, error.take(), tries, || source.stale(key)) {
            Verdict::Return(returned) => return returned,
            Verdict::Again => {}
            Verdict::Alone => return function(),
        }
    }
}

/// [`load`] for tasks.
///
/// # Panics
/// As [`load`].
pub async fn load_async<P, K, C, Q>(
    _plan: P,
    source: &C,
    key: &Q,
    how: How<impl Fn() -> EntryOptions>,
    function: impl Future<Output = P::Returned>,
) -> P::Returned
where
    P: Plan<Kept: Clone>,
    K: Hash + Eq,
    C: Source<K, P::Kept>,
    Q: ToKey<K> + ?Sized,
{
    let mut function = Some(function);
    let returned = find_or_call::<P, K, C, Q>(source, key, &how, &mut function).await;
    drop((function, how));
    returned
}

async fn find_or_call<P, K, C, Q>(
    source: &C,
    key: &Q,
    how: &How<impl Fn() -> EntryOptions>,
    function: &mut Option<impl Future<Output = P::Returned>>,
) -> P::Returned
where
    P: Plan<Kept: Clone>,
    K: Hash + Eq,
    C: Source<K, P::Kept>,
    Q: ToKey<K> + ?Sized,
{
    if let Some(value) = source.cache().get(key) {
        source.note_hit(key);
        return P::join(Ok(Some(value)));
    }
    if let Some(value) = source.stale_for_now(key) {
        return P::join(Ok(Some(value)));
    }
    let (mut error, mut tries) = (None, 0);
    loop {
        let load = how.begin(source.cache(), key);
        let call = async {
            let returned = outcome_of(take(function)).await;
            P::split(returned).map_err(|own| P::tell(error.insert(own)))
        };
        let loaded = load.load_missing_async(P::IS_OPTIONAL, call).await;
        tries += 1;
        match verdict::<P>(loaded, error.take(), tries, || source.stale(key)) {
            Verdict::Return(returned) => return returned,
            Verdict::Again => {}
            Verdict::Alone => return outcome_of(take(function)).await,
        }
    }
}

impl<O: Fn() -> EntryOptions> How<O> {
    fn begin<'a, K, V, S, Q: ?Sized>(
        &self,
        cache: &'a Cache<K, V, S>,
        key: &'a Q,
    ) -> Load<'a, K, V, S, Q>
    where
        K: Hash + Eq,
        V: Clone,
        S: BuildHasher,
    {
        let load = cache.load(key).options((self.options)());
        match self.negative_ttl {
            Some(ttl) => load.negative_ttl(ttl),
            None => load,
        }
    }
}

/// What follows from how a load ended.
enum Verdict<R> {
    Return(R),
    /// Another caller's call came to nothing that could be had here: it is
    /// this one's turn, unless another one is quicker.
    Again,
    /// It was not for the second time, or another caller's call takes too long.
    Alone,
}

fn verdict<P: Plan>(
    loaded: Result<Option<P::Kept>, LoadError<P::Told>>,
    own: Option<P::Error>,
    tries: u32,
    stale: impl FnOnce() -> Option<P::Kept>,
) -> Verdict<P::Returned> {
    match loaded {
        Ok(value) => Verdict::Return(P::join(Ok(value))),
        Err(LoadError::Failed(told)) => match own.or_else(|| P::hear(&told)) {
            Some(error) => Verdict::Return(P::join(stale().map(Some).ok_or(error))),
            // An error that is remembered would be told again and again.
            None if tries > 1 => Verdict::Alone,
            None => Verdict::Again,
        },
        Err(LoadError::Panicked | LoadError::Cancelled) => Verdict::Again,
        Err(LoadError::Recursive) => panic!("{RECURSION}"),
        Err(LoadError::TimedOut) => Verdict::Alone,
    }
}

/// The function: whoever has called it returns what came of it.
fn take<F>(function: &mut Option<F>) -> F {
    function.take().unwrap_or_else(|| unreachable!("a memoized function was to run twice"))
}
