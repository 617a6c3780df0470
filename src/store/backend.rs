//! A store as the write path sees it: one face for both kinds.
//!
//! The write path is written once, as futures. Those of a [`Blocking`] store
//! are ready as soon as they are polled, on the thread that asked.

use crate::alarm::AlarmClock;
use crate::store::engine::Engine;
use crate::store::traits::{AsyncStore, Store, Written};
use crate::sync::thread::{self, ThreadId};
use crate::wait::{Alarm, ThreadAlarm};
use std::fmt;
use std::future::Future;

pub(crate) trait Backend<K, V>: Send + Sync {
    type Error: fmt::Display + fmt::Debug + Send + Sync + 'static;
    type Alarm: Alarm;

    fn write(&self, key: &K, value: &V) -> impl Future<Output = Result<(), Self::Error>> + Send;
    fn delete(&self, key: &K) -> impl Future<Output = Result<(), Self::Error>> + Send;
    fn write_many(
        &self,
        entries: &[(&K, &V)],
    ) -> impl Future<Output = Result<Written<Self::Error>, Self::Error>> + Send;
    fn delete_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Written<Self::Error>, Self::Error>> + Send;
    fn is_ambiguous(&self, error: &Self::Error) -> bool;

    fn alarm(&self) -> &Self::Alarm;
    /// Whose call of the store this is, if that can be known.
    fn owner(&self) -> Option<ThreadId>;
}

pub(crate) struct Blocking<'a, St> {
    store: &'a St,
    alarm: ThreadAlarm,
}

impl<'a, St> Blocking<'a, St> {
    pub(crate) fn new(store: &'a St) -> Self {
        Blocking { store, alarm: ThreadAlarm::default() }
    }

    /// For [`block_on`](crate::wait::block_on).
    pub(crate) fn thread_alarm(&self) -> &ThreadAlarm {
        &self.alarm
    }
}

impl<K: Sync, V: Sync, St: Store<K, V>> Backend<K, V> for Blocking<'_, St> {
    type Error = St::Error;
    type Alarm = ThreadAlarm;

    async fn write(&self, key: &K, value: &V) -> Result<(), St::Error> {
        self.store.write(key, value)
    }
    async fn delete(&self, key: &K) -> Result<(), St::Error> {
        self.store.delete(key)
    }
    async fn write_many(&self, entries: &[(&K, &V)]) -> Result<Written<St::Error>, St::Error> {
        self.store.write_many(entries)
    }
    async fn delete_many(&self, keys: &[&K]) -> Result<Written<St::Error>, St::Error> {
        self.store.delete_many(keys)
    }
    fn is_ambiguous(&self, error: &St::Error) -> bool {
        self.store.is_ambiguous(error)
    }

    fn alarm(&self) -> &ThreadAlarm {
        &self.alarm
    }
    fn owner(&self) -> Option<ThreadId> {
        Some(thread::current().id())
    }
}

pub(crate) struct Tasks<'a, St> {
    store: &'a St,
    alarms: &'a AlarmClock,
}

impl<'a, St> Tasks<'a, St> {
    pub(crate) fn new<K, V, S>(engine: &'a Engine<K, V, St, S>) -> Self {
        Tasks { store: &engine.store, alarms: engine.cache.shared().alarms() }
    }
}

impl<K: Sync, V: Send + Sync, St: AsyncStore<K, V>> Backend<K, V> for Tasks<'_, St> {
    type Error = St::Error;
    type Alarm = AlarmClock;

    fn write(&self, key: &K, value: &V) -> impl Future<Output = Result<(), St::Error>> + Send {
        self.store.write(key, value)
    }
    fn delete(&self, key: &K) -> impl Future<Output = Result<(), St::Error>> + Send {
        self.store.delete(key)
    }
    fn write_many(
        &self,
        entries: &[(&K, &V)],
    ) -> impl Future<Output = Result<Written<St::Error>, St::Error>> + Send {
        self.store.write_many(entries)
    }
    fn delete_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Written<St::Error>, St::Error>> + Send {
        self.store.delete_many(keys)
    }
    fn is_ambiguous(&self, error: &St::Error) -> bool {
        self.store.is_ambiguous(error)
    }

    fn alarm(&self) -> &AlarmClock {
        self.alarms
    }
    fn owner(&self) -> Option<ThreadId> {
        None
    }
}
