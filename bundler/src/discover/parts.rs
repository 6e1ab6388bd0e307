//! Images that are written in parts: registry, repository, tag and digest under keys of their own.
//!
//! The parts of one image share what stands before the part's own word: `registry` and `tag`, `sidecarImageRepository` and `sidecarImageTag`,
//! `RELOADER_IMAGE_REPO` and `RELOADER_IMAGE_TAG`. So the same rule reads maps of values, environment variables and flags.

use super::reference::{is_image_key, is_pinned, plain_key, put_together};

/// The words of each part, the longer of two that end alike first.
const WORDS: [(&str, Part); 9] = [
    ("registry", Part::Registry),
    ("repository", Part::Repository),
    ("repo", Part::Repository),
    ("tag", Part::Tag),
    ("version", Part::Version),
    ("digest", Part::Digest),
    ("sha", Part::Digest),
    ("name", Part::Name),
    ("image", Part::Name),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Registry,
    Repository,
    /// `name: acme/api` beside a tag; `image: acme/api` beside `tag: "1.0"`.
    Name,
    Tag,
    /// `IMAGE_VERSION`; a mere `version` says nothing of images.
    Version,
    Digest,
}

/// A key and its text, which may be empty; anything but a scalar is `None`.
pub(super) type Pair<'a> = (&'a str, Option<String>);

/// What fills a gap.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// For a tag that is empty or absent: a chart's `appVersion`.
    pub(super) tag: Option<String>,
    /// Instead of any registry: `global.imageRegistry`.
    pub(super) registry: Option<String>,
}

/// An image that was written in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assembled {
    /// Which of the pairs names the repository.
    pub(super) at: usize,
    /// The whole, or why it cannot be told.
    pub(super) whole: Result<String, &'static str>,
}

/// Finds what pairs make up images. `inside_image` says that they stand under a key that is an image.
pub(super) fn assemble(pairs: &[Pair<'_>], inside_image: bool, defaults: &Defaults) -> Vec<Assembled> {
    let known: Vec<(usize, String, Part)> = pairs
        .iter()
        .enumerate()
        .filter_map(|(at, (key, _))| split(key).map(|(prefix, part)| (at, prefix, part)))
        .collect();
    let mut prefixes: Vec<&str> = Vec::new();
    for (_, prefix, _) in &known {
        if !prefixes.contains(&prefix.as_str()) {
            prefixes.push(prefix);
        }
    }
    prefixes.into_iter().filter_map(|prefix| group(pairs, &known, prefix, inside_image, defaults)).collect()
}

/// `sidecarImageTag` → `sidecarimage`, a tag.
fn split(key: &str) -> Option<(String, Part)> {
    let word = plain_key(key);
    let (prefix, part) = WORDS.iter().find_map(|(ending, part)| Some((word.strip_suffix(ending)?, *part)))?;
    // `image` beside `imageTag`: what is named is the image itself.
    let prefix = if part == Part::Name && word.ends_with("image") { word.as_str() } else { prefix };
    Some((prefix.to_owned(), part))
}

fn group(
    pairs: &[Pair<'_>],
    known: &[(usize, String, Part)],
    prefix: &str,
    inside_image: bool,
    defaults: &Defaults,
) -> Option<Assembled> {
    // `{name: api, image: …}` in a list of images: the name is no repository.
    let names_image = pairs.iter().any(|(key, _)| plain_key(key) == "image");
    let is_image = inside_image && prefix.is_empty() && !names_image || prefix.ends_with("image");
    // A bare `tag` belongs to the bare `image` beside it.
    let also = if prefix == "image" { Some("") } else { None };
    let find = |part: Part| {
        let mut parts = known.iter().filter(|(_, _, p)| *p == part);
        let at = parts
            .clone()
            .find(|(_, p, _)| p == prefix)
            .or_else(|| parts.find(|(_, p, _)| also == Some(p)))?
            .0;
        Some((at, pairs[at].1.as_deref()))
    };
    let text = |part: Part| find(part).and_then(|(_, text)| text).filter(|text| !text.is_empty());
    let version = if is_image { text(Part::Version) } else { None };
    let (tag, digest) = (text(Part::Tag).or(version), text(Part::Digest).map(full_digest));
    let is_tagged = find(Part::Tag).is_some() || find(Part::Digest).is_some();
    let (at, repository) = match find(Part::Repository) {
        Some((at, Some(repository))) if is_image || is_tagged => (at, repository),
        // A name is an image's only if a part of the image stands beside it.
        _ => match find(Part::Name) {
            Some((at, Some(name))) if is_image && (tag.is_some() || digest.is_some() || inside_image) => {
                (at, name)
            }
            _ => return None,
        },
    };
    if repository.is_empty()
        || repository.contains("://")
        || is_alone(pairs[at].0, repository, tag, digest.as_deref())
    {
        return None;
    }
    let registry = defaults.registry.as_deref().or_else(|| text(Part::Registry));
    let tag = if is_pinned(repository) {
        None
    } else {
        tag.or(if digest.is_none() { defaults.tag.as_deref() } else { None })
    };
    let whole = put_together(registry, repository, tag, digest.as_deref());
    let is_whole = is_pinned(&whole);
    Some(Assembled {
        at,
        whole: if is_whole { Ok(whole) } else { Err("there is a repository, but neither tag nor digest") },
    })
}

/// `image: acme/api:1.0` is whole by itself; the plain rule reads it.
fn is_alone(key: &str, text: &str, tag: Option<&str>, digest: Option<&str>) -> bool {
    is_image_key(key) && (is_pinned(text) || tag.is_none() && digest.is_none())
}

/// Some charts keep the digest without its algorithm (`sha: 2cf2…`).
fn full_digest(text: &str) -> String {
    if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs, whether they stand inside an image, what fills gaps, and what comes of it.
    type Case<'a> = (&'a [(&'a str, &'a str)], bool, &'a Defaults, &'a [&'a str]);

    fn found(pairs: &[(&str, &str)], inside_image: bool, defaults: &Defaults) -> Vec<String> {
        let pairs: Vec<Pair<'_>> = pairs.iter().map(|(key, text)| (*key, Some((*text).to_owned()))).collect();
        assemble(&pairs, inside_image, defaults)
            .into_iter()
            .map(|a| a.whole.unwrap_or_else(|why| format!("? {why}")))
            .collect()
    }

    #[test]
    fn parts_that_belong_together_are_put_together() {
        let none = Defaults::default();
        let filled = Defaults { tag: Some("9.9".into()), registry: None };
        let moved = Defaults { tag: None, registry: Some("r.local".into()) };
        let sha = "0".repeat(64);
        let by_digest = format!("a/b@sha256:{sha}");
        let cases: [Case<'_>; 15] = [
            (
                &[("registry", "ghcr.io"), ("repository", "a/b"), ("tag", "1")],
                true,
                &none,
                &["ghcr.io/a/b:1"],
            ),
            (&[("repository", "a/b"), ("tag", "1")], false, &none, &["a/b:1"]),
            (&[("repository", "a/b"), ("tag", "")], true, &filled, &["a/b:9.9"]),
            (&[("repository", "a/b")], true, &none, &["? there is a repository, but neither tag nor digest"]),
            (
                &[("registry", "ghcr.io"), ("repository", "a/b"), ("tag", "1")],
                true,
                &moved,
                &["r.local/a/b:1"],
            ),
            (&[("repository", "a/b"), ("sha", &sha)], true, &filled, &[&by_digest]),
            (&[("name", "a/b"), ("tag", "1")], true, &none, &["a/b:1"]),
            (&[("name", "a/b:1")], true, &none, &["a/b:1"]),
            (&[("name", "api"), ("image", "a/b:1")], true, &none, &[]),
            (&[("image", "a/b"), ("tag", "1")], false, &none, &["a/b:1"]),
            (&[("image", "a/b"), ("imageTag", "1")], false, &none, &["a/b:1"]),
            (&[("image", "a/b:1"), ("tag", "2")], false, &none, &[]),
            (
                &[
                    ("X_IMAGE_REPO", "a/b"),
                    ("X_IMAGE_TAG", "1"),
                    ("Y_IMAGE_REPO", "c/d"),
                    ("Y_IMAGE_VERSION", "2"),
                ],
                false,
                &none,
                &["a/b:1", "c/d:2"],
            ),
            (&[("repository", "https://git.example.com/a"), ("tag", "v1")], false, &none, &[]),
            (
                &[("repository", "https://charts.example.com"), ("name", "redis"), ("version", "1")],
                false,
                &none,
                &[],
            ),
        ];
        for (pairs, inside_image, defaults, expected) in cases {
            assert_eq!(found(pairs, inside_image, defaults), expected, "{pairs:?}");
        }
    }
}
