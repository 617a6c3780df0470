//! A journal on any bytes: cut short, damaged, or never one. Opening it is an
//! error, or it holds what was written once; no panic, and nothing that takes
//! for ever.
//!
//! A storage in memory, which is a shared image and the pages that differ.

#![no_main]

use larder::Cache;
use larder::store::{
    Codec, CodecError, Journal, Loader, Postcard, Store, StoreCache, WriteBack, WritePolicy,
};
use libfuzzer_sys::fuzz_target;
use redb::{Database, StorageBackend, TableDefinition};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

fuzz_target!(init: quiet(), |bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => open(Storage::holding(&[]).patched(&[(0, bytes.to_vec())]), usize::MAX),
        1 | 2 => open(IMAGES.orderly.damaged(bytes), WRITES),
        3..=5 => open(IMAGES.crashed.damaged(bytes), WRITES),
        _ => open(records(bytes), usize::MAX),
    }
});

/// redb meets pages that make no sense with a panic, which larder catches: the
/// fuzzer need not hear of these.
fn quiet() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/redb-")) {
            abort(panic);
        }
    }));
}

const WRITES: usize = 24;

/// redb's books of a large file are large themselves.
const DISK: usize = 64 << 20;

fn value(key: u32) -> Vec<u8> {
    vec![key as u8; 20 + 60 * key as usize]
}

/// What is read is what was written, or else an invented record.
struct Known;

impl Codec<Vec<u8>> for Known {
    fn encode(&self, value: &Vec<u8>, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        let first = bytes.first().copied().unwrap_or(255);
        assert!(usize::from(first) < WRITES && bytes == value(first.into()), "{bytes:?}");
        Ok(bytes.to_vec())
    }
}

fn open(storage: Storage, most: usize) {
    let opened = match most {
        WRITES => Journal::with_codecs(Postcard, Known).open_on(storage).map(count),
        _ => Journal::<u32, Vec<u8>>::options().open_on(storage).map(count),
    };
    match opened {
        Ok(entries) => assert!(entries <= most, "{entries} entries"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn count(journal: Journal<u32, Vec<u8>>) -> usize {
    journal.len()
}

/// So everything stays in the journal.
struct Refuses;

impl Loader<u32, Vec<u8>> for Refuses {
    type Error = &'static str;
    fn load(&self, _: &u32) -> Result<Option<Vec<u8>>, &'static str> {
        Ok(None)
    }
}

impl Store<u32, Vec<u8>> for Refuses {
    fn write(&self, _: &u32, _: &Vec<u8>) -> Result<(), &'static str> {
        Err("no")
    }
    fn delete(&self, _: &u32) -> Result<(), &'static str> {
        Err("no")
    }
}

struct Images {
    /// It was closed.
    orderly: Image,
    /// Its process died.
    crashed: Image,
}

static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    let storage = Storage::holding(&[]);
    let journal = Journal::with_codecs(Postcard, Known).open_on(storage.clone()).unwrap();
    let policy = WriteBack::new().delay(Duration::MAX).drop_deadline(Duration::ZERO);
    let cache = StoreCache::builder(Cache::new(100), Refuses)
        .policy(WritePolicy::Back(policy))
        .journal(journal)
        .build()
        .unwrap();
    (0..WRITES as u32).for_each(|key| cache.put(key, value(key)).unwrap());
    let crashed = Image::of(&storage);
    let again = Storage::holding(crashed.bytes);
    drop(Journal::<u32, _>::with_codecs(Postcard, Known).open_on(again.clone()).unwrap());
    Images { orderly: Image::of(&again), crashed }
});

struct Image {
    bytes: &'static [u8],
    /// Where something is: damage elsewhere would do nothing.
    blocks: Vec<usize>,
}

const BLOCK: usize = 64;

impl Image {
    fn of(storage: &Storage) -> Self {
        let length = storage.len().unwrap() as usize;
        let bytes: &'static [u8] = storage.read(0, length).unwrap().leak();
        let blocks = (0..length.div_ceil(BLOCK)).filter(|at| {
            bytes[at * BLOCK..length.min((at + 1) * BLOCK)].iter().any(|byte| *byte != 0)
        });
        Image { bytes, blocks: blocks.collect() }
    }

    /// Each five bytes damage a place.
    fn damaged(&self, script: &[u8]) -> Storage {
        let mut storage = Storage::holding(self.bytes);
        for damage in script.chunks_exact(5) {
            let block = usize::from(u16::from_le_bytes([damage[0], damage[1]]));
            let at =
                self.blocks[block % self.blocks.len()] * BLOCK + usize::from(damage[2]) % BLOCK;
            match damage[3] % 8 {
                0 => storage.set_len(at as u64).unwrap(),
                1 => storage = storage.patched(&[(at, vec![0; usize::from(damage[4]) * 8])]),
                2 => storage = storage.patched(&[(at, vec![0xFF; usize::from(damage[4]) % 16])]),
                3 => {
                    let longer = at as u64 * u64::from(damage[4]);
                    storage.set_len(longer.min(DISK as u64 - 1)).unwrap();
                }
                _ => storage = storage.patched(&[(at, vec![damage[4]])]),
            }
        }
        storage
    }
}

/// A sound database with records of the fuzzer's, which may have a checksum
/// that fits.
fn records(mut bytes: &[u8]) -> Storage {
    let storage = Storage::holding(EMPTY.bytes);
    let database = Database::builder().create_with_backend(storage.clone()).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_durability(redb::Durability::Eventual);
    {
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        let pending: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pending");
        let mut table = transaction.open_table(meta).unwrap();
        let format = if bytes.first() == Some(&255) { 2 } else { 1 };
        table.insert("format", format).unwrap();
        let mut table = transaction.open_table(pending).unwrap();
        while let [key_length, length, fits, rest @ ..] = bytes {
            let (key, rest) = rest.split_at((usize::from(*key_length) % 8).min(rest.len()));
            let (record, rest) = rest.split_at((usize::from(*length) % 64).min(rest.len()));
            let mut whole = crc32(key, record).to_le_bytes().to_vec();
            whole.extend(record);
            table.insert(key, if fits % 4 == 0 { record } else { &whole[..] }).unwrap();
            bytes = rest;
        }
    }
    transaction.commit().unwrap();
    drop(database);
    storage
}

static EMPTY: LazyLock<Image> = LazyLock::new(|| {
    let storage = Storage::holding(&[]);
    drop(Database::builder().create_with_backend(storage.clone()).unwrap());
    Image::of(&storage)
});

fn crc32(key: &[u8], record: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in key.iter().chain(record) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

const PAGE: usize = 4096;

/// Clones are the same storage.
#[derive(Clone, Debug)]
struct Storage(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    image: &'static [u8],
    /// What differs from the image.
    pages: BTreeMap<usize, Vec<u8>>,
    length: usize,
    /// So much of the image is still to be seen.
    image_length: usize,
}

impl Storage {
    fn holding(image: &'static [u8]) -> Self {
        let (pages, length) = (BTreeMap::new(), image.len());
        Storage(Arc::new(Mutex::new(State { image, pages, length, image_length: length })))
    }

    fn patched(self, patches: &[(usize, Vec<u8>)]) -> Self {
        for (at, bytes) in patches {
            self.0.lock().unwrap().write(*at, bytes);
        }
        self
    }
}

impl State {
    fn page(&self, page: usize) -> Vec<u8> {
        let of_image = || self.image_part(page * PAGE, (page + 1) * PAGE);
        self.pages.get(&page).cloned().unwrap_or_else(of_image)
    }

    /// What the image has there, and 0 beyond it.
    fn image_part(&self, start: usize, end: usize) -> Vec<u8> {
        let seen = &self.image[..self.image_length];
        let mut bytes = Vec::with_capacity(end - start);
        bytes.extend_from_slice(&seen[start.min(seen.len())..end.min(seen.len())]);
        bytes.resize(end - start, 0);
        bytes
    }

    fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        self.length = self.length.max(at + bytes.len());
        while !bytes.is_empty() {
            let (page, start) = (at / PAGE, at % PAGE);
            let (part, rest) = bytes.split_at(bytes.len().min(PAGE - start));
            if !self.pages.contains_key(&page) {
                self.pages.insert(page, self.page(page));
            }
            let content = self.pages.get_mut(&page).expect("it is there now");
            content[start..start + part.len()].copy_from_slice(part);
            (at, bytes) = (at + part.len(), rest);
        }
    }

    fn resize(&mut self, length: usize) {
        if length < self.length {
            // What lies beyond is 0, should it ever come back.
            let (page, start) = (length / PAGE, length % PAGE);
            let mut last = self.page(page);
            last[start..].fill(0);
            self.pages.split_off(&page);
            self.image_length = self.image_length.min(length);
            self.pages.insert(page, last);
        }
        self.length = length;
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().length as u64)
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(length).filter(|end| *end <= state.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = state.image_part(start, end);
        for (page, content) in state.pages.range(start / PAGE..end.div_ceil(PAGE)) {
            let (from, to) = (start.max(page * PAGE), end.min((page + 1) * PAGE));
            let part = &content[from - page * PAGE..to - page * PAGE];
            bytes[from - start..to - start].copy_from_slice(part);
        }
        Ok(bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        // As a disk would be full: a damaged header may ask for any size.
        let length = usize::try_from(length).ok().filter(|length| *length < DISK);
        self.0.lock().unwrap().resize(length.ok_or(io::ErrorKind::StorageFull)?);
        Ok(())
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if start.checked_add(bytes.len()).is_none_or(|end| end >= DISK) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.lock().unwrap().write(start, bytes);
        Ok(())
    }
}
