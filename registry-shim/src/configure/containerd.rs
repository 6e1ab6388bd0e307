//! For containerd without k3s: `certs.d/<host>/hosts.toml`, read anew for every pull (containerd, docs/hosts.md).
//!
//! Both what is tried first and `server`, what is tried last, are the registry here: a file without `server` means the
//! image's own host, and one without a `[host]` table is passed over by containerd 1.6 as if it were not there.
//! `_default` stands for every host that has no folder; those that releases have content from get one each, since a
//! folder that somebody else has left would count before `_default`.

use std::collections::BTreeSet;
use std::path::Path;

use sealift_archive::INTERNAL_HOST;
use sealift_store::Store;

use super::{Document, Endpoint};
use crate::Error;

/// The folder for every host that has none.
const ANY_HOST: &str = "_default";

/// The files, below `/etc/containerd`.
pub(crate) fn documents(endpoint: &Endpoint, authority: &Path, hosts: &BTreeSet<String>) -> Vec<Document> {
    let folders = hosts.iter().map(|host| folder(host)).chain([ANY_HOST.to_owned()]);
    let text = hosts_toml(endpoint, authority);
    folders
        .map(|folder| Document { path: format!("certs.d/{folder}/hosts.toml"), text: text.clone() })
        .collect()
}

/// The registries that releases of a store have content from.
pub(crate) fn hosts(store: &Store) -> Result<BTreeSet<String>, Error> {
    let mut hosts = BTreeSet::new();
    for release in store.releases()?.iter().filter(|release| release.state().is_served()) {
        let refs = release.refs()?;
        hosts.extend(refs.images.keys().map(|reference| reference.host().to_owned()));
    }
    hosts.remove(INTERNAL_HOST);
    Ok(hosts)
}

/// A folder's name: a colon is no letter that every file system has.
fn folder(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{name}_{port}_"),
        None => host.to_owned(),
    }
}

fn hosts_toml(endpoint: &Endpoint, authority: &Path) -> String {
    let ca = if endpoint.is_tls() { format!("ca = {}\n", quoted(authority)) } else { String::new() };
    format!(
        "# Made by `sealift-registry config containerd`: everything comes from this appliance's registry, and nobody\n\
         # else is asked.\n\
         server = \"{endpoint}\"\n\
         {ca}\n\
         [host.\"{endpoint}\"]\n\
         capabilities = [\"pull\", \"resolve\"]\n\
         {ca}"
    )
}

/// A path as a TOML string. What JSON escapes, and how, TOML understands.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_answered_by_the_registry_alone() {
        let hosts = ["docker.io", "localhost:5000"].map(str::to_owned).into();
        let endpoint = "https://127.0.0.1:5443".parse().unwrap();
        let documents = documents(&endpoint, Path::new("/srv/a \"b\"/ca.crt"), &hosts);
        let paths: Vec<_> = documents.iter().map(|document| document.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "certs.d/docker.io/hosts.toml",
                "certs.d/localhost_5000_/hosts.toml",
                "certs.d/_default/hosts.toml"
            ]
        );
        for document in &documents {
            let lines: Vec<_> = document.text.lines().filter(|line| !line.starts_with('#')).collect();
            let ca = r#"ca = "/srv/a \"b\"/ca.crt""#;
            assert_eq!(
                lines,
                [
                    "server = \"https://127.0.0.1:5443\"",
                    ca,
                    "",
                    "[host.\"https://127.0.0.1:5443\"]",
                    "capabilities = [\"pull\", \"resolve\"]",
                    ca
                ]
            );
        }
    }
}
