//! What a delta presumes: content of other releases, which has to be here before anything else is looked at.

use std::collections::BTreeSet;

use sealift_archive::{Blob, Release, Source};
use sealift_store::Store;

use crate::Error;

/// Refuses a source that does not carry all that is missing here of these releases.
///
/// # Errors
/// [`Error::BaseMissing`], or I/O.
pub(super) fn expect_at_hand(store: &Store, source: &dyn Source, releases: &[&Release]) -> Result<(), Error> {
    let missing = releases.iter().flat_map(|release| store.missing(&release.blob_list));
    let absent: BTreeSet<Blob> = missing.filter(|blob| !source.carries(&blob.digest)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let (mut not_here, mut not_whole) = (Vec::new(), Vec::new());
    for needed in source.needs() {
        let here = store.releases()?.into_iter().find(|release| release.digest() == needed.statement);
        match here {
            None => not_here.push(needed.name()),
            Some(release) if !store.is_complete(&release)? => not_whole.push(needed.name()),
            Some(_) => {}
        }
    }
    Err(Error::BaseMissing {
        source_name: source.name().to_owned(),
        not_here,
        not_whole,
        blobs: absent.len(),
        bytes: absent.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size)),
    })
}
