//! What a path below `/v2/` asks for.
//!
//! Paths arrive as they were sent: no server in between has removed `..` or decoded `%2f`. They are cut at the
//! slashes first and decoded after that, once, so an encoded slash stays inside its segment, where the grammar of
//! names refuses it like every other character that has no place there. Nothing of a path ever becomes a file name.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sealift_archive::AnyDigest;
use sealift_archive::reference::{MAX_NAME, is_component, is_host, is_tag, looks_like_host};

use super::refusal::{Reason, Refusal};

/// Longest part of a refused name that is repeated in the refusal, in characters.
const MAX_ECHO: usize = 64;

/// The algorithms of digests that content may be asked for by.
const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// A well-formed request to read something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request<'a> {
    /// The repository, as the client named it; maybe with a host in front.
    pub(crate) name: Cow<'a, str>,
    /// What of it.
    pub(crate) item: Item<'a>,
}

/// What there is to read in a repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item<'a> {
    /// A manifest by tag.
    Tag(Cow<'a, str>),
    /// A manifest by digest.
    Manifest(AnyDigest),
    /// Any content.
    Blob(AnyDigest),
    /// The list of tags.
    Tags,
    /// The manifests that refer to this one.
    Referrers(AnyDigest),
}

impl<'a> Request<'a> {
    /// Reads a path, without its leading `/v2/`.
    pub(crate) fn parse(path: &'a str) -> Result<Self, Refusal> {
        let (rest, last) = path.rsplit_once('/').ok_or_else(no_such_endpoint)?;
        let (name, kind) = rest.rsplit_once('/').unwrap_or(("", rest));
        let (kind, last) = (decode(kind)?, decode(last)?);
        let item = match &*kind {
            "manifests" if last.contains(':') => {
                Item::Manifest(parse_digest(&last, Reason::ManifestUnknown)?)
            }
            "manifests" => Item::Tag(last),
            "blobs" => Item::Blob(parse_digest(&last, Reason::BlobUnknown)?),
            "referrers" => Item::Referrers(parse_digest(&last, Reason::ManifestUnknown)?),
            "tags" if last == "list" => Item::Tags,
            _ => return Err(no_such_endpoint()),
        };
        let name = parse_name(name)?;
        if let Item::Tag(tag) = &item {
            check_tag(tag)?;
        }
        Ok(Self { name, item })
    }
}

/// A segment of a path, decoded; without a copy if nothing is encoded.
fn decode(segment: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map_err(|_| Refusal::new(Reason::NameInvalid, "the path is not UTF-8"))
}

/// The grammar of names (spec.md, "Pulling manifests"), with a host allowed in front.
fn parse_name(path: &str) -> Result<Cow<'_, str>, Refusal> {
    let refuse =
        |name: &str| Refusal::new(Reason::NameInvalid, format!("`{}` is not a repository name", echo(name)));
    let name = if path.contains('%') {
        let segments: Vec<_> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        if segments.iter().any(|segment| segment.contains('/')) {
            return Err(refuse(path));
        }
        Cow::Owned(segments.join("/"))
    } else {
        Cow::Borrowed(path)
    };
    let repository = match name.split_once('/') {
        Some((host, rest)) if looks_like_host(host) && is_host(host) => rest,
        _ => &*name,
    };
    if name.len() <= MAX_NAME && repository.split('/').all(is_component) {
        Ok(name)
    } else {
        Err(refuse(&name))
    }
}

/// What does not fit the grammar is a tag that nothing has.
fn check_tag(tag: &str) -> Result<(), Refusal> {
    if is_tag(tag) {
        Ok(())
    } else {
        Err(Refusal::new(Reason::ManifestUnknown, format!("`{}` is not a tag", echo(tag))))
    }
}

/// A digest that we could have; `unknown` if it is one of an algorithm in which we have nothing.
fn parse_digest(text: &str, unknown: Reason) -> Result<AnyDigest, Refusal> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let invalid = || Refusal::new(Reason::DigestInvalid, format!("`{}` is not a digest", echo(text)));
    let (algorithm, encoded) = text.split_once(':').ok_or_else(invalid)?;
    let is_algorithm = algorithm
        .split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    let is_encoded =
        !encoded.is_empty() && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b));
    if !ALGORITHMS.contains(&algorithm) && is_algorithm && is_encoded {
        Err(Refusal::new(unknown, format!("nothing is kept under `{algorithm}` digests")))
    } else {
        Err(invalid())
    }
}

fn no_such_endpoint() -> Refusal {
    Refusal::new(Reason::NameUnknown, "there is nothing at this path")
}

/// As much of a name from outside as a message needs.
fn echo(text: &str) -> String {
    text.chars().take(MAX_ECHO).collect()
}

#[cfg(test)]
mod tests {
    use sealift_archive::reference::MAX_TAG;

    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_path_asks_for_one_thing() {
        let digest: AnyDigest = DIGEST.parse().unwrap();
        let encoded = DIGEST.replace(':', "%3A");
        let sha512 = format!("sha512:{}", "0a".repeat(64));
        let cases = [
            ("a/manifests/1.0", "a", Item::Tag("1.0".into())),
            (&format!("a/b/c/manifests/{DIGEST}"), "a/b/c", Item::Manifest(digest)),
            (&format!("a/manifests/{encoded}"), "a", Item::Manifest(digest)),
            (&format!("a/blobs/{DIGEST}"), "a", Item::Blob(digest)),
            (&format!("a/referrers/{DIGEST}"), "a", Item::Referrers(digest)),
            (&format!("a/manifests/{sha512}"), "a", Item::Manifest(sha512.parse().unwrap())),
            (&format!("a/blobs/{sha512}"), "a", Item::Blob(sha512.parse().unwrap())),
            ("a/tags/list", "a", Item::Tags),
            // Words of the protocol are names as well.
            ("tags/list/tags/list", "tags/list", Item::Tags),
            ("blobs/manifests/manifests/blobs", "blobs/manifests", Item::Tag("blobs".into())),
            ("127.0.0.1:5000/a/manifests/1", "127.0.0.1:5000/a", Item::Tag("1".into())),
            ("127.0.0.1%3A5000/a/manifests/1", "127.0.0.1:5000/a", Item::Tag("1".into())),
            ("[::1]:5000/a/manifests/1", "[::1]:5000/a", Item::Tag("1".into())),
            ("a__b/c--d/tags/list", "a__b/c--d", Item::Tags),
        ];
        for (path, name, item) in cases {
            let expected = Request { name: name.into(), item };
            assert_eq!(Request::parse(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused_for_its_reason() {
        let long = |n| "a".repeat(n);
        let cases = [
            ("", Reason::NameUnknown),
            ("_catalog", Reason::NameUnknown),
            ("a/tags", Reason::NameUnknown),
            ("a/blobs/uploads/", Reason::NameUnknown),
            ("manifests/1", Reason::NameInvalid),
            ("a//b/manifests/1", Reason::NameInvalid),
            ("A/manifests/1", Reason::NameInvalid),
            ("a/../b/manifests/1", Reason::NameInvalid),
            ("../../etc/manifests/passwd", Reason::NameInvalid),
            ("%2e%2e/%2e%2e/manifests/1", Reason::NameInvalid),
            ("a%2fb/manifests/1", Reason::NameInvalid),
            ("a%00/manifests/1", Reason::NameInvalid),
            ("a%ff/manifests/1", Reason::NameInvalid),
            ("a%252e/manifests/1", Reason::NameInvalid),
            ("ghcr.io:x/a/manifests/1", Reason::NameInvalid),
            ("a.b:1/manifests/1", Reason::NameInvalid),
            (&format!("{}/manifests/1", long(MAX_NAME + 1)), Reason::NameInvalid),
            ("a/manifests/.INVALID", Reason::ManifestUnknown),
            ("a/manifests/", Reason::ManifestUnknown),
            ("a/manifests/..%2f..%2fetc", Reason::ManifestUnknown),
            (&format!("a/manifests/{}", long(MAX_TAG + 1)), Reason::ManifestUnknown),
            ("a/manifests/sha256:abc", Reason::DigestInvalid),
            ("a/blobs/abc", Reason::DigestInvalid),
            ("a/blobs/..", Reason::DigestInvalid),
            ("a/blobs/sha256:..%2f..%2fetc%2fpasswd", Reason::DigestInvalid),
            (&format!("a/blobs/{}", DIGEST.to_uppercase()), Reason::DigestInvalid),
            (&format!("a/blobs/{}", DIGEST.replace("cf24", "CF24")), Reason::DigestInvalid),
            ("a/blobs/sha512:00", Reason::DigestInvalid),
            (&format!("a/blobs/sha512:{}", "0A".repeat(64)), Reason::DigestInvalid),
            ("a/blobs/blake3:00", Reason::BlobUnknown),
            ("a/manifests/multihash+base58:QmRZ", Reason::ManifestUnknown),
            ("a/referrers/sha256:abc", Reason::DigestInvalid),
            ("a/referrers/:", Reason::DigestInvalid),
        ];
        for (path, reason) in cases {
            let refusal = Request::parse(path).expect_err(path);
            assert_eq!(refusal.reason(), reason, "{path}");
        }
        assert!(Request::parse(&format!("{}/manifests/{}", long(MAX_NAME), long(MAX_TAG))).is_ok());
    }
}
