//! For Flux: a Service that leads every pod to the registry of its own node, and a source for everything of the active
//! release that Flux can take.
//!
//! Pods cannot reach the host's loopback. So the Service has no selector but an `EndpointSlice` for each node, with
//! `nodeName` and `internalTrafficPolicy: Local` (Kubernetes, "Service Internal Traffic Policy"), and what is trusted is
//! the authorities of all nodes.
//!
//! Sources follow the active release without being written anew: a Git mirror by its branch, and what comes from the
//! registry by `semver`, because tag lists and Git are those of the active release alone. So an activation, and a
//! rollback too, is what Flux finds when it looks next. Nothing is `insecure`: that would also leave out TLS (Flux,
//! ocirepositories.md), and Git has no such thing.

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use sealift_archive::INTERNAL_HOST;
use sealift_archive::release::{Kind, Refs};
use sealift_store::{State, Store};
use serde_json::Value;

use self::objects::{Objects, Tag};
use super::Document;
use crate::Error;
use crate::tls::{DnsName, certificates};

/// The branches of a mirror.
const BRANCHES: &str = "refs/heads/";

/// What the objects are made from.
#[derive(Clone, Debug)]
pub(crate) struct Flux {
    /// The nodes.
    pub(crate) nodes: Vec<Node>,
    /// The port that every node's registry listens on.
    pub(crate) port: u16,
    /// Certificates of the nodes' authorities.
    pub(crate) authorities: Vec<PathBuf>,
    /// Where Flux's objects belong.
    pub(crate) namespace: DnsName,
    /// How often Flux looks, in its own words.
    pub(crate) interval: Interval,
    /// Public keys (`.asc`, `.sshpub`) by which commits are verified. None: they are not.
    pub(crate) git_keys: Vec<PathBuf>,
    /// Public keys (`.pub`) by which charts and artifacts are verified. None: they are not.
    pub(crate) cosign_keys: Vec<PathBuf>,
}

/// A node of the cluster, and an address at which pods reach its registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    /// Its name in Kubernetes.
    pub(crate) name: DnsName,
    /// Its address.
    pub(crate) address: IpAddr,
}

/// Why some text does not name a node.
#[derive(Debug, thiserror::Error)]
#[error("a node is NAME=ADDRESS, and its address is one that pods reach: neither loopback nor link-local")]
pub(crate) struct NotANode;

impl FromStr for Node {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        let (name, address) = text.split_once('=').ok_or(NotANode)?;
        let name = name.parse().map_err(|_| NotANode)?;
        let address: IpAddr = address.parse().map_err(|_| NotANode)?;
        let is_link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        // Kubernetes refuses these in an EndpointSlice.
        if address.is_loopback() || is_link_local || address.is_unspecified() || address.is_multicast() {
            return Err(NotANode);
        }
        Ok(Self { name, address })
    }
}

/// A span of time as Flux takes it: `30s`, `5m`, `1h`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interval(String);

/// Why some text is not a span of time.
#[derive(Debug, thiserror::Error)]
#[error("an interval is a number and `s`, `m` or `h`, such as `5m`")]
pub(crate) struct NotAnInterval;

impl FromStr for Interval {
    type Err = NotAnInterval;

    fn from_str(text: &str) -> Result<Self, NotAnInterval> {
        let number = text.strip_suffix(['s', 'm', 'h']).ok_or(NotAnInterval)?;
        let is_number =
            number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u32>().is_ok_and(|n| n > 0);
        is_number.then(|| Self(text.to_owned())).ok_or(NotAnInterval)
    }
}

impl Flux {
    /// All objects, in one file. `refs` is what the active release has; without one there are no sources.
    pub(crate) fn documents(&self, refs: Option<&Refs>) -> Result<Vec<Document>, Error> {
        let mut trusted = String::new();
        for file in &self.authorities {
            certificates(file)?;
            trusted.push_str(fs_err::read_to_string(file)?.trim_end());
            trusted.push('\n');
        }
        let objects = Objects::new(self);
        let mut all = vec![objects::namespace(), objects.service()];
        all.extend(self.nodes.iter().map(|node| objects.endpoint_slice(node)));
        all.push(objects.authorities(&trusted));
        all.extend(secret_of_keys(&self.git_keys, &["asc", "sshpub"])?.map(|keys| objects.git_keys(&keys)));
        all.extend(secret_of_keys(&self.cosign_keys, &["pub"])?.map(|keys| objects.cosign_keys(&keys)));
        if let Some(refs) = refs {
            all.extend(sources(&objects, refs)?);
        }
        let yaml = serde_saphyr::to_string_multiple(&all).expect("text, numbers, lists and tables serialise");
        let text = format!(
            "# Made by `sealift-registry config flux`; for `kubectl apply --server-side -f`.\n{yaml}"
        );
        Ok(vec![Document { path: "sealift-registry.yaml".to_owned(), text }])
    }
}

/// What the active release of a store has, if there is one.
pub(crate) fn active_refs(store: &Store) -> Result<Option<Refs>, Error> {
    let releases = store.releases()?;
    let active = releases.iter().find(|release| *release.state() == State::Active);
    Ok(active.map(sealift_store::StoredRelease::refs).transpose()?)
}

/// A source for each Git mirror, and for each chart and artifact under our own name.
fn sources(objects: &Objects<'_>, refs: &Refs) -> Result<Vec<Value>, Error> {
    let mut sources = Vec::new();
    let mut taken = BTreeSet::new();
    for (name, repository) in &refs.git {
        // Flux has a word for branches, and one for whatever else HEAD may be.
        let branch = repository.head.strip_prefix(BRANCHES);
        let object = object_name(name.as_str());
        claim(&mut taken, "GitRepository", &object)?;
        sources.push(objects.git_repository(&object, name.as_str(), &repository.head, branch));
    }
    let mut artifacts: BTreeMap<&str, (Kind, Vec<&str>)> = BTreeMap::new();
    for (reference, descriptor) in refs.images.iter().filter(|(name, _)| name.host() == INTERNAL_HOST) {
        let kind = Kind::of(reference, descriptor);
        if let (Kind::Chart | Kind::FluxArtifact, Some(tag)) = (kind, reference.tag()) {
            artifacts.entry(reference.repository()).or_insert((kind, Vec::new())).1.push(tag);
        }
    }
    for (repository, (kind, tags)) in artifacts {
        let object = object_name(repository);
        claim(&mut taken, "OCIRepository", &object)?;
        sources.push(objects.oci_repository(&object, repository, kind == Kind::Chart, Tag::of(&tags)));
    }
    Ok(sources)
}

fn claim(taken: &mut BTreeSet<(&str, String)>, kind: &'static str, name: &str) -> Result<(), Error> {
    if taken.insert((kind, name.to_owned())) {
        return Ok(());
    }
    Err(Error::Configure { why: format!("two of the release's sources would be the {kind} `{name}`") })
}

/// A name as Kubernetes allows it, of one that a registry or Git allows.
fn object_name(name: &str) -> String {
    name.to_ascii_lowercase().replace(['/', '_', '.'], "-")
}

/// Keys by their files' names, if there are any.
fn secret_of_keys(files: &[PathBuf], endings: &[&str]) -> Result<Option<BTreeMap<String, String>>, Error> {
    let mut keys = BTreeMap::new();
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !is_allowed || !endings.contains(&ending) {
            let why = format!("`{}` has to be called NAME.{}", file.display(), endings.join(" or NAME."));
            return Err(Error::Configure { why });
        }
        if keys.insert(name.to_owned(), fs_err::read_to_string(file)?).is_some() {
            return Err(Error::Configure { why: format!("two keys are called `{name}`") });
        }
    }
    Ok(Some(keys).filter(|keys| !keys.is_empty()))
}
