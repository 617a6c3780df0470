//! One cache for each instance of a generic function.
//!
//! A static cannot have the type parameters of the function around it. So it
//! is a list of caches of any type, to which one is added when an instance of
//! the function is called for the first time. Walking over it takes no lock;
//! it is as long as there are instances.

use super::returns::Untold;
use crate::{BuildError, Builder, Cache, LoadingBuilder, LoadingCache};
use std::any::{Any, TypeId};
use std::fmt;
use std::hash::Hash;
use std::sync::OnceLock;

/// The caches of a function.
#[derive(Default)]
pub struct Caches {
    first: OnceLock<Box<Instance>>,
}

struct Instance {
    maker: TypeId,
    cache: Box<dyn Any + Send + Sync>,
    next: Caches,
}

impl Caches {
    /// None so far.
    #[must_use]
    pub const fn new() -> Self {
        Caches { first: OnceLock::new() }
    }

    /// The cache of the instance that `make` belongs to: a closure's type knows
    /// all parameters of the function that it is written in.
    pub fn of<C: Any + Send + Sync>(&'static self, make: impl Fn() -> C + 'static) -> &'static C {
        self.of_maker(make)
    }

    fn of_maker<C: Any + Send + Sync, F: Fn() -> C + 'static>(
        &'static self,
        make: F,
    ) -> &'static C {
        let mut list = self;
        loop {
            let instance = list.first.get_or_init(|| {
                let (maker, next) = (TypeId::of::<F>(), Caches::new());
                Box::new(Instance { maker, cache: Box::new(make()), next })
            });
            if instance.maker == TypeId::of::<F>() {
                // Instances that differ in lifetimes alone have one `TypeId`,
                // and caches of one type, since that is `'static`.
                if let Some(cache) = instance.cache.downcast_ref() {
                    return cache;
                }
            }
            list = &instance.next;
        }
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").finish_non_exhaustive()
    }
}

/// The cache of `function`, or a panic that says what is wrong with its
/// settings.
#[must_use]
pub fn built<K: Hash + Eq, V>(function: &str, builder: Builder<K, V>) -> Cache<K, V> {
    sound(function, builder.build())
}

/// [`built`], for a cache that calls the function of its own accord.
#[must_use]
pub fn built_loading<K: Hash + Eq, V>(
    function: &str,
    builder: LoadingBuilder<K, V, Untold>,
) -> LoadingCache<K, V, Untold> {
    sound(function, builder.build())
}

fn sound<C>(function: &str, built: Result<C, BuildError>) -> C {
    built.unwrap_or_else(|error| panic!("the cache of `{function}` cannot be built: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::extra_unused_type_parameters, reason = "it tells the instances apart")]
    fn cache_of<T: 'static, const N: usize>() -> &'static Cache<u8, u8> {
        static CACHES: Caches = Caches::new();
        CACHES.of(|| Cache::new(N))
    }

    #[test]
    fn each_instance_of_a_function_has_a_cache_of_its_own() {
        cache_of::<u8, 3>().insert(1, 1);
        assert_eq!(cache_of::<u8, 3>().get(&1), Some(1));
        assert_eq!(cache_of::<u8, 4>().get(&1), None);
        assert_eq!(cache_of::<u16, 3>().get(&1), None);
        assert_eq!((cache_of::<u8, 3>().capacity(), cache_of::<u8, 4>().capacity()), (3, 4));
    }
}
