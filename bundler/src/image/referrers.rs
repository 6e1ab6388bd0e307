//! What refers to a manifest: signatures, SBOMs, attestations, in all the ways in which they are found.
//!
//! - the referrers API of a registry (distribution-spec 1.1, "Listing Referrers"), or the `subject` of what lies in a
//!   layout;
//! - where a registry has no such API, the index that clients keep under a tag made of the digest instead ("Referrers
//!   Tag Schema");
//! - in any case the tags under which cosign keeps what it signs and attests.

use futures_util::future::{join, join_all};

use sealift_archive::reference::is_tag;
use sealift_archive::release::Descriptor;
use sealift_archive::{AnyDigest, Digest};

use super::manifest::{Manifest, Named};
use super::source::Source;
use super::{Content, LockedImage, cosign};
use crate::{Error, image};

/// What cosign puts behind the tag that it makes of a digest.
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];
/// How much of algorithm and digest a tag of the referrers tag schema has, in characters.
const MAX_ALGORITHM: usize = 32;
const MAX_ENCODED: usize = 64;

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
    let cosign = cosign_tags(name).map(by_tag);
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
    let tag = fallback_tag(subject.name());
    // GitLab's registry takes such a tag for the digest, and answers with the subject itself.
    let found = source.tagged(&tag).await?.filter(|found| found.content.digest != subject.digest);
    if let Some(index) = found {
        let known: Vec<AnyDigest> = attached.list.iter().map(|named| named.digest).collect();
        attached.list.extend(index.children.iter().filter(|child| !known.contains(&child.digest)).cloned());
        attached.fallback = Some((tag, index));
    }
    Ok(attached)
}

fn cosign_tags(name: AnyDigest) -> impl Iterator<Item = String> {
    // Of a SHA-512 they would be longer than a tag may be, and cosign has none.
    COSIGN.map(|suffix| cosign::tag(name, suffix)).into_iter().filter(|tag| is_tag(tag))
}

/// The tag under which clients keep the list of what refers to a manifest.
pub(super) fn fallback_tag(name: AnyDigest) -> String {
    let name = name.to_string();
    let (algorithm, encoded) = name.split_once(':').unwrap_or((&name, ""));
    let cut = |text: &str, most| text.chars().take(most).collect::<String>();
    format!("{}-{}", cut(algorithm, MAX_ALGORITHM), cut(encoded, MAX_ENCODED))
}

#[cfg(test)]
mod tests {
    use sealift_archive::Sha512;

    use super::*;

    #[test]
    fn tags_are_made_of_digests_as_others_make_them() {
        let digest = Digest::of(b"");
        let tags: Vec<String> = cosign_tags(digest.into()).collect();
        let stem = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tags, [".sig", ".att", ".sbom"].map(|suffix| format!("{stem}{suffix}")));
        assert_eq!(fallback_tag(digest.into()), stem);

        let long = Sha512::of(b"");
        assert_eq!(cosign_tags(long.into()).count(), 0);
        assert_eq!(
            fallback_tag(long.into()),
            "sha512-cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        );
    }
}
