//! Keys by which an overlay differs from its base, and those by which it may.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::build::{Id, Objects};
use super::error::{Fault, Stop, shown};
use super::folder::Folder;

/// Most keys that a file lists.
const MAX_LISTED: usize = 1_000;

/// Where a value stands: `Kind`, `name`, and the keys that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<String>);

impl Key {
    /// `HelmRelease/web/spec/values/replicaCount`; a `/` in a part is written `~1`, and `~` is `~0` (RFC 6901).
    pub(super) fn shown(&self) -> String {
        let escaped = |part: &String| part.replace('~', "~0").replace('/', "~1");
        shown(&self.0.iter().map(escaped).collect::<Vec<_>>().join("/"))
    }
}

/// A value that differs: where, in the base, in the overlay.
pub(super) type Difference = (Key, Option<Value>, Option<Value>);

/// The values that differ. A list is one value, and so is an object that only one of them has.
pub(super) fn differences(base: &Objects, overlay: &Objects) -> Vec<Difference> {
    let mut found = Vec::new();
    let ids: BTreeSet<&Id> = base.keys().chain(overlay.keys()).collect();
    for id in ids {
        let name = vec![id.kind.clone(), id.name.clone()];
        match (base.get(id), overlay.get(id)) {
            (Some(one), Some(other)) => {
                let (one, other) = (leaves(one), leaves(other));
                let paths: BTreeSet<&Vec<String>> = one.keys().chain(other.keys()).collect();
                let differing = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
                found.extend(differing.map(|path| {
                    let value =
                        |leaves: &BTreeMap<Vec<String>, &Value>| leaves.get(path).map(|v| (*v).clone());
                    (Key([&name[..], path].concat()), value(&one), value(&other))
                }));
            }
            (one, other) => found.push((Key(name), one.cloned(), other.cloned())),
        }
    }
    found
}

fn leaves(object: &Value) -> BTreeMap<Vec<String>, &Value> {
    let mut found = BTreeMap::new();
    collect(object, &mut Vec::new(), &mut found);
    found
}

fn collect<'v>(value: &'v Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, &'v Value>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => {
            for (key, value) in map {
                path.push(key.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        None => drop(found.insert(path.clone(), value)),
    }
}

/// The keys that may differ.
#[derive(Debug)]
pub(super) struct Listed(Vec<Vec<String>>);

impl Listed {
    /// Reads the file of keys.
    pub(super) fn read(folder: &mut Folder, file: &str) -> Result<Self, Stop> {
        let refuse = |why: String| Stop::new(Fault::BadKeys, file, why);
        let documents = folder.documents(file).map_err(|stop| refuse(stop.why))?;
        let map = match &documents[..] {
            [Value::Object(map)] if map.len() == 1 => map,
            _ => return Err(refuse("is not one map with `keys` alone".to_owned())),
        };
        let keys = map
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| refuse("has no list `keys`".to_owned()))?;
        if keys.len() > MAX_LISTED {
            return Err(refuse(format!("lists more than {MAX_LISTED} keys")));
        }
        let mut listed = Vec::new();
        for key in keys {
            let parts: Vec<String> = key
                .as_str()
                .unwrap_or_default()
                .split('/')
                .map(|part| part.replace("~1", "/").replace("~0", "~"))
                .collect();
            if parts.len() < 2 || parts.iter().any(String::is_empty) {
                return Err(refuse(format!("lists {key}, which is no `Kind/name/path`")));
            }
            listed.push(parts);
        }
        Ok(Self(listed))
    }

    /// Whether a key is one of them; `*` is any one part.
    pub(super) fn has(&self, key: &Key) -> bool {
        let fits = |pattern: &Vec<String>| {
            pattern.len() == key.0.len() && pattern.iter().zip(&key.0).all(|(p, part)| p == "*" || p == part)
        };
        self.0.iter().any(fits)
    }
}
