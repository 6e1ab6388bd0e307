//! An object of Flux, as far as it matters here: whether it is suspended and by whom, and what its controller says of it.
//! Sources: fluxcd.io, the API references of `kustomize`, `helm` and `source`; kubernetes.io, "API conventions".

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Marks what Sealift suspended, with the time. It lives on the object, so that it outlasts whoever set it.
const SUSPENDED: &str = "sealift/suspended";
/// By this annotation Flux is asked to look now; the controller repeats its value in the status.
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

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

    /// Whether its controller looks at it at all.
    pub(super) fn is_reconciled(&self) -> bool {
        // Where charts lie in a registry, a `HelmRepository` is an address and no more.
        let is_static = self.spec.repository_type.as_deref() == Some("oci");
        !self.is_suspended() && !self.is_going() && !is_static
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

    /// The patch that asks its controller to look, unless it was asked with this time already. No version is named: whatever it is
    /// meanwhile, it is to be looked at.
    pub(super) fn to_poke(&self, now: &str) -> Option<Value> {
        let wanted =
            self.is_reconciled() && self.metadata.annotations.get(REQUESTED).is_none_or(|asked| asked != now);
        wanted.then(|| json!({ "metadata": { "annotations": { REQUESTED: now } } }))
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

    /// Whether its controller is applying something right now.
    ///
    /// `ProgressingWithRetry` is a wait for the next try. Health checks come last, and say about `Healthy` what they say about
    /// `Reconciling`; where suspending breaks them off, as with Flux 2.9, both stay as they are.
    pub(super) fn is_in_progress(&self) -> bool {
        let find = |name: &str| self.status.conditions.iter().find(|c| c.name == name);
        let is_checked = |reconciling: &Condition| {
            find("Healthy").is_some_and(|c| c.status == "Unknown" && c.message == reconciling.message)
        };
        find("Reconciling").is_some_and(|c| c.is_true() && c.reason == "Progressing" && !is_checked(c))
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
        if self.spec.source_ref.is_some() {
            return self.status.last_applied_revision.as_deref().is_none_or(|applied| applied == revision);
        }
        // Of `1.2.0@sha256:…` the digest is kept; of a revision without such a version all of it.
        let digest = revision.rsplit_once('@').map_or(revision, |(_, digest)| digest);
        let attempted = self.status.last_attempted_revision_digest.as_deref();
        attempted.is_none_or(|attempted| [digest, revision].contains(&attempted))
    }
}

impl Condition {
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }
}
