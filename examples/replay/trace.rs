//! Reads a trace: the keys that some program asked for, in order.
//!
//! Keys come out renumbered 0, 1, 2, … in order of first appearance, so that
//! a table can be indexed by key. A trace is read whole or not at all: a file
//! that is cut short, damaged or of another kind is an error that says where.
//!
//! Needs only `std` and `ruzstd`: tests include this file by its path.

#![allow(dead_code, reason = "a test that includes this file uses part of it")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The longest key of a text trace. A file without line ends is more likely
/// something else than a key, and must not fill the memory to find out.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How much of a frame is decoded between two moves to the output.
const DECODE_STEP_BYTES: usize = 1 << 20;

/// A whole trace in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The file's name, without folders and without `.u64.zst` or `.ws.zst`.
    pub name: String,
    /// The key of each access, in order. Every key is below `distinct`.
    pub accesses: Vec<u64>,
    /// How many different keys there are.
    pub distinct: usize,
    /// How large each key's object is, if the trace says so.
    pub sizes: Option<Sizes>,
}

/// The sizes of the objects behind the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `bytes_of[key]`: a key keeps its size for the whole trace.
    pub bytes_of: Vec<u32>,
    /// The sizes of all distinct objects together.
    pub footprint_bytes: u64,
    /// The sizes of all accesses together.
    pub requested_bytes: u64,
}

/// Reads the trace at `path`; the end of its name says what it holds.
///
/// | name        | content |
/// |-------------|---------|
/// | `*.u64.zst` | zstd around records of 8 bytes: `u64` key, little-endian |
/// | `*.ws.zst`  | zstd around records of 12 bytes: `u64` key, `u32` size in bytes |
/// | other       | text: one key per line, see [`read_text`] |
///
/// # Errors
/// [`TraceError`] names the file, what is wrong with it, and where.
pub fn load(path: impl AsRef<Path>) -> Result<Trace, TraceError> {
    let path = path.as_ref();
    let in_this_file = |flaw| TraceError { file: path.display().to_string(), flaw };
    let file = File::open(path).map_err(|error| in_this_file(Flaw::Unreadable(error)))?;
    let file_name = path.file_name().unwrap_or(path.as_os_str());
    trace(&file_name.to_string_lossy(), BufReader::new(file)).map_err(in_this_file)
}

/// Reads `content` as [`load`] reads a file of this name.
///
/// # Errors
/// [`TraceError`], as for a file.
pub fn read(file_name: &str, content: impl BufRead) -> Result<Trace, TraceError> {
    trace(file_name, content).map_err(|flaw| TraceError { file: file_name.to_string(), flaw })
}

fn trace(file_name: &str, content: impl BufRead) -> Result<Trace, Flaw> {
    let (name, format) = Format::of(file_name);
    match format {
        Format::Text => text(name, content),
        Format::Keys => keys(name, &zst_records(content)?),
        Format::KeysAndSizes => keys_and_sizes(name, &zst_records(content)?),
    }
}

/// Reads a text trace called `name`: one key per line.
///
/// A key is the whole line without its line end (`\n` or `\r\n`), spaces
/// included. Lines that are empty or hold only white space are skipped.
///
/// # Errors
/// [`TraceError`] with the number of the line that is not text.
pub fn read_text(name: &str, lines: impl BufRead) -> Result<Trace, TraceError> {
    text(name.to_string(), lines).map_err(|flaw| TraceError { file: name.to_string(), flaw })
}

impl Trace {
    /// A trace of entries that all count alike, from any keys.
    pub fn of_keys(name: String, keys: impl IntoIterator<Item = u64>) -> Trace {
        let mut numbers = Numbers::new();
        let accesses = keys.into_iter().map(|key| numbers.of(&key)).collect();
        Trace { name, accesses, distinct: numbers.len(), sizes: None }
    }

    fn not_empty(self) -> Result<Trace, Flaw> {
        if self.accesses.is_empty() {
            return Err(Flaw::Empty);
        }
        Ok(self)
    }
}

/// Why a file is not a trace.
#[derive(Debug)]
pub struct TraceError {
    /// The file, as the caller called it.
    pub file: String,
    pub flaw: Flaw,
}

/// What is wrong with a file. Bytes count from 0, records and lines from 1.
#[derive(Debug)]
pub enum Flaw {
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// It holds no access at all.
    Empty,
    /// Something else stands where a zstd frame should begin.
    NotZstd { at_byte: usize, found: Vec<u8> },
    /// It ends within a zstd frame.
    FrameCutShort { bytes: usize },
    /// It cannot be decoded, or decodes to something else than was encoded.
    FrameDamaged { near_byte: usize, why: String },
    /// The last record is incomplete.
    RecordCutShort { record: usize, bytes: usize, bytes_expected: usize },
    /// A key comes back with another size.
    SizeChanged { record: usize, key: u64, bytes_before: u32, bytes_now: u32 },
    /// A line of a text trace is not UTF-8.
    LineNotUtf8 { line: usize },
    /// A line of a text trace has a NUL byte, as binary files do.
    LineHasNul { line: usize },
    /// A line of a text trace goes on and on.
    LineTooLong { line: usize },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.flaw)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Flaw::Empty => write!(f, "holds no accesses"),
            Flaw::NotZstd { at_byte, found } => {
                write!(f, "not a zstd frame at byte {at_byte} (it begins with")?;
                found.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?;
                write!(f, "; a zstd frame begins with 28 b5 2f fd)")
            }
            Flaw::FrameCutShort { bytes } => {
                write!(f, "ends after {bytes} bytes, in the middle of a zstd frame")
            }
            Flaw::FrameDamaged { near_byte, why } => {
                write!(f, "damaged near byte {near_byte}: {why}")
            }
            Flaw::RecordCutShort { record, bytes, bytes_expected } => write!(
                f,
                "ends in the middle of record {record} ({bytes} of {bytes_expected} bytes)"
            ),
            Flaw::SizeChanged { record, key, bytes_before, bytes_now } => write!(
                f,
                "record {record} gives key {key} a size of {bytes_now} bytes, \
                 it had {bytes_before} before"
            ),
            Flaw::LineNotUtf8 { line } => write!(f, "line {line} is not UTF-8{TEXT_EXPECTED}"),
            Flaw::LineHasNul { line } => write!(f, "line {line} has a NUL byte{TEXT_EXPECTED}"),
            Flaw::LineTooLong { line } => {
                write!(f, "line {line} is longer than {LINE_BYTES_MAX} bytes{TEXT_EXPECTED}")
            }
        }
    }
}

const TEXT_EXPECTED: &str =
    "; a file that is not called *.u64.zst or *.ws.zst should be text, one key per line";

impl Error for TraceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.flaw {
            Flaw::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

/// What a file's name promises.
enum Format {
    Keys,
    KeysAndSizes,
    Text,
}

impl Format {
    /// Splits a file name into what to call the trace and what to expect.
    fn of(file_name: &str) -> (String, Format) {
        if let Some(name) = file_name.strip_suffix(".u64.zst") {
            (name.to_string(), Format::Keys)
        } else if let Some(name) = file_name.strip_suffix(".ws.zst") {
            (name.to_string(), Format::KeysAndSizes)
        } else {
            (file_name.to_string(), Format::Text)
        }
    }
}

/// Gives each different key the next free number.
struct Numbers<K>(HashMap<K, u64>);

impl<K: Hash + Eq> Numbers<K> {
    fn new() -> Self {
        Numbers(HashMap::new())
    }

    fn of<Q>(&mut self, key: &Q) -> u64
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(&number) = self.0.get(key) {
            return number;
        }
        let number = self.0.len() as u64;
        self.0.insert(key.to_owned(), number);
        number
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn text(name: String, mut lines: impl BufRead) -> Result<Trace, Flaw> {
    let mut numbers = Numbers::<String>::new();
    let mut accesses = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        // One byte more than allowed tells a long line from a full one.
        let mut lines = lines.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        if lines.read_until(b'\n', &mut bytes).map_err(Flaw::Unreadable)? == 0 {
            break;
        }
        let key = key_of_line(&bytes, line)?;
        if !key.trim().is_empty() {
            accesses.push(numbers.of(key));
        }
    }
    Trace { name, accesses, distinct: numbers.len(), sizes: None }.not_empty()
}

fn key_of_line(bytes: &[u8], line: usize) -> Result<&str, Flaw> {
    if bytes.contains(&0) {
        return Err(Flaw::LineHasNul { line });
    }
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Flaw::LineTooLong { line });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::LineNotUtf8 { line })?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text))
}

fn keys(name: String, bytes: &[u8]) -> Result<Trace, Flaw> {
    let keys = records(bytes, 8)?.map(key_at_start);
    Trace::of_keys(name, keys).not_empty()
}

fn keys_and_sizes(name: String, bytes: &[u8]) -> Result<Trace, Flaw> {
    let mut numbers = Numbers::<u64>::new();
    let mut accesses = Vec::new();
    let mut sizes = Sizes::default();
    for (index, record) in records(bytes, 12)?.enumerate() {
        let (key, bytes_now) = (key_at_start(record), size_at_end(record));
        let number = numbers.of(&key);
        let bytes_before = sizes.note(number, bytes_now);
        if bytes_now != bytes_before {
            return Err(Flaw::SizeChanged { record: index + 1, key, bytes_before, bytes_now });
        }
        accesses.push(number);
    }
    Trace { name, accesses, distinct: numbers.len(), sizes: Some(sizes) }.not_empty()
}

impl Sizes {
    /// Counts an access; returns the size that the key had from the start.
    fn note(&mut self, number: u64, size_bytes: u32) -> u32 {
        self.requested_bytes += u64::from(size_bytes);
        // Numbers are given out in order, so a new one is the next index.
        if number == self.bytes_of.len() as u64 {
            self.bytes_of.push(size_bytes);
            self.footprint_bytes += u64::from(size_bytes);
        }
        self.bytes_of[number as usize]
    }
}

/// The bytes as records of `record_bytes` each, with nothing left over.
fn records(bytes: &[u8], record_bytes: usize) -> Result<impl Iterator<Item = &[u8]>, Flaw> {
    let records = bytes.chunks_exact(record_bytes);
    match records.remainder() {
        [] => Ok(records),
        rest => Err(Flaw::RecordCutShort {
            record: records.len() + 1,
            bytes: rest.len(),
            bytes_expected: record_bytes,
        }),
    }
}

fn key_at_start(record: &[u8]) -> u64 {
    let (key, _) = record.split_first_chunk().expect("a record has a key");
    u64::from_le_bytes(*key)
}

fn size_at_end(record: &[u8]) -> u32 {
    let (_, size) = record.split_last_chunk().expect("a record has a size");
    u32::from_le_bytes(*size)
}

fn zst_records(mut content: impl BufRead) -> Result<Vec<u8>, Flaw> {
    let mut zst = Vec::new();
    content.read_to_end(&mut zst).map_err(Flaw::Unreadable)?;
    decode(&zst)
}

/// Decodes all frames of a zstd file, which may have any number of them: to
/// stop after the first would read part of the trace and not say so.
fn decode(zst: &[u8]) -> Result<Vec<u8>, Flaw> {
    let mut rest = zst;
    let mut decoded = Vec::new();
    while !rest.is_empty() {
        let at_byte = zst.len() - rest.len();
        let found = &rest[..rest.len().min(4)];
        decode_frame(&mut rest, &mut decoded).map_err(|flaw| match flaw {
            FrameFlaw::NotZstd => Flaw::NotZstd { at_byte, found: found.to_vec() },
            FrameFlaw::CutShort => Flaw::FrameCutShort { bytes: zst.len() },
            FrameFlaw::Damaged(why) => {
                Flaw::FrameDamaged { near_byte: zst.len() - rest.len(), why }
            }
        })?;
    }
    Ok(decoded)
}

/// What is wrong with a frame; where, its reader knows.
enum FrameFlaw {
    NotZstd,
    CutShort,
    Damaged(String),
}

impl From<FrameDecoderError> for FrameFlaw {
    fn from(error: FrameDecoderError) -> Self {
        use ReadFrameHeaderError::{BadMagicNumber, MagicNumberReadError};
        match error {
            FrameDecoderError::ReadFrameHeaderError(
                BadMagicNumber(_) | MagicNumberReadError(_),
            ) => FrameFlaw::NotZstd,
            error if is_end_of_input(&error) => FrameFlaw::CutShort,
            error => FrameFlaw::Damaged(error.to_string()),
        }
    }
}

fn is_end_of_input(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        None => error.source().is_some_and(is_end_of_input),
    }
}

/// Moves one frame from the front of `zst` to the end of `decoded`.
fn decode_frame(zst: &mut &[u8], decoded: &mut Vec<u8>) -> Result<(), FrameFlaw> {
    let frame_start = decoded.len();
    let mut decoder = FrameDecoder::new();
    match decoder.init(&mut *zst) {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
            length,
            ..
        })) => return skip(zst, length as usize),
        Err(error) => return Err(error.into()),
    }
    while !decoder.is_finished() {
        let step = BlockDecodingStrategy::UptoBytes(DECODE_STEP_BYTES);
        decoder.decode_blocks(&mut *zst, step)?;
        decoder
            .collect_to_writer(&mut *decoded)
            .map_err(|error| FrameFlaw::Damaged(error.to_string()))?;
    }
    check(&decoder, &decoded[frame_start..])
}

/// Passes over a frame that holds notes of some tool and no data.
fn skip(zst: &mut &[u8], bytes: usize) -> Result<(), FrameFlaw> {
    *zst = zst.get(bytes..).ok_or(FrameFlaw::CutShort)?;
    Ok(())
}

/// Compares a frame's content with what its header and its end say of it.
/// The decoder does neither, and a damaged frame may well decode.
fn check(decoder: &FrameDecoder, content: &[u8]) -> Result<(), FrameFlaw> {
    let bytes_declared = decoder.content_size(); // 0: the header is silent
    if bytes_declared != 0 && bytes_declared != content.len() as u64 {
        return Err(FrameFlaw::Damaged(format!(
            "the frame declares {bytes_declared} bytes and decodes to {}",
            content.len()
        )));
    }
    match decoder.get_checksum_from_data() {
        // A frame carries the lower half of the sum.
        Some(sum) if sum != xxh64(content) as u32 => {
            Err(FrameFlaw::Damaged("the frame's checksum does not match its content".to_string()))
        }
        _ => Ok(()),
    }
}

/// XXH64 with seed 0, the checksum of zstd frames.
///
/// Written after the specification: four lanes take 32 bytes a round, are
/// merged into one, and the tail is folded in by 8, 4 and 1 bytes.
fn xxh64(bytes: &[u8]) -> u64 {
    let mut lanes = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
    let stripes = bytes.chunks_exact(32);
    let mut tail = stripes.remainder();
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
            *lane = xxh64_round(*lane, key_at_start(word));
        }
    }
    let mut sum = if bytes.len() < 32 { P5 } else { xxh64_merge(lanes) };
    sum = sum.wrapping_add(bytes.len() as u64);
    while let Some((word, rest)) = tail.split_first_chunk() {
        sum ^= xxh64_round(0, u64::from_le_bytes(*word));
        sum = sum.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        tail = rest;
    }
    if let Some((word, rest)) = tail.split_first_chunk() {
        sum ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(P1);
        sum = sum.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        tail = rest;
    }
    for &byte in tail {
        sum ^= u64::from(byte).wrapping_mul(P5);
        sum = sum.rotate_left(11).wrapping_mul(P1);
    }
    sum = (sum ^ (sum >> 33)).wrapping_mul(P2);
    sum = (sum ^ (sum >> 29)).wrapping_mul(P3);
    sum ^ (sum >> 32)
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn xxh64_round(lane: u64, word: u64) -> u64 {
    let lane = lane.wrapping_add(word.wrapping_mul(P2));
    lane.rotate_left(31).wrapping_mul(P1)
}

fn xxh64_merge(lanes: [u64; 4]) -> u64 {
    let [a, b, c, d] = lanes;
    let mut sum = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18));
    for lane in lanes {
        sum = (sum ^ xxh64_round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn zst(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn key_records(keys: &[u64]) -> Vec<u8> {
        keys.iter().flat_map(|key| key.to_le_bytes()).collect()
    }

    fn sized_records(accesses: &[(u64, u32)]) -> Vec<u8> {
        let record = |&(key, size): &(u64, u32)| {
            let mut record = key.to_le_bytes().to_vec();
            record.extend(size.to_le_bytes());
            record
        };
        accesses.iter().flat_map(record).collect()
    }

    fn flaw_of<T: fmt::Debug>(outcome: Result<T, Flaw>) -> String {
        outcome.expect_err("should be refused").to_string()
    }

    fn text_flaw_of(bytes: &[u8]) -> String {
        flaw_of(text("t".to_string(), bytes))
    }

    #[test]
    fn keys_are_numbered_in_order_of_first_appearance() {
        let trace = keys("t".to_string(), &key_records(&[900, 7, 900, u64::MAX, 7])).unwrap();
        assert_eq!(trace.accesses, [0, 1, 0, 2, 1]);
        assert_eq!((trace.distinct, trace.sizes), (3, None));
    }

    #[test]
    fn sizes_add_up_to_footprint_and_requests() {
        let bytes = sized_records(&[(5, 100), (6, 0), (5, 100), (9, u32::MAX)]);
        let trace = keys_and_sizes("t".to_string(), &bytes).unwrap();
        let sizes = trace.sizes.unwrap();
        assert_eq!(trace.accesses, [0, 1, 0, 2]);
        assert_eq!(sizes.bytes_of, [100, 0, u32::MAX]);
        assert_eq!(sizes.footprint_bytes, 100 + u64::from(u32::MAX));
        assert_eq!(sizes.requested_bytes, 200 + u64::from(u32::MAX));
    }

    #[test]
    fn a_text_key_is_its_line_without_the_line_end() {
        let trace = read_text("t", "a\r\nb\n\n a\n  \t\nschlüssel\na".as_bytes()).unwrap();
        assert_eq!(trace.accesses, [0, 1, 2, 3, 0]);
        assert_eq!(trace.distinct, 4);
    }

    #[test]
    fn all_frames_of_a_file_are_read() {
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let bytes = key_records(&[1, 2, 3]);
        let (first, second) = bytes.split_at(13);
        let file = [zst(first), skippable, zst(second)].concat();
        assert_eq!(decode(&file).unwrap(), bytes);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let file = zst(&key_records(&(0..2000).map(|n| n * n).collect::<Vec<_>>()));
        for bytes in 4..file.len() {
            let flaw = flaw_of(decode(&file[..bytes]));
            assert!(flaw.contains(&format!("after {bytes} bytes, in the middle")), "{flaw}");
        }
    }

    #[test]
    fn a_foreign_file_is_refused_with_its_first_bytes() {
        let flaw = flaw_of(decode(b"PK\x03\x04 and so on"));
        assert!(flaw.starts_with("not a zstd frame at byte 0 (it begins with 50 4b 03 04;"));
        let flaw = flaw_of(decode(b"hi"));
        assert!(flaw.contains("it begins with 68 69;"));
    }

    #[test]
    fn what_follows_the_last_frame_is_refused() {
        let frame = zst(b"12345678");
        let flaw = flaw_of(decode(&[&frame, &b"and more"[..]].concat()));
        assert!(flaw.starts_with(&format!("not a zstd frame at byte {}", frame.len())));
    }

    #[test]
    fn a_record_cut_short_is_refused_with_its_number() {
        let flaw = flaw_of(keys("t".to_string(), &[0; 19]));
        assert_eq!(flaw, "ends in the middle of record 3 (3 of 8 bytes)");
        let flaw = flaw_of(keys_and_sizes("t".to_string(), &[0; 8]));
        assert_eq!(flaw, "ends in the middle of record 1 (8 of 12 bytes)");
    }

    #[test]
    fn a_key_that_changes_its_size_is_refused() {
        let bytes = sized_records(&[(5, 100), (6, 1), (5, 99)]);
        assert_eq!(
            flaw_of(keys_and_sizes("t".to_string(), &bytes)),
            "record 3 gives key 5 a size of 99 bytes, it had 100 before"
        );
    }

    #[test]
    fn a_binary_file_is_no_text_trace() {
        assert!(text_flaw_of(b"a\nb\n\xff\xfe\n").starts_with("line 3 is not UTF-8"));
        assert!(text_flaw_of(b"a\nb\0c\n").starts_with("line 2 has a NUL byte"));
        let endless = vec![b'x'; LINE_BYTES_MAX + 1];
        assert!(text_flaw_of(&endless).starts_with("line 1 is longer than 65536 bytes"));
    }

    #[test]
    fn a_trace_without_accesses_is_refused() {
        assert_eq!(text_flaw_of(b"\n \n\r\n"), "holds no accesses");
        assert_eq!(flaw_of(keys("t".to_string(), &[])), "holds no accesses");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load("no/such/file.u64.zst").unwrap_err().to_string();
        assert!(error.starts_with("no/such/file.u64.zst: cannot be read: "), "{error}");
    }

    #[test]
    fn xxh64_agrees_with_published_values() {
        assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"abc"), 0x44BC_2CF5_AD77_0999);
        // 43 bytes: rounds, and each kind of tail.
        assert_eq!(xxh64(b"The quick brown fox jumps over the lazy dog"), 0x0B24_2D36_1FDA_71BC);
    }

    #[test]
    fn a_frame_whose_content_was_altered_is_refused() {
        // A frame with a checksum, of one raw block: a flipped bit in it decodes.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x24, 3, 0x19, 0, 0, b'a', b'b', b'c'];
        frame.extend(&(0x44BC_2CF5_AD77_0999_u64 as u32).to_le_bytes());
        assert_eq!(decode(&frame).unwrap(), b"abc");
        frame[10] ^= 1;
        assert!(flaw_of(decode(&frame)).contains("checksum does not match"));
    }
}
