//! What of its releases a file carries, where that is, and what it leaves to the releases that it builds on.

use std::collections::BTreeMap;

use super::Bundle;
use crate::format::contents::{Contents, Encoding, Entry};
use crate::format::layout::Storing;
use crate::{Blob, BlobList, Digest, Error, Malformed, Release, Source as _};

/// The part of an archive that errors name.
const CONTENTS: &str = "the contents";

/// Every blob on the lists of a file's releases, carried or not.
#[derive(Debug)]
pub(super) struct Carried {
    /// Digest → index in the contents.
    index: BTreeMap<Digest, usize>,
    absent: BlobList,
}

impl Carried {
    /// Finds each blob, and makes sure that the contents hold what the releases list and nothing else: all of it, unless
    /// the file, called `name` in errors, `is_delta`.
    pub(super) fn of(
        name: &str,
        contents: &Contents,
        releases: &[Release],
        is_delta: bool,
    ) -> Result<Self, Error> {
        let mut listed = BlobList::default();
        releases.iter().flat_map(|release| release.blob_list.iter()).try_for_each(|b| listed.insert(b))?;
        let mut index = BTreeMap::new();
        for (position, entry) in contents.entries.iter().enumerate() {
            let Blob { digest, size } = entry.blob;
            let said = listed.size(&digest);
            if index.insert(digest, position).is_some() || said.is_none() {
                return Err(Malformed::UnlistedBlob { digest }.into());
            }
            if let Some(other) = said.filter(|said| *said != size) {
                let (item, why) = (digest.to_string(), format!("the blob list says {other}"));
                return Err(Malformed::FalseLength { part: CONTENTS, item, length: size, why }.into());
            }
        }
        let mut absent = BlobList::default();
        for blob in listed.iter().filter(|blob| !index.contains_key(&blob.digest)) {
            if !is_delta {
                return Err(Error::MissingBlob { source_name: name.to_owned(), digest: blob.digest });
            }
            absent.insert(blob)?;
        }
        Ok(Self { index, absent })
    }

    pub(super) fn index_of(&self, digest: &Digest) -> Option<usize> {
        self.index.get(digest).copied()
    }
}

impl Bundle {
    /// What its releases list and it does not carry: it is content of the releases that it needs.
    #[must_use]
    pub fn absent(&self) -> &BlobList {
        &self.carried.absent
    }

    /// What one of its releases lists and the file does not carry.
    pub fn absent_of<'a>(&'a self, release: &'a Release) -> impl Iterator<Item = Blob> + 'a {
        release.blob_list.iter().filter(|blob| !self.carries(&blob.digest))
    }

    /// What the file carries of one of its releases, and of none before it.
    pub fn added_by<'a>(&'a self, release: &'a Release) -> impl Iterator<Item = Blob> + 'a {
        let sequence = release.statement.sequence;
        let earlier = move |other: &&Release| other.statement.sequence < sequence;
        let is_new = move |blob: &Blob| {
            self.releases.iter().filter(earlier).all(|other| other.blob_list.size(&blob.digest).is_none())
        };
        release.blob_list.iter().filter(|blob| self.carries(&blob.digest)).filter(is_new)
    }

    /// How a blob is kept in this file. Who packs it again keeps it the same way.
    #[must_use]
    pub fn storing(&self, digest: &Digest) -> Option<Storing> {
        Some(match self.entry(digest).ok()?.encoding {
            Encoding::Chained => Storing::Stored,
            Encoding::Identity => Storing::Squeezed,
        })
    }

    /// Refuses to begin with what needs content that is not here.
    ///
    /// # Errors
    /// [`Error::NotCarried`], [`Error::MissingBlob`].
    pub fn expect_carried<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<(), Error> {
        digests.into_iter().try_for_each(|digest| self.entry(digest).map(drop))
    }

    /// Where a blob lies.
    pub(super) fn entry(&self, digest: &Digest) -> Result<Entry, Error> {
        let source_name = || self.name().to_owned();
        match self.carried.index_of(digest) {
            Some(index) => Ok(self.contents.entries[index]),
            None if self.carried.absent.size(digest).is_some() => Err(Error::NotCarried {
                source_name: source_name(),
                digest: *digest,
                needs: self.packing.needs.iter().map(crate::format::packing::NeededRelease::name).collect(),
            }),
            None => Err(Error::MissingBlob { source_name: source_name(), digest: *digest }),
        }
    }
}
