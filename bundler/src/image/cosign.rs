//! What `cosign save` writes: an OCI layout in which signatures stand beside their image, and an annotation says what they
//! are (cosign, `pkg/oci/layout`). Here they get the tags back that they had in a registry.

use std::collections::HashMap;

use sealift_archive::digest_tag;

use super::manifest::Named;
use super::names::{is_of_digest, names_of};

/// The annotation that says what an entry is.
const KIND: &str = "kind";
/// What it says of entries that belong to an image, and what is behind the digest in their tag.
const KINDS: [(&str, &str); 3] = [
    ("dev.cosignproject.cosign/sigs", ".sig"),
    ("dev.cosignproject.cosign/atts", ".att"),
    ("dev.cosignproject.cosign/sboms", ".sbom"),
];

/// The end of the tag that an entry had; `None` if cosign says of it that it is an image, or nothing.
pub(super) fn suffix(named: &Named) -> Option<&'static str> {
    let kind = named.annotations.get(KIND)?;
    KINDS.iter().find(|(known, _)| known == kind).map(|&(_, suffix)| suffix)
}

/// The entry that had this tag.
pub(super) fn tagged<'a>(entries: &'a [Named], wanted: &str) -> Option<&'a Named> {
    let had = |named: &Named| digest_tag::with_suffix(subject(entries, named)?.digest, suffix(named)?);
    entries.iter().find(|named| had(named).is_some_and(|tag| tag == wanted))
}

/// Refuses signatures of nobody knows which image, and two that had one tag.
pub(super) fn expect_clear(entries: &[Named]) -> Result<(), String> {
    let mut known = HashMap::new();
    for named in entries {
        let Some(suffix) = suffix(named) else { continue };
        let Some(subject) = subject(entries, named) else {
            let whose = "is of none of its images, or could be of several";
            return Err(format!("it holds {} of cosign (`{suffix}`), which {whose}", named.digest));
        };
        match known.insert((subject.digest, suffix), named.digest) {
            Some(other) if other != named.digest => {
                return Err(format!(
                    "it holds two `{suffix}` of {}: {other} and {}",
                    subject.digest, named.digest
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The image that `attached` belongs to: one of the same name if it has a name, or else the only one.
fn subject<'a>(entries: &'a [Named], attached: &Named) -> Option<&'a Named> {
    let is_named = names_of(attached).next().is_some();
    let is_meant = |image: &&Named| {
        !is_named || names_of(image).any(|name| names_of(attached).any(|other| name == other))
    };
    let mut images = entries.iter().filter(|e| suffix(e).is_none() && !is_of_digest(e)).filter(is_meant);
    let first = images.next()?;
    images.all(|other| other.digest == first.digest).then_some(first)
}

#[cfg(test)]
mod tests {
    use sealift_archive::{AnyDigest, Blob, Digest};

    use super::super::layout::REF_NAME;
    use super::*;

    fn entry(content: &str, kind: &str, name: &str) -> Named {
        let mut named =
            Named::new("application/vnd.oci.image.manifest.v1+json", Blob::of(content.as_bytes()));
        named.annotations.insert(KIND.to_owned(), format!("dev.cosignproject.cosign/{kind}"));
        if !name.is_empty() {
            named.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        named
    }

    fn leads_to(entries: &[Named], image: &str, suffix: &str) -> Option<AnyDigest> {
        let tag = digest_tag::with_suffix(Digest::of(image.as_bytes()).into(), suffix).unwrap();
        tagged(entries, &tag).map(|named| named.digest)
    }

    #[test]
    fn signatures_are_of_the_only_image_or_of_that_of_their_name() {
        let digest = |content: &str| Some(AnyDigest::from(Digest::of(content.as_bytes())));
        let alone = [entry("image", "imageIndex", ""), entry("sigs", "sigs", ""), entry("atts", "atts", "")];
        expect_clear(&alone).unwrap();
        assert_eq!(leads_to(&alone, "image", ".sig"), digest("sigs"));
        assert_eq!(leads_to(&alone, "image", ".att"), digest("atts"));
        assert_eq!(leads_to(&alone, "image", ".sbom"), None);
        assert_eq!(leads_to(&alone, "other", ".sig"), None);

        let two = [
            entry("image", "image", "1"),
            entry("sigs", "sigs", "1"),
            entry("other", "image", "2"),
            entry("of the other", "sigs", "2"),
        ];
        expect_clear(&two).unwrap();
        assert_eq!(leads_to(&two, "image", ".sig"), digest("sigs"));
        assert_eq!(leads_to(&two, "other", ".sig"), digest("of the other"));
        for (unclear, expected) in
            [(entry("more", "sigs", ""), "could be of several"), (entry("more", "sigs", "1"), "two `.sig`")]
        {
            let said = expect_clear(&[&two[..], &[unclear]].concat()).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
