//! The bytes of a file, shared by all disks on which they are the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

#[derive(Clone, Default)]
pub(crate) struct Content(Arc<Bytes>);

#[derive(Clone, Default)]
struct Bytes {
    bytes: Vec<u8>,
    fingerprint: OnceLock<u64>,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Bytes { bytes, fingerprint: OnceLock::new() }))
    }
}

impl Content {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    /// Whether both are one, without a look at the bytes.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        *self.0.fingerprint.get_or_init(|| {
            let mut hash = DefaultHasher::new();
            self.0.bytes.hash(&mut hash);
            hash.finish()
        })
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let start = usize::try_from(offset).expect("small files");
        let bytes = self.edit();
        let end = start + data.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[start..end].copy_from_slice(data);
    }

    pub(crate) fn resize(&mut self, size: u64) {
        self.edit().resize(usize::try_from(size).expect("small files"), 0);
    }

    fn edit(&mut self) -> &mut Vec<u8> {
        let inner = Arc::make_mut(&mut self.0);
        inner.fingerprint = OnceLock::new();
        &mut inner.bytes
    }
}
