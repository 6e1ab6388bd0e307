//! Names of images, as Docker and the OCI distribution specification write them.
//!
//! A [`Reference`] is always complete: `nginx` is read as `docker.io/library/nginx:latest`, so two spellings of
//! one image are one name. The grammar is that of the distribution specification ("Pulling manifests") with a host in
//! front, as in Docker's own `reference` package.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AnyDigest, Error};

/// The registry host under which Sealift serves what has no registry of its own: charts, files, Flux artifacts.
pub const INTERNAL_HOST: &str = "sealift.internal";

/// The host that is meant where none is written.
const DOCKER_HUB: &str = "docker.io";
/// Its old name, in Docker's configuration files.
const DOCKER_HUB_INDEX: &str = "index.docker.io";
/// Where Docker Hub keeps repositories that are written without a slash.
const DOCKER_HUB_LIBRARY: &str = "library";
/// The tag that is meant where neither tag nor digest is written.
const DEFAULT_TAG: &str = "latest";
/// Longest host and repository together, in characters: what clients and registries agree on.
pub const MAX_NAME: usize = 255;
/// Longest tag, in characters.
pub const MAX_TAG: usize = 128;

/// A complete reference: host, repository, and a tag, a digest or both.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<AnyDigest>,
}

impl Reference {
    /// The registry as written: `docker.io`, `registry.example.com:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in the registry: `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Host and repository: `docker.io/library/nginx`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The tag, if there is one. A reference without a digest always has a tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<AnyDigest> {
        self.digest
    }

    /// The same repository at this digest, without the tag.
    #[must_use]
    pub fn at(&self, digest: impl Into<AnyDigest>) -> Self {
        Self { tag: None, digest: Some(digest.into()), ..self.clone() }
    }

    /// The same name with this digest besides its tag, if it has one.
    #[must_use]
    pub fn with_digest(&self, digest: impl Into<AnyDigest>) -> Self {
        Self { digest: Some(digest.into()), ..self.clone() }
    }

    /// The same name by its tag alone, before all others with that tag in their order.
    pub(crate) fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// Whether both have the same tag of the same repository, whatever digests they have.
    pub(crate) fn shares_tag_with(&self, other: &Self) -> bool {
        let is_same =
            (&self.host, &self.repository, &self.tag) == (&other.host, &other.repository, &other.tag);
        self.tag.is_some() && is_same
    }

    /// The same repository at this tag, without the digest.
    ///
    /// # Errors
    /// [`Error::BadReference`] if it cannot be a tag.
    pub fn tagged(&self, tag: &str) -> Result<Self, Error> {
        format!("{}:{tag}", self.name()).parse()
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::BadReference { reference: text.to_owned(), why: why.to_owned() };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|_| {
                    refuse("its digest is not `sha256:` or `sha512:` and 64 or 128 lower-case characters")
                })?;
                (named, Some(digest))
            }
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it belongs to the host's port.
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let host = if host == DOCKER_HUB_INDEX { DOCKER_HUB } else { host };
        let repository = if host == DOCKER_HUB && !repository.contains('/') {
            format!("{DOCKER_HUB_LIBRARY}/{repository}")
        } else {
            repository.to_owned()
        };
        if !is_host(host) {
            return Err(refuse("its host is not the name or address of a registry"));
        }
        if !is_repository(&repository) {
            return Err(refuse(
                "a repository is made of lower-case letters and digits, with single `.`, `_`, `__` or dashes between them",
            ));
        }
        if host.len() + 1 + repository.len() > MAX_NAME {
            return Err(refuse("it is longer than 255 characters"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse(
                "a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ));
        }
        let tag = tag.or(digest.is_none().then_some(DEFAULT_TAG)).map(str::to_owned);
        Ok(Self { host: host.to_owned(), repository, tag, digest })
    }
}

/// Docker's rule that tells `localhost/api` and `ghcr.io/api` from `acme/api`.
#[must_use]
pub fn looks_like_host(component: &str) -> bool {
    component.contains(['.', ':'])
        || component == "localhost"
        // No repository has capitals, so this can only be a host.
        || component.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether this can be the name of a registry host: letters, digits, dots and dashes, or an address in brackets, with
/// or without a port.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let good_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(is_label),
    };
    let good_port = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_NAME && good_host && good_port
}

/// Whether this can be a repository: components between slashes, each `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('/').all(is_component)
}

/// Whether this can be one component of a repository.
#[must_use]
pub fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |b: Option<&u8>| b.is_some_and(|&b| alphanumeric(b));
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.chunk_by(|&a, &b| alphanumeric(a) == alphanumeric(b)).all(|run| {
            alphanumeric(run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-')
        })
}

/// Whether this can be a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn short_names_are_read_as_docker_reads_them() {
        let sha512 = format!("sha512:{}", "ab".repeat(64));
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("acme/api:1", "docker.io/acme/api:1"),
            ("index.docker.io/acme/api:1", "docker.io/acme/api:1"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/api", "localhost/api:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("[::1]:5000/a:c", "[::1]:5000/a:c"),
            ("Registry/a", "Registry/a:latest"),
            ("a__b/c-d/e--f.g:V_1.x-", "docker.io/a__b/c-d/e--f.g:V_1.x-"),
            (&format!("ghcr.io/a/b@{DIGEST}"), &format!("ghcr.io/a/b@{DIGEST}")),
            (&format!("ghcr.io/a/b:1@{DIGEST}"), &format!("ghcr.io/a/b:1@{DIGEST}")),
            (&format!("ghcr.io/a/b@{sha512}"), &format!("ghcr.io/a/b@{sha512}")),
        ];
        for (short, full) in cases {
            let reference = short.parse::<Reference>().unwrap();
            assert_eq!(reference.to_string(), full, "{short}");
            assert_eq!(full.parse::<Reference>().unwrap(), reference, "{full}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let upper = DIGEST.replace("cf24", "CF24");
        let long = format!("ghcr.io/{}", "a".repeat(MAX_NAME));
        for wrong in [
            "",
            "/",
            "a/",
            "/a",
            "acme/Api",
            "a/../b",
            "ghcr.io/a:b:c",
            "a b",
            "a:",
            "a@",
            "a___b",
            "a_-b",
            "-a",
            "a..b",
            ".a/b",
            "gh_cr.io/a",
            "ghcr.io:x/a",
            "ghcr.io-/a",
            "[::1/a",
            "a:-b",
            "a:ä",
            "ä",
            &long,
            &format!("a@{upper}"),
            &format!("a@{DIGEST}@{DIGEST}"),
            &format!("@{DIGEST}"),
            "a@sha512:00",
            "a@md5:00",
            &format!("a:{}", "b".repeat(MAX_TAG + 1)),
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn components_follow_the_grammar() {
        for good in ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a.b_c__d-e"] {
            assert!(is_component(good), "{good}");
        }
        for wrong in ["", ".", "..", "-", ".a", "a.", "a..b", "a___b", "a.-b", "a_.b", "A", "a b", "ä", "a%"]
        {
            assert!(!is_component(wrong), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_words_not_urls() {
        for good in ["docker.io", "localhost", "127.0.0.1:5000", "[::1]", "[::1]:5000", "Example.COM"] {
            assert!(is_host(good), "{good}");
        }
        for wrong in
            ["", ":", "a:", ":5000", "a:b", "a/b", "a@b", "[", "[]", "[::1", "a b", "a\r\nb", "http://a"]
        {
            assert!(!is_host(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_and_read_back(text in "[a-zA-Z0-9./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let written = reference.to_string();
                prop_assert_eq!(written.parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
