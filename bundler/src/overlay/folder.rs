//! The files of a folder, read with limits: no link is followed, nothing leads out, and all that is read together is bounded.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use fs_err as fs;
use serde_json::{Map, Number, Value};

use super::error::Stop;
use crate::discover::{Node, Yaml, relative, strict_documents};
use crate::files::read_capped;

/// Largest file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most files that are read for one overlay; one that is taken in twice counts twice.
const MAX_FILES: usize = 2_000;
/// Most YAML nodes of one overlay with its base, aliases and patches counted each time they are used.
pub(super) const MAX_NODES: usize = 200_000;
/// Whole numbers up to here are told apart by whoever reads them as floats (IEEE 754), as Helm does.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A folder, and how much may still be read of it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    files: usize,
    nodes: usize,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    File,
    Folder,
    Nothing,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, files: MAX_FILES, nodes: MAX_NODES }
    }

    /// What is at a path below the folder.
    pub(super) fn find(&self, path: &str) -> Result<Found, Stop> {
        let mut at = self.root.clone();
        let mut found = Found::Folder;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at.push(part);
            let metadata = match fs::symlink_metadata(&at) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
                Err(error) => return Err(Stop::not_followed(path, format!("cannot be read: {error}"))),
            };
            found = match () {
                () if metadata.is_dir() => Found::Folder,
                () if metadata.is_file() => Found::File,
                () if metadata.is_symlink() => {
                    return Err(Stop::not_followed(
                        path,
                        "is, or lies behind, a link, and links are not followed",
                    ));
                }
                () => return Err(Stop::not_followed(path, "is neither a file nor a folder")),
            };
        }
        Ok(found)
    }

    /// The documents of a YAML file.
    pub(super) fn documents(&mut self, path: &str) -> Result<Vec<Value>, Stop> {
        if self.find(path)? != Found::File {
            return Err(Stop::not_followed(path, "is not there, or is no file"));
        }
        self.files = self.files.checked_sub(1).ok_or_else(|| {
            Stop::not_followed(path, format!("comes after {MAX_FILES} other files, which is too many"))
        })?;
        let bytes = read_capped(&self.root.join(path), MAX_FILE_BYTES)
            .map_err(|error| Stop::not_followed(path, format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| Stop::not_understood(path, "is not UTF-8"))?;
        self.parse(path, &text)
    }

    /// The documents of a YAML text that stands in this file.
    pub(super) fn parse(&mut self, file: &str, text: &str) -> Result<Vec<Value>, Stop> {
        let nodes = strict_documents(text, &Rc::from(file), &mut self.nodes).map_err(|problem| {
            let place = format!("{file} line {}, column {}", problem.line, problem.column);
            Stop::not_understood(place, format!("is no YAML that is understood: {}", problem.why))
        })?;
        nodes.iter().map(value).collect()
    }

    /// Pays for nodes that are copied.
    pub(super) fn spend(&mut self, place: &str, value: &Value) -> Result<(), Stop> {
        self.nodes = self.nodes.checked_sub(size(value)).ok_or_else(|| {
            Stop::not_understood(place, format!("makes the overlay larger than {MAX_NODES} values"))
        })?;
        Ok(())
    }
}

/// A path that stands in a file of `dir`; `place` names that file.
pub(super) fn inside(place: &str, dir: &str, path: &str) -> Result<String, Stop> {
    let is_remote =
        path.contains("://") || path.contains('?') || path.starts_with("git@") || path.contains(".git//");
    if is_remote {
        return Err(Stop::not_followed(place, format!("names `{path}`, which is fetched from elsewhere")));
    }
    let out =
        || Stop::not_followed(place, format!("names `{path}`, which leads out of the delivered folder"));
    if Path::new(path).is_absolute() {
        return Err(out());
    }
    relative(&format!("{dir}/{path}")).ok_or_else(out)
}

/// How many values there are in one; long texts count for more.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        Value::String(text) => text.len() / 64,
        _ => 0,
    }
}

fn value(node: &Node) -> Result<Value, Stop> {
    Ok(match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(it) => Value::Bool(*it),
        Yaml::Text(text) => Value::String(text.clone()),
        Yaml::Number(number) => Value::Number(exact(*number).ok_or_else(|| {
            let place = format!("{} line {}", node.file, node.line);
            Stop::not_understood(
                place,
                format!("has the number {number}, which not every program reads alike"),
            )
        })?),
        Yaml::List(items) => Value::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, node)| Ok((key.clone(), value(node)?)))
                .collect::<Result<Map<_, _>, Stop>>()?,
        ),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "it was found to be whole and small enough")]
fn exact(number: f64) -> Option<Number> {
    if number.fract() == 0.0 {
        (number.abs() < MAX_EXACT).then(|| Number::from(number as i64))
    } else {
        Number::from_f64(number)
    }
}
