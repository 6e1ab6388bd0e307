//! Patches, as kustomize applies them: strategic merges, and the operations of JSON6902.

use serde_json::{Map, Value};

use super::build::{Id, Objects};
use super::error::{Fault, Stop};
use super::folder::{Folder, inside};

/// Applies one entry of `patches`.
pub(super) fn apply(
    folder: &mut Folder,
    file: &str,
    dir: &str,
    entry: &Value,
    objects: &mut Objects,
) -> Result<(), Stop> {
    let odd = |why: &str| Stop::not_understood(file, why);
    let map = entry.as_object().ok_or_else(|| odd("has a patch that is no map"))?;
    if let Some(key) = map.keys().find(|key| !["path", "patch", "target"].contains(&key.as_str())) {
        return Err(odd(&format!("has a patch with `{key}`, which is not understood")));
    }
    let (place, documents) = match (map.get("path"), map.get("patch")) {
        (Some(Value::String(path)), None) => {
            let path = inside(file, dir, path)?;
            let documents = folder.documents(&path)?;
            (path, documents)
        }
        (None, Some(Value::String(text))) => (format!("{file} (patch)"), folder.parse(file, text)?),
        _ => return Err(odd("has a patch without one text under `path` or `patch`")),
    };
    let [patch] = &documents[..] else {
        return Err(Stop::not_understood(place, "has to be one patch, in one document"));
    };
    let ids = match map.get("target") {
        Some(target) => targets(file, target, objects)?,
        None if patch.is_array() => {
            return Err(Stop::not_understood(place, "is a patch of JSON6902 without `target`"));
        }
        None => vec![own_target(&place, patch, objects)?],
    };
    for id in ids {
        folder.spend(&place, patch)?;
        let Some(object) = objects.get_mut(&id) else { continue };
        match patch {
            Value::Array(operations) => operations.iter().try_for_each(|it| operate(&place, it, object))?,
            Value::Object(patch) => merge_object(&place, &id, patch, object)?,
            _ => return Err(Stop::not_understood(place, "is neither a map nor a list")),
        }
        if Id::of(&place, object)? != id {
            return Err(Stop::not_understood(place, format!("makes another object of `{}`", id.shown())));
        }
    }
    Ok(())
}

/// What `target` selects, by kind and name.
fn targets(file: &str, target: &Value, objects: &Objects) -> Result<Vec<Id>, Stop> {
    let map =
        target.as_object().ok_or_else(|| Stop::not_understood(file, "has a `target` that is no map"))?;
    for (key, value) in map {
        if !["group", "version", "kind", "name", "namespace"].contains(&key.as_str()) {
            return Err(Stop::not_understood(file, format!("selects by `{key}`, which is not understood")));
        }
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !value.as_str().is_some_and(|text| !text.is_empty() && is_plain(text)) {
            return Err(Stop::not_understood(
                file,
                format!("selects by a `{key}` that is a pattern, or no text"),
            ));
        }
    }
    let wanted = |key: &str| map.get(key).and_then(Value::as_str);
    if wanted("kind").is_none() || wanted("name").is_none() {
        return Err(Stop::not_understood(file, "has a `target` without `kind` and `name`"));
    }
    let fits = |key: &str, text: &str| wanted(key).is_none_or(|pattern| is_match(pattern, text));
    let is_selected = |id: &Id, object: &Value| {
        let api = object["apiVersion"].as_str().unwrap_or_default();
        let version = api.rsplit('/').next().unwrap_or_default();
        let namespace =
            wanted("namespace").map(|namespace| if namespace == "default" { "" } else { namespace });
        fits("group", &id.group)
            && fits("version", version)
            && fits("kind", &id.kind)
            && fits("name", &id.name)
            && namespace.is_none_or(|namespace| is_match(namespace, &id.namespace))
    };
    let found: Vec<Id> =
        objects.iter().filter(|(id, object)| is_selected(id, object)).map(|(id, _)| id.clone()).collect();
    if found.is_empty() {
        let [kind, name] = ["kind", "name"].map(|key| wanted(key).unwrap_or_default());
        return Err(Stop::new(
            Fault::HitsNothing,
            file,
            format!("has a patch for `{kind}/{name}`, which is not there"),
        ));
    }
    Ok(found)
}

/// To kustomize these are regular expressions, so a point stands for any one character.
fn is_match(pattern: &str, text: &str) -> bool {
    pattern.chars().count() == text.chars().count()
        && pattern.chars().zip(text.chars()).all(|(p, c)| p == '.' || p == c)
}

/// The object that a strategic merge itself names.
fn own_target(place: &str, patch: &Value, objects: &Objects) -> Result<Id, Stop> {
    let id = Id::of(place, patch)?;
    let is_there = objects.get(&id).is_some_and(|object| object["apiVersion"] == patch["apiVersion"]);
    if is_there {
        return Ok(id);
    }
    let why = format!("is for a `{}` of this version and namespace, which is not there", id.shown());
    Err(Stop::new(Fault::HitsNothing, place, why))
}

/// Merges a patch into an object; what names the object stays.
fn merge_object(place: &str, id: &Id, patch: &Map<String, Value>, object: &mut Value) -> Result<(), Stop> {
    let mut patch = patch.clone();
    patch.remove("apiVersion");
    patch.remove("kind");
    if let Some(Value::Object(metadata)) = patch.get_mut("metadata") {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    // Lists of these are merged by keys that Kubernetes' own schema names.
    let is_built_in = !id.group.contains('.') || id.group.ends_with(".k8s.io");
    let Value::Object(object) = object else { return Ok(()) };
    merge(&format!("{place} ({})", id.shown()), is_built_in, &patch, object)
}

fn merge(
    place: &str,
    is_built_in: bool,
    patch: &Map<String, Value>,
    object: &mut Map<String, Value>,
) -> Result<(), Stop> {
    for (key, value) in patch {
        expect_plain(place, is_built_in, key, value)?;
        match (value, object.get_mut(key)) {
            (Value::Null, _) => drop(object.remove(key)),
            (_, None | Some(Value::Null)) => {
                expect_no_null(place, is_built_in, key, value)?;
                object.insert(key.clone(), value.clone());
            }
            (Value::Object(patch), Some(Value::Object(below))) => merge(place, is_built_in, patch, below)?,
            (value, Some(known)) if shape(value) == shape(known) => *known = value.clone(),
            _ => {
                let why = format!(
                    "has at `{key}` a map, list or single value where there is something of another shape"
                );
                return Err(Stop::not_understood(place, why));
            }
        }
    }
    Ok(())
}

fn expect_plain(place: &str, is_built_in: bool, key: &str, value: &Value) -> Result<(), Stop> {
    if key.starts_with('$') {
        return Err(Stop::not_understood(place, format!("has the directive `{key}`")));
    }
    if is_built_in && value.is_array() {
        let why = format!("has the list `{key}`, which Kubernetes merges by rules of its own; use JSON6902");
        return Err(Stop::not_understood(place, why));
    }
    Ok(())
}

/// What is new as a whole is taken as it is; directives and nulls in it mean different things to different programs.
fn expect_no_null(place: &str, is_built_in: bool, key: &str, value: &Value) -> Result<(), Stop> {
    if value.is_null() {
        return Err(Stop::not_understood(
            place,
            format!("has a null below something new, at `{key}`; use JSON6902"),
        ));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        expect_plain(place, is_built_in, key, value)?;
        expect_no_null(place, is_built_in, key, value)?;
    }
    Ok(())
}

fn shape(value: &Value) -> u8 {
    match value {
        Value::Object(_) => 0,
        Value::Array(_) => 1,
        _ => 2,
    }
}

/// One operation of JSON6902.
fn operate(place: &str, operation: &Value, object: &mut Value) -> Result<(), Stop> {
    let odd = |why: String| Stop::not_understood(place, why);
    let map = operation.as_object().ok_or_else(|| odd("has an operation that is no map".to_owned()))?;
    if let Some(key) = map.keys().find(|key| !["op", "path", "value"].contains(&key.as_str())) {
        return Err(odd(format!("has an operation with `{key}`")));
    }
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let (op, path) = (text("op").unwrap_or_default(), text("path").unwrap_or_default());
    let value = map.get("value");
    if !matches!((op, value), ("add" | "replace", Some(_)) | ("remove", None)) {
        return Err(odd(format!(
            "has an operation `{op}` that is not understood, or with or without a value"
        )));
    }
    let Some((above, last)) = path.rsplit_once('/').filter(|_| path.starts_with('/')) else {
        return Err(odd(format!("has an operation whose path `{path}` does not begin with `/`")));
    };
    let last = last.replace("~1", "/").replace("~0", "~");
    let misses =
        || Stop::new(Fault::HitsNothing, place, format!("has `{op}` of `{path}`, which is not there"));
    match (object.pointer_mut(above).ok_or_else(misses)?, value) {
        (Value::Object(map), Some(value)) => {
            if op == "replace" && !map.contains_key(&last) {
                return Err(misses());
            }
            map.insert(last, value.clone());
        }
        (Value::Object(map), None) => drop(map.remove(&last).ok_or_else(misses)?),
        (Value::Array(items), value) => {
            let end = if op == "add" { items.len() } else { items.len().saturating_sub(1) };
            let at = if last == "-" && op == "add" { Some(end) } else { index(&last) };
            let at = at.filter(|at| *at <= end && (op == "add" || !items.is_empty())).ok_or_else(misses)?;
            match (op, value) {
                ("add", Some(value)) => items.insert(at, value.clone()),
                (_, Some(value)) => items[at] = value.clone(),
                (_, None) => drop(items.remove(at)),
            }
        }
        _ => return Err(misses()),
    }
    Ok(())
}

/// RFC 6901: digits without a leading zero.
fn index(text: &str) -> Option<usize> {
    let is_index = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_index { text.parse().ok() } else { None }
}
