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

mod active;
mod keys;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use sealift_archive::release::Kind;
use sealift_archive::{Digest, INTERNAL_HOST};
use serde_json::Value;

pub(crate) use self::active::Active;
pub(crate) use self::keys::Key;
use self::keys::{Keys, Signed};
use self::objects::{COSIGN_KEYS, GIT_KEYS, Objects, Tag};
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
    /// Public keys (`.asc`, `.sshpub`) by which commits are verified that are signed.
    pub(crate) git_keys: Vec<Key>,
    /// Public keys (`.pub`) by which charts and artifacts are verified that are signed.
    pub(crate) cosign_keys: Vec<Key>,
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
    /// All objects, in one file. Without an active release there are no sources. Where a key was given, also the sources that
    /// Flux does not verify all the same, a line each: whoever gives one has to hear of them.
    pub(crate) fn documents(&self, active: Option<&Active>) -> Result<(Vec<Document>, Vec<String>), Error> {
        let mut trusted = String::new();
        for file in &self.authorities {
            certificates(file)?;
            trusted.push_str(fs_err::read_to_string(file)?.trim_end());
            trusted.push('\n');
        }
        let mut sources = Sources {
            objects: Objects::new(self),
            git_keys: Keys::read("--git-key", GIT_KEYS, &["asc", "sshpub"], &self.git_keys)?,
            cosign_keys: Keys::read("--cosign-key", COSIGN_KEYS, &["pub"], &self.cosign_keys)?,
            made: Vec::new(),
            unverified: Vec::new(),
        };
        if let Some(active) = active {
            sources.of_git(active)?;
            sources.of_registry(active)?;
        }
        let Sources { objects, git_keys, cosign_keys, made, unverified } = sources;
        let mut all = vec![objects::namespace(), objects.service()];
        all.extend(self.nodes.iter().map(|node| objects.endpoint_slice(node)));
        all.push(objects.authorities(&trusted));
        for keys in [&git_keys, &cosign_keys] {
            keys.expect_all_there()?;
            all.extend(keys.secrets().map(|(name, texts)| objects.secret(&name, texts)));
        }
        all.extend(made);
        let yaml = serde_saphyr::to_string_multiple(&all).expect("text, numbers, lists and tables serialise");
        let mut text =
            "# Made by `sealift-registry config flux`; for `kubectl apply --server-side -f`.\n".to_owned();
        if !unverified.is_empty() {
            text.push_str("# Flux takes these without verifying them once more:\n");
            text.extend(unverified.iter().map(|line| format!("# - {line}\n")));
        }
        text.push_str(&yaml);
        let has_keys = !(git_keys.is_empty() && cosign_keys.is_empty());
        let remarks = if has_keys { unverified } else { Vec::new() };
        Ok((vec![Document { path: "sealift-registry.yaml".to_owned(), text }], remarks))
    }
}

/// The sources of a release, and how they are verified.
struct Sources<'a> {
    objects: Objects<'a>,
    git_keys: Keys,
    cosign_keys: Keys,
    made: Vec<Value>,
    /// Those that are not verified, and why not; a line each.
    unverified: Vec<String>,
}

impl Sources<'_> {
    /// One for each Git mirror.
    fn of_git(&mut self, active: &Active) -> Result<(), Error> {
        let mut taken = BTreeSet::new();
        for (name, repository) in &active.refs.git {
            // Flux has a word for branches, and one for whatever else HEAD may be.
            let branch = repository.head.strip_prefix(BRANCHES);
            let object = object_name(name.as_str());
            claim(&mut taken, "GitRepository", &object)?;
            let form = active.commit_form(name);
            let signed = form.map(Signed::from).ok_or_else(|| "its commit has no signature".to_owned());
            let secret = self.git_keys.secret_for(&object, signed)?;
            let secret = note(&mut self.unverified, &self.git_keys, "GitRepository", &object, secret);
            let (head, secret) = (&repository.head, secret.as_deref());
            self.made.push(self.objects.git_repository(&object, name.as_str(), head, branch, secret));
        }
        Ok(())
    }

    /// One for each chart and artifact under our own name.
    fn of_registry(&mut self, active: &Active) -> Result<(), Error> {
        let mut artifacts: BTreeMap<&str, (Kind, BTreeMap<&str, Digest>)> = BTreeMap::new();
        for (reference, found) in active.refs.images.iter().filter(|(name, _)| name.host() == INTERNAL_HOST) {
            let kind = Kind::of(reference, found);
            if let (Kind::Chart | Kind::FluxArtifact, Some(tag)) = (kind, reference.tag()) {
                let (_, tags) = artifacts.entry(reference.repository()).or_insert((kind, BTreeMap::new()));
                tags.insert(tag, found.digest);
            }
        }
        let mut taken = BTreeSet::new();
        for (repository, (kind, tags)) in artifacts {
            let object = object_name(repository);
            claim(&mut taken, "OCIRepository", &object)?;
            let names: Vec<&str> = tags.keys().copied().collect();
            let tag = Tag::of(&names);
            let is_followed = |name: &str| tag == Tag::Highest || tag == Tag::Named(name);
            let mut followed = tags.iter().filter(|(name, _)| is_followed(name));
            let unsigned = followed.find(|(_, manifest)| !active.is_signed(repository, **manifest));
            let signed = match unsigned {
                None => Ok(Signed::COSIGN),
                Some((name, _)) => Err(format!("tag {name} has no signature of cosign")),
            };
            let secret = self.cosign_keys.secret_for(&object, signed)?;
            let secret = note(&mut self.unverified, &self.cosign_keys, "OCIRepository", &object, secret);
            let (is_chart, secret) = (kind == Kind::Chart, secret.as_deref());
            self.made.push(self.objects.oci_repository(&object, repository, is_chart, tag, secret));
        }
        Ok(())
    }
}

/// Notes a source that is not verified.
fn note(
    unverified: &mut Vec<String>,
    keys: &Keys,
    kind: &str,
    object: &str,
    secret: Result<String, String>,
) -> Option<String> {
    let why = match secret {
        Ok(secret) => return Some(secret),
        Err(_) if keys.is_empty() => "no key was given".to_owned(),
        Err(why) => why,
    };
    unverified.push(format!("{kind} {object}: {why}"));
    None
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
