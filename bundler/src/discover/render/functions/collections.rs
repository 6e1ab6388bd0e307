//! Lists and maps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::value::{Budget, Result, Table, Value, fault};
use super::logic::is_same;
use super::{Arguments, text_of};

/// Longest list, and most entries of a map, that a function makes.
const MAX_ENTRIES: usize = 1_000_000;

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        "list" | "tuple" => Ok(Value::list(a.values.iter().cloned())),
        "first" => a.list(0).map(|items| items.first().cloned().unwrap_or(Value::Nil)),
        "last" => a.list(0).map(|items| items.last().cloned().unwrap_or(Value::Nil)),
        "rest" => a.list(0).map(|items| Value::list(items.iter().skip(1).cloned())),
        "initial" => {
            a.list(0).map(|items| Value::list(items.iter().take(items.len().saturating_sub(1)).cloned()))
        }
        "reverse" => a.list(0).map(|items| Value::list(items.iter().rev().cloned())),
        "append" | "push" => added(a, false),
        "prepend" => added(a, true),
        "concat" => concat(a),
        "uniq" => a.list(0).and_then(|items| unique(&items, a.budget)),
        "compact" => a.list(0).map(|items| Value::list(items.iter().filter(|item| item.is_true()).cloned())),
        "without" => without(a),
        "has" => has(a),
        "slice" => slice(a),
        "chunk" => chunk(a),
        "len" => length(a),
        "index" => index(a),
        "dict" => dict(a),
        "get" => a
            .map(0)
            .and_then(|map| Ok(map.borrow().get(&a.text(1)?).cloned().unwrap_or_else(|| Value::text("")))),
        "set" => set(a),
        "unset" => unset(a),
        "hasKey" => a.map(0).and_then(|map| Ok(Value::Bool(map.borrow().contains_key(&a.text(1)?)))),
        "keys" => keys(a),
        "values" => a.map(0).map(|map| Value::list(map.borrow().values().cloned())),
        "pluck" => pluck(a),
        "pick" => picked(a, true),
        "omit" => picked(a, false),
        "dig" => dig(a),
        "merge" => merged(a, false),
        "mergeOverwrite" => merged(a, true),
        "deepCopy" => a.value(0).and_then(|value| {
            a.budget.spend_value(&value)?;
            Ok(copied(&value))
        }),
        _ => return None,
    })
}

fn added(a: &Arguments<'_>, in_front: bool) -> Result<Value> {
    let (items, new) = (a.list(0)?, a.value(1)?);
    a.budget.spend(items.len())?;
    let mut all = items.to_vec();
    all.insert(if in_front { 0 } else { all.len() }, new);
    limited(all)
}

fn concat(a: &Arguments<'_>) -> Result<Value> {
    let mut all = Vec::new();
    for at in 0..a.values.len() {
        all.extend(a.list(at)?.iter().cloned());
        if all.len() > MAX_ENTRIES {
            break;
        }
    }
    limited(all)
}

fn limited(items: Vec<Value>) -> Result<Value> {
    if items.len() > MAX_ENTRIES {
        fault(format!("it makes a list of more than {MAX_ENTRIES} elements"))
    } else {
        Ok(Value::list(items))
    }
}

fn unique(items: &[Value], budget: &Budget) -> Result<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !contains(&kept, item, budget)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn contains(items: &[Value], wanted: &Value, budget: &Budget) -> Result<bool> {
    for item in items {
        budget.spend_value(item)?;
        if is_same(item, wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn without(a: &Arguments<'_>) -> Result<Value> {
    let items = a.list(0)?;
    let mut kept = Vec::new();
    for item in items.iter() {
        if !contains(a.rest(1), item, a.budget)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(a: &Arguments<'_>) -> Result<Value> {
    Ok(Value::Bool(contains(&a.list(1)?, &a.value(0)?, a.budget)?))
}

fn slice(a: &Arguments<'_>) -> Result<Value> {
    let items = a.list(0)?;
    let from = if a.values.len() > 1 { a.count(1)? } else { 0 };
    let to = if a.values.len() > 2 { a.count(2)? } else { items.len() };
    match items.get(from..to) {
        Some(part) => Ok(Value::list(part.iter().cloned())),
        None => fault("`slice` goes beyond the list"),
    }
}

fn chunk(a: &Arguments<'_>) -> Result<Value> {
    let (size, items) = (a.count(0)?.max(1), a.list(1)?);
    Ok(Value::list(items.chunks(size).map(|part| Value::list(part.iter().cloned()))))
}

fn length(a: &Arguments<'_>) -> Result<Value> {
    let length = match a.value(0)? {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.borrow().len(),
        Value::Files(files) => files.entries().count(),
        other => return fault(format!("a {} has no length", other.kind())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// `index x 1 "key"`: Go's way into lists and maps.
fn index(a: &Arguments<'_>) -> Result<Value> {
    let mut value = a.value(0)?;
    for key in a.rest(1) {
        value = match (&value, key) {
            (Value::Map(map), Value::Text(key)) => map.borrow().get(key).cloned().unwrap_or(Value::Nil),
            (Value::Files(files), Value::Text(key)) => files
                .entries()
                .find(|(name, _)| *name == key)
                .map_or(Value::Nil, |(_, content)| content.clone()),
            (Value::List(items), Value::Int(at)) => {
                match usize::try_from(*at).ok().and_then(|at| items.get(at)) {
                    Some(item) => item.clone(),
                    None => return fault(format!("`index` {at} is beyond the list")),
                }
            }
            (value, key) => return fault(format!("a {} cannot be asked for a {}", value.kind(), key.kind())),
        };
    }
    Ok(value)
}

fn dict(a: &Arguments<'_>) -> Result<Value> {
    let mut map = BTreeMap::new();
    for pair in a.values.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
        map.insert(text_of(&pair[0], a.budget)?, value);
    }
    Ok(table(map))
}

fn set(a: &Arguments<'_>) -> Result<Value> {
    if matches!(a.value(0)?, Value::Nil) {
        return fault("`set` into a map that is not there");
    }
    let (map, key, value) = (a.map(0)?, a.text(1)?, a.value(2)?);
    map.borrow_mut().insert(key, value);
    Ok(Value::Map(map))
}

fn unset(a: &Arguments<'_>) -> Result<Value> {
    let (map, key) = (a.map(0)?, a.text(1)?);
    map.borrow_mut().remove(&key);
    Ok(Value::Map(map))
}

fn keys(a: &Arguments<'_>) -> Result<Value> {
    let mut all = Vec::new();
    for at in 0..a.values.len() {
        all.extend(a.map(at)?.borrow().keys().map(|key| Value::Text(Rc::clone(key))));
    }
    Ok(Value::list(all))
}

fn pluck(a: &Arguments<'_>) -> Result<Value> {
    let key = a.text(0)?;
    Ok(Value::list(a.rest(1).iter().filter_map(|map| map.get(&key))))
}

fn picked(a: &Arguments<'_>, keep: bool) -> Result<Value> {
    let map = a.map(0)?;
    let mut keys: Vec<Rc<str>> = Vec::new();
    for value in a.rest(1) {
        match value {
            Value::List(items) => {
                keys.extend(items.iter().map(|item| text_of(item, a.budget)).collect::<Result<Vec<_>>>()?);
            }
            other => keys.push(text_of(other, a.budget)?),
        }
    }
    let map = map.borrow();
    Ok(table(
        map.iter()
            .filter(|(key, _)| keys.contains(key) == keep)
            .map(|(key, value)| (Rc::clone(key), value.clone()))
            .collect(),
    ))
}

/// `dig "a" "b" default map`
fn dig(a: &Arguments<'_>) -> Result<Value> {
    let Some(path_length) = a.values.len().checked_sub(2).filter(|length| *length > 0) else {
        return Err(a.wrong("has too few arguments"));
    };
    let mut value = a.last()?;
    for at in 0..path_length {
        let key = a.text(at)?;
        value = match &value {
            Value::Map(map) => match map.borrow().get(&key).cloned() {
                Some(inner) => inner,
                None => return a.value(path_length),
            },
            other => return fault(format!("`dig` looks for `{key}` in a {}", other.kind())),
        };
    }
    Ok(value)
}

/// `merge` and `mergeOverwrite`: into the first map, which is changed (dario.cat/mergo: what is empty there is always replaced).
fn merged(a: &Arguments<'_>, overwrite: bool) -> Result<Value> {
    let target = a.map(0)?;
    for at in 1..a.values.len() {
        if matches!(a.values[at], Value::Nil) {
            continue;
        }
        let source = a.map(at)?;
        a.budget.spend_value(&Value::Map(Rc::clone(&target)))?;
        a.budget.spend_value(&a.values[at])?;
        merge_into(&target, &source, overwrite);
    }
    Ok(Value::Map(target))
}

fn merge_into(target: &Table, source: &Table, overwrite: bool) {
    if Rc::ptr_eq(target, source) {
        return;
    }
    let entries: Vec<(Rc<str>, Value)> =
        source.borrow().iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect();
    for (key, value) in entries {
        let known = target.borrow().get(&key).cloned();
        match (known, &value) {
            (Some(Value::Map(known)), Value::Map(value)) if !known.borrow().is_empty() => {
                merge_into(&known, value, overwrite);
            }
            (Some(known), _) if known.is_true() && (!overwrite || matches!(value, Value::Nil)) => {}
            _ => {
                target.borrow_mut().insert(key, value);
            }
        }
    }
}

/// A copy that shares no map. Its cost has been paid.
fn copied(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::list(items.iter().map(copied)),
        Value::Map(map) => {
            table(map.borrow().iter().map(|(key, value)| (Rc::clone(key), copied(value))).collect())
        }
        other => other.clone(),
    }
}

fn table(map: BTreeMap<Rc<str>, Value>) -> Value {
    Value::Map(Rc::new(RefCell::new(map)))
}
