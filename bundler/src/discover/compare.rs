//! What was found against what a release has.

use std::collections::BTreeSet;

use sealift_archive::Reference;

use super::{Found, Mention, Need};

/// The mentions that a release has to have and lacks. `names` are all its references: images, and charts and artifacts under their own names.
///
/// A mention by digest is satisfied by that digest in the same repository; by the same tag only if the release does not say what the tag stands for.
/// A mention by tag is satisfied by that tag.
#[must_use]
pub fn missing<'f>(found: &'f Found, names: &BTreeSet<Reference>) -> Vec<&'f Mention> {
    let lacks = |mention: &&Mention| match mention.reference.parse() {
        Ok(wanted) => !names.iter().any(|name| satisfies(name, &wanted)),
        // Not even a reference as we know it (a sha512 digest): no release can have it.
        Err(_) => true,
    };
    found.mentions.iter().filter(|mention| mention.need == Need::Required).filter(lacks).collect()
}

/// The names of a release that nothing mentions, not even something that is switched off.
#[must_use]
pub fn unnamed<'n>(found: &Found, names: &'n BTreeSet<Reference>) -> Vec<&'n Reference> {
    let mentioned: Vec<Reference> =
        found.mentions.iter().filter_map(|mention| mention.reference.parse().ok()).collect();
    names.iter().filter(|name| !mentioned.iter().any(|wanted| satisfies(name, wanted))).collect()
}

/// Whether whoever pulls `wanted` gets it from a release that has `name`.
fn satisfies(name: &Reference, wanted: &Reference) -> bool {
    let same_tag = wanted.tag().is_some() && name.tag() == wanted.tag();
    (name.host(), name.repository()) == (wanted.host(), wanted.repository())
        && match (wanted.digest(), name.digest()) {
            (Some(wanted), Some(name)) => wanted == name,
            _ => same_tag,
        }
}

#[cfg(test)]
mod tests {
    use super::super::{How, Kind, Place};
    use super::*;

    const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    fn mention(reference: &str, need: Need) -> Mention {
        let place = Place { file: "a.yaml".into(), line: None, path: None };
        Mention { reference: reference.into(), place, how: How::Manifest, need, kind: Kind::Image }
    }

    #[test]
    fn a_release_has_what_it_can_answer_for() {
        let cases = [
            ("nginx", "docker.io/library/nginx:latest".to_owned(), true),
            ("nginx:1", "nginx:2".to_owned(), false),
            ("ghcr.io/a/b:1", "quay.io/a/b:1".to_owned(), false),
            ("a/b:1", format!("a/b:1@{ONE}"), true),
            ("a/b:1", format!("a/b@{ONE}"), false),
            (&format!("a/b@{ONE}"), format!("a/b:1@{ONE}"), true),
            (&format!("a/b:2@{ONE}"), format!("a/b:1@{ONE}"), true),
            (&format!("a/b:1@{ONE}"), format!("a/b:1@{TWO}"), false),
            (&format!("a/b:1@{ONE}"), "a/b:1".to_owned(), true),
            (&format!("a/b@{ONE}"), "a/b:1".to_owned(), false),
            ("a/b@sha512:00", "a/b:1".to_owned(), false),
        ];
        for (wanted, name, expected) in cases {
            let found = Found { mentions: vec![mention(wanted, Need::Required)], warnings: Vec::new() };
            let names: BTreeSet<Reference> = [name.parse().unwrap()].into();
            assert_eq!(missing(&found, &names).is_empty(), expected, "{wanted} from {name}");
            assert_eq!(unnamed(&found, &names).is_empty(), expected, "{wanted} from {name}");
        }
    }

    #[test]
    fn what_is_switched_off_is_not_missed_and_not_unnamed() {
        let found = Found { mentions: vec![mention("a/b:1", Need::Optional)], warnings: Vec::new() };
        assert!(missing(&found, &BTreeSet::new()).is_empty());
        assert!(unnamed(&found, &["a/b:1".parse().unwrap()].into()).is_empty());
    }
}
