//! Walks through Kubernetes objects and trees of values, and picks out the images.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::parts::{Assembled, Defaults, Pair, assemble};
use super::reference::{
    Verdict, in_container, is_image_key, is_pinned, is_unmistakable, plain_key, put_together, under_image_key,
};
use super::yaml::{Node, Yaml, documents};
use super::{Kind, Place, Warning, flux, kustomize, text};

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

    /// Walks through a file whose text goes somewhere as it is: YAML of any kind, or something else.
    pub(super) fn text_file(&mut self, file: &str, content: &str) {
        match documents(content, &Rc::from(file)) {
            Ok(found) if !found.iter().any(|document| document.text().is_some()) => {
                found.iter().for_each(|document| self.object(document))
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

    /// What Flux pulls: `url` and `ref` of an `OCIRepository` (source.toolkit.fluxcd.io).
    fn artifact(&mut self, object: &Node) {
        let Some((node, url)) =
            object.at("spec.url").and_then(|node| Some((node, node.text()?.strip_prefix("oci://")?)))
        else {
            return;
        };
        let of = |key: &str| object.at("spec.ref").and_then(|r| r.get(key)).and_then(Node::scalar);
        self.within("spec", |walk| {
            walk.within("url", |walk| {
                // Flux looks at the digest first, then at the range, then at the tag.
                let (tag, digest) = (of("tag"), of("digest"));
                if digest.is_none() && let Some(range) = of("semver") {
                    walk.warn(node, format!("Flux looks for a version in the range `{range}`; whether the release has one is not checked"));
                    return;
                }
                let tag = if digest.is_some() { tag } else { tag.or_else(|| Some("latest".to_owned())) };
                let whole = put_together(None, url, tag.as_deref(), digest.as_deref());
                let before = walk.hits.len();
                walk.judge(in_container(&whole), node);
                walk.hits[before..].iter_mut().for_each(|hit| hit.kind = Kind::Artifact);
            });
        });
    }

    /// A release of a chart. If the chart is at hand, it is rendered with these values, and they need not be guessed at.
    fn helm_release(&mut self, object: &Node) {
        let is_known =
            flux::release(object).is_some_and(|release| self.known_charts.contains(&release.chart));
        self.within("spec", |walk| {
            for (key, node) in object.get("spec").map(Node::entries).unwrap_or_default() {
                walk.within(key, |walk| match key.as_str() {
                    "values" if is_known => {}
                    "values" => {
                        walk.value(node, key);
                        walk.incomplete(Some(node));
                    }
                    _ => walk.entry(key, node, "spec"),
                });
            }
        });
    }

    /// Values that change half of an image: the other half is in the chart.
    fn incomplete(&mut self, values: Option<&Node>) {
        for (key, node) in values.map(Node::entries).unwrap_or_default() {
            self.within(key, |walk| {
                let has = |name: &str| node.get(name).and_then(Node::scalar).is_some_and(|text| !text.is_empty());
                if is_image_key(key) && (has("tag") || has("digest")) && !(has("repository") || has("name")) {
                    walk.warn(node, "there is a tag or digest, but its repository is in the chart: give these values to the chart with `values:`".to_owned());
                }
                walk.incomplete(Some(node));
            });
        }
    }

    /// The texts of a ConfigMap or a Secret: each may be a file with images in it.
    fn texts(&mut self, object: &Node, key: &str, decode: impl Fn(&str) -> Option<String>) {
        self.within(key, |walk| {
            for (name, node) in object.get(key).map(Node::entries).unwrap_or_default() {
                let Some(content) = node.text().and_then(&decode) else { continue };
                walk.within(name, |walk| {
                    if is_image_key(name) && !content.contains('\n') {
                        walk.judge(under_image_key(&content), node);
                    } else {
                        walk.free_text(&content, node);
                    }
                });
            }
        });
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
        let assembled = assemble(&pairs, is_image_key(key), &self.defaults);
        for Assembled { at, whole } in &assembled {
            let (name, node) = &entries[*at];
            self.within(name, |walk| match whole {
                Ok(whole) => walk.judge(under_image_key(whole), node),
                Err(why) => walk.warn(node, (*why).to_owned()),
            });
        }
        if self.named_value(node) || self.replacement(node) {
            return;
        }
        for (at, (name, child)) in entries.iter().enumerate() {
            // Schemas describe objects; only what they fill in by default is ever pulled.
            let is_prose = PROSE.contains(&name.as_str())
                || self.in_schema && matches!(name.as_str(), "example" | "enum" | "pattern");
            if is_prose || assembled.iter().any(|found| found.at == at) {
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
            _ => self.value(node, name),
        }
    }

    /// A value whose key says that it is an image.
    fn named(&mut self, node: &Node, key: &str) {
        if let Some(text) = node.text() {
            self.judge(under_image_key(text), node)
        } else {
            self.value(node, key)
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
                            walk.judge_container(in_container(&node.scalar().unwrap_or_default()), node)
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

    /// `{name: SIDECAR_IMAGE, value: …}`: an environment variable, or a parameter of another kind.
    fn named_value(&mut self, node: &Node) -> bool {
        let (Some(name), Some(value)) = (node.text_of("name"), node.get("value")) else { return false };
        let Some(text) = value.text() else { return false };
        self.within("value", |walk| {
            if is_image_key(name) && !text.contains('\n') {
                walk.judge(under_image_key(text), value);
            } else if plain_key(name).contains("image") && is_pinned(text) && text.contains('/') {
                // RELATED_IMAGE_ETCD, and what else has the word in its name.
                walk.judge(under_image_key(text), value);
            } else {
                walk.free_text(text, value);
            }
        });
        true
    }

    /// `RELOADER_IMAGE_REPO` and `RELOADER_IMAGE_TAG` in one list.
    fn composed_variables(&mut self, items: &[Node]) {
        let variables: Vec<(&str, &Node)> =
            items.iter().filter_map(|item| Some((item.text_of("name")?, item.get("value")?))).collect();
        let pairs: Vec<Pair<'_>> = variables.iter().map(|(name, value)| (*name, value.scalar())).collect();
        for Assembled { at, whole } in assemble(&pairs, false, &Defaults::default()) {
            let (name, node) = variables[at];
            self.within(name, |walk| match whole {
                Ok(whole) => walk.judge(under_image_key(&whole), node),
                Err(why) => walk.warn(node, why.to_owned()),
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

    /// A command line: `--reloader-image=…`, `--image …`, and what is unmistakable anywhere.
    fn arguments(&mut self, items: &[Node]) {
        let mut flags: Vec<(&str, &Node, &str)> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let Some(flag) = text.strip_prefix('-').filter(|_| !text.contains('\n')) else { continue };
            if let Some((name, value)) = flag.split_once('=') {
                flags.push((name, item, value));
            } else if let Some(next) =
                items.get(at + 1).and_then(Node::text).filter(|next| !next.starts_with('-'))
            {
                flags.push((flag, &items[at + 1], next));
            }
        }
        let pairs: Vec<Pair<'_>> =
            flags.iter().map(|(name, _, value)| (*name, Some((*value).to_owned()))).collect();
        for Assembled { at, whole } in assemble(&pairs, false, &Defaults::default()) {
            match whole {
                Ok(whole) => self.judge(under_image_key(&whole), flags[at].1),
                Err(why) => self.warn(flags[at].1, why.to_owned()),
            }
        }
        for (at, item) in items.iter().enumerate() {
            self.at_index(at, |walk| {
                match flags.iter().find(|(name, node, _)| std::ptr::eq(*node, item) && is_image_key(name)) {
                    Some((_, _, value)) => walk.judge(under_image_key(value), item),
                    None => walk.value(item, ""),
                }
            });
        }
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
                self.hits.push(Hit { reference, place, kind: Kind::Image, in_container })
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
        self.path.push_str(&format!("[{at}]"));
        go(self);
        self.path.truncate(before);
    }
}
