//! Which folders are overlays, and what they may change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::discover::relative;

/// Kustomize overlays, and how far each may differ from their base. `sealift check` goes by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overlays {
    /// The folder that all of them take in, relative to the definition, in a folder of `git` or `flux`.
    pub base: PathBuf,
    /// The overlays: folders in the same folder of `git` or `flux`.
    #[schemars(length(min = 1))]
    pub folders: Vec<PathBuf>,
    /// The file that lists the keys that an overlay may change, relative to the definition.
    pub keys: PathBuf,
    /// The most keys by which an overlay may differ from the base.
    pub max_keys: u16,
}

/// Where the parts of [`Overlays`] are, in plain spelling.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The carried folder, relative to the definition.
    pub(crate) root: String,
    /// Base and overlays, relative to that folder.
    pub(crate) base: String,
    pub(crate) folders: Vec<String>,
    /// The file of keys, relative to the definition.
    pub(crate) keys: String,
}

impl Overlays {
    /// Finds the one carried folder that has all of them.
    pub(crate) fn places<'a>(&self, carried: impl Iterator<Item = &'a PathBuf>) -> Option<Places> {
        let keys = plain(&self.keys)?;
        for root in carried.filter_map(|path| plain(path)) {
            let below = |path: &Path| {
                let path = plain(path)?;
                if root.is_empty() {
                    Some(path)
                } else {
                    Some(path.strip_prefix(&format!("{root}/"))?.to_owned())
                }
            };
            let folders: Option<Vec<String>> = self.folders.iter().map(|path| below(path)).collect();
            if let Some((base, folders)) = below(&self.base).zip(folders) {
                return Some(Places { root, base, folders, keys });
            }
        }
        None
    }

    /// What it has against itself, and against the folders that are carried.
    pub(super) fn faults<'a>(&self, carried: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.folders.is_empty() {
            faults.push("`overlays.folders` names none".to_owned());
        }
        match self.places(carried) {
            None => faults.push(
                "`overlays`: base and folders have to lie in one folder that `git` or `flux` carries, and nothing of it outside the definition's folder"
                    .to_owned(),
            ),
            Some(places) => {
                let mut seen = BTreeSet::from([&places.base]);
                let twice = places.folders.iter().filter(|folder| !seen.insert(folder));
                faults.extend(twice.map(|folder| format!("`overlays` names the folder `{folder}` twice")));
            }
        }
        faults
    }
}

/// `./a//b` → `a/b`; nothing for what leaves the definition's folder.
fn plain(path: &Path) -> Option<String> {
    if path.is_absolute() { None } else { relative(path.to_str()?) }
}
