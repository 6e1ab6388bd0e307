//! What the nodes write down for each other besides what they agree on: how each of them stands, and who coordinates.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sealift_archive::release::CurrentRelease;
use sealift_archive::{Digest, Sequence};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Longest name of a node, in characters: a label of DNS.
const MAX_NAME: usize = 63;
/// The `ConfigMap` of a node begins so.
const OBJECT_PREFIX: &str = "sealift-node-";

/// A node of the cluster, as Kubernetes names it: a label of DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `ConfigMap` in which this node reports.
    #[must_use]
    pub fn object(&self) -> String {
        format!("{OBJECT_PREFIX}{self}")
    }

    /// The node that reports in a `ConfigMap`; none if it is no report.
    pub(super) fn of_object(object: &str) -> Option<Result<Self, String>> {
        object.strip_prefix(OBJECT_PREFIX).map(str::parse)
    }
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = !text.is_empty()
            && text.len() <= MAX_NAME
            && text.bytes().all(|byte| is_inner(byte) || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("`{text}` is no name of a node: at most {MAX_NAME} of a-z, 0-9 and `-`, which is neither first nor last")
        })
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a node stands. Each writes only its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The statements of the releases that are there, whole.
    pub here: BTreeSet<Digest>,
    /// The release that is active there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<CurrentRelease>,
    /// Whether it is switching. Then its part of Kubernetes may be down, and it cannot say anything.
    #[serde(default)]
    pub is_switching: bool,
    /// Whether a switch has begun there that has not ended, whoever began it. Until then nothing counts as running.
    #[serde(default)]
    pub is_unsettled: bool,
    /// The latest release behind whose point of no return it is: to go back to before that, somebody has to ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Sequence>,
    /// What it cannot do of the run under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What hinders it now, and may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Where its registry answers its peers: a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The certificate of its own authority, in PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca_crt: String,
    /// In which boot of its machine it wrote this. Another one while that goes on is another machine of the same name.
    #[serde(default)]
    pub boot_id: String,
    /// When it wrote this, by its own clock; for people. Whether it lives is seen by others from its writing.
    #[serde(with = "time::serde::rfc3339")]
    pub seen: OffsetDateTime,
}

impl Report {
    /// What hinders it.
    #[must_use]
    pub fn hindrance(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.reason.as_str()).or(self.waits.as_deref())
    }

    /// Whether the release is there, whole.
    #[must_use]
    pub fn has(&self, release: &CurrentRelease) -> bool {
        self.here.contains(&release.statement)
    }

    /// Whether the release is active there, and the switch to it at its end. Its digest says which one it is, whatever else it
    /// is called.
    #[must_use]
    pub fn runs(&self, release: &CurrentRelease) -> bool {
        !self.is_unsettled && self.active.as_ref().is_some_and(|active| active.statement == release.statement)
    }

    /// Whether it cannot follow in this run, or not now.
    #[must_use]
    pub fn is_hindered_in(&self, run: u64) -> bool {
        self.trouble_in(run).is_some() || self.waits.is_some()
    }

    /// Why it cannot follow in this run, if it cannot.
    #[must_use]
    pub fn trouble_in(&self, run: u64) -> Option<&str> {
        self.trouble.as_ref().filter(|trouble| trouble.run == run).map(|trouble| trouble.reason.as_str())
    }
}

/// What a node cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The run that it is about.
    pub run: u64,
    /// Why.
    pub reason: String,
}

/// Who coordinates: a Lease of `coordination.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The node that holds it, if one does.
    pub holder: Option<String>,
    /// How often it was taken.
    pub term: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label() {
        for name in ["a", "node-1", "0", &"x".repeat(63)] {
            assert!(name.parse::<NodeName>().is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a/b", "a_b", "é", "../x", &"x".repeat(64)] {
            assert!(name.parse::<NodeName>().is_err(), "{name}");
        }
    }
}
