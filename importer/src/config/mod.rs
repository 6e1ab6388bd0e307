//! `/etc/sealift/appliance.yaml`: how an appliance activates, mirrors and takes sticks. Whoever built the image wrote it;
//! everything in it has a default, so an appliance without it works too.

pub mod activation;
mod cluster;
mod disk;
mod expiry;
mod k3s;
mod media;
mod mirror;
mod peer;
mod receipt;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use crate::Error;
pub use activation::Activation;
pub use cluster::Cluster;
pub use disk::{Disk, Threshold};
pub use k3s::{K3s, Role};
pub use media::{Media, Policy};
pub use mirror::{Location, Mirror};
pub use peer::{PeerAccess, PeerIdentity, parse_peer};
pub use receipt::Receipt;

/// Where it is looked for if no other place is named.
pub const DEFAULT_PATH: &str = "/etc/sealift/appliance.yaml";
const API_VERSION: &str = "sealift/v1";
const KIND: &str = "Appliance";
/// Largest configuration, in bytes. Ours are about 2 KB.
const MAX_BYTES: u64 = 256 << 10;

/// The configuration of an appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    api_version: String,
    kind: String,
    /// What belongs to letting a release run.
    #[serde(default)]
    pub activation: Activation,
    /// Where releases are fetched from; none for an appliance that is offline.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// The cluster that this appliance is a node of; none for an appliance that is alone.
    #[serde(default)]
    pub cluster: Option<Cluster>,
    /// k3s on this node; none where somebody else installs Kubernetes.
    #[serde(default)]
    pub k3s: Option<K3s>,
    /// What is done with sticks.
    #[serde(default)]
    pub media: Media,
    /// How receipts are written.
    #[serde(default)]
    pub receipt: Receipt,
    /// What else an import fills, besides the store.
    #[serde(default)]
    pub disk: Disk,
    /// Files of certificates, in PEM, that a person renews; besides those that are named above.
    #[serde(default)]
    pub certificates: Vec<PathBuf>,
}

impl Config {
    /// Reads the configuration; with no path, the one at [`DEFAULT_PATH`], if there is one.
    ///
    /// # Errors
    /// [`Error::Config`] with the place of the mistake, or I/O.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let file = match fs::File::open(path.unwrap_or(Path::new(DEFAULT_PATH))) {
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            file => file?,
        };
        let name = file.path().to_owned();
        let refuse = |place: String, why: String| Error::Config { file: name.clone(), place, why };
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(refuse(String::new(), format!("it is longer than {MAX_BYTES} bytes")));
        }
        let config: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let (place, why) = (place(&error), error.without_snippet().to_string());
            // Some errors end with their place, and once is enough.
            let why = why.strip_suffix(&format!(" at{place}")).unwrap_or(&why).to_owned();
            refuse(place, why)
        })?;
        for (key, found, wanted) in
            [("apiVersion", &config.api_version, API_VERSION), ("kind", &config.kind, KIND)]
        {
            if found != wanted {
                return Err(refuse(String::new(), format!("`{key}` is `{found}`, not `{wanted}`")));
            }
        }
        config.expect_together().map_err(|why| refuse(String::new(), why))?;
        Ok(config)
    }

    /// Whether somebody has written it, or nothing is there and all is left to us.
    #[must_use]
    pub fn is_written(&self) -> bool {
        !self.kind.is_empty()
    }

    /// The nodes of a cluster switch together, when a person says so.
    fn expect_together(&self) -> Result<(), String> {
        let by_itself = [
            ("mirror.activate", self.mirror.as_ref().is_some_and(|mirror| mirror.activate)),
            ("media.policy: activate", self.media.policy == Policy::Activate),
        ];
        match by_itself.iter().find(|(_, is_so)| self.cluster.is_some() && *is_so) {
            Some((key, _)) => Err(format!("`{key}` has no meaning on a node of a `cluster`")),
            None => Ok(()),
        }
    }
}

/// Where the YAML parser stopped: ` line 3, column 5`; nothing if it does not say.
pub(crate) fn place(error: &serde_saphyr::Error) -> String {
    error.location().map_or_else(String::new, |l| format!(" line {}, column {}", l.line(), l.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("appliance.yaml");
        fs::write(&path, text).unwrap();
        Config::read(Some(&path))
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(Config::read(None).unwrap(), Config::default());
        let read = read("apiVersion: sealift/v1\nkind: Appliance\n").unwrap();
        let named = (API_VERSION.to_owned(), KIND.to_owned());
        assert_eq!(read, Config { api_version: named.0, kind: named.1, ..Config::default() });
        let missing = Config::read(Some(Path::new("/nowhere/appliance.yaml"))).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/appliance.yaml"), "{missing}");
    }

    #[test]
    fn a_node_of_a_cluster_activates_nothing_by_itself() {
        let head = "apiVersion: sealift/v1\nkind: Appliance\n";
        let cluster = "cluster: {node: a, kubeconfig: /k, address: 'https://a:5443'}\n";
        for (more, wanted) in [
            ("mirror: {source: /srv, activate: true}\n", "mirror.activate"),
            ("media: {policy: activate}\n", "media.policy"),
        ] {
            assert!(read(&format!("{head}{more}")).is_ok(), "an appliance that is alone may");
            let said = read(&format!("{head}{cluster}{more}")).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
        let quiet = "mirror: {source: /srv}\nmedia: {policy: stage}\n";
        assert!(read(&format!("{head}{cluster}{quiet}")).is_ok());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let head = "apiVersion: sealift/v1\nkind: Appliance\n";
        let long = format!("{head}# {}", "x".repeat(1 << 18));
        let cases = [
            ("kind: Appliance", "apiVersion"),
            ("apiVersion: sealift/v2\nkind: Appliance", "`apiVersion` is `sealift/v2`"),
            ("apiVersion: sealift/v1\nkind: Release", "`kind` is `Release`"),
            (&format!("{head}mirrors: {{}}"), "line 3, column 1: unknown field `mirrors`"),
            (&long, "longer than"),
        ];
        for (text, wanted) in cases {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(wanted) && said.contains("appliance.yaml"), "{wanted}: {said}");
        }
    }
}
