//! `peers.json`: by which authorities the nodes of a cluster know each other, as each of them has said. The registry lets in
//! whoever shows a certificate of one of them.
//!
//! Whoever may write in the cluster's namespace decides what stands here, so nothing follows from it but who may read what
//! the registry answers: releases are verified against the trust root, whoever brings them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use sealift_archive::{bounded, durable, json};
use serde::{Deserialize, Serialize};

use crate::{Error, Store};

pub(crate) const PEERS_FILE: &str = "peers.json";
/// Most nodes whose authorities are kept; the first by name.
const MAX_PEERS: usize = 128;
/// Longest certificate of an authority, in PEM, in bytes. Ours have about 1 KB.
const MAX_AUTHORITY_BYTES: usize = 8 << 10;
/// Largest file, in bytes: all of them, even if JSON has to write each byte as six, and more than their names.
const MAX_FILE_BYTES: usize = 8 << 20;

/// Certificates of authorities, in PEM, by the name of the node. They may be anything: another node has written them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerAuthorities(BTreeMap<String, String>);

impl<N: ToString> FromIterator<(N, String)> for PeerAuthorities {
    /// Leaves out nodes that have said nothing, or too much.
    fn from_iter<I: IntoIterator<Item = (N, String)>>(said: I) -> Self {
        let is_fit = |(_, pem): &(N, String)| !pem.is_empty() && pem.len() <= MAX_AUTHORITY_BYTES;
        let fit = said.into_iter().filter(is_fit).map(|(name, pem)| (name.to_string(), pem));
        let all: BTreeMap<String, String> = fit.collect();
        Self(all.into_iter().take(MAX_PEERS).collect())
    }
}

impl PeerAuthorities {
    /// Node and certificate, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, pem)| (name.as_str(), pem.as_str()))
    }
}

impl Store {
    /// The file, for whoever looks whether it has changed.
    #[must_use]
    pub fn peers_path(&self) -> PathBuf {
        self.root().join(PEERS_FILE)
    }

    /// What the nodes have said last; nothing on an appliance of one node.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn peer_authorities(&self) -> Result<PeerAuthorities, Error> {
        let path = self.peers_path();
        match bounded::read(&path, MAX_FILE_BYTES as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PeerAuthorities::default()),
            bytes => Ok(json::parse(&path.display().to_string(), &bytes?, MAX_FILE_BYTES)?),
        }
    }

    /// Writes down what the nodes have said, unless the file says so already. Like `cluster.json`, it is written by one program
    /// of a node, which does not wait for whoever changes the store.
    ///
    /// # Errors
    /// I/O.
    pub fn write_peer_authorities(&self, authorities: &PeerAuthorities) -> Result<(), Error> {
        if self.peer_authorities().is_ok_and(|there| there == *authorities) {
            return Ok(());
        }
        Ok(durable::write(&self.peers_path(), &json::to_document(authorities))?)
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_archive::Unwatched;

    use super::*;
    use crate::fixture::Place;

    #[test]
    fn what_nodes_say_is_kept_once_and_within_bounds() {
        let place = Place::new();
        let path = place.store.peers_path();
        place.store.write_peer_authorities(&PeerAuthorities::default()).unwrap();
        assert!(!path.exists(), "an appliance of one node has no such file");
        let long = "\u{1}".repeat(MAX_AUTHORITY_BYTES);
        let said = (0..200).map(|number| (format!("node-{number:03}"), long.clone()));
        let more = [("quiet", String::new()), ("loud", format!("{long}x"))];
        let all: PeerAuthorities = said.chain(more.map(|(name, pem)| (name.to_owned(), pem))).collect();
        assert_eq!((all.iter().count(), all.iter().next().unwrap().0), (MAX_PEERS, "node-000"));
        place.store.write_peer_authorities(&all).unwrap();
        assert_eq!(place.store.peer_authorities().unwrap(), all);
        assert!(place.store.verify(&Unwatched).unwrap().is_whole());

        let written = fs::metadata(&path).unwrap().modified().unwrap();
        place.store.write_peer_authorities(&all).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "the disk is left alone");
        fs::write(&path, "{").unwrap();
        assert!(place.store.peer_authorities().unwrap_err().to_string().contains(PEERS_FILE));
        place.store.write_peer_authorities(&PeerAuthorities::default()).unwrap();
        assert_eq!(place.store.peer_authorities().unwrap(), PeerAuthorities::default());
    }
}
