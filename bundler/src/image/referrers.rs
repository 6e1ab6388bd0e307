//! What refers to a manifest: signatures, SBOMs, attestations, in all the ways in which they are found.
//!
//! - the referrers API of a registry (distribution-spec 1.1, "Listing Referrers"), or the `subject` of what lies in a
//!   layout;
//! - where a registry has no such API, the index that clients keep under a tag made of the digest instead ("Referrers
//!   Tag Schema");
//! - in any case the tags under which cosign keeps what it signs and attests.

use futures_util::future::{join, join_all};

use sealift_archive::release::Descriptor;
use sealift_archive::{AnyDigest, Digest, digest_tag};

use super::manifest::{Manifest, Named};
use super::source::Source;
use super::{Content, LockedImage};
use crate::{Error, image};

/// What cosign puts behind the tag that it makes of a digest.
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];
/// What refers to one manifest.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// The manifests that have it as their subject, in the order of the source.
    pub(super) list: Vec<Named>,
    /// Whether a registry is to answer with these very descriptors. Else they are made anew, as a registry would: lists
    /// that clients keep often lack what they should have.
    pub(super) is_exact: bool,
    /// The index with that list that clients keep where there is no referrers API, and its tag.
    pub(super) fallback: Option<(String, Manifest)>,
    /// What cosign's tags lead to.
    pub(super) tags: Vec<(String, Manifest)>,
}

impl Attached {
    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.fallback.is_none() && self.tags.is_empty()
    }

    /// How much the list holds, in bytes.
    pub(super) fn list_bytes(&self) -> u64 {
        self.list.iter().map(Named::held_bytes).sum()
    }

    /// All tags, and what they lead to.
    pub(super) fn all_tags(&self) -> impl Iterator<Item = (&str, Digest)> {
        let tags = self.fallback.iter().chain(&self.tags);
        tags.map(|(tag, manifest)| (tag.as_str(), manifest.content.digest))
    }

    /// Whether the lock has just this list for `subject`.
    pub(super) fn is_listed_in(&self, known: &LockedImage, subject: &Content) -> bool {
        let known = known.referrers.get(&subject.digest).map_or(&[][..], Vec::as_slice);
        let is_same = |(found, known): (&Named, &Descriptor)| match found.descriptor() {
            Some(found) if self.is_exact => found == *known,
            Some(found) => found.digest == known.digest,
            None => false,
        };
        known.len() == self.list.len() && self.list.iter().zip(known).all(is_same)
    }
}

/// Everything that refers to `subject`. A source that fails or refuses never looks like one that has nothing.
pub(super) async fn attached(source: &Source<'_>, subject: &Content) -> Result<Attached, Vec<Error>> {
    let name = subject.name();
    let about = |cause| {
        Error::from(image::Error::Referrers { subject: source.name_of(name), cause: Box::new(cause) })
    };
    let by_tag =
        |tag: String| async move { source.tagged(&tag).await.map(|found| found.map(|found| (tag, found))) };
    let cosign = COSIGN.iter().filter_map(|suffix| digest_tag::with_suffix(name, suffix)).map(by_tag);
    let (list, tags) = join(list(source, subject), join_all(cosign)).await;
    let mut errors = Vec::new();
    let mut attached = list.unwrap_or_else(|error| {
        errors.push(about(error));
        Attached::default()
    });
    for found in tags {
        match found {
            Ok(found) => attached.tags.extend(found),
            Err(error) => errors.push(about(error)),
        }
    }
    if errors.is_empty() { Ok(attached) } else { Err(errors) }
}

/// The manifests that have `subject` as their subject, and the tag under which that is kept.
async fn list(source: &Source<'_>, subject: &Content) -> Result<Attached, Error> {
    let mut attached = Attached::default();
    match source {
        Source::Registry { client, reference } => {
            if let Some(listed) = client.referrers(reference, subject.name()).await? {
                let read = |descriptor| {
                    Named::read(descriptor).map_err(|why| {
                        let why = format!("what refers to it cannot be carried: {why}");
                        image::Error::BadImage { image: source.name_of(subject.name()), why }
                    })
                };
                attached.list = listed.iter().map(read).collect::<Result<_, _>>()?;
                attached.is_exact = true;
                return Ok(attached);
            }
        }
        Source::Local(layout) => attached.list = layout.referrers(subject)?,
    }
    let tag = digest_tag::of(subject.name());
    // GitLab's registry takes such a tag for the digest, and answers with the subject itself.
    let found = source.tagged(&tag).await?.filter(|found| found.content.digest != subject.digest);
    if let Some(index) = found {
        let known: Vec<AnyDigest> = attached.list.iter().map(|named| named.digest).collect();
        attached.list.extend(index.children.iter().filter(|child| !known.contains(&child.digest)).cloned());
        attached.fallback = Some((tag, index));
    }
    Ok(attached)
}
