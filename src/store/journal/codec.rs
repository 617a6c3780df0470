//! Turning keys and values into bytes and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// How a key or a value is kept in a journal.
///
/// What is decoded must equal what was encoded, and equal keys must have equal
/// bytes. A codec has to read what an earlier release of the program has
/// written, or fail: then the journal is not opened, and nothing is lost.
///
/// ```
/// use larder::store::{Codec, CodecError};
///
/// struct Text;
///
/// impl Codec<String> for Text {
///     fn encode(&self, text: &String, into: &mut Vec<u8>) -> Result<(), CodecError> {
///         into.extend_from_slice(text.as_bytes());
///         Ok(())
///     }
///     fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
///         String::from_utf8(bytes.to_vec()).map_err(CodecError::new)
///     }
/// }
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `into`.
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;
    /// The value that has these bytes.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a codec failed.
///
/// ```
/// use larder::store::CodecError;
///
/// assert_eq!(CodecError::new("not a date").to_string(), "not a date");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError(String);

impl CodecError {
    /// With a reason.
    ///
    /// ```
    /// let error = larder::store::CodecError::new("not a date");
    /// assert_eq!(error.to_string(), "not a date");
    /// ```
    pub fn new(reason: impl fmt::Display) -> Self {
        CodecError(reason.to_string())
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// The codec of everything that serde can serialize: [postcard], which is
/// compact and does not describe itself, so a changed type does not read what
/// the old one has written.
///
/// [postcard]: https://docs.rs/postcard
///
/// ```
/// use larder::store::{Codec, Postcard};
///
/// let mut bytes = Vec::new();
/// Postcard.encode(&("pear".to_owned(), 3_u32), &mut bytes).unwrap();
/// assert_eq!(Postcard.decode(&bytes), Ok(("pear".to_owned(), 3_u32)));
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes = postcard::to_allocvec(value).map_err(CodecError::new)?;
        into.extend_from_slice(&bytes);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(bytes).map_err(CodecError::new)? {
            (value, []) => Ok(value),
            (_, rest) => Err(CodecError::new(format!("{} bytes too many", rest.len()))),
        }
    }
}

/// Both codecs of a journal.
pub(super) struct Codecs<K, V> {
    pub(super) key: Box<dyn Codec<K>>,
    pub(super) value: Box<dyn Codec<V>>,
}
