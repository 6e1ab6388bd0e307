//! The section `cluster`.

use std::path::PathBuf;
use std::time::Duration;

use sealift_fetch::Url;
use serde::{Deserialize, Deserializer};

use super::activation::span;
use super::peer::{PeerAccess, parse_peer};
use crate::cluster::{NodeName, Times};
use crate::online::authority;

/// The cluster that an appliance is a node of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// What this node is called.
    pub node: NodeName,
    /// The file that says where the API server is, and who we are to it.
    pub kubeconfig: PathBuf,
    /// The namespace in which the nodes write things down for each other.
    #[serde(default = "sealift_system")]
    pub namespace: String,
    /// Where other nodes reach the registry of this one.
    #[serde(deserialize_with = "address")]
    pub address: Url,
    /// The certificate of the authority by which they know it, in PEM, if it is not that of `peers.authority`.
    #[serde(default)]
    pub ca_cert: Option<PathBuf>,
    /// How this node reaches the others.
    #[serde(default)]
    pub peers: PeerAccess,
    /// How long things last.
    #[serde(default, deserialize_with = "times")]
    pub times: Times,
}

impl Cluster {
    /// The file of the authority by which other nodes know this one.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.ca_cert.clone().unwrap_or_else(|| self.peers.authority().join(authority::CERTIFICATE))
    }
}

fn sealift_system() -> String {
    "sealift-system".to_owned()
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    parse_peer(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// As it is written: what is left out is as usual.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    step: Option<Span>,
    beat: Option<Span>,
    live: Option<Span>,
    switch: Option<Span>,
    lease: Option<Span>,
}

#[derive(Deserialize)]
struct Span(#[serde(deserialize_with = "span")] Duration);

fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
    let written = Written::deserialize(deserializer)?;
    let usual = Times::default();
    let or = |span: Option<Span>, usual| span.map_or(usual, |span| span.0);
    let times = Times {
        step: or(written.step, usual.step),
        beat: or(written.beat, usual.beat),
        live: or(written.live, usual.live),
        switch: or(written.switch, usual.switch),
        lease: or(written.lease, usual.lease),
    };
    // One lost word must not be taken for death, nor one late step for the end of a term.
    if times.live < times.beat * 3 || times.lease < times.step * 4 {
        return Err(serde::de::Error::custom(
            "`live` is at least three times `beat`, and `lease` four times `step`",
        ));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LEAST: &str =
        "node: node-a\nkubeconfig: /etc/sealift/cluster.kubeconfig\naddress: https://node-a:5443\n";

    fn read(more: &str) -> Result<Cluster, String> {
        serde_saphyr::from_str(&format!("{LEAST}{more}")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_least_is_a_name_an_address_and_a_kubeconfig() {
        let cluster = read("").unwrap();
        assert_eq!((cluster.node.as_str(), cluster.namespace.as_str()), ("node-a", "sealift-system"));
        assert_eq!((cluster.address.as_str(), cluster.times), ("https://node-a:5443/", Times::default()));
        assert_eq!(cluster.ca_cert(), Path::new("/var/lib/sealift-registry/ca.crt"));
        let elsewhere = read("peers: {authority: /srv/pki}\n").unwrap();
        assert_eq!(elsewhere.ca_cert(), Path::new("/srv/pki/ca.crt"));
    }

    #[test]
    fn the_rest_may_be_said() {
        let more = "namespace: other\ncaCert: /ca.crt\npeers: {caFile: /nodes.crt, identity: {certificate: /a, key: /b}}\n\
                    times: {step: 1s, live: 2m}\n";
        let cluster = read(more).unwrap();
        assert_eq!(
            (cluster.times.step, cluster.times.live),
            (Duration::from_secs(1), Duration::from_secs(120))
        );
        assert_eq!(cluster.times.lease, Times::default().lease);
        assert!(cluster.peers.identity.is_some() && !cluster.peers.plain_http);
    }

    #[test]
    fn mistakes_are_named() {
        for (more, wanted) in [
            ("times: {live: 20s}", "three times"),
            ("times: {lease: 10s}", "four times"),
            ("times: {step: 1}", "no time"),
            ("peers: {caFiles: /x}", "unknown field"),
            ("role: first", "unknown field"),
        ] {
            let said = read(more).unwrap_err();
            assert!(said.contains(wanted), "{more}: {said}");
        }
        for (least, wanted) in [
            (LEAST.replace("node-a\n", "Node_A\n"), "no name of a node"),
            (LEAST.replace("https://node-a:5443", "node-a:5443"), "https://node-b:5443"),
        ] {
            let said = serde_saphyr::from_str::<Cluster>(&least).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
