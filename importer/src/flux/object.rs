//! An object of Flux, as far as it matters here: whether it is suspended and by whom, and what its controller says of it.
//! Sources: fluxcd.io, the API references of `kustomize`, `helm` and `source`; kubernetes.io, "API conventions".

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Marks what Sealift suspended, with the time. It lives on the object, so that it outlasts whoever set it.
pub(super) const SUSPENDED: &str = "sealift/suspended";
/// By this annotation Flux is asked to look now; the controller repeats its value in the status.
pub(super) const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

/// A page of objects.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    pub(super) items: Vec<Object>,
}

#[derive(Default, Deserialize)]
pub(super) struct PageMetadata {
    #[serde(rename = "continue", default, deserialize_with = "or_default")]
    pub(super) next: String,
}

/// An object.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    resource_version: String,
    #[serde(default)]
    generation: i64,
    deletion_timestamp: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    suspend: bool,
    /// Of a `HelmRepository`.
    #[serde(rename = "type")]
    repository_type: Option<String>,
    /// Of a Kustomization.
    source_ref: Option<Reference>,
    /// Of a `HelmRelease`.
    chart_ref: Option<Reference>,
}

/// Another object; in the same namespace, if none is named.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    observed_generation: Option<i64>,
    last_handled_reconcile_at: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    /// Of a source.
    artifact: Option<Artifact>,
    /// Of a Kustomization.
    last_applied_revision: Option<String>,
    /// Of a `HelmRelease` whose chart is from an `OCIRepository`.
    last_attempted_revision_digest: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    revision: String,
}

/// What a controller says about one side of an object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    name: String,
    status: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
    observed_generation: Option<i64>,
}

/// Go writes what is empty as `null` in places.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Object {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    pub(super) fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    /// Whether Sealift suspended it.
    pub(super) fn is_marked(&self) -> bool {
        self.metadata.annotations.contains_key(SUSPENDED)
    }

    /// Whether it is about to go. Nothing is asked of it then.
    pub(super) fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether no controller looks after it: where charts lie in a registry, a `HelmRepository` is an address and no more.
    pub(super) fn is_static(&self) -> bool {
        self.spec.repository_type.as_deref() == Some("oci")
    }

    /// The patch that suspends it, unless it is suspended already, by whomever.
    pub(super) fn to_suspend(&self, now: &str) -> Option<Value> {
        let wanted = !self.is_suspended() && !self.is_going();
        wanted.then(|| self.patch(&json!({ SUSPENDED: now }), &json!({ "suspend": true })))
    }

    /// The patch that undoes [`to_suspend`](Self::to_suspend), and leaves nothing behind. What is marked and runs was resumed by somebody
    /// else; it only loses its mark.
    pub(super) fn to_resume(&self) -> Option<Value> {
        let spec = if self.is_suspended() { json!({ "suspend": null }) } else { json!({}) };
        let wanted = self.is_marked() && !self.is_going();
        wanted.then(|| self.patch(&json!({ SUSPENDED: null }), &spec))
    }

    /// A change of this object as it is now: if it has changed since, the server answers 409.
    fn patch(&self, annotations: &Value, spec: &Value) -> Value {
        let version = &self.metadata.resource_version;
        json!({ "metadata": { "resourceVersion": version, "annotations": annotations }, "spec": spec })
    }

    /// Whether its controller has looked since it was last asked to.
    pub(super) fn is_handled(&self) -> bool {
        let requested = self.metadata.annotations.get(REQUESTED);
        requested.is_none() || requested == self.status.last_handled_reconcile_at.as_ref()
    }

    /// Whether its controller has seen its latest definition.
    pub(super) fn is_observed(&self) -> bool {
        self.status.observed_generation == Some(self.metadata.generation)
    }

    /// A condition, if it is about the latest definition.
    pub(super) fn condition(&self, name: &str) -> Option<&Condition> {
        let is_current =
            |c: &Condition| c.observed_generation.is_none_or(|seen| seen >= self.metadata.generation);
        self.status.conditions.iter().find(|c| c.name == name && is_current(c))
    }

    /// What it takes its content from, if that is named by one reference.
    pub(super) fn source(&self) -> Option<&Reference> {
        self.spec.source_ref.as_ref().or(self.spec.chart_ref.as_ref())
    }

    /// The revision that a source offers.
    pub(super) fn offered(&self) -> Option<&str> {
        self.status.artifact.as_ref().map(|artifact| artifact.revision.as_str())
    }

    /// Whether it has applied this revision of its source. True where its status does not say which it applied.
    pub(super) fn has_applied(&self, revision: &str) -> bool {
        let (applied, offered) = if self.spec.source_ref.is_some() {
            (&self.status.last_applied_revision, Some(revision))
        } else {
            // `1.2.0@sha256:…`: tags of charts are moved, so the digest counts.
            (&self.status.last_attempted_revision_digest, revision.rsplit_once('@').map(|(_, digest)| digest))
        };
        applied.as_deref().zip(offered).is_none_or(|(applied, offered)| applied == offered)
    }
}

impl Condition {
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }
}
