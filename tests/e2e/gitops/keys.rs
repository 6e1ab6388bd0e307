//! Which values differ between the objects of a base and those of an overlay.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rendered::text;

/// The values that differ, each as `Kind/name/path`; a list is one value.
pub(crate) fn changed(base: &[Value], overlay: &[Value]) -> Vec<String> {
    let (base, overlay) = (leaves(base), leaves(overlay));
    let keys = base.keys().chain(overlay.keys().filter(|key| !base.contains_key(*key)));
    keys.filter(|key| base.get(*key) != overlay.get(*key)).cloned().collect()
}

/// Whether one of these patterns, in which `*` is any one part, is this key.
pub(crate) fn is_listed(key: &str, patterns: &[&str]) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    patterns.iter().any(|pattern| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        pattern.len() == parts.len() && pattern.iter().zip(&parts).all(|(p, part)| *p == "*" || p == part)
    })
}

fn leaves(objects: &[Value]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        let name = format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
        collect(object, &name, &mut found);
    }
    found
}

fn collect(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map.iter().for_each(|(key, value)| collect(value, &format!("{path}/{key}"), found)),
        None => drop(found.insert(path.to_owned(), value.clone())),
    }
}

#[test]
fn what_is_not_listed_is_found() {
    let object =
        |spec: Value| serde_json::json!({"kind": "HelmRelease", "metadata": {"name": "web"}, "spec": spec});
    let base = [object(serde_json::json!({"values": {"a": 1, "b": {"c": [1]}}}))];
    let overlay = [object(serde_json::json!({"values": {"a": 2, "b": {"c": [1, 2]}, "d": {}}}))];
    let keys = changed(&base, &overlay);
    assert_eq!(keys, ["a", "b/c", "d"].map(|key| format!("HelmRelease/web/spec/values/{key}")));
    let listed = ["HelmRelease/*/spec/values/a", "HelmRelease/web/spec/values/*/c"];
    assert_eq!(keys.iter().map(|key| is_listed(key, &listed)).collect::<Vec<_>>(), [true, true, false]);
}
