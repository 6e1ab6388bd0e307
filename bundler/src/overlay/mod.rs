//! Overlays: by which keys each differs from its base, and whether it may.
//!
//! The folders are read as kustomize reads them, as far as overlays may go; whatever else stands in them is refused, not
//! passed over. What is read is bounded and never leaves the delivered folder.

mod build;
mod error;
mod folder;
mod keys;
mod patch;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

pub use error::{Error, Fault, Finding};

use crate::definition::{Definition, Overlays};
use crate::discover::on_large_stack;
use build::{Objects, build};
use error::Stop;
use folder::Folder;
use keys::Listed;

/// What was found in all overlays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifts {
    /// Each overlay that could be read.
    pub overlays: Vec<Drift>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// How an overlay differs from the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The overlay, as the definition names it.
    pub overlay: String,
    /// The most keys by which it may differ.
    pub max_keys: u16,
    /// Those by which it does.
    pub changes: Vec<Change>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `HelmRelease/web/spec/values/replicaCount`
    pub key: String,
    /// The value in the base, if it has one.
    pub base: Option<Value>,
    /// The value in the overlay, if it has one.
    pub overlay: Option<Value>,
    /// Whether overlays may change it.
    pub is_listed: bool,
}

impl Drifts {
    /// What is wrong, as one error for each kind of fault.
    #[must_use]
    pub fn errors(&self) -> Vec<Error> {
        let mut errors: Vec<Error> = Vec::new();
        for finding in &self.findings {
            match errors.iter_mut().find(|error| error.finding.fault == finding.fault) {
                Some(error) => error.more += 1,
                None => errors.push(Error { finding: finding.clone(), more: 0 }),
            }
        }
        errors
    }
}

/// Judges the overlays of a definition that stands in this folder.
///
/// # Errors
/// Only what keeps it from being done at all; what is wrong with overlays is found.
pub(crate) fn judge(
    definition: &Definition,
    overlays: &Overlays,
    folder: &Path,
) -> Result<Drifts, crate::Error> {
    on_large_stack(|| Ok(read(definition, overlays, folder)))
}

fn read(definition: &Definition, overlays: &Overlays, folder: &Path) -> Drifts {
    let mut drifts = Drifts::default();
    let shown = |path: &Path| path.display().to_string();
    let Some(places) = overlays.places(definition.folders()) else { return drifts };
    let root = folder.join(&places.root);
    let listed = Listed::read(&mut Folder::new(folder.to_owned()), &places.keys);
    let base = objects(folder, &root, &places.base);
    let (listed, base) = match (listed, base) {
        (Ok(listed), Ok(base)) => (listed, base),
        (listed, base) => {
            drifts.findings.extend(listed.err().map(|stop| stop.in_overlay(&shown(&overlays.keys))));
            drifts.findings.extend(base.err().map(|stop| stop.in_overlay(&shown(&overlays.base))));
            return drifts;
        }
    };
    for (path, dir) in overlays.folders.iter().zip(&places.folders) {
        let name = shown(path);
        match objects(folder, &root, dir) {
            Ok(objects) => compare(&name, overlays.max_keys, &listed, (&base, &objects), &mut drifts),
            Err(stop) => drifts.findings.push(stop.in_overlay(&name)),
        }
    }
    drifts
}

/// The objects of a folder below `root`, which itself must not be a link.
fn objects(definition: &Path, root: &Path, dir: &str) -> Result<Objects, Stop> {
    let inside = root.strip_prefix(definition).ok().and_then(Path::to_str).unwrap_or_default();
    Folder::new(definition.to_owned()).find(inside)?;
    build(&mut Folder::new(root.to_owned()), dir)
}

fn compare(
    name: &str,
    max_keys: u16,
    listed: &Listed,
    (base, overlay): (&Objects, &Objects),
    drifts: &mut Drifts,
) {
    let finding = |fault, place: &str, why: String| Finding {
        fault,
        overlay: name.to_owned(),
        place: place.to_owned(),
        why,
    };
    let mut changes = Vec::new();
    for (key, base, overlay) in keys::differences(base, overlay) {
        let is_listed = listed.has(&key);
        let key = key.shown();
        if !is_listed {
            let why = "differs from the base, and is no key that overlays may change".to_owned();
            drifts.findings.push(finding(Fault::NotListed, &key, why));
        }
        changes.push(Change { key, base, overlay, is_listed });
    }
    if changes.len() > usize::from(max_keys) {
        let why = format!("differs from the base by {} keys, where {max_keys} are allowed", changes.len());
        drifts.findings.push(finding(Fault::TooMany, name, why));
    }
    drifts.overlays.push(Drift { overlay: name.to_owned(), max_keys, changes });
}
