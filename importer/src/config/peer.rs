//! How other nodes are reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealift_fetch::{Identity, Options, Retry, Url};
use serde::Deserialize;

use crate::Error;
use crate::online::authority;

/// Where `sealift-registry tls init` keeps a node's authority, if nobody says otherwise.
const AUTHORITY_DIR: &str = "/var/lib/sealift-registry";

/// How long a peer may take to answer. It is beside us, and there is another one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may be silent.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often something is asked of it in a row. A peer that is away is no reason to wait.
const RETRY: Retry = Retry {
    tries: 2,
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_secs(1),
    longest_told_wait: Duration::from_secs(5),
};

/// Whom other nodes are known by, and who we are to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerAccess {
    /// Certificates of all nodes' authorities, in PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// More of them, as PEM, that come from elsewhere.
    #[serde(skip)]
    pub authorities: Vec<u8>,
    /// Our certificate and its key, for nodes that ask for one. Without it this node's own authority makes one.
    #[serde(default)]
    pub identity: Option<PeerIdentity>,
    /// The folder of this node's authority, if it is not where it usually is.
    #[serde(default)]
    pub authority: Option<PathBuf>,
    /// Whether plain HTTP will do. What comes is verified all the same; but others see it.
    #[serde(default)]
    pub plain_http: bool,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerIdentity {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl PeerAccess {
    /// The folder of this node's own authority.
    #[must_use]
    pub fn authority(&self) -> &Path {
        self.authority.as_deref().unwrap_or(Path::new(AUTHORITY_DIR))
    }

    /// How to fetch: from the node itself, and not for long from one that is away. Files are read anew each time, and where
    /// there are none, the certificate that we show is made anew.
    ///
    /// # Errors
    /// [`crate::online::Error::Authority`] if there is an authority that cannot be used, or I/O.
    pub fn options(&self) -> Result<Options, Error> {
        let identity = match &self.identity {
            Some(PeerIdentity { certificate, key }) => {
                Some(Identity::Files { certificate: certificate.clone(), key: key.clone() })
            }
            None => authority::issue(self.authority())?.map(Identity::Memory),
        };
        Ok(Options {
            plain_http: self.plain_http,
            ca_files: self.ca_file.iter().cloned().collect(),
            ca_pem: self.authorities.clone(),
            identity,
            direct: true,
            connect_timeout: CONNECT_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
            retry: RETRY,
            ..Options::default()
        })
    }
}

/// Reads the address of a node's registry, as in `https://node-b:5443`.
///
/// # Errors
/// In words, what is wrong with it.
pub fn parse_peer(text: &str) -> Result<Url, String> {
    let refuse = |why: &str| format!("`{text}` {why}");
    let url: Url = text.parse().map_err(|_| refuse("is no address such as https://node-b:5443"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" | "http"
            if url.has_host() && url.username().is_empty() && url.password().is_none() && is_bare =>
        {
            Ok(url)
        }
        _ => Err(refuse("is more, or less, than scheme, host and port, as in https://node-b:5443")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_scheme_host_and_port() {
        for text in
            ["https://node-b:5443", "https://node-b:5443/", "http://10.0.0.2:5000", "https://[fd00::2]:5443"]
        {
            assert!(parse_peer(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "node-b:5443",
            "/srv",
            "oci://node-b/x",
            "https://u:p@node-b",
            "https://node-b/peer",
            "https://node-b?x",
        ] {
            assert!(parse_peer(text).is_err(), "{text}");
        }
    }
}
