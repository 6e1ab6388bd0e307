//! `sealift publish` and `promote`: releases where appliances that are online fetch them, and the channels that say which one
//! is current.
//!
//! A [`Place`] is a folder or a repository of a registry; both hold the same parts (`archive/FORMAT.md`, 3.7). Content comes
//! first and the statement that names it last, so a release that is published is whole; a run that was interrupted leaves
//! only content, and the next one goes on behind it. Nothing of this moves a channel: [`promote`] does.

mod catalog;
mod directory;
mod draft;
mod error;
mod manifest;
mod past;
mod place;
mod promote;
mod repository;
mod rules;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use sealift_archive::release::published::Published;
use sealift_archive::trust::{Signature, Signatures};
use sealift_archive::{Blob, Bundle, Digest, Progress, Release, ReleaseName, Source as _};

use crate::Error as CommandError;
use crate::bundle::Tally;
use crate::trust::Folder;
pub use draft::Draft;
pub use error::Error;
use place::settle;
pub use place::{Content, Place, Purpose, open};
pub use promote::{Change, Outcome, Promoted, promote, publish_draft};
pub use rules::Lifetime;
pub use show::{Shown, Standing, show};

/// Documents that are published as blobs and are none in a bundle, by digest.
pub type Documents = BTreeMap<Digest, Vec<u8>>;

/// What publishing a bundle comes to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Where to.
    pub place: String,
    /// The releases of the bundle, by rising sequence.
    pub releases: Vec<ReleaseName>,
    /// Their content, lists and `refs.json` included.
    pub content: Tally,
    /// What of it is missing or damaged there.
    pub to_bring: Tally,
}

/// A bundle, compared with what is published.
#[derive(Debug)]
pub struct Planned {
    /// What is to be done.
    pub plan: Plan,
    content: Arc<Content>,
    /// What is missing.
    to_bring: Vec<Blob>,
    signatures: Signatures,
}

/// What has been published.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// What was to be done.
    #[serde(flatten)]
    pub plan: Plan,
    /// Digests of the statements.
    pub statements: Vec<Digest>,
    /// Envelopes that were written; those that were there already are not.
    pub envelopes: Vec<String>,
}

/// Compares the releases of a bundle with what is there. All that is there is checked.
///
/// # Errors
/// The archive's `NotCarried`, if content of a delta is nowhere; what the place says.
pub fn plan(bundle: Bundle, place: &dyn Place, progress: &dyn Progress) -> Result<Planned, CommandError> {
    let mut documents = Documents::new();
    for release in bundle.releases() {
        documents.extend(documents_of(release).into_iter().map(|bytes| (Digest::of(&bytes), bytes)));
    }
    let mut blobs: BTreeSet<Blob> =
        bundle.releases().iter().flat_map(|release| release.blob_list.iter()).collect();
    blobs.extend(documents.values().map(|bytes| Blob::of(bytes)));
    let blobs: Vec<Blob> = blobs.into_iter().collect();
    let missing = place.missing(&blobs, progress)?;
    bundle.expect_carried(missing.iter().filter(|digest| !documents.contains_key(digest)))?;
    let to_bring: Vec<Blob> = blobs.iter().filter(|blob| missing.contains(&blob.digest)).copied().collect();
    let plan = Plan {
        place: place.name().to_owned(),
        releases: bundle.releases().iter().map(|release| release.statement.name()).collect(),
        content: Tally::of(blobs.iter().copied()),
        to_bring: Tally::of(to_bring.iter().copied()),
    };
    let signatures = bundle.signatures().into_iter().collect();
    Ok(Planned { plan, content: Arc::new(Content { bundle, documents }), to_bring, signatures })
}

/// What [`plan`] looks at, in bytes.
#[must_use]
pub fn content_bytes(bundle: &Bundle) -> u64 {
    let blobs: BTreeSet<Blob> =
        bundle.releases().iter().flat_map(|release| release.blob_list.iter()).collect();
    blobs.iter().map(|blob| blob.size).sum()
}

impl Planned {
    /// Brings what is missing, checks it, and then publishes the statements and the trust root's versions, those of the
    /// bundle and those of the folder.
    ///
    /// # Errors
    /// [`Error::OtherRoot`], before anything is written; damage of the bundle; what the place says.
    pub fn execute(
        self,
        trust: &Folder,
        place: &dyn Place,
        progress: &Arc<dyn Progress>,
    ) -> Result<Done, CommandError> {
        let mut envelopes = publish_roots(trust, place)?;
        let bundle = &self.content.bundle;
        for root in bundle.roots().iter() {
            envelopes.extend(publish_root(place, root.version(), root.bytes(), &self.signatures)?);
        }
        if !self.to_bring.is_empty() {
            place.bring(&self.to_bring, &self.content, progress)?;
        }
        let mut statements = Vec::new();
        for release in bundle.releases() {
            let statement = release.digest();
            place.keep(statement, &all_blobs(release))?;
            let part = Published::Release(statement);
            if settle(place, part, &release.statement_bytes, &counting(release))? {
                envelopes.push(part.path());
            }
            statements.push(statement);
        }
        Ok(Done { plan: self.plan, statements, envelopes })
    }
}

/// Publishes the versions of a trust root; returns the names of those that were not there.
///
/// # Errors
/// [`Error::OtherRoot`], or what the place says.
fn publish_roots(trust: &Folder, place: &dyn Place) -> Result<Vec<String>, CommandError> {
    let (chain, signatures) = trust.carried()?;
    let mut written = Vec::new();
    for root in chain.iter() {
        written.extend(publish_root(place, root.version(), root.bytes(), &signatures)?);
    }
    Ok(written)
}

fn publish_root(
    place: &dyn Place,
    version: u64,
    bytes: &[u8],
    signatures: &Signatures,
) -> Result<Option<String>, CommandError> {
    let part = Published::Root(version);
    let there = place.read(part)?;
    // One that cannot be read as an envelope is damaged, and nobody's.
    let there = there
        .and_then(|bytes| sealift_archive::release::published::Envelope::parse(&part.path(), &bytes).ok());
    if there.is_some_and(|there| there.document != bytes) {
        return Err(Error::OtherRoot { place: place.name().to_owned(), version }.into());
    }
    Ok(settle(place, part, bytes, signatures)?.then(|| part.path()))
}

/// The signatures of those who have the role now.
fn counting(release: &Release) -> Signatures {
    let counts = |signature: &&Signature| release.signers.contains(&signature.key);
    release.signatures.iter().filter(counts).cloned().collect()
}

fn documents_of(release: &Release) -> [Vec<u8>; 2] {
    [release.blob_list.to_text().into_bytes(), release.refs_bytes.clone()]
}

/// All that is published of a release beside its statement.
fn all_blobs(release: &Release) -> Vec<Blob> {
    let mut blobs: BTreeSet<Blob> = release.blob_list.iter().collect();
    blobs.extend(documents_of(release).iter().map(|bytes| Blob::of(bytes)));
    blobs.into_iter().collect()
}
