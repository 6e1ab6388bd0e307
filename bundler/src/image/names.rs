//! What the images of a layout are called (image-layout.md, and what containerd and Docker add to it).

use sealift_archive::{Reference, digest_tag};

use super::layout::{IMAGE_NAME, REF_NAME};
use super::manifest::Named;

/// What to call an entry in a message.
pub(super) fn shown(named: &Named) -> String {
    names_of(named).next().map_or_else(|| named.digest.to_string(), |name| name.escape_debug().to_string())
}

/// Whether an entry is called by a tag that was made of a digest, as those are by which signatures are found.
pub(super) fn is_of_digest(named: &Named) -> bool {
    tags(named).any(|tag| digest_tag::is_one(&tag))
}

/// The tags of an entry: of its full names, or the names themselves.
pub(super) fn tags(named: &Named) -> impl Iterator<Item = String> {
    names_of(named).filter_map(|name| match full(name) {
        Some(full) => full.tag().map(str::to_owned),
        None => Some(name.to_owned()),
    })
}

/// A name that is more than a tag.
fn full(name: &str) -> Option<Reference> {
    name.contains(['/', ':']).then(|| name.parse().ok()).flatten()
}

pub(super) fn names_of(named: &Named) -> impl Iterator<Item = &str> {
    [IMAGE_NAME, REF_NAME].into_iter().filter_map(|key| named.annotations.get(key).map(String::as_str))
}

/// The entries that `wanted` names: by digest or full name; else a bare tag by the tag of their names, or a full name by
/// the tag alone of entries that have no full name.
pub(super) fn called<'a>(entries: &'a [Named], wanted: &str) -> Vec<&'a Named> {
    let wanted_full = full(wanted);
    let is_exactly = |named: &&Named| {
        named.digest.to_string() == wanted
            || names_of(named)
                .any(|name| name == wanted || (wanted_full.is_some() && full(name) == wanted_full))
    };
    let exactly: Vec<_> = entries.iter().filter(is_exactly).collect();
    if !exactly.is_empty() {
        return exactly;
    }
    let by_tag = |named: &&Named| match wanted_full.as_ref().map(Reference::tag) {
        None => names_of(named).any(|name| full(name).is_some_and(|name| name.tag() == Some(wanted))),
        Some(tag) => {
            names_of(named).all(|name| full(name).is_none()) && names_of(named).any(|name| Some(name) == tag)
        }
    };
    entries.iter().filter(by_tag).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sealift_archive::Digest;
    use serde_json::json;

    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    #[test]
    fn an_entry_is_found_by_what_it_is_called() {
        let entry = |number: u8, names: &[(&str, &str)]| {
            let value = json!({
                "mediaType": MANIFEST, "digest": Digest::of(&[number]), "size": 1,
                "annotations": names.iter().copied().collect::<HashMap<_, _>>(),
            });
            Named::read(&serde_json::from_value(value).unwrap()).unwrap()
        };
        let entries = [
            entry(0, &[(REF_NAME, "1.5")]),
            entry(1, &[(REF_NAME, "2.0"), (IMAGE_NAME, "ghcr.io/other/thing:2.0")]),
            entry(2, &[(IMAGE_NAME, "docker.io/library/web:3.0")]),
        ];
        let digest = Digest::of(&[1]).to_string();
        let cases: [(&str, &[usize]); 8] = [
            ("1.5", &[0]),
            ("ghcr.io/acme/api:1.5", &[0]),
            ("2.0", &[1]),
            ("ghcr.io/other/thing:2.0", &[1]),
            ("ghcr.io/acme/api:2.0", &[]),
            ("web:3.0", &[2]),
            ("3.0", &[2]),
            (&digest, &[1]),
        ];
        for (wanted, expected) in cases {
            let found: Vec<usize> = called(&entries, wanted)
                .iter()
                .map(|found| entries.iter().position(|e| e == *found).unwrap())
                .collect();
            assert_eq!(found, expected, "{wanted}");
        }
    }
}
