//! `pack.json`, the packing: how releases travel in this file. Signed by the role `pack`; it only authorises bytes to
//! reach the decompressor.

use serde::{Deserialize, Serialize};

use super::{FORMAT, MAX_FILE_BYTES};
use crate::release::{API_VERSION, Requirement, expect_kind};
use crate::{Digest, Error, Product, Release, ReleaseName, Sequence, Statement, Version, json};

const KIND: &str = "Packing";
/// Largest packing, in bytes.
pub const MAX_PACKING_BYTES: usize = 64 << 10;

/// Said where a document does not tell which version knows what it needs.
pub(crate) const UNTOLD: &str = "(untold)";

/// How releases travel in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Packing {
    api_version: String,
    kind: String,
    /// Version of the file format.
    pub format: u32,
    /// Features that a reader must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Digests of the statements in this file, by rising sequence.
    pub statements: Vec<Digest>,
    /// The releases whose content this file builds on and does not carry, by rising sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<NeededRelease>,
    /// Length of the file in bytes, from the first byte of the head to the last of the tail.
    pub length: u64,
    /// Where the first data frame begins, in bytes from the start.
    pub data_offset: u64,
    /// The front pages, in order, from the end of the head on without a gap.
    pub pages: Vec<Page>,
}

/// A release whose content a delta builds on. The digest decides; the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NeededRelease {
    /// Digest of its statement.
    pub statement: Digest,
    /// Its product.
    pub product: Product,
    /// Its version.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
}

impl NeededRelease {
    /// The release that has this statement.
    #[must_use]
    pub fn new(statement: &Statement, digest: Digest) -> Self {
        let ReleaseName { product, version, sequence } = statement.name();
        Self { statement: digest, product, version, sequence }
    }

    /// The release's name.
    #[must_use]
    pub fn name(&self) -> ReleaseName {
        ReleaseName { product: self.product.clone(), version: self.version.clone(), sequence: self.sequence }
    }
}

impl From<&Release> for NeededRelease {
    fn from(release: &Release) -> Self {
        Self::new(&release.statement, release.digest())
    }
}

/// One front page: a zstd frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Page {
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Length as it stands in the file.
    pub length: u64,
    /// Length of its content.
    pub plain_length: u64,
    /// SHA-256 as it stands in the file.
    pub digest: Digest,
}

/// The part that even an old reader understands.
#[derive(Deserialize)]
struct Readable {
    format: u32,
    #[serde(default)]
    requires: Vec<Requirement>,
}

impl Packing {
    /// A packing of this version's format.
    #[must_use]
    pub fn new(statements: Vec<Digest>, length: u64, data_offset: u64, pages: Vec<Page>) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            format: FORMAT,
            requires: Vec::new(),
            statements,
            needs: Vec::new(),
            length,
            data_offset,
            pages,
        }
    }

    /// Reads `pack.json`. Its places are checked against the file by the reader of the archive.
    ///
    /// # Errors
    /// [`Error::NeedsNewer`] first; [`Error::Json`], [`Error::TooLarge`], [`Error::Inconsistent`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const NAME: &str = "pack.json";
        let readable: Readable = json::parse(NAME, bytes, MAX_PACKING_BYTES)?;
        if let Some(unknown) = readable.requires.into_iter().next() {
            return Err(Error::needs_newer(NAME, &unknown.feature, &unknown.since));
        }
        if readable.format != FORMAT {
            return Err(Error::needs_newer(NAME, &format!("format-{}", readable.format), UNTOLD));
        }
        expect_kind(NAME, bytes, MAX_PACKING_BYTES, KIND)?;
        let packing: Self = json::parse(NAME, bytes, MAX_PACKING_BYTES)?;
        if packing.length > MAX_FILE_BYTES {
            let what = "the archive, as its packing says,".to_owned();
            return Err(Error::TooLarge { what, size: packing.length, limit: MAX_FILE_BYTES });
        }
        Ok(packing)
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_document(self)
    }
}
