//! What values a chart is rendered with: Helm's rules for putting them together (`pkg/chartutil` of Helm 3).
//!
//! What stands higher wins: values files over the chart's own, a parent's over its subchart's; maps are merged, all else is replaced, `null` takes a
//! default away. `global` goes down into every subchart.

use std::rc::Rc;

use super::super::render::is_in_range;
use super::super::yaml::{Node, Yaml};
use super::Chart;
use super::tree::read_map;
use crate::Error;

const GLOBAL: &str = "global";

/// Reads values files. What cannot be read goes to `failures`.
pub(in super::super) fn read_files(files: &[(String, Vec<u8>)], failures: &mut Vec<Error>) -> Vec<Node> {
    let mut read = Vec::new();
    for (name, content) in files {
        match read_map(&Rc::from(name.as_str()), content) {
            Ok(node) => read.push(node),
            Err(error) => failures.push(error),
        }
    }
    read
}

/// Merges values, later ones over earlier ones.
pub(in super::super) fn merge(files: &[Node]) -> Node {
    files.iter().fold(Node::empty(), |mut merged, node| {
        overlay(&mut merged, node);
        merged
    })
}

/// Puts a chart's values, and those of its subcharts, under what is given.
pub(in super::super) fn coalesce(chart: &Chart<'_>, given: &Node) -> Node {
    let mut values = given.clone();
    coalesce_chart(chart, &mut values);
    values
}

/// Leaves out the subcharts that a condition or tag switches off, renames those with an alias, and takes over what a chart imports from below.
/// What was left out goes to `disabled`, and what a chart wants but does not have to `absent`.
pub(in super::super) fn enable<'f>(
    chart: &mut Chart<'f>,
    given: &Node,
    disabled: &mut Vec<Chart<'f>>,
    absent: &mut Vec<(Node, String)>,
) {
    switch(chart, given, disabled, absent);
    import(chart);
}

fn overlay(under: &mut Node, over: &Node) {
    for (key, node) in over.entries() {
        match get_mut(under, key) {
            Some(known) if known.is_map() && node.is_map() => overlay(known, node),
            Some(known) => *known = node.clone(),
            None => insert(under, key, node.clone()),
        }
    }
}

fn coalesce_chart(chart: &Chart<'_>, values: &mut Node) {
    for (key, default) in chart.values.entries() {
        match get_mut(values, key) {
            None => insert(values, key, default.clone()),
            Some(given) if given.is_null() => remove(values, key),
            Some(given) => {
                // A subchart's own defaults come later, and `null` still has to take them away then.
                let keep_nulls = chart.children.iter().any(|child| child.name == *key);
                coalesce_maps(given, default, keep_nulls);
            }
        }
    }
    for child in &chart.children {
        if get_mut(values, &child.name).is_none() {
            insert(values, &child.name, Node::empty());
        }
        let global = values.get(GLOBAL).filter(|global| global.is_map()).cloned();
        let Some(below) = get_mut(values, &child.name).filter(|below| below.is_map()) else { continue };
        if let Some(global) = global {
            hand_down(below, &global);
        }
        coalesce_chart(child, below);
    }
}

fn coalesce_maps(given: &mut Node, defaults: &Node, keep_nulls: bool) {
    if !given.is_map() {
        return;
    }
    for (key, default) in defaults.entries() {
        match get_mut(given, key) {
            None => insert(given, key, default.clone()),
            Some(value) if value.is_null() && !keep_nulls && !default.is_null() => remove(given, key),
            Some(value) if default.is_map() => coalesce_maps(value, default, keep_nulls),
            Some(_) => {}
        }
    }
}

/// `global` of a parent over that of a subchart.
fn hand_down(below: &mut Node, global: &Node) {
    if get_mut(below, GLOBAL).is_none() {
        insert(below, GLOBAL, Node::empty());
    }
    let Some(own) = get_mut(below, GLOBAL).filter(|own| own.is_map()) else { return };
    for (key, node) in global.entries() {
        match get_mut(own, key) {
            None => insert(own, key, node.clone()),
            Some(known) if known.is_map() && node.is_map() => {
                let mut merged = node.clone();
                coalesce_maps(&mut merged, known, true);
                *known = merged;
            }
            Some(known) if !known.is_map() && !node.is_map() => *known = node.clone(),
            Some(_) => {}
        }
    }
}

fn switch<'f>(
    chart: &mut Chart<'f>,
    given: &Node,
    disabled: &mut Vec<Chart<'f>>,
    absent: &mut Vec<(Node, String)>,
) {
    let wanted: Vec<Node> =
        chart.metadata.get("dependencies").map(|node| node.items().to_vec()).unwrap_or_default();
    let matches = |child: &Chart<'_>, want: &Node| {
        let version = (want.get("version").and_then(Node::scalar), child.metadata_text("version"));
        want.text_of("name") == Some(&child.name)
            && if let (Some(range), Some(version)) = version {
                is_in_range(&range, &version).unwrap_or(true)
            } else {
                true
            }
    };
    let present = std::mem::take(&mut chart.children);
    chart.children =
        present.iter().filter(|child| !wanted.iter().any(|want| matches(child, want))).cloned().collect();
    let mut switches = Vec::new();
    for want in &wanted {
        let alias = want.text_of("alias").or_else(|| want.text_of("name")).unwrap_or_default();
        switches.push((alias.to_owned(), want));
        match present.iter().find(|child| matches(child, want)) {
            Some(child) => chart.children.push(Chart { name: alias.to_owned(), ..child.clone() }),
            None if present.iter().any(|child| want.text_of("name") == Some(&child.name)) => {}
            None => absent.push((want.clone(), want.text_of("name").unwrap_or_default().to_owned())),
        }
    }
    let values = coalesce(chart, given);
    let is_off =
        |name: &str| switches.iter().any(|(alias, want)| alias == name && !is_enabled(want, &values));
    let (off, on): (Vec<_>, Vec<_>) =
        std::mem::take(&mut chart.children).into_iter().partition(|child| is_off(&child.name));
    absent.retain(|(_, name)| !is_off(name));
    disabled.extend(off);
    chart.children = on;
    for child in &mut chart.children {
        let below = values.get(&child.name).cloned().unwrap_or_else(Node::empty);
        switch(child, &below, disabled, absent);
    }
}

/// Whether a dependency is wanted: the first condition that is a boolean decides, else the tags.
fn is_enabled(want: &Node, values: &Node) -> bool {
    let bool_at = |path: &str| match values.at(path).map(|node| &node.value) {
        Some(Yaml::Bool(value)) => Some(*value),
        _ => None,
    };
    let conditions = want.text_of("condition").unwrap_or_default();
    if let Some(decision) = conditions.split(',').map(str::trim).find_map(bool_at) {
        return decision;
    }
    let tags = want.get("tags").map(Node::items).unwrap_or_default();
    let mut set = tags.iter().filter_map(|tag| bool_at(&format!("tags.{}", tag.text()?))).peekable();
    set.peek().is_none() || set.any(|value| value)
}

/// `import-values`: what subcharts export becomes the parent's default.
fn import(chart: &mut Chart<'_>) {
    chart.children.iter_mut().for_each(import);
    let wanted: Vec<Node> =
        chart.metadata.get("dependencies").map(|node| node.items().to_vec()).unwrap_or_default();
    let mut imported = Node::empty();
    let mut values = None;
    for want in &wanted {
        let name = want.text_of("alias").or_else(|| want.text_of("name")).unwrap_or_default();
        for item in want.get("import-values").map(Node::items).unwrap_or_default() {
            let (from, to) = match item.text() {
                Some(export) => (format!("exports.{export}"), "."),
                None => (
                    item.text_of("child").unwrap_or_default().to_owned(),
                    item.text_of("parent").unwrap_or("."),
                ),
            };
            let values = values.get_or_insert_with(|| coalesce(chart, &Node::empty()));
            let Some(found) = values.get(name).and_then(|below| below.at(&from)) else { continue };
            let nested =
                to.split('.').rev().filter(|key| !key.is_empty()).fold(found.clone(), |inner, key| {
                    let mut outer = Node::empty();
                    insert(&mut outer, key, inner);
                    outer
                });
            coalesce_maps(&mut imported, &nested, false);
        }
    }
    if let Some(mut values) = values {
        coalesce_maps(&mut values, &imported, false);
        chart.values = values;
    }
}

fn get_mut<'n>(map: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Yaml::Map(entries) = &mut map.value else { return None };
    entries.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
}

fn insert(map: &mut Node, key: &str, node: Node) {
    if let Yaml::Map(entries) = &mut map.value {
        entries.push((key.to_owned(), node));
    }
}

fn remove(map: &mut Node, key: &str) {
    if let Yaml::Map(entries) = &mut map.value {
        entries.retain(|(name, _)| name != key);
    }
}
