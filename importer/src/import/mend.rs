//! Bringing back what a check of the store found to be damaged or missing, in one pass over a source.
//!
//! Releases that are here, with the same statement, get back the content and the documents that the source has of them; no
//! release is added, and none becomes active. What the source does not have stays missing.

use std::collections::BTreeSet;

use sealift_archive::{Digest, Progress, Release, Source};
use sealift_store::{Need, State, Store, StoredRelease, Subject, Verdict, Writer};
use serde::Serialize;

use super::execute::take_in;
use crate::Error;

/// What a source can bring back.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mend {
    /// Where it comes from.
    pub source: String,
    /// The releases that it has and that are not whole.
    pub releases: Vec<Subject>,
    /// What it has of their missing content.
    #[serde(flatten)]
    pub need: Need,
}

/// Says what `source` can bring back of what a check found, after changed content was removed; removes what the disk does not
/// give out, if the source has it.
///
/// # Errors
/// The archive's `NoSpace`, or I/O.
pub fn plan_mend(
    store: &Writer,
    source: &dyn Source,
    source_name: &str,
    verdict: &Verdict,
) -> Result<Mend, Error> {
    let here: BTreeSet<Digest> = store.releases()?.iter().map(StoredRelease::digest).collect();
    let lists = source.releases().iter().filter(|release| here.contains(&release.digest()));
    let lists: Vec<_> = lists.map(|release| &release.blob_list).collect();
    store.remove_unreadable(verdict, |digest| {
        source.carries(digest) && lists.iter().any(|list| list.size(digest).is_some())
    })?;
    let mut damaged = Vec::new();
    for release in source.releases() {
        if is_damaged(store, release, verdict)? {
            damaged.push(release);
        }
    }
    let need = store.need_of(&damaged, |digest| source.carries(digest))?;
    if !damaged.is_empty() {
        store.expect_room(&need)?;
    }
    let subject = |release: &&Release| Subject::new(&release.statement, release.digest());
    Ok(Mend { source: source_name.to_owned(), releases: damaged.iter().map(subject).collect(), need })
}

/// Whether a release of the source is here, and something was found to be wrong with it.
fn is_damaged(store: &Store, release: &Release, verdict: &Verdict) -> Result<bool, Error> {
    let is_it = |here: &StoredRelease| here.digest() == release.digest();
    let Some(here) = store.releases()?.into_iter().find(is_it) else { return Ok(false) };
    Ok(matches!(here.state(), State::Failed { .. })
        || !store.is_complete(&here)?
        || verdict.findings.iter().any(|finding| finding.path.starts_with(here.dir())))
}

/// Brings it back. A release of which something stays missing keeps what has come, like an import that was interrupted.
///
/// # Errors
/// Damage in the source, a full disk, the archive's `Interrupted`, or I/O.
pub fn mend(writer: &Writer, source: &dyn Source, plan: &Mend, progress: &dyn Progress) -> Result<(), Error> {
    let wanted = plan.releases.iter().map(|release| release.digest).collect();
    let is_whole = |release: &Release| writer.missing(&release.blob_list).is_empty();
    take_in(writer, source, &wanted, &plan.source, &plan.need, progress, is_whole)
}
