//! The objects themselves: Kubernetes' `Service`, `EndpointSlice` and `Secret`, and Flux's sources (source-controller,
//! docs/spec/v1).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{Flux, Node};
use crate::tls::{NAMESPACE, SERVICE};

/// What Flux reads the nodes' authorities from, and what the keys for all that is signed.
const AUTHORITIES: &str = "sealift-ca";
pub(super) const GIT_KEYS: &str = "sealift-git-keys";
pub(super) const COSIGN_KEYS: &str = "sealift-cosign-keys";

/// Every version there is, those before a release too.
const ANY_VERSION: &str = ">=0.0.0-0";
/// What Flux takes of a chart: the chart as it is (source-controller, ocirepositories.md, "Layer selector").
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The longest that one fetch may take. Flux's own 60 s would do, but not while a node starts.
const TIMEOUT: &str = "120s";
/// The port's name: by it the Service and its endpoints belong together.
const PORT: &str = "https";

/// By which tag an artifact is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tag<'a> {
    /// The highest version that the active release has.
    Highest,
    /// This one, since its tags are no versions.
    Named(&'a str),
}

impl<'a> Tag<'a> {
    /// The right one for these.
    pub(super) fn of(tags: &[&'a str]) -> Self {
        match tags.iter().find(|tag| !is_version(tag)) {
            None => Self::Highest,
            Some(tag) => Self::Named(tag),
        }
    }
}

/// Whether a tag is a semantic version. Build metadata has none: `+` cannot be in a tag, and Flux does not know what stands
/// for it.
fn is_version(tag: &str) -> bool {
    let (core, before_release) = tag.split_once('-').map_or((tag, None), |(core, rest)| (core, Some(rest)));
    let core: Vec<_> = core.strip_prefix('v').unwrap_or(core).split('.').collect();
    let is_number = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    let is_identifier =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    core.len() == 3
        && core.iter().all(is_number)
        && before_release.is_none_or(|rest| rest.split('.').all(is_identifier))
}

/// Where the registry is found, and nothing else of ours.
pub(super) fn namespace() -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })
}

/// Makes objects.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    flux: &'a Flux,
    /// Where pods reach the registry.
    authority: String,
}

impl<'a> Objects<'a> {
    pub(super) fn new(flux: &'a Flux) -> Self {
        Self { flux, authority: format!("{SERVICE}.{NAMESPACE}.svc:{}", flux.port) }
    }

    pub(super) fn service(&self) -> Value {
        let port = self.flux.port;
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": SERVICE, "namespace": NAMESPACE },
            "spec": {
                "internalTrafficPolicy": "Local",
                "ipFamilyPolicy": "PreferDualStack",
                "ports": [{ "name": PORT, "port": port, "protocol": "TCP", "targetPort": port }],
            },
        })
    }

    pub(super) fn endpoint_slice(&self, node: &Node) -> Value {
        let (family, suffix) = if node.address.is_ipv4() { ("IPv4", "") } else { ("IPv6", "-ipv6") };
        let name = node.name.as_str();
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{SERVICE}-{name}{suffix}"),
                "namespace": NAMESPACE,
                "labels": {
                    "kubernetes.io/service-name": SERVICE,
                    "endpointslice.kubernetes.io/managed-by": "sealift",
                },
            },
            "addressType": family,
            "endpoints": [{ "addresses": [node.address], "nodeName": name, "conditions": { "ready": true } }],
            "ports": [{ "name": PORT, "port": self.flux.port, "protocol": "TCP" }],
        })
    }

    /// What all sources trust. Flux wants it in the namespace of the sources.
    pub(super) fn authorities(&self, pem: &str) -> Value {
        self.secret(AUTHORITIES, &BTreeMap::from([("ca.crt".to_owned(), pem.to_owned())]))
    }

    /// Not by `stringData`: of that Kubernetes removes nothing when it is applied anew, so a key that is trusted no more
    /// would stay.
    pub(super) fn secret(&self, name: &str, texts: &BTreeMap<String, String>) -> Value {
        let data: BTreeMap<_, _> = texts.iter().map(|(name, text)| (name, BASE64.encode(text))).collect();
        let metadata = self.metadata(name);
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data })
    }

    /// The source of a mirror; `keys` is the Secret by which it is verified.
    pub(super) fn git_repository(
        &self,
        name: &str,
        mirror: &str,
        head: &str,
        branch: Option<&str>,
        keys: Option<&str>,
    ) -> Value {
        let mut spec = json!({
            "interval": self.flux.interval.0,
            "timeout": TIMEOUT,
            "url": format!("https://{}/git/{mirror}.git", self.authority),
            // Without it Flux would look for `master`.
            "ref": branch.map_or_else(|| json!({ "name": head }), |branch| json!({ "branch": branch })),
            "secretRef": { "name": AUTHORITIES },
        });
        if let Some(keys) = keys {
            spec["verify"] = json!({ "mode": "HEAD", "secretRef": { "name": keys } });
        }
        self.source("GitRepository", name, &spec)
    }

    /// The source of a chart or artifact; `keys` is the Secret by which it is verified.
    pub(super) fn oci_repository(
        &self,
        name: &str,
        repository: &str,
        is_chart: bool,
        tag: Tag<'_>,
        keys: Option<&str>,
    ) -> Value {
        let mut spec = json!({
            "interval": self.flux.interval.0,
            "timeout": TIMEOUT,
            "url": format!("oci://{}/{repository}", self.authority),
            "ref": match tag {
                Tag::Highest => json!({ "semver": ANY_VERSION }),
                Tag::Named(tag) => json!({ "tag": tag }),
            },
            "certSecretRef": { "name": AUTHORITIES },
        });
        if is_chart {
            spec["layerSelector"] = json!({ "mediaType": CHART_LAYER, "operation": "copy" });
        }
        if let Some(keys) = keys {
            spec["verify"] = json!({ "provider": "cosign", "secretRef": { "name": keys } });
        }
        self.source("OCIRepository", name, &spec)
    }

    fn source(&self, kind: &str, name: &str, spec: &Value) -> Value {
        let metadata = self.metadata(name);
        json!({ "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind, "metadata": metadata, "spec": spec })
    }

    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.flux.namespace.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_are_followed_as_versions() {
        let cases = [
            ("1.5.0", true),
            ("v1.5.0", true),
            ("0.0.0-0", true),
            ("1.5.0-rc.1", true),
            ("1.5.0-a-b", true),
            ("1.5", false),
            ("1.5.0.1", false),
            ("01.5.0", false),
            ("1.5.0-", false),
            ("1.5.0-rc..1", false),
            ("1.5.0_build", false),
            ("latest", false),
            ("", false),
        ];
        for (tag, expected) in cases {
            assert_eq!(is_version(tag), expected, "{tag}");
        }
        assert_eq!(Tag::of(&["1.0.0", "latest"]), Tag::Named("latest"));
        assert_eq!(Tag::of(&["1.0.0", "2.0.0"]), Tag::Highest);
    }
}
