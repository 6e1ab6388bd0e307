//! The releases that are published in a place, as far as those who may sign releases have signed them.

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::format::MAX_FRONT_PLAIN_BYTES;
use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::release::{CurrentRelease, MAX_EARLIER};
use sealift_archive::trust::{RoleName, Trusted};
use sealift_archive::{
    Blob, BlobList, Digest, Error as ArchiveError, Product, Progress, Sequence, Statement, Version,
};

use super::{Error as PublishError, Place};
use crate::Error;

/// A release that is published.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) statement: Statement,
    pub(super) digest: Digest,
}

impl Entry {
    /// As a channel names it.
    pub(super) fn named(&self) -> CurrentRelease {
        let Statement { version, sequence, .. } = &self.statement;
        CurrentRelease { version: version.clone(), sequence: *sequence, statement: self.digest }
    }
}

/// All of them, by rising sequence.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) entries: Vec<Entry>,
    /// What is wrong with the others.
    refused: Vec<Error>,
}

impl Catalog {
    /// Reads every statement that is published.
    pub(super) fn read(place: &dyn Place, trusted: &Trusted) -> Result<Self, Error> {
        let mut catalog = Self::default();
        for digest in place.releases()? {
            match entry(place, digest, trusted) {
                Ok(entry) => catalog.entries.extend(entry),
                // Others may be as they should be.
                Err(Error::Archive(error))
                    if !matches!(error, ArchiveError::Interrupted | ArchiveError::Io(_)) =>
                {
                    catalog.refused.push(error.into());
                }
                Err(error) => return Err(error),
            }
        }
        catalog.entries.sort_by_key(|entry| entry.statement.sequence);
        Ok(catalog)
    }

    /// The newest release of this version, of this product if one is known already.
    ///
    /// # Errors
    /// [`PublishError::NotPublished`]; what is wrong with the releases that could not be read, if there are some.
    pub(super) fn find(
        &self,
        place: &dyn Place,
        version: &Version,
        product: Option<&Product>,
    ) -> Result<&Entry, Error> {
        let is_meant = |entry: &&Entry| {
            entry.statement.version == *version
                && product.is_none_or(|product| entry.statement.product == *product)
        };
        let found = self.entries.iter().rev().find(is_meant);
        found.ok_or_else(|| self.not_published(place, version.to_string()))
    }

    /// The release that a channel of this product names as current, or as an earlier one.
    ///
    /// # Errors
    /// [`PublishError::NotPublished`].
    pub(super) fn named(
        &self,
        place: &dyn Place,
        product: &Product,
        named: &CurrentRelease,
    ) -> Result<&Entry, Error> {
        let is_it = |entry: &&Entry| entry.statement.product == *product && entry.named() == *named;
        self.entries
            .iter()
            .find(is_it)
            .ok_or_else(|| self.not_published(place, format!("{} ({})", named.version, named.statement)))
    }

    fn not_published(&self, place: &dyn Place, wanted: String) -> Error {
        let releases = self.entries.iter().map(|entry| entry.statement.name()).collect();
        PublishError::NotPublished { wanted, place: place.name().to_owned(), releases }.into()
    }

    /// What could not be believed, in words.
    pub(super) fn refused(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(ToString::to_string)
    }

    /// The releases from which appliances get to `goal` by the steps that are allowed, by rising sequence: the newest
    /// ones, if they are too many to be named. Those below `floor` are no steps.
    pub(super) fn way_to(&self, goal: &Entry, floor: Sequence) -> Vec<CurrentRelease> {
        let mut found: BTreeMap<Sequence, &Entry> = BTreeMap::new();
        let mut open = vec![goal];
        while let Some(next) = open.pop() {
            for version in &next.statement.upgrade_from {
                let is_before = |entry: &&Entry| {
                    let Statement { product, version: its, sequence, .. } = &entry.statement;
                    *product == goal.statement.product
                        && its == version
                        && (floor..next.statement.sequence).contains(sequence)
                };
                if let Some(before) = self.entries.iter().rev().find(is_before)
                    && found.insert(before.statement.sequence, before).is_none()
                {
                    open.push(before);
                }
            }
        }
        let skipped = found.len().saturating_sub(MAX_EARLIER);
        found.into_values().skip(skipped).map(Entry::named).collect()
    }
}

/// Reads one; `None` if it has gone meanwhile.
fn entry(place: &dyn Place, digest: Digest, trusted: &Trusted) -> Result<Option<Entry>, Error> {
    let part = Published::Release(digest);
    let name = part.path();
    let Some(bytes) = place.read(part)? else { return Ok(None) };
    let Envelope { document, signatures } = Envelope::parse(&name, &bytes)?;
    let found = Digest::of(&document);
    if found != digest {
        return Err(ArchiveError::WrongContent { wanted: digest, found }.into());
    }
    trusted.check(&name, &document, RoleName::Release, &signatures)?;
    Ok(Some(Entry { statement: Statement::parse(&name, &document)?, digest }))
}

/// Refuses releases of which anything is missing or damaged. What they share is looked at once.
///
/// # Errors
/// [`PublishError::NotWhole`], or what the place says.
pub(super) fn expect_whole(
    place: &dyn Place,
    entries: &[&Entry],
    progress: &dyn Progress,
) -> Result<(), Error> {
    let not_whole = |entry: &Entry, count: usize, first: Digest| {
        let (release, place) = (Box::new(entry.statement.name()), place.name().to_owned());
        Error::from(PublishError::NotWhole { release, place, count, first })
    };
    let mut contents: Vec<(&Entry, BTreeSet<Blob>)> = Vec::new();
    for entry in entries {
        let Statement { blob_list, refs, .. } = &entry.statement;
        let text = list_text(place, blob_list.digest, blob_list.max_text_bytes())?
            .ok_or_else(|| not_whole(entry, 1, blob_list.digest))?;
        let list = BlobList::parse(&blob_list.digest.to_string(), &text)?;
        contents.push((entry, list.iter().chain([*refs]).collect()));
    }
    let all: BTreeSet<Blob> = contents.iter().flat_map(|(_, blobs)| blobs).copied().collect();
    let missing = place.missing(&all.into_iter().collect::<Vec<_>>(), progress)?;
    for (entry, blobs) in contents {
        let lacks: BTreeSet<Digest> =
            blobs.iter().map(|blob| blob.digest).filter(|digest| missing.contains(digest)).collect();
        if let Some(first) = lacks.first() {
            return Err(not_whole(entry, lacks.len(), *first));
        }
    }
    Ok(())
}

/// A blob list whose length the statement does not tell; `None` if it is not there, or damaged.
fn list_text(place: &dyn Place, digest: Digest, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let text = place.blob(digest, most.min(MAX_FRONT_PLAIN_BYTES))?;
    Ok(text.filter(|text| Digest::of(text) == digest))
}

#[cfg(test)]
mod tests {
    use sealift_archive::ReleaseName;
    use sealift_archive::release::BlobListSummary;

    use super::*;

    /// Releases as `(version, sequence, upgrade_from)`.
    fn catalog(releases: &[(&str, u64, &[&str])]) -> Catalog {
        let entries = releases.iter().map(|(version, sequence, upgrade_from)| {
            let name = ReleaseName {
                product: "acme".parse().unwrap(),
                version: version.parse().unwrap(),
                sequence: (*sequence).try_into().unwrap(),
            };
            let list = BlobListSummary::of(&BlobList::default());
            let mut statement = Statement::new(name, list, Blob::of(b"{}"));
            statement.upgrade_from = upgrade_from.iter().map(|version| version.parse().unwrap()).collect();
            Entry { digest: Digest::of(&statement.to_bytes()), statement }
        });
        Catalog { entries: entries.collect(), refused: Vec::new() }
    }

    #[test]
    fn the_way_leads_over_what_is_published() {
        type Case<'a> = (&'a str, &'a [(&'a str, u64, &'a [&'a str])], u64, &'a [u64]);
        let cases: [Case<'_>; 7] = [
            ("alone", &[("3", 3, &["2"])], 1, &[]),
            ("all steps", &[("1", 1, &[]), ("2", 2, &["1"]), ("3", 3, &["2"])], 1, &[1, 2]),
            ("what is withdrawn is none", &[("1", 1, &[]), ("2", 2, &["1"]), ("3", 3, &["2"])], 2, &[2]),
            ("what no step leads from", &[("1", 1, &[]), ("2", 2, &[]), ("3", 3, &["2"])], 1, &[2]),
            ("a gap", &[("1", 1, &[]), ("3", 3, &["2"])], 1, &[]),
            ("a version twice: the newer", &[("1", 1, &[]), ("1", 2, &[]), ("3", 3, &["1"])], 1, &[2]),
            ("two ways", &[("1", 1, &[]), ("2", 2, &["1"]), ("3", 3, &["1", "2"])], 1, &[1, 2]),
        ];
        for (name, releases, floor, expected) in cases {
            let catalog = catalog(releases);
            let goal = catalog.entries.last().unwrap();
            let way = catalog.way_to(goal, floor.try_into().unwrap());
            let found: Vec<u64> = way.iter().map(|release| release.sequence.get()).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn of_a_long_way_the_newest_steps_are_named() {
        let versions: Vec<String> = (0..=40).map(|number| number.to_string()).collect();
        let from: Vec<[&str; 1]> = versions.iter().map(|version| [version.as_str()]).collect();
        let releases: Vec<(&str, u64, &[&str])> =
            (1..=40).map(|i| (versions[i].as_str(), i as u64, from[i - 1].as_slice())).collect();
        let catalog = catalog(&releases);
        let way = catalog.way_to(catalog.entries.last().unwrap(), Sequence::FIRST);
        let found: Vec<u64> = way.iter().map(|release| release.sequence.get()).collect();
        assert_eq!(found, (40 - MAX_EARLIER as u64..40).collect::<Vec<_>>());
    }
}
