//! Whether Flux has brought the cluster to what its sources hold now.
//!
//! A `Ready=True` alone says little: it may be about the definition before the last, or about the content before the
//! release. So a controller must have seen the latest definition, have looked since it was last asked to, and have applied
//! what its source offers.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::object::Object;
use crate::kubernetes::shown;

/// How many objects that are not ready are told by name. The first few say what is wrong; the rest mostly wait for them.
const MAX_WAITING: usize = 10;

/// How Flux stands: what is ready, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// How many objects were looked at. Those that somebody else suspended are not: their state is meant to stand still.
    pub judged: usize,
    /// What is not ready, at most 10 of them.
    pub waiting: Vec<Waiting>,
    /// How many more are not ready.
    pub more: usize,
}

/// An object that is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Kind, namespace and name: `Kustomization flux-system/app`.
    pub object: String,
    /// What its controller says, or what it has not done yet. One line.
    pub why: String,
}

impl Standing {
    /// Whether nothing is waited for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.waiting.is_empty()
    }

    /// That of a cluster which serves none of Flux's objects.
    pub(super) fn without_flux() -> Self {
        let why = "the cluster serves neither Kustomizations nor HelmReleases".to_owned();
        Self { judged: 1, waiting: vec![Waiting { object: "Flux".to_owned(), why }], more: 0 }
    }

    fn add(&mut self, object: String, why: String) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(Waiting { object, why });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Standing {
    /// `2 of 7 are not ready: Kustomization flux-system/app: …; …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready() {
            return write!(f, "all {} are ready", self.judged);
        }
        write!(f, "{} of {} are not ready", self.waiting.len() + self.more, self.judged)?;
        for (n, Waiting { object, why }) in self.waiting.iter().enumerate() {
            write!(f, "{}{object}: {why}", if n == 0 { ": " } else { "; " })?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// Kind, namespace and name.
pub(super) type Identity = (String, String, String);

pub(super) fn identity(kind: &str, object: &Object) -> Identity {
    (kind.to_owned(), object.namespace().to_owned(), object.name().to_owned())
}

/// Judges objects, those that apply something before their sources: whatever changes between two looks then shows as
/// something to wait for, never as ready.
pub(super) fn judge(appliers: &[(&str, Object)], sources: &[(&str, Object)]) -> Standing {
    let offers: HashMap<Identity, &str> = sources
        .iter()
        .filter_map(|(kind, object)| Some((identity(kind, object), object.offered()?)))
        .collect();
    let mut standing = Standing::default();
    for (kind, object) in sources.iter().chain(appliers) {
        let is_ours = object.is_suspended() && object.is_marked() && !object.is_going();
        if !object.is_reconciled() && !is_ours {
            continue;
        }
        standing.judged += 1;
        let why = not_ready(object).or_else(|| not_current(object, &offers));
        if let Some(why) = why {
            standing.add(format!("{kind} {}/{}", object.namespace(), object.name()), why);
        }
    }
    standing
}

/// What is in the way, as far as the object itself says.
fn not_ready(object: &Object) -> Option<String> {
    if object.is_suspended() {
        return Some("it is still suspended by Sealift".to_owned());
    }
    // What a controller gave up on will not be observed, so this is the first to be said.
    if let Some(stalled) = object.condition("Stalled").filter(|stalled| stalled.is_true()) {
        return Some(format!("it is stalled: {}", said(&stalled.reason, &stalled.message)));
    }
    let ready = object.condition("Ready");
    match ready {
        Some(ready) if !ready.is_true() => Some(said(&ready.reason, &ready.message)),
        _ if !object.is_observed() => {
            Some("its controller has not seen its latest definition yet".to_owned())
        }
        _ if !object.is_handled() => Some("its controller has not looked since it was asked to".to_owned()),
        None => Some("its controller says nothing about it yet".to_owned()),
        Some(_) => None,
    }
}

/// Whether something newer is offered than was applied.
fn not_current(object: &Object, offers: &HashMap<Identity, &str>) -> Option<String> {
    let source = object.source()?;
    let namespace = source.namespace.as_deref().unwrap_or(object.namespace());
    let offer = offers.get(&(source.kind.clone(), namespace.to_owned(), source.name.clone()))?;
    let why = || format!("it has not applied {} of its {} yet", shown(offer), shown(&source.kind));
    (!object.has_applied(offer)).then(why)
}

fn said(reason: &str, message: &str) -> String {
    shown(&format!("{message} ({reason})"))
}
