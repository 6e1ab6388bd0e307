//! What k3s is told: `config.yaml`, and the files by which all images come from the registry of this node.
//!
//! What has to be the same on all servers is set from the first day on, on a single node too: so it can become three.

use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::{Digest, durable};
use serde_json::{Map, Value, json};

use super::Error;
use super::machine::Machine;
use super::node::remove_all;
use super::places::Places;
use crate::config::{K3s, Role};

/// What stands at the head of `config.yaml`.
const HEAD: &str =
    "# Made by `sealiftctl k3s install`. What is to be added goes into a file of its own in config.yaml.d.\n";
/// What `sealift-registry config k3s` writes.
const OF_REGISTRY: [&str; 2] = ["registries.yaml", "config.yaml.d/50-sealift-registry.yaml"];
/// How many scheduled snapshots are kept; k3s makes two a day.
const SNAPSHOT_RETENTION: u32 = 10;

/// Files below `/etc/rancher/k3s`, with what belongs into them.
#[derive(Clone, Debug)]
pub(super) struct Settings(Vec<(PathBuf, String)>);

impl Settings {
    /// What the configuration and this node's registry say.
    pub(super) fn wanted(
        config: &K3s,
        node: &str,
        places: &Places,
        machine: &Machine<'_>,
    ) -> Result<Self, crate::Error> {
        let mut files = vec![(places.settings().join("config.yaml"), server(config, node, places))];
        let scratch = places.own().join("registry.new");
        remove_all(&scratch)?;
        machine.write_registry_settings(&scratch)?;
        for name in OF_REGISTRY {
            let text = fs::read_to_string(scratch.join(name)).map_err(|error| Error::Step {
                what: "`sealift-registry config k3s`".to_owned(),
                why: format!("it wrote no {name}: {error}"),
            })?;
            files.push((places.settings().join(name), text));
        }
        remove_all(&scratch)?;
        Ok(Self(files))
    }

    /// The files that are not so.
    pub(super) fn differing(&self) -> Vec<PathBuf> {
        let differs =
            |(path, text): &&(PathBuf, String)| fs::read(path).ok().as_deref() != Some(text.as_bytes());
        self.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn write(&self) -> Result<(), crate::Error> {
        let differing = self.differing();
        for (path, text) in self.0.iter().filter(|(path, _)| differing.contains(path)) {
            durable::create_dir_all(durable::parent_of(path))?;
            durable::write_secret(path, text.as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.0.iter().flat_map(|(_, text)| [text.as_str(), "\0"]).collect::<String>().as_bytes())
    }
}

/// `config.yaml` of a server.
fn server(config: &K3s, node: &str, places: &Places) -> String {
    let mut keys = Map::new();
    match &config.role {
        // It is ignored once there is data, and says how the data came about.
        Role::Single | Role::First => keys.insert("cluster-init".to_owned(), json!(true)),
        Role::Join(server) => keys.insert("server".to_owned(), json!(server.as_str().trim_end_matches('/'))),
    };
    let mut set = |key: &str, value: Value| keys.insert(key.to_owned(), value);
    set("token-file", json!(places.token()));
    set("node-name", json!(node));
    if let Some(address) = config.node_ip {
        set("node-ip", json!(address));
    }
    if !config.endpoints.is_empty() {
        set("tls-san", json!(config.endpoints));
    }
    set("disable-default-registry-endpoint", json!(true));
    set("protect-kernel-defaults", json!(true));
    set("secrets-encryption", json!(true));
    set("etcd-snapshot-retention", json!(SNAPSHOT_RETENTION));
    // What k3s compressed, it could not restore before 1.37.1.
    set("etcd-snapshot-compress", json!(false));
    set("write-kubeconfig-mode", json!("0600"));
    let yaml = serde_saphyr::to_string(&keys).expect("text, lists and numbers serialise");
    format!("{HEAD}{yaml}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &str) -> Value {
        let config: K3s = serde_saphyr::from_str(config).unwrap();
        let text = server(&config, "node-a", &Places::new(&config));
        assert!(text.starts_with("# Made by"), "{text}");
        serde_saphyr::from_str(&text).unwrap()
    }

    #[test]
    fn what_must_match_is_set_from_the_first_day_on() {
        let single = keys("{role: single, nodeIp: 10.0.0.11, endpoints: [a.example, 10.0.0.10]}");
        let join = keys(
            "{role: join, server: 'https://10.0.0.11:6443', nodeIp: 10.0.0.12, endpoints: [a.example, 10.0.0.10]}",
        );
        let first = keys("{role: first, nodeIp: 10.0.0.11, endpoints: [a.example, 10.0.0.10]}");
        assert_eq!(single, first);
        assert_eq!(
            (&single["cluster-init"], &single["write-kubeconfig-mode"]),
            (&json!(true), &json!("0600"))
        );
        assert_eq!(join["server"], "https://10.0.0.11:6443");
        let of_all = |keys: &Value| {
            let mut keys = keys.as_object().unwrap().clone();
            ["cluster-init", "server", "node-ip"].iter().for_each(|key| drop(keys.remove(*key)));
            keys
        };
        assert_eq!(of_all(&single), of_all(&join));
        assert_eq!(single["token-file"], "/etc/rancher/k3s/token");
    }
}
