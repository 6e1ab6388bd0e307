//! Walks through Kubernetes objects and trees of values, and picks out the images.

mod flux;
mod process;

use std::fmt::Write as _;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::parts::{Assembled, Defaults, Pair, assemble};
use super::reference::{
    Verdict, beside_image_word, in_container, is_image_key, is_unmistakable, plain_key, under_image_key,
};
use super::yaml::{Node, Yaml, document, documents};
use super::{Kind, Place, Warning, kustomize, text};

/// YAML inside YAML inside YAML: how often text is opened.
const MAX_EMBEDDED: usize = 3;
/// Where containers are listed (Kubernetes API, `PodSpec`).
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Prose, and names that things are selected by: whatever they say, nothing is pulled because of it.
const PROSE: [&str; 7] = ["description", "summary", "message", "title", "notes", "labels", "matchLabels"];
/// Flux's image automation looks at these repositories, but runs nothing from them.
const IMAGE_AUTOMATION: &str = "image.toolkit.fluxcd.io/";

/// An image that was found.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) reference: String,
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// It is a container's, so kustomize's `images:` applies to it.
    pub(super) in_container: bool,
}

/// What the lines of nodes mean.
#[derive(Clone, Copy, Debug, Default)]
enum Lines {
    /// Lines of the file.
    #[default]
    OfFile,
    /// Lines of a literal block, which begins after so many lines of the file.
    After(u32),
    /// Lines of a text that is not laid out in the file as it reads; all of it stands here.
    At(u32),
}

impl Lines {
    fn in_file(self, line: u32) -> u32 {
        match self {
            Self::OfFile => line,
            Self::After(before) => before + line,
            Self::At(line) => line,
        }
    }

    /// Those of a text that is opened.
    fn inside(self, node: &Node) -> Self {
        let line = self.in_file(node.line);
        if node.is_literal && !matches!(self, Self::At(_)) {
            Self::After(line.saturating_sub(1))
        } else {
            Self::At(line)
        }
    }
}

/// Collects what a walk finds.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) hits: Vec<Hit>,
    pub(super) warnings: Vec<Warning>,
    /// What fills the gaps of images in parts.
    pub(super) defaults: Defaults,
    /// Folders of charts that are rendered with the values of their releases.
    pub(super) known_charts: Vec<String>,
    path: String,
    lines: Lines,
    embedded: usize,
    in_schema: bool,
}

impl Walk {
    /// Walks through a Kubernetes object, or a list of them.
    pub(super) fn object(&mut self, object: &Node) {
        let kind = object.text_of("kind").unwrap_or_default();
        if kind.ends_with("List") && object.get("items").is_some_and(|items| !items.items().is_empty()) {
            for item in object.get("items").map(Node::items).unwrap_or_default() {
                self.object(item);
            }
            return;
        }
        if object.text_of("apiVersion").is_some_and(|version| version.starts_with(IMAGE_AUTOMATION)) {
            return;
        }
        let name = object.at("metadata.name").and_then(Node::scalar).unwrap_or_default();
        let before = self.path.len();
        if !kind.is_empty() && before == 0 {
            self.path = if name.is_empty() { format!("{kind} ") } else { format!("{kind}/{name} ") };
        }
        match kind {
            "ConfigMap" => self.texts(object, "data", |text| Some(text.to_owned())),
            "Secret" => {
                self.texts(object, "stringData", |text| Some(text.to_owned()));
                self.texts(object, "data", |text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
            }
            "CustomResourceDefinition" => {
                self.in_schema = true;
                self.value(object, "");
                self.in_schema = false;
            }
            "OCIRepository" => self.artifact(object),
            "HelmRelease" => self.helm_release(object),
            _ => self.value(object, ""),
        }
        self.path.truncate(before);
    }

    /// Walks through a tree of values, under a path.
    pub(super) fn values(&mut self, values: &Node, path: &str) {
        let before = self.path.len();
        path.clone_into(&mut self.path);
        self.value(values, path.rsplit('.').next().unwrap_or_default());
        self.path.truncate(before);
    }

    /// Walks through a list of images that is written as text, under a path.
    pub(super) fn listed(&mut self, node: &Node, path: &str) {
        let before = self.path.len();
        path.clone_into(&mut self.path);
        let lines = self.lines;
        self.lines = lines.inside(node);
        match document(node.text().unwrap_or_default(), &node.file) {
            Ok(found) => self.images(found.items()),
            Err(problem) => self.warn(node, format!("the list of images is no YAML: {}", problem.why)),
        }
        self.lines = lines;
        self.path.truncate(before);
    }

    /// Walks through a file whose text goes somewhere as it is: YAML of any kind, or something else.
    pub(super) fn text_file(&mut self, file: &str, content: &str) {
        match documents(content, &Rc::from(file)) {
            Ok(found) if !found.iter().any(|document| document.text().is_some()) => {
                for document in &found {
                    self.object(document);
                }
            }
            _ => self.plain_text(file, 1, content),
        }
    }

    /// Reads text that is no YAML; `line` is its first.
    pub(super) fn plain_text(&mut self, file: &str, line: u32, content: &str) {
        for (offset, verdict) in text::scan(content) {
            let place = Place { file: file.to_owned(), line: Some(line + offset), path: self.shown_path() };
            self.judge_at(verdict, place, false);
        }
    }

    /// The texts of a `ConfigMap` or a Secret: each may be a file with images in it.
    fn texts(&mut self, object: &Node, key: &str, decode: impl Fn(&str) -> Option<String>) {
        let entries = object.get(key).map(Node::entries).unwrap_or_default();
        let texts: Vec<(&str, &Node, String)> = entries
            .iter()
            .filter_map(|(name, node)| Some((name.as_str(), node, node.text().and_then(&decode)?)))
            .collect();
        let pairs: Vec<Pair<'_>> = texts.iter().map(|(name, _, text)| (*name, Some(text.clone()))).collect();
        self.within(key, |walk| {
            let assembled = walk.assembled(&pairs, false, |at| texts[at].1);
            for (at, (name, node, content)) in texts.iter().enumerate() {
                if assembled.contains(&at) {
                    continue;
                }
                walk.within(name, |walk| {
                    if is_image_key(name) && !content.contains('\n') {
                        walk.judge(under_image_key(content), node);
                    } else {
                        walk.free_text(content, node);
                    }
                });
            }
        });
    }

    /// Judges the images that are written in parts, and says which of the pairs name their repositories.
    fn assembled<'n>(
        &mut self,
        pairs: &[Pair<'_>],
        inside_image: bool,
        node: impl Fn(usize) -> &'n Node,
    ) -> Vec<usize> {
        let found = assemble(pairs, inside_image, &self.defaults);
        for Assembled { at, whole } in &found {
            self.within(pairs[*at].0, |walk| match whole {
                Ok(whole) => walk.judge(under_image_key(whole), node(*at)),
                Err(why) => walk.warn(node(*at), (*why).to_owned()),
            });
        }
        found.into_iter().map(|found| found.at).collect()
    }

    fn value(&mut self, node: &Node, key: &str) {
        match &node.value {
            Yaml::Map(entries) => self.map(node, entries, key),
            Yaml::List(items) => self.list(items, key),
            Yaml::Text(text) if !PROSE.contains(&key) => self.free_text(text, node),
            _ => {}
        }
    }

    fn map(&mut self, node: &Node, entries: &[(String, Node)], key: &str) {
        let pairs: Vec<Pair<'_>> = entries.iter().map(|(key, node)| (key.as_str(), node.scalar())).collect();
        let assembled = self.assembled(&pairs, is_image_key(key), |at| &entries[at].1);
        if self.named_value(node) || self.replacement(node) {
            return;
        }
        for (at, (name, child)) in entries.iter().enumerate() {
            // Schemas describe objects; only what they fill in by default is ever pulled.
            let is_prose = PROSE.contains(&name.as_str())
                || self.in_schema && matches!(name.as_str(), "example" | "enum" | "pattern");
            if is_prose || assembled.contains(&at) {
                continue;
            }
            self.within(name, |walk| walk.entry(name, child, key));
        }
    }

    fn entry(&mut self, name: &str, node: &Node, parent: &str) {
        let says_image = is_image_key(name) || name == "reference" && is_image_key(parent);
        // In a schema these keys are names of properties, and what stands under them describes them.
        let says_image = if self.in_schema { name == "default" && is_image_key(parent) } else { says_image };
        let is_plural = !self.in_schema && plain_key(name) == "images";
        match &node.value {
            Yaml::List(items) if CONTAINER_LISTS.contains(&name) => self.containers(items),
            Yaml::List(items) if matches!(name, "args" | "command") => self.arguments(items),
            Yaml::List(items) if is_plural => self.images(items),
            Yaml::Map(entries) if is_plural => {
                for (key, child) in entries {
                    self.within(key, |walk| walk.named(child, "image"));
                }
            }
            Yaml::Text(text) if says_image && !text.contains('\n') => self.judge(under_image_key(text), node),
            Yaml::Text(text) if !self.in_schema && !PROSE.contains(&name) => {
                match beside_image_word(name, text) {
                    Verdict::Other => self.value(node, name),
                    verdict => self.judge(verdict, node),
                }
            }
            _ => self.value(node, name),
        }
    }

    /// A value whose key says that it is an image.
    fn named(&mut self, node: &Node, key: &str) {
        if let Some(text) = node.text() {
            self.judge(under_image_key(text), node);
        } else {
            self.value(node, key);
        }
    }

    fn list(&mut self, items: &[Node], key: &str) {
        self.composed_variables(items);
        for (at, item) in items.iter().enumerate() {
            self.at_index(at, |walk| walk.value(item, key));
        }
    }

    fn containers(&mut self, items: &[Node]) {
        for (at, item) in items.iter().enumerate() {
            self.at_index(at, |walk| {
                for (name, node) in item.entries() {
                    walk.within(name, |walk| match (name.as_str(), &node.value) {
                        ("image", Yaml::Text(text)) => walk.judge_container(in_container(text), node),
                        ("image", Yaml::Null) => walk.judge_container(in_container(""), node),
                        // Values and custom objects may keep the parts apart even here.
                        ("image", Yaml::Map(_)) => walk.value(node, "image"),
                        ("image", _) => {
                            walk.judge_container(in_container(&node.scalar().unwrap_or_default()), node);
                        }
                        _ => walk.entry(name, node, ""),
                    });
                }
            });
        }
    }

    /// `images:` is a list of references, of maps, or of kustomize's replacements.
    fn images(&mut self, items: &[Node]) {
        for (at, item) in items.iter().enumerate() {
            self.at_index(at, |walk| {
                if !kustomize::is_replacement(item) {
                    walk.named(item, "image");
                } else if let Some(whole) = kustomize::whole_replacement(item) {
                    // A name alone keeps the tag of what it replaces, and is found where that stands.
                    walk.judge(under_image_key(&whole), item);
                }
            });
        }
    }

    /// `{op: replace, path: …/image, value: …}` of a JSON patch (RFC 6902).
    fn replacement(&mut self, node: &Node) -> bool {
        let (Some(_), Some(path), Some(value)) =
            (node.text_of("op"), node.text_of("path"), node.get("value"))
        else {
            return false;
        };
        self.within("value", |walk| {
            if is_image_key(path) { walk.named(value, "image") } else { walk.value(value, "value") }
        });
        true
    }

    /// Text under a key that says nothing: an image as a whole, a file, or words among which an image stands.
    fn free_text(&mut self, content: &str, node: &Node) {
        if is_unmistakable(content) {
            self.judge(Verdict::Image(content.to_owned()), node);
            return;
        }
        let may_be_yaml = content.contains('\n') || content.starts_with(['{', '[']);
        if may_be_yaml && self.embedded < MAX_EMBEDDED && self.embedded_yaml(content, node) {
            return;
        }
        let lines = self.lines.inside(node);
        for (before, verdict) in text::scan(content) {
            let line = Some(lines.in_file(before + 1));
            self.judge_at(
                verdict,
                Place { file: node.file.to_string(), line, path: self.shown_path() },
                false,
            );
        }
    }

    /// Walks through text that is YAML. Says whether it was: a scalar is just text.
    fn embedded_yaml(&mut self, content: &str, node: &Node) -> bool {
        let Ok(found) = documents(content, &Rc::clone(&node.file)) else { return false };
        if found.is_empty() || found.iter().any(|document| matches!(document.value, Yaml::Text(_))) {
            return false;
        }
        let (lines, schema, before) = (self.lines, self.in_schema, self.path.len());
        (self.lines, self.in_schema) = (lines.inside(node), false);
        self.embedded += 1;
        self.path.push_str(": ");
        for document in &found {
            self.object(document);
        }
        self.path.truncate(before);
        self.embedded -= 1;
        (self.lines, self.in_schema) = (lines, schema);
        true
    }

    fn judge(&mut self, verdict: Verdict, node: &Node) {
        let place = self.place(node);
        self.judge_at(verdict, place, false);
    }

    fn judge_container(&mut self, verdict: Verdict, node: &Node) {
        let place = self.place(node);
        self.judge_at(verdict, place, true);
    }

    fn judge_at(&mut self, verdict: Verdict, place: Place, in_container: bool) {
        match verdict {
            Verdict::Image(reference) => {
                self.hits.push(Hit { reference, place, kind: Kind::Image, in_container });
            }
            Verdict::Unclear(why) => self.warnings.push(Warning { place, why }),
            Verdict::Other => {}
        }
    }

    fn warn(&mut self, node: &Node, why: String) {
        let place = self.place(node);
        self.warnings.push(Warning { place, why });
    }

    fn place(&self, node: &Node) -> Place {
        Place {
            file: node.file.to_string(),
            line: Some(self.lines.in_file(node.line)),
            path: self.shown_path(),
        }
    }

    fn shown_path(&self) -> Option<String> {
        let path = self.path.trim();
        (!path.is_empty()).then(|| path.to_owned())
    }

    /// Goes on below a key.
    fn within(&mut self, key: &str, go: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if key.contains(['.', '/', ' ', '[']) {
            self.path.push_str("[\"");
            self.path.push_str(key);
            self.path.push_str("\"]");
        } else {
            if !(self.path.is_empty() || self.path.ends_with(' ')) {
                self.path.push('.');
            }
            self.path.push_str(key);
        }
        go(self);
        self.path.truncate(before);
    }

    fn at_index(&mut self, at: usize, go: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        // Writing to a text cannot fail.
        let _ = write!(self.path, "[{at}]");
        go(self);
        self.path.truncate(before);
    }
}
