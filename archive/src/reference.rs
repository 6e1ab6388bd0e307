//! Names of images, as Docker and the OCI distribution specification write them.
//!
//! A [`Reference`] is always complete: `nginx` is read as `docker.io/library/nginx:latest`, so two spellings of
//! one image are one name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error};

/// The registry host under which Sealift serves what has no registry of its own: charts, files, Flux artifacts.
pub const INTERNAL_HOST: &str = "sealift.internal";

/// A complete reference: host, repository, and a tag, a digest or both.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
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
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository at this digest, without the tag.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::BadReference { reference: text.to_owned(), why };
        let parsed: oci_spec::distribution::Reference =
            text.parse().map_err(|e: oci_spec::distribution::ParseError| refuse(e.to_string()))?;
        let digest = parsed
            .digest()
            .map(str::parse)
            .transpose()
            .map_err(|_| refuse("its digest is not `sha256:` and 64 lower-case characters".to_owned()))?;
        Ok(Self {
            host: parsed.registry().to_owned(),
            repository: parsed.repository().to_owned(),
            tag: parsed.tag().map(str::to_owned),
            digest,
        })
    }
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
    use super::*;

    #[test]
    fn short_names_are_read_as_docker_reads_them() {
        let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("acme/api:1", "docker.io/acme/api:1"),
            ("index.docker.io/acme/api:1", "docker.io/acme/api:1"),
            ("localhost/api", "localhost/api:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            (&format!("ghcr.io/a/b@{digest}"), &format!("ghcr.io/a/b@{digest}")),
            (&format!("ghcr.io/a/b:1@{digest}"), &format!("ghcr.io/a/b:1@{digest}")),
        ];
        for (short, full) in cases {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), full, "{short}");
        }
        let upper = digest.replace("cf24", "CF24");
        for wrong in ["", "acme/Api", "a/../b", "ghcr.io/a:b:c", "a b", &format!("a@{upper}"), "a@sha512:00"]
        {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong} was taken");
        }
    }
}
