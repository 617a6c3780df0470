//! A journal whose codec is a bomb.

use crate::bombs::{Bomb, Census, Key, Value, use_of};
use larder::store::{Codec, CodecError, Durability, Journal};
use redb::backends::InMemoryBackend;
use std::sync::Arc;

/// Keys and values are kept as their numbers.
struct Numbers(Arc<Census>);

impl Codec<Key> for Numbers {
    fn encode(&self, key: &Key, into: &mut Vec<u8>) -> Result<(), CodecError> {
        use_of(Bomb::Encode);
        into.extend(key.id.to_be_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Key, CodecError> {
        use_of(Bomb::Decode);
        let bytes = bytes.try_into().map_err(CodecError::new)?;
        Ok(self.0.key(u64::from_be_bytes(bytes)))
    }
}

impl Codec<Value> for Numbers {
    fn encode(&self, value: &Value, into: &mut Vec<u8>) -> Result<(), CodecError> {
        use_of(Bomb::Encode);
        into.extend(value.id.to_be_bytes());
        into.extend(value.key.to_be_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        use_of(Bomb::Decode);
        let (id, key) = bytes.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
        let (id, key) =
            (number(id).map_err(CodecError::new)?, number(key).map_err(CodecError::new)?);
        Ok(self.0.value_again(id, key, 2))
    }
}

pub fn in_memory(census: &Arc<Census>) -> Journal<Key, Value> {
    let codecs = [(); 2].map(|()| Numbers(Arc::clone(census)));
    let [key, value] = codecs;
    let options = Journal::with_codecs(key, value).durability(Durability::Process);
    options.open_on(InMemoryBackend::new()).unwrap()
}
