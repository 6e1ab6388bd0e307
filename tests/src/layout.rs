//! An OCI image layout on disk, read as plainly as possible (image-spec, image-layout.md).
//!
//! This is a second pair of eyes, so it shares no code with the crates under test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An OCI image layout directory.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The digest of what is tagged `tag`.
    #[must_use]
    pub fn digest(&self, tag: &str) -> String {
        let index = parse(&fs_err::read(self.dir.join("index.json")).expect("the layout has an index"));
        let tagged = descriptors(&index["manifests"])
            .find(|manifest| manifest["annotations"]["org.opencontainers.image.ref.name"] == tag)
            .unwrap_or_else(|| panic!("nothing is tagged `{tag}` in `{}`", self.dir.display()));
        digest_of(tagged)
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        fs_err::read(self.dir.join("blobs/sha256").join(hex_of(digest))).expect("the layout has the blob")
    }

    /// The digests of all that the manifest `digest` needs on `architecture`, itself included.
    ///
    /// Of an index, that is the index and the manifests for this architecture with what they need.
    #[must_use]
    pub fn closure(&self, digest: &str, architecture: &str) -> BTreeSet<String> {
        let document = parse(&self.blob(digest));
        let children = descriptors(&document["manifests"])
            .filter(|child| child["platform"]["architecture"] == architecture)
            .flat_map(|child| self.closure(&digest_of(child), architecture));
        let leaves = descriptors(&document["layers"]).chain(document.get("config")).map(digest_of);
        std::iter::once(digest.to_owned()).chain(children).chain(leaves).collect()
    }
}

/// The digest of `bytes`, in the spelling of the image specification.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The hexadecimal part of a digest, which names its file.
#[must_use]
pub fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").expect("a digest names its algorithm")
}

fn parse(document: &[u8]) -> Value {
    serde_json::from_slice(document).expect("the layout's documents are JSON")
}

fn descriptors(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a descriptor has a digest").to_owned()
}
