//! A chart and its subcharts, as Helm loads them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::yaml::{Node, Yaml, document};
use super::ChartFiles;
use crate::Error;

/// A chart and what is below it.
#[derive(Clone, Debug)]
pub(in super::super) struct Chart<'f> {
    /// Its name, or the alias that it goes by in its parent. Its values stand under this name.
    pub(in super::super) name: String,
    /// Where its files are: empty, or `charts/redis-1.0.0.tgz/`.
    pub(in super::super) prefix: Rc<str>,
    /// `Chart.yaml`, dependencies from `requirements.yaml` included.
    pub(in super::super) metadata: Node,
    /// `values.yaml`.
    pub(in super::super) values: Node,
    /// Its own files by their path in it.
    pub(in super::super) files: Rc<BTreeMap<&'f str, &'f [u8]>>,
    pub(in super::super) children: Vec<Self>,
}

impl<'f> Chart<'f> {
    /// Loads a chart whose files are shown below a folder (empty, or ending in `/`). What is wrong with them goes to `failures`.
    pub(in super::super) fn load(files: &'f ChartFiles, below: &str, failures: &mut Vec<Error>) -> Self {
        let all: Vec<(&str, &[u8])> = files.iter().collect();
        Self::load_below(below, &all, failures)
    }

    fn load_below(prefix: &str, all: &[(&'f str, &'f [u8])], failures: &mut Vec<Error>) -> Self {
        let mut files = BTreeMap::new();
        let mut below: BTreeMap<&str, Vec<(&'f str, &'f [u8])>> = BTreeMap::new();
        for (path, content) in all {
            match path.strip_prefix("charts/") {
                Some(path) => {
                    if let Some((folder, path)) =
                        path.split_once('/').filter(|(folder, _)| !folder.starts_with(['_', '.']))
                    {
                        below.entry(folder).or_default().push((path, content));
                    }
                }
                None => {
                    files.insert(*path, *content);
                }
            }
        }
        let mut read = |name: &str| {
            let node = read(prefix, name, files.get(name).copied().unwrap_or_default());
            node.unwrap_or_else(|e| {
                failures.push(e);
                Node::empty()
            })
        };
        let (mut metadata, values, requirements) =
            (read("Chart.yaml"), read("values.yaml"), read("requirements.yaml"));
        if let (Some(dependencies), Yaml::Map(entries)) =
            (requirements.get("dependencies"), &mut metadata.value)
        {
            entries.push(("dependencies".to_owned(), dependencies.clone()));
        }
        let children = below
            .into_iter()
            .filter(|(_, files)| files.iter().any(|(path, _)| *path == "Chart.yaml"))
            .map(|(folder, files)| Self::load_below(&format!("{prefix}charts/{folder}/"), &files, failures))
            .collect();
        let name = metadata.get("name").and_then(Node::scalar).unwrap_or_default();
        Self { name, prefix: Rc::from(prefix), metadata, values, files: Rc::new(files), children }
    }

    /// A file's path as it is shown.
    pub(in super::super) fn path(&self, file: &str) -> String {
        format!("{}{file}", self.prefix)
    }

    pub(in super::super) fn metadata_text(&self, key: &str) -> Option<String> {
        self.metadata.get(key).and_then(Node::scalar)
    }

    /// A library chart lends its named templates and renders nothing itself.
    pub(in super::super) fn is_library(&self) -> bool {
        self.metadata.text_of("type").is_some_and(|kind| kind.eq_ignore_ascii_case("library"))
    }
}

/// Reads one YAML file of a chart as a map.
fn read(prefix: &str, name: &str, content: &[u8]) -> Result<Node, Error> {
    let file: Rc<str> = Rc::from(format!("{prefix}{name}"));
    read_map(&file, content)
}

/// Reads a file that has to hold one map, or nothing.
pub(super) fn read_map(file: &Rc<str>, content: &[u8]) -> Result<Node, Error> {
    let refuse = |why: &str| {
        Error::NotYaml(super::super::Problem {
            file: file.to_string(),
            line: 1,
            column: 1,
            why: why.to_owned(),
        })
    };
    let text = str::from_utf8(content).map_err(|_| refuse("it is not UTF-8"))?;
    let mut node = document(text, file).map_err(Error::NotYaml)?;
    if !node.is_map() {
        return Err(refuse("it has to be a map of keys and values"));
    }
    unique(&mut node);
    Ok(node)
}

/// Of a key that stands twice the last one counts, as in Helm.
fn unique(node: &mut Node) {
    match &mut node.value {
        Yaml::Map(entries) => {
            let mut at = entries.len();
            while at > 0 {
                at -= 1;
                if entries[at + 1..].iter().any(|(key, _)| *key == entries[at].0) {
                    entries.remove(at);
                }
            }
            for (_, node) in entries {
                unique(node);
            }
        }
        Yaml::List(items) => items.iter_mut().for_each(unique),
        _ => {}
    }
}
