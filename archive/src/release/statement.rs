//! `release.json`, the statement: what a release is. Small, signed by the role `release`, and independent of how
//! the release travels: the same statement stands in a full bundle, in a delta, on a server and in the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::blob_list::MAX_LINE_BYTES;
use super::{API_VERSION, FileName, Platform, Product, ReleaseName, Sequence, Version, Waiver, expect_kind};
use crate::{Blob, BlobList, Digest, Error, json};

const KIND: &str = "Statement";

/// Largest statement, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 << 10;
/// Largest `refs.json`, in bytes.
pub const MAX_REFS_BYTES: usize = 16 << 20;

/// Features that a document may ask for and that this version knows.
const KNOWN_FEATURES: [&str; 0] = [];

/// What a release is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    api_version: String,
    kind: String,
    /// The product.
    pub product: Product,
    /// The version, for people.
    pub version: Version,
    /// The place in the order of releases.
    pub sequence: Sequence,
    /// The lowest sequence that is still allowed once this release has been seen.
    pub floor: Sequence,
    /// The platforms whose content is carried; empty means all that the sources have.
    pub platforms: Vec<Platform>,
    /// Versions from which an appliance may step to this one; empty means from none but a fresh appliance.
    pub upgrade_from: Vec<Version>,
    /// What Kubernetes the release runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// What operating system the release runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OperatingSystem>,
    /// What was allowed although it is older than the vendor's rule says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// Features that a reader must know, so that an old one can say what it lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// The list of all content.
    pub blob_list: BlobListSummary,
    /// `refs.json`.
    pub refs: Blob,
}

/// The blob list, as the statement vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobListSummary {
    /// SHA-256 of its text.
    pub digest: Digest,
    /// How many blobs are on it.
    pub count: u64,
    /// Bytes of all content together.
    pub content_bytes: u64,
}

impl BlobListSummary {
    /// What a statement says of this list.
    #[must_use]
    pub fn of(list: &BlobList) -> Self {
        let digest = Digest::of(list.to_text().as_bytes());
        Self { digest, count: list.len() as u64, content_bytes: list.total_bytes() }
    }

    /// The most that its text can measure, in bytes.
    #[must_use]
    pub fn max_text_bytes(&self) -> u64 {
        self.count.saturating_mul(MAX_LINE_BYTES)
    }
}

/// Facts about Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// `k3s`.
    pub distribution: String,
    /// `v1.36.4+k3s1`.
    pub version: Version,
}

/// Facts about the operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatingSystem {
    /// `ubuntu-24.04`.
    pub base: String,
    /// Machine images and the like that belong to the release, whether or not they are carried.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<FileName, Blob>,
}

/// A feature, and the first version of Sealift that knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The feature's name.
    pub feature: String,
    /// `0.3.0`.
    pub since: String,
}

/// The part of a document that even an old reader understands.
#[derive(Deserialize)]
struct Requirements {
    #[serde(default)]
    requires: Vec<Requirement>,
}

/// Refuses a document that asks for what this version does not know.
pub(super) fn expect_known(document: &str, bytes: &[u8], limit: usize) -> Result<(), Error> {
    let wanted: Requirements = json::parse(document, bytes, limit)?;
    match wanted.requires.iter().find(|wanted| !KNOWN_FEATURES.contains(&wanted.feature.as_str())) {
        Some(unknown) => Err(Error::needs_newer(document, &unknown.feature, &unknown.since)),
        None => Ok(()),
    }
}

impl Statement {
    /// A statement about this content; everything optional is empty.
    #[must_use]
    pub fn new(name: ReleaseName, blob_list: BlobListSummary, refs: Blob) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            product: name.product,
            version: name.version,
            sequence: name.sequence,
            floor: Sequence::FIRST,
            platforms: Vec::new(),
            upgrade_from: Vec::new(),
            kubernetes: None,
            os: None,
            waivers: Vec::new(),
            requires: Vec::new(),
            blob_list,
            refs,
        }
    }

    /// Reads `release.json`. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::NeedsNewer`] before anything else is looked at; [`Error::Json`], [`Error::TooLarge`] or
    /// [`Error::Inconsistent`].
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_known(document, bytes, MAX_STATEMENT_BYTES)?;
        expect_kind(document, bytes, MAX_STATEMENT_BYTES, KIND)?;
        let statement: Self = json::parse(document, bytes, MAX_STATEMENT_BYTES)?;
        if statement.floor > statement.sequence {
            return Err(Error::inconsistent(document, "its floor is above its own sequence"));
        }
        Ok(statement)
    }

    /// The document's bytes: what is signed, carried and kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_document(self)
    }

    /// The release's name.
    #[must_use]
    pub fn name(&self) -> ReleaseName {
        ReleaseName { product: self.product.clone(), version: self.version.clone(), sequence: self.sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobList;

    fn statement() -> Statement {
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            sequence: 3.try_into().unwrap(),
        };
        let text = BlobList::default().to_text();
        let list = BlobListSummary { digest: Digest::of(text.as_bytes()), count: 0, content_bytes: 0 };
        Statement::new(name, list, Blob::of(b"{}"))
    }

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let wanted = statement();
        assert_eq!(Statement::parse("release.json", &wanted.to_bytes()).unwrap(), wanted);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_reason() {
        let edit = |change: fn(&mut serde_json::Value)| {
            let mut value: serde_json::Value = serde_json::from_slice(&statement().to_bytes()).unwrap();
            change(&mut value);
            let error = Statement::parse("release.json", &serde_json::to_vec(&value).unwrap()).unwrap_err();
            crate::report(&error)
        };
        let cases: [(&str, String); 6] = [
            (
                "known since Sealift 9.1",
                edit(|v| {
                    v["requires"] = serde_json::json!([{"feature": "gzip-recipe", "since": "9.1"}]);
                    v["somethingNew"] = true.into();
                }),
            ),
            ("unknown field", edit(|v| v["somethingNew"] = true.into())),
            ("not a `Statement`", edit(|v| v["kind"] = "Packing".into())),
            ("sealift/v2", edit(|v| v["apiVersion"] = "sealift/v2".into())),
            ("floor is above", edit(|v| v["floor"] = 4.into())),
            ("cannot be a product name", edit(|v| v["product"] = "../x".into())),
        ];
        for (expected, said) in cases {
            assert!(said.contains(expected), "{said}");
        }
    }
}
