//! The open journal: a thread that commits what writers have handed in.
//!
//! ```text
//!   writers   append ──► pending ◄── forget   workers
//!                           │
//!                           │ taken as a whole
//!                           ▼
//!               thread: one transaction, one sync ──► all of these writers
//! ```
//!
//! While one commit is being synced, the next one gathers: so the more writers
//! there are, the more of them share a sync.

use super::codec::Codecs;
use super::{Commit, Entry, Log};
use crate::store::back::queue::Change;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex};
use redb::{Database, ReadableTable, TableDefinition};
use std::io;
use std::sync::Arc;

/// Of the layout of [`PENDING`]'s records.
pub(super) const FORMAT: u64 = 1;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The last write of each key that is not stored.
pub(super) const PENDING: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pending");

/// The value of an entry of [`PENDING`]:
///
/// | bytes | |
/// |---|---|
/// | 4 | checksum of the key and all that follows |
/// | 8 | version |
/// | 1 | 0: delete, 1: write |
/// | … | the value |
///
/// All numbers little-endian. redb has checksums of its own, which are looked
/// at when the file is opened; this one also notices an entry that was damaged
/// in memory, before redb had it.
pub(super) struct Record<'a> {
    pub(super) version: u64,
    pub(super) change: Option<&'a [u8]>,
}

const HEADER: usize = 4 + 8 + 1;

impl<'a> Record<'a> {
    pub(super) fn parse(key: &[u8], bytes: &'a [u8]) -> Option<Self> {
        let (head, value) = bytes.split_at_checked(HEADER)?;
        let (checksum, rest) = head.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*checksum) != crc32(&[key, rest, value]) {
            return None;
        }
        let (version, kind) = rest.split_first_chunk::<8>()?;
        let change = match kind {
            [0] if value.is_empty() => None,
            [1] => Some(value),
            _ => return None,
        };
        Some(Record { version: u64::from_le_bytes(*version), change })
    }

    fn to_bytes(&self, key: &[u8]) -> Vec<u8> {
        let value = self.change.unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend(self.version.to_le_bytes());
        bytes.push(u8::from(self.change.is_some()));
        bytes.extend(value);
        let checksum = crc32(&[key, &bytes[4..]]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// CRC-32 (IEEE), bit by bit: an entry is short, and its sync takes a thousand
/// times as long.
fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = !0_u32;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

pub(super) struct File<K, V> {
    desk: Arc<Desk>,
    codecs: Codecs<K, V>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Desk {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    appends: Vec<(u64, Entry)>,
    /// Keys and versions that the store has.
    forgets: Vec<(Vec<u8>, u64)>,
    /// Of all that is in `appends`.
    commit: Arc<Commit>,
    is_closed: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.forgets.is_empty()
    }
}

impl<K: 'static, V> File<K, V> {
    pub(super) fn start(sink: impl Sink, codecs: Codecs<K, V>) -> io::Result<Self> {
        let desk: Arc<Desk> = Arc::default();
        let run = {
            let desk = Arc::clone(&desk);
            move || desk.run(&sink)
        };
        let thread = thread::Builder::new().name("larder-journal".to_owned()).spawn(run)?;
        Ok(File { desk, codecs, thread: Mutex::new(Some(thread)) })
    }

    fn key(&self, key: &K) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.codecs.key.encode(key, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

impl<K, V> File<K, V> {
    fn shut(&self) {
        self.desk.pending.lock().is_closed = true;
        self.desk.changed.notify_one();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic there has failed its commit, and was reported so.
            let _ = thread.join();
        }
    }
}

impl<K, V> Drop for File<K, V> {
    fn drop(&mut self) {
        self.shut();
    }
}

impl<K: 'static, V: 'static> Log<K, V> for File<K, V> {
    fn encode(&self, key: &K, change: &Change<V>) -> Result<Entry, String> {
        let key = self.key(key)?;
        let mut bytes = Vec::new();
        let change = match change {
            None => None,
            Some(value) => {
                let encoded = self.codecs.value.encode(value, &mut bytes);
                encoded.map_err(|error| error.to_string())?;
                Some(bytes)
            }
        };
        Ok(Entry { key, change })
    }

    fn append(&self, version: u64, entry: Entry) -> Arc<Commit> {
        let mut pending = self.desk.pending.lock();
        if pending.is_closed {
            let commit: Arc<Commit> = Arc::default();
            commit.finish(Err("it is closed".to_owned()));
            return commit;
        }
        pending.appends.push((version, entry));
        let commit = Arc::clone(&pending.commit);
        drop(pending);
        self.desk.changed.notify_one();
        commit
    }

    fn forget(&self, stored: &[(&K, u64)]) {
        // A key that could be encoded once can be again; if not, it is stored
        // once more after the next start.
        let keys = stored.iter().filter_map(|(key, version)| Some((self.key(key).ok()?, *version)));
        let keys: Vec<_> = keys.collect();
        let mut pending = self.desk.pending.lock();
        if !pending.is_closed {
            pending.forgets.extend(keys);
            drop(pending);
            self.desk.changed.notify_one();
        }
    }

    fn close(&self) {
        self.shut();
    }
}

/// Fails the commit if the thread unwinds before it has said otherwise.
struct Promise(Arc<Commit>);

impl Drop for Promise {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish(Err("its thread panicked".to_owned()));
        }
    }
}

impl Desk {
    fn run(&self, sink: &impl Sink) {
        // Whatever ends the thread: nobody shall wait for it any longer.
        let _end = End(self);
        while let Some((appends, forgets, commit)) = self.next() {
            let promise = Promise(commit);
            promise.0.finish(sink.commit(&appends, &forgets));
        }
    }

    #[expect(clippy::type_complexity, reason = "taken apart at once")]
    fn next(&self) -> Option<(Vec<(u64, Entry)>, Vec<(Vec<u8>, u64)>, Arc<Commit>)> {
        let mut pending = self.pending.lock();
        while pending.is_empty() {
            if pending.is_closed {
                return None;
            }
            self.changed.wait(&mut pending);
        }
        let Pending { appends, forgets, commit, .. } = &mut *pending;
        Some((std::mem::take(appends), std::mem::take(forgets), std::mem::take(commit)))
    }
}

struct End<'a>(&'a Desk);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut pending = self.0.pending.lock();
        pending.is_closed = true;
        let commit = std::mem::take(&mut pending.commit);
        drop(pending);
        commit.finish(Err("it is closed".to_owned()));
    }
}

/// Where a commit goes, all of it or nothing.
pub(super) trait Sink: Send + 'static {
    fn commit(&self, appends: &[(u64, Entry)], forgets: &[(Vec<u8>, u64)]) -> Result<(), String>;
}

impl Sink for Database {
    fn commit(&self, appends: &[(u64, Entry)], forgets: &[(Vec<u8>, u64)]) -> Result<(), String> {
        write(self, appends, forgets).map_err(|error| error.to_string())
    }
}

#[expect(clippy::result_large_err, reason = "it is turned into a text at once")]
fn write(
    database: &Database,
    appends: &[(u64, Entry)],
    forgets: &[(Vec<u8>, u64)],
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        if meta.get("format")?.is_none() {
            meta.insert("format", FORMAT)?;
        }
        let mut table = transaction.open_table(PENDING)?;
        for (version, entry) in appends {
            let record = Record { version: *version, change: entry.change.as_deref() };
            table.insert(&*entry.key, &*record.to_bytes(&entry.key))?;
        }
        for (key, version) in forgets {
            // Unless it was written again meanwhile.
            let is_it = table.get(&**key)?.is_some_and(|record| {
                Record::parse(key, record.value()).is_some_and(|r| r.version == *version)
            });
            if is_it {
                table.remove(&**key)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(&[b"123456789"]), 0xCBF4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xCBF4_3926);
    }

    #[test]
    fn a_record_reads_as_it_was_written_and_not_with_any_bit_changed() {
        for change in [None, Some(&b"value"[..]), Some(b"")] {
            let bytes = Record { version: 7, change }.to_bytes(b"key");
            let read = Record::parse(b"key", &bytes).unwrap();
            assert_eq!((read.version, read.change), (7, change));
            assert!(Record::parse(b"kex", &bytes).is_none());
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::parse(b"key", &damaged).is_none(), "bit {bit}");
            }
        }
    }
}
