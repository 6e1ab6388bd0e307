//! YAML as a tree that knows its lines, read the way Helm and Kubernetes read it.
//!
//! The parser is the one under `serde-saphyr`; the tree is ours because each value keeps the file and line it stands in, through merging and
//! through aliases, and because a key that stands twice must not hide an image. Plain scalars are resolved as `sigs.k8s.io/yaml` does (YAML 1.1:
//! `yes` is a boolean) and every number becomes a float, so that `tag: 1.10` is `1.1` here as it is there.
//! Depth and number of nodes are bounded, aliases counted in full, so that a bomb of aliases is an error.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle};

use super::Problem;
use super::render::number;

/// Most nodes of one file, aliases counted each time they are used.
const MAX_NODES: usize = 1_000_000;
/// A text counts as one node more for each of so many bytes.
const NODE_BYTES: usize = 64;
/// Deepest nesting.
const MAX_DEPTH: usize = 200;
/// The key whose value is merged into its map (YAML 1.1, type `merge`).
const MERGE_KEY: &str = "<<";

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The file's name, as it is shown.
    pub(crate) file: Rc<str>,
    /// Its line, from 1.
    pub(crate) line: u32,
    /// A literal block (`|`): its own lines are lines of the file, from `line` on.
    pub(crate) is_literal: bool,
    pub(crate) value: Yaml,
}

/// What a node holds. Maps keep their order, and keys that stand twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

// Where a value stands is no part of what it is.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// An empty map of no particular place.
    pub(crate) fn empty() -> Self {
        Self { file: Rc::from(""), line: 0, is_literal: false, value: Yaml::Map(Vec::new()) }
    }

    /// The value under a key; of a key that stands twice, the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The value at `a.b.c`.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// The text under a key.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Yaml::Text(text) = &self.value { Some(text) } else { None }
    }

    /// A text, or a number as Go prints it.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Yaml::Text(text) => Some(text.clone()),
            Yaml::Number(value) => Some(number(*value)),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[(String, Self)] {
        if let Yaml::Map(entries) = &self.value { entries } else { &[] }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Yaml::List(items) = &self.value { items } else { &[] }
    }

    /// Moves it down by some lines: it was read as part of a file.
    pub(crate) fn shift(&mut self, lines: u32) {
        self.line += lines;
        match &mut self.value {
            Yaml::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Yaml::Map(entries) => entries.iter_mut().for_each(|(_, node)| node.shift(lines)),
            _ => {}
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Yaml::Map(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value == Yaml::Null
    }
}

/// Every document of a file. An empty document is left out.
pub(crate) fn documents(text: &str, file: &Rc<str>) -> Result<Vec<Node>, Problem> {
    read(text, Reader::new(file, MAX_NODES)).map(|reader| reader.found)
}

/// The same for files in which a key that stands twice, or is no text, is an error. What it has of nodes is taken
/// from `left`.
pub(crate) fn strict_documents(text: &str, file: &Rc<str>, left: &mut usize) -> Result<Vec<Node>, Problem> {
    let reader = read(text, Reader { is_strict: true, ..Reader::new(file, *left) })?;
    *left = reader.left;
    Ok(reader.found)
}

fn read<'a>(text: &str, mut reader: Reader<'a>) -> Result<Reader<'a>, Problem> {
    let options = granit_parser::options! { emit_comments: false, bom_inside_document_as_content: true };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| reader.problem(e.marker(), e.info()))?;
        reader.take(event, &span.start)?;
    }
    Ok(reader)
}

/// The first document of a file that has one; an empty map otherwise.
pub(crate) fn document(text: &str, file: &Rc<str>) -> Result<Node, Problem> {
    Ok(documents(text, file)?
        .into_iter()
        .next()
        .unwrap_or_else(|| Node { file: file.clone(), ..Node::empty() }))
}

/// A finished node with what an alias to it costs.
#[derive(Clone)]
struct Built {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection that is being read.
struct Open {
    built: Built,
    anchor: usize,
    key: Option<String>,
}

struct Reader<'a> {
    file: &'a Rc<str>,
    left: usize,
    /// Whether keys stand once.
    is_strict: bool,
    anchors: HashMap<usize, Built>,
    open: Vec<Open>,
    found: Vec<Node>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Rc<str>, left: usize) -> Self {
        let (anchors, open, found) = (HashMap::new(), Vec::new(), Vec::new());
        Self { file, left, is_strict: false, anchors, open, found }
    }

    fn take(&mut self, event: Event<'_>, at: &Marker) -> Result<(), Problem> {
        let line = u32::try_from(at.line()).unwrap_or(u32::MAX);
        let leaf = |value| Node { file: self.file.clone(), line, is_literal: false, value };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let value = if style == ScalarStyle::Plain && !is_text {
                    resolve(&text)
                } else {
                    Yaml::Text(text.into_owned())
                };
                let node = Node { is_literal: style == ScalarStyle::Literal, ..leaf(value) };
                // Aliases copy the text, so a long one costs more.
                let nodes = 1 + node.text().map_or(0, str::len) / NODE_BYTES;
                self.close(Built { node, nodes, depth: 0 }, anchor, at)
            }
            Event::SequenceStart(_, anchor, _) => self.enter(leaf(Yaml::List(Vec::new())), anchor, at),
            Event::MappingStart(_, anchor, _) => self.enter(leaf(Yaml::Map(Vec::new())), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mut built, anchor, .. }) = self.open.pop() else { return Ok(()) };
                if let Yaml::Map(entries) = &mut built.node.value {
                    if self.is_strict {
                        let mut seen = HashSet::new();
                        if let Some((key, _)) = entries.iter().find(|(key, _)| !seen.insert(key)) {
                            return Err(self.problem(at, format!("the key `{key}` stands twice in one map")));
                        }
                    }
                    merge(entries);
                }
                self.close(built, anchor, at)
            }
            Event::Alias(anchor) => {
                // An alias to a collection that is still open would be endless.
                let built = self.anchors.get(&anchor).cloned();
                let built =
                    built.ok_or_else(|| self.problem(at, "an alias stands inside what it repeats"))?;
                self.spend(built.nodes, at)?;
                self.close(built, 0, at)
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, node: Node, anchor: usize, at: &Marker) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.problem(at, format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(Open { built: Built { node, nodes: 1, depth: 0 }, anchor, key: None });
        Ok(())
    }

    /// Puts a finished node where it belongs: under a key, into a list, or among the documents.
    fn close(&mut self, built: Built, anchor: usize, at: &Marker) -> Result<(), Problem> {
        self.spend(1, at)?;
        if self.open.len() + built.depth > MAX_DEPTH {
            return Err(self.problem(at, format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            if !built.node.is_null() {
                self.found.push(built.node);
            }
            return Ok(());
        };
        parent.built.nodes += built.nodes;
        parent.built.depth = parent.built.depth.max(built.depth + 1);
        match (&mut parent.built.node.value, parent.key.take()) {
            (Yaml::List(items), _) => items.push(built.node),
            (Yaml::Map(entries), Some(key)) => entries.push((key, built.node)),
            // `y` is `true` to some programs and `y` to others, and `010` is `8`.
            (_, _) if self.is_strict && built.node.text().is_none() => {
                return Err(self.problem(at, "a key is no text; if it should be one, quote it"));
            }
            (_, _) => parent.key = Some(key_of(&built.node)),
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize, at: &Marker) -> Result<(), Problem> {
        self.left = self
            .left
            .checked_sub(nodes)
            .ok_or_else(|| self.problem(at, "it has too many nodes, aliases counted in full"))?;
        Ok(())
    }

    fn problem(&self, at: &Marker, why: impl Into<String>) -> Problem {
        Problem { file: self.file.to_string(), line: at.line(), column: at.col() + 1, why: why.into() }
    }
}

fn key_of(node: &Node) -> String {
    match &node.value {
        Yaml::Bool(value) => value.to_string(),
        Yaml::Null => "null".to_owned(),
        _ => node.scalar().unwrap_or_default(),
    }
}

/// Carries out `<<: *anchor`: what the map itself says wins.
fn merge(entries: &mut Vec<(String, Node)>) {
    let Some(at) = entries.iter().position(|(key, _)| key == MERGE_KEY) else { return };
    let (_, merged) = entries.remove(at);
    let sources = if merged.is_map() { std::slice::from_ref(&merged) } else { merged.items() };
    for (key, node) in sources.iter().flat_map(Node::entries) {
        if !entries.iter().any(|(known, _)| known == key) {
            entries.push((key.clone(), node.clone()));
        }
    }
}

/// What a plain scalar means in YAML 1.1, as go-yaml reads it.
pub(crate) fn resolve(text: &str) -> Yaml {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Yaml::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Yaml::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Yaml::Bool(false)
        }
        _ => number_of(text).map_or_else(|| Yaml::Text(text.to_owned()), Yaml::Number),
    }
}

#[expect(clippy::cast_precision_loss, reason = "Helm holds every number as a float too")]
fn number_of(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = |value: f64| if negative { -value } else { value };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(sign(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits == text => return Some(f64::NAN),
        _ => {}
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = digits.replace('_', "");
    let radix = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((plain.strip_prefix(prefix)?, radix)));
    if let Some((rest, radix)) = radix {
        return u64::from_str_radix(rest, radix).ok().map(|n| sign(n as f64));
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| b.is_ascii_digit()) {
        // A leading zero means octal, unless a digit says otherwise.
        if let Ok(octal) = u64::from_str_radix(&plain, 8) {
            return Some(sign(octal as f64));
        }
    }
    let is_float =
        plain.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) && plain != ".";
    if is_float { plain.parse().ok().map(sign) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Node>, Problem> {
        documents(text, &Rc::from("t.yaml"))
    }

    #[test]
    fn scalars_are_read_as_helm_reads_them() {
        let cases = [
            ("1.10", "1.1"),
            ("\"1.10\"", "1.10"),
            ("!!str 1.10", "1.10"),
            ("1.2.3", "1.2.3"),
            ("v1", "v1"),
            ("1234567", "1.234567e+06"),
            ("010", "8"),
            ("09", "9"),
            ("0x10", "16"),
            ("1_000", "1000"),
            ("2024-01-01", "2024-01-01"),
            ("1e2", "100"),
            ("-3", "-3"),
        ];
        for (text, shown) in cases {
            let node = read(&format!("a: {text}")).unwrap().remove(0);
            assert_eq!(node.get("a").unwrap().scalar().as_deref(), Some(shown), "{text}");
        }
        for text in ["yes", "on", "True", "y"] {
            assert_eq!(resolve(text), Yaml::Bool(true), "{text}");
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = "# a comment\nbase: &base\n  tag: one\n---\na:\n  - b: two\n    c: [three,\n      four]\n";
        let found = read(text).unwrap();
        assert_eq!(found[0].at("base.tag").unwrap().line, 3);
        let item = &found[1].get("a").unwrap().items()[0];
        assert_eq!(item.get("b").unwrap().line, 6);
        let block = read("a: |\n  first\n  second\n").unwrap().remove(0);
        assert_eq!(block.get("a").map(|node| (node.line, node.is_literal)), Some((2, true)));
        let lines: Vec<u32> = item.get("c").unwrap().items().iter().map(|n| n.line).collect();
        assert_eq!(lines, [7, 8]);
    }

    #[test]
    fn merge_keys_and_aliases_are_carried_out() {
        let text = "base: &base {tag: one, repository: r}\nuse: {<<: *base, tag: two}\nboth: {<<: [{a: x}, *base]}\n";
        let node = read(text).unwrap().remove(0);
        assert_eq!(node.at("use.tag").unwrap().text(), Some("two"));
        assert_eq!(node.at("use.repository").unwrap().text(), Some("r"));
        assert_eq!(node.at("both.tag").unwrap().text(), Some("one"));
    }

    #[test]
    fn a_hostile_file_is_an_error_with_its_place() {
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain((1..9).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))))
            .collect();
        let chain: String = std::iter::once("a0: &a0 [[[[[[x]]]]]]\n".to_owned())
            .chain((1..100).map(|n| format!("a{n}: &a{n} [[[*a{}]]]\n", n - 1)))
            .collect();
        let cases = [
            (bomb.as_str(), "too many nodes"),
            (chain.as_str(), "nested deeper"),
            (&"[".repeat(100_000), "recursion limit"),
            ("a: &a [*a]", "inside what it repeats"),
            ("a: [1, 2\nb: 3", "line 2"),
            ("a: b: c", "line 1, column"),
        ];
        for (text, expected) in cases {
            let said = read(text).map_or_else(|e| e.to_string(), |_| "read".to_owned());
            assert!(said.contains(expected), "{said}");
        }
    }
}
