//! What the nodes write down, in Kubernetes: a Lease and `ConfigMaps`. Sources: kubernetes.io, "API concepts" (resource
//! versions, optimistic concurrency), `coordination.k8s.io/v1` and `v1`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sealift_archive::json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::agreement::Agreement;
use super::error::Error as ClusterError;
use super::member::Board;
use super::record::{Lease, NodeName, Report};
use super::view::{Snapshot, Times, Versioned};
use crate::Error;
use crate::kubernetes::{Api, Ask, Deadline, Error as KubernetesError};

/// How long one question or change may take, with all its tries.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// The Lease.
const LEASE: &str = "sealift";
/// The `ConfigMap` of what is agreed on.
pub(super) const AGREEMENT: &str = "sealift-release";
/// By this label the nodes' own `ConfigMaps` are found.
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "sealift");
/// The one key in each of them.
const KEY: &str = "json";
/// Largest document, in bytes; Kubernetes takes no larger `ConfigMap`.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// A namespace of a cluster.
#[derive(Debug)]
pub struct Kubernetes {
    api: Api,
    namespace: String,
    lease_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
}

#[derive(Deserialize)]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ConfigMaps {
    items: Vec<ConfigMap>,
}

#[derive(Deserialize)]
struct LeaseObject {
    metadata: Metadata,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_transitions: Option<u64>,
}

#[derive(Deserialize)]
struct Made {
    metadata: Metadata,
}

impl Kubernetes {
    /// The namespace of the cluster that a kubeconfig leads to. Nothing is asked yet.
    ///
    /// # Errors
    /// The kubeconfig is not what it should be.
    pub fn open(kubeconfig: &Path, namespace: &str, times: &Times) -> Result<Self, Error> {
        let lease_seconds = times.lease.as_secs().max(1);
        Ok(Self { api: Api::open(kubeconfig)?, namespace: namespace.to_owned(), lease_seconds })
    }

    /// Removes what a node has written about itself; false if there is nothing.
    ///
    /// # Errors
    /// The API server cannot be reached, or refuses.
    pub fn forget(&self, name: &NodeName) -> Result<bool, Error> {
        let name = name.object();
        let path = self.config_maps(Some(&name));
        let ask = Ask { verb: "delete", resource: "configmaps".to_owned(), path: &path, query: &[] };
        match self.api.delete(&ask, Deadline::after(ASK_LIMIT)) {
            Err(error) if error.status() == Some(404) => Ok(false),
            removed => Ok(removed.map(|()| true)?),
        }
    }

    fn config_maps<'a>(&'a self, name: Option<&'a str>) -> Vec<&'a str> {
        ["api", "v1", "namespaces", &self.namespace, "configmaps"].into_iter().chain(name).collect()
    }

    fn leases<'a>(&'a self, name: Option<&'a str>) -> Vec<&'a str> {
        let group = ["apis", "coordination.k8s.io", "v1", "namespaces", &self.namespace, "leases"];
        group.into_iter().chain(name).collect()
    }

    fn read_lease(&self, deadline: Deadline) -> Result<Option<Versioned<Lease>>, Error> {
        let path = self.leases(Some(LEASE));
        let ask =
            Ask { verb: "get", resource: "leases.coordination.k8s.io".to_owned(), path: &path, query: &[] };
        let found: LeaseObject = match self.api.get(&ask, deadline) {
            Err(error) if error.status() == Some(404) => return Ok(None),
            found => found?,
        };
        let LeaseSpec { holder_identity, lease_transitions } = found.spec;
        let holder = holder_identity.filter(|holder| !holder.is_empty());
        let value = Lease { holder, term: lease_transitions.unwrap_or(0) };
        Ok(Some(Versioned { version: found.metadata.resource_version, value }))
    }

    /// Makes an object, or puts it in the place of the edition that was seen.
    fn write(
        &self,
        resource: &str,
        [all, one]: [&[&str]; 2],
        seen: Option<&str>,
        mut object: Value,
    ) -> Result<Option<String>, Error> {
        let deadline = Deadline::after(ASK_LIMIT);
        let ask = |verb, path| Ask { verb, resource: resource.to_owned(), path, query: &[] };
        let written: Result<Made, KubernetesError> = match seen {
            None => self.api.create(&ask("create", all), &object, deadline),
            Some(version) => {
                object["metadata"]["resourceVersion"] = version.into();
                self.api.replace(&ask("update", one), &object, deadline)
            }
        };
        match written {
            Ok(made) => Ok(Some(made.metadata.resource_version)),
            // Another edition is there, or none any more. (A namespace that is missing shows when it is read.)
            Err(error) if matches!(error.status(), Some(409 | 404)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn write_document(
        &self,
        name: &str,
        seen: Option<&str>,
        document: &impl Serialize,
    ) -> Result<Option<String>, Error> {
        let text = String::from_utf8(json::to_document(document)).map_err(std::io::Error::other)?;
        let (label, value) = LABEL;
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {label: value}},
            "data": {KEY: text},
        });
        self.write("configmaps", [&self.config_maps(None), &self.config_maps(Some(name))], seen, object)
    }
}

impl Board for Kubernetes {
    fn read(&self) -> Result<Snapshot, Error> {
        let deadline = Deadline::after(ASK_LIMIT);
        let lease = self.read_lease(deadline)?;
        let (label, value) = LABEL;
        let selector = format!("{label}={value}");
        let (path, query) = (self.config_maps(None), [("labelSelector", selector.as_str())]);
        let ask = Ask { verb: "list", resource: "configmaps".to_owned(), path: &path, query: &query };
        let found: ConfigMaps = self.api.get(&ask, deadline)?;
        found.read(lease)
    }

    fn write_lease(&self, seen: Option<&str>, lease: &Lease) -> Result<Option<String>, Error> {
        // As MicroTime is written; nobody reads it but people and other tools.
        let format =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        let now = OffsetDateTime::now_utc().format(format).map_err(std::io::Error::other)?;
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": self.namespace},
            "spec": {
                "holderIdentity": lease.holder,
                "leaseDurationSeconds": self.lease_seconds,
                "leaseTransitions": lease.term,
                "renewTime": now,
            },
        });
        let (all, one) = (self.leases(None), self.leases(Some(LEASE)));
        self.write("leases.coordination.k8s.io", [&all, &one], seen, object)
    }

    fn write_agreement(&self, seen: Option<&str>, agreement: &Agreement) -> Result<Option<String>, Error> {
        self.write_document(AGREEMENT, seen, agreement)
    }

    fn write_report(
        &self,
        name: &NodeName,
        seen: Option<&str>,
        report: &Report,
    ) -> Result<Option<String>, Error> {
        self.write_document(&name.object(), seen, report)
    }
}

impl ConfigMaps {
    /// Nothing goes on without what is agreed on; a report that cannot be read concerns its node alone.
    fn read(&self, lease: Option<Versioned<Lease>>) -> Result<Snapshot, Error> {
        let mut snapshot = Snapshot { lease, ..Snapshot::default() };
        for config_map in &self.items {
            let Metadata { name, resource_version } = &config_map.metadata;
            if name == AGREEMENT {
                snapshot.agreement = Some(config_map.document()?);
            } else if let Some(node) = NodeName::of_object(name) {
                let report = node
                    .map_err(|why| config_map.refuse(why))
                    .and_then(|node| Ok((node, config_map.document()?)));
                match report {
                    Ok((node, report)) => drop(snapshot.reports.insert(node, report)),
                    Err(error) => {
                        let (version, value) = (resource_version.clone(), error.to_string());
                        snapshot.unreadable.insert(name.clone(), Versioned { version, value });
                    }
                }
            }
        }
        Ok(snapshot)
    }
}

impl ConfigMap {
    fn document<T: DeserializeOwned>(&self) -> Result<Versioned<T>, ClusterError> {
        let text = self.data.get(KEY).ok_or_else(|| self.refuse(format!("it has no key `{KEY}`")))?;
        let value = json::parse(&self.metadata.name, text.as_bytes(), MAX_DOCUMENT_BYTES)
            .map_err(|error| self.refuse(error.to_string()))?;
        Ok(Versioned { version: self.metadata.resource_version.clone(), value })
    }

    fn refuse(&self, why: String) -> ClusterError {
        ClusterError::Object { name: self.metadata.name.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_maps(objects: &[(&str, &str)]) -> ConfigMaps {
        let item = |(name, text): &(&str, &str)| json!({"metadata": {"name": name, "resourceVersion": "7"}, "data": {KEY: text}});
        let items: Vec<Value> = objects.iter().map(item).collect();
        serde_json::from_value(json!({ "items": items })).unwrap()
    }

    #[test]
    fn a_report_that_cannot_be_read_concerns_its_node_alone() {
        let report = r#"{"here": [], "seen": "2026-01-01T00:00:00Z"}"#;
        let objects = [
            ("sealift-node-a", report),
            ("sealift-node-b", "{"),
            ("sealift-node-c", r#"{"here": 7}"#),
            ("sealift-node--", report),
            ("sealift-release-notes", "not ours"),
        ];
        let snapshot = config_maps(&objects).read(None).unwrap();
        assert_eq!(snapshot.reports.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["a"]);
        let unreadable: Vec<&String> = snapshot.unreadable.keys().collect();
        assert_eq!(unreadable, ["sealift-node--", "sealift-node-b", "sealift-node-c"]);
        assert!(snapshot.obstacle().unwrap().contains("sealift-node-b"));
        // A node can write over what it cannot read.
        for (node, version) in [("a", Some("7")), ("b", Some("7")), ("d", None)] {
            assert_eq!(snapshot.report_version(&node.parse().unwrap()), version, "{node}");
        }
        assert!(config_maps(&[(AGREEMENT, "{")]).read(None).is_err(), "nothing goes on without it");
    }
}
