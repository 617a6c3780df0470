//! Opening a journal, and reading what an earlier process has left.

use super::backend::Unsynced;
use super::codec::{Codec, Codecs, Postcard};
use super::file::{FORMAT, File, META, PENDING, Record};
use crate::store::builder::{Journaled, StoreBuilder};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableTable, StorageBackend, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What a journal does before a write is acknowledged.
///
/// Writers that come at the same time share one commit, and so one sync.
///
/// ```
/// use larder::store::{Durability, Journal};
///
/// let journal = Journal::<u64, String>::options().durability(Durability::Process);
/// # let _ = journal;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The disk has it (`fdatasync`). **Nothing that was acknowledged is lost**
    /// when the process is killed, the system crashes or power fails, as far as
    /// the disk keeps its word. A put costs a sync, which writers that come
    /// together share.
    #[default]
    Disk,
    /// The operating system has it. **Nothing that was acknowledged is lost**
    /// when the process is killed, whatever kills it. When the system crashes
    /// or power fails, what the system had not written yet is lost (on Linux
    /// usually the last 30 seconds), and the file may be damaged: opening it
    /// then fails with [`JournalError::Corrupt`], or goes back to an earlier
    /// state.
    Process,
}

/// A file in which acknowledged writes wait until the store has them, for
/// [`WritePolicy::Back`](crate::store::WritePolicy::Back).
///
/// It holds the last write of each key that is not stored yet. Opening it reads
/// what an earlier process has left there; the cache that is built with it
/// stores that first, in order, and each key once more if the process died
/// between storing and noting it.
///
/// The file is a [redb] database. It is as large as what was not stored at one
/// time requires, and is compacted when it is opened.
///
/// Damage is detected when the file is opened, by its checksums: then nothing
/// is read from it. One case cannot be told from a crash: when the process had
/// died, and of what its very last commit had written something was damaged
/// later, that commit counts as one that never ended.
///
/// [redb]: https://docs.rs/redb
///
/// ```
/// use larder::Cache;
/// use larder::store::{Journal, StoreCache, WriteBack, WritePolicy};
/// # use larder::store::{Loader, Store};
/// # #[derive(Default)]
/// # struct Table;
/// # impl Loader<u64, u64> for Table {
/// #     type Error = String;
/// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
/// # }
/// # impl Store<u64, u64> for Table {
/// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
/// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
/// # }
///
/// # let dir = tempfile();
/// let cache = StoreCache::builder(Cache::new(1000), Table)
///     .policy(WritePolicy::Back(WriteBack::new()))
///     .journal(Journal::open(&dir)?)
///     .build()?;
/// cache.put(7, 49)?; // a crash from here on does not lose it
/// # drop(cache);
/// # std::fs::remove_dir_all(dir)?;
/// # fn tempfile() -> std::path::PathBuf {
/// #     std::env::temp_dir().join(format!("larder-doc-{}", std::process::id()))
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a journal does nothing without a cache"]
pub struct Journal<K, V> {
    file: File<K, V>,
    kept: Vec<(K, u64, Option<V>)>,
}

/// Settings of a [`Journal`].
#[must_use]
pub struct JournalOptions<K, V> {
    durability: Durability,
    codecs: Codecs<K, V>,
}

/// Why a journal could not be opened.
///
/// ```
/// use larder::store::JournalError;
///
/// assert_eq!(JournalError::InUse.to_string(), "another process has it open");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process, or another cache, has it open.
    InUse,
    /// The system refused.
    Io {
        /// What it said.
        reason: String,
    },
    /// It is damaged. Nothing was read from it.
    Corrupt {
        /// Where.
        what: String,
    },
    /// An entry is sound, and the codec does not understand it.
    Codec {
        /// What the codec said.
        reason: String,
    },
    /// Another release of larder has written it.
    Format {
        /// Its number.
        found: u64,
    },
}

impl<K, V> Journal<K, V>
where
    K: Serialize + DeserializeOwned + 'static,
    V: Serialize + DeserializeOwned + 'static,
{
    /// Opens the journal in the directory `dir`, which is made if it is not
    /// there, with [`Durability::Disk`].
    ///
    /// # Errors
    /// [`JournalError`].
    ///
    /// ```
    /// use larder::store::{Journal, JournalError};
    ///
    /// let none = Journal::<u64, u64>::open("/dev/null/there");
    /// assert!(matches!(none, Err(JournalError::Io { .. })));
    /// ```
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, JournalError> {
        Journal::options().open(dir)
    }

    /// Settings, to begin with those of [`open`](Journal::open).
    ///
    /// ```
    /// use larder::store::{Durability, Journal};
    ///
    /// let options = Journal::<u64, u64>::options().durability(Durability::Process);
    /// # let _ = options;
    /// ```
    pub fn options() -> JournalOptions<K, V> {
        Journal::with_codecs(Postcard, Postcard)
    }
}

impl<K, V> Journal<K, V> {
    /// Settings, with codecs of one's own.
    ///
    /// ```
    /// use larder::store::{Journal, Postcard};
    ///
    /// let options = Journal::<u64, u64>::with_codecs(Postcard, Postcard);
    /// # let _ = options;
    /// ```
    pub fn with_codecs(key: impl Codec<K>, value: impl Codec<V>) -> JournalOptions<K, V> {
        let codecs = Codecs { key: Box::new(key), value: Box::new(value) };
        JournalOptions { durability: Durability::default(), codecs }
    }

    /// How many writes an earlier process has left.
    ///
    /// ```
    /// let dir = std::env::temp_dir().join(format!("larder-len-{}", std::process::id()));
    /// let journal = larder::store::Journal::<u64, u64>::open(&dir)?;
    /// assert!(journal.is_empty());
    /// # drop(journal);
    /// # std::fs::remove_dir_all(dir).unwrap();
    /// # Ok::<(), larder::store::JournalError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none; see [`len`](Journal::len).
    ///
    /// ```
    /// let dir = std::env::temp_dir().join(format!("larder-empty-{}", std::process::id()));
    /// let journal = larder::store::Journal::<u64, u64>::open(&dir)?;
    /// assert_eq!(journal.len(), 0);
    /// # drop(journal);
    /// # std::fs::remove_dir_all(dir).unwrap();
    /// # Ok::<(), larder::store::JournalError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl<K: 'static, V: 'static> JournalOptions<K, V> {
    /// What happens before a write is acknowledged.
    ///
    /// ```
    /// use larder::store::{Durability, Journal};
    ///
    /// let options = Journal::<u64, u64>::options().durability(Durability::Disk);
    /// # let _ = options;
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Opens the journal in the directory `dir`.
    ///
    /// # Errors
    /// [`JournalError`].
    ///
    /// ```
    /// use larder::store::{Durability, Journal};
    ///
    /// let dir = std::env::temp_dir().join(format!("larder-open-{}", std::process::id()));
    /// let journal =
    ///     Journal::<u64, u64>::options().durability(Durability::Process).open(&dir)?;
    /// # drop(journal);
    /// # std::fs::remove_dir_all(dir).unwrap();
    /// # Ok::<(), larder::store::JournalError>(())
    /// ```
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Journal<K, V>, JournalError> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(JournalError::io)?;
        let path = dir.join("journal.redb");
        if !path.exists() {
            create(dir, &path)?;
        }
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        let file = FileBackend::new(file.map_err(JournalError::io)?);
        self.open_on(file.map_err(JournalError::from_open)?)
    }

    /// On a storage of the caller's, for tests that simulate a disk.
    #[doc(hidden)]
    pub fn open_on(self, storage: impl StorageBackend) -> Result<Journal<K, V>, JournalError> {
        // A page whose checksum fits and whose content makes no sense is met
        // with a panic.
        match catch_unwind(AssertUnwindSafe(|| self.open_trusting(storage))) {
            Ok(opened) => opened,
            Err(_) => Err(JournalError::Corrupt { what: "its pages make no sense".to_owned() }),
        }
    }

    fn open_trusting(self, storage: impl StorageBackend) -> Result<Journal<K, V>, JournalError> {
        // What is journaled is small, and is read once.
        let mut options = Database::builder();
        options.set_cache_size(4 << 20);
        let opened = match self.durability {
            Durability::Disk => options.create_with_backend(storage),
            Durability::Process => options.create_with_backend(Unsynced(storage)),
        };
        let mut database = opened.map_err(JournalError::from_open)?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(JournalError::corrupt("a page")),
            Err(error) => return Err(JournalError::from_open(error)),
        }
        let kept = read(&database, &self.codecs)?;
        database.compact().map_err(JournalError::io)?;
        let file = File::start(database, self.codecs).map_err(JournalError::io)?;
        Ok(Journal { file, kept })
    }
}

/// Makes an empty journal under another name first: if the system dies on the
/// way, there is none, rather than half of one.
fn create(dir: &Path, path: &Path) -> Result<(), JournalError> {
    let unfinished = dir.join("journal.redb.new");
    let options =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished);
    let file = FileBackend::new(options.map_err(JournalError::io)?);
    let file = file.map_err(JournalError::from_open)?;
    drop(Database::builder().create_with_backend(file).map_err(JournalError::from_open)?);
    let rename = || {
        fs::rename(&unfinished, path)?;
        // So that the name is there after a power failure, too.
        fs::File::open(dir)?.sync_all()
    };
    rename().map_err(JournalError::io)
}

/// All entries, in the order in which they were written. Either all are sound,
/// or none is used.
fn read<K: 'static, V: 'static>(
    database: &Database,
    codecs: &Codecs<K, V>,
) -> Result<Vec<(K, u64, Option<V>)>, JournalError> {
    let reading = database.begin_read().map_err(JournalError::io)?;
    let meta = match reading.open_table(META) {
        // It is new.
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        other => other.map_err(JournalError::from_table)?,
    };
    let format = meta.get("format").map_err(JournalError::io)?.map(|found| found.value());
    if format != Some(FORMAT) {
        return Err(JournalError::Format { found: format.unwrap_or(0) });
    }
    let mut kept = Vec::new();
    let pending = reading.open_table(PENDING).map_err(JournalError::from_table)?;
    for entry in pending.iter().map_err(JournalError::io)? {
        let (key, record) = entry.map_err(JournalError::io)?;
        let (key, record) = (key.value(), record.value());
        let Some(record) = Record::parse(key, record) else {
            return Err(JournalError::corrupt("an entry"));
        };
        let change = record.change.map(|bytes| codecs.value.decode(bytes)).transpose();
        let refused = |error: super::CodecError| JournalError::Codec { reason: error.to_string() };
        let key = codecs.key.decode(key).map_err(refused)?;
        kept.push((key, record.version, change.map_err(refused)?));
    }
    kept.sort_by_key(|(_, version, _)| *version);
    Ok(kept)
}

impl<K, V, St, S> StoreBuilder<K, V, St, S> {
    /// Keeps acknowledged writes in `journal` until they are stored, so that
    /// they survive a crash; and first stores what an earlier process has left
    /// there. Needs [`WritePolicy::Back`](crate::store::WritePolicy::Back).
    ///
    /// `put` then returns when the journal has the write; see [`Durability`].
    ///
    /// ```
    /// use larder::store::{Journal, StoreCache, WriteBack, WritePolicy, from_fn};
    ///
    /// let dir = std::env::temp_dir().join(format!("larder-with-{}", std::process::id()));
    /// let store = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let builder = StoreCache::builder(larder::Cache::<u64, u64>::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new()))
    ///     .journal(Journal::open(&dir)?);
    /// # drop(builder);
    /// # std::fs::remove_dir_all(dir).unwrap();
    /// # Ok::<(), larder::store::JournalError>(())
    /// ```
    pub fn journal(self, journal: Journal<K, V>) -> Self
    where
        K: 'static,
        V: 'static,
    {
        self.journaled(Journaled { log: Box::new(journal.file), kept: journal.kept })
    }
}

impl JournalError {
    fn io(error: impl fmt::Display) -> Self {
        JournalError::Io { reason: error.to_string() }
    }

    fn corrupt(what: &str) -> Self {
        JournalError::Corrupt { what: format!("{what} does not match its checksum") }
    }

    fn from_open(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => JournalError::InUse,
            DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
                JournalError::Corrupt { what }
            }
            // "Invalid data" is how redb says that this is no database.
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                JournalError::Corrupt { what: error.to_string() }
            }
            other => JournalError::io(other),
        }
    }

    fn from_table(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => JournalError::io(error),
            other => JournalError::Corrupt { what: other.to_string() },
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::InUse => f.write_str("another process has it open"),
            JournalError::Io { reason } => write!(f, "the system refused: {reason}"),
            JournalError::Corrupt { what } => write!(f, "it is damaged: {what}"),
            JournalError::Codec { reason } => write!(f, "an entry is not understood: {reason}"),
            JournalError::Format { found } => {
                write!(f, "its format is number {found}, and this release knows {FORMAT}")
            }
        }
    }
}

impl std::error::Error for JournalError {}

impl<K, V> fmt::Debug for Journal<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("len", &self.kept.len()).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for JournalOptions<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
