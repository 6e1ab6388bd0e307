//! The images of a folder that becomes a Git repository: Kubernetes manifests, kustomizations, Flux objects, charts.
//!
//! What is deployed is followed from where it begins: the paths of Flux's `Kustomization`s, and kustomizations that no other takes in. Every other
//! manifest counts as it stands. So an image that an overlay replaces is not asked for under its old name, and none is left out.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use super::documents::{self, split};
use super::flux::{self, Deployed, Release};
use super::in_chart::{Given, with_values};
use super::kustomize::{FILES, Kustomization, Named, Replacement};
use super::render::{Fault, yaml_of};
use super::walk::{Hit, Walk};
use super::yaml::{Node, documents};
use super::{ChartFiles, Found, How, Mention, Need, Place, Settings, Warning, on_large_stack};
use crate::Error;
use files::{Files, folder_of, inside, is_below, joined};

/// Longest chain of kustomizations.
const MAX_CHAIN: usize = 64;
/// Most files that kustomizations take in, all together.
const MAX_TAKEN: usize = 100_000;

/// Finds the images that the files of a folder name. A chart in it is rendered with the values of each `HelmRelease` that uses it, or with its own.
///
/// # Errors
/// [`Error::BadFolder`] for a folder that is too large or too deep; what [`in_chart`](super::in_chart()) says about charts in it, as [`Error::Several`]; I/O.
/// Files that cannot be read as YAML become warnings: a repository holds more than manifests.
pub fn in_folder(folder: &Path, settings: &Settings<'_>) -> Result<Found, Error> {
    on_large_stack(|| {
        let mut repository = Repository::new(Files::list(folder)?);
        repository.look_at_objects();
        repository.follow_deployed();
        repository.take_rest();
        let mut failures = Vec::new();
        let mut in_charts = Found::default();
        for chart in &repository.files.charts {
            if let Err(error) = repository.in_chart(chart, settings, &mut in_charts) {
                failures.push(error);
            }
        }
        Error::all(failures).map_or(Ok(()), Err)?;
        Ok(repository.found(in_charts).sorted())
    })
}

type Variables = BTreeMap<String, String>;

/// A folder, and what was seen of it.
struct Repository {
    files: Files,
    kustomizations: BTreeMap<String, Rc<Kustomization>>,
    /// Kustomizations that are being built, from the outermost in,
    open: Vec<String>,
    /// and all that have been.
    built: BTreeSet<String>,
    deployed: Vec<Deployed>,
    releases: Vec<Release>,
    /// Files that some kustomization or Flux path has taken in, and how often that happened.
    taken: BTreeSet<String>,
    takes: usize,
    /// What counts, and what only may.
    walk: Walk,
    optional: Walk,
}

impl Repository {
    fn new(files: Files) -> Self {
        let mut walk = Walk::default();
        walk.known_charts.clone_from(&files.charts);
        Self {
            files,
            kustomizations: BTreeMap::new(),
            open: Vec::new(),
            built: BTreeSet::new(),
            deployed: Vec::new(),
            releases: Vec::new(),
            taken: BTreeSet::new(),
            takes: 0,
            walk,
            optional: Walk::default(),
        }
    }

    /// Reads kustomizations and the Flux objects that say something about other files.
    fn look_at_objects(&mut self) {
        for path in self.files.manifests("") {
            // What cannot be read is told of when it is searched.
            let Ok(text) = self.files.read(&path) else { continue };
            let objects = objects(&path, &text);
            if let Some(dir) = FILES.iter().find_map(|name| folder_of(&path, name)) {
                let kustomization = objects.first().map(Kustomization::of).unwrap_or_default();
                self.kustomizations.insert(dir, Rc::new(kustomization));
            } else {
                self.deployed.extend(objects.iter().filter_map(flux::deployed));
                self.releases.extend(objects.iter().filter_map(flux::release));
            }
        }
    }

    /// Builds what Flux deploys, then what no other kustomization takes in.
    fn follow_deployed(&mut self) {
        let deployed = std::mem::take(&mut self.deployed);
        let deployed: Vec<Deployed> =
            deployed.into_iter().filter(|deployed| self.files.has_folder(&deployed.path)).collect();
        for deployed in &deployed {
            let before = self.walk.hits.len();
            self.build(&deployed.path, deployed.variables.as_ref());
            replace(&mut self.walk.hits[before..], &deployed.images);
        }
        let inner: BTreeSet<String> = self
            .kustomizations
            .iter()
            .flat_map(|(dir, kustomization)| {
                kustomization.resources.iter().filter_map(|named| inside(dir, &named.path))
            })
            .collect();
        let dirs: Vec<String> = self.kustomizations.keys().cloned().collect();
        let (rest, outer): (Vec<String>, Vec<String>) = dirs.into_iter().partition(|dir| inner.contains(dir));
        // Those that take in one another in a circle have no beginning; they come last.
        for dir in outer.into_iter().chain(rest) {
            if !self.built.contains(&dir) {
                self.build(&dir, None);
            }
        }
    }

    /// Takes in a folder: by its kustomization, or, as Flux does without one, every manifest in it.
    fn build(&mut self, dir: &str, variables: Option<&Variables>) {
        let Some(kustomization) = self.kustomizations.get(dir).map(Rc::clone) else {
            self.build_all(dir, variables);
            return;
        };
        let file = FILES.iter().map(|name| joined(dir, name)).find(|file| self.files.has(file));
        let file = file.unwrap_or_default();
        if self.open.iter().any(|open| open == dir) || self.open.len() > MAX_CHAIN {
            self.warn(&file, None, "kustomizations take in one another in a circle".to_owned());
            return;
        }
        self.built.insert(dir.to_owned());
        self.open.push(dir.to_owned());
        let before = self.walk.hits.len();
        for named in kustomization.resources.iter().chain(&kustomization.patches) {
            match inside(dir, &named.path).filter(|_| !is_remote(&named.path)) {
                Some(path) if self.files.has(&path) => self.take(&path, variables),
                Some(path) if self.files.has_folder(&path) => self.build(&path, variables),
                _ => self.warn_absent(&file, named),
            }
        }
        for named in &kustomization.texts {
            match inside(dir, &named.path).filter(|path| self.files.has(path)) {
                Some(path) => self.take_text(&path, variables),
                None => self.warn_absent(&file, named),
            }
        }
        // Patches and literals that stand in the kustomization itself.
        self.take(&file, variables);
        if let Some(line) = kustomization.helm_charts {
            let why = "charts of `helmCharts:` are not looked into: list them under `charts:`";
            self.warn(&file, Some(line), why.to_owned());
        }
        replace(&mut self.walk.hits[before..], &kustomization.images);
        self.open.pop();
    }

    fn build_all(&mut self, dir: &str, variables: Option<&Variables>) {
        let inner: Vec<String> =
            self.kustomizations.keys().filter(|inner| is_below(inner, dir)).cloned().collect();
        for file in self.files.manifests(dir) {
            if !inner.iter().any(|inner| is_below(&file, inner)) {
                self.take(&file, variables);
            }
        }
        let is_outermost = |dir: &&String| !inner.iter().any(|other| other != *dir && is_below(dir, other));
        for dir in inner.iter().filter(is_outermost) {
            self.build(dir, variables);
        }
    }

    /// Every manifest that nothing has taken in.
    fn take_rest(&mut self) {
        for path in self.files.manifests("") {
            if !self.taken.contains(&path)
                && let Some(text) = self.read(&path, None)
            {
                self.walk_file(&path, &text, true);
            }
        }
    }

    /// Takes in a file of objects or patches.
    fn take(&mut self, path: &str, variables: Option<&Variables>) {
        if let Some(text) = self.read(path, variables) {
            self.walk_file(path, &text, false);
        }
    }

    /// Takes in a file that goes into a `ConfigMap` or `Secret` as text.
    fn take_text(&mut self, path: &str, variables: Option<&Variables>) {
        if let Some(text) = self.read(path, variables) {
            self.walk.text_file(path, &text);
        }
    }

    fn read(&mut self, path: &str, variables: Option<&Variables>) -> Option<String> {
        self.taken.insert(path.to_owned());
        self.takes += 1;
        if self.takes > MAX_TAKEN {
            self.warn(path, None, "too many files are taken in; it was not searched again".to_owned());
            return None;
        }
        match self.files.read(path) {
            Ok(text) => Some(variables.map_or(text.clone(), |variables| flux::substitute(&text, variables))),
            Err(why) => {
                self.warn(path, None, why);
                None
            }
        }
    }

    /// Walks through the objects of a file. Where anything may lie, what has no kind is no object: values of a chart, a workflow, notes.
    fn walk_file(&mut self, path: &str, text: &str, may_be_loose: bool) {
        for document in split(text) {
            let before = text[..document.offset].matches('\n').count();
            let line_at = |offset: usize| {
                u32::try_from(before + text[document.offset..offset].matches('\n').count() + 1).ok()
            };
            let is_loose = may_be_loose && is_loose(document.text);
            let walk = if is_loose { &mut self.optional } else { &mut self.walk };
            documents::walk(walk, &document, path, &line_at);
        }
    }

    /// A chart of the folder, with the values of each release of it.
    fn in_chart(&self, chart: &str, settings: &Settings<'_>, found: &mut Found) -> Result<(), Error> {
        let files = ChartFiles::read(&self.files.path(chart))?;
        let below = format!("{chart}/");
        let releases: Vec<&Release> = self.releases.iter().filter(|release| release.chart == chart).collect();
        let mut add = |trees: &[Node], files_of_values: &[(String, Vec<u8>)]| -> Result<(), Error> {
            let given = Given { below: &below, trees, files: files_of_values };
            let other = with_values(&files, &given, settings, Vec::new())?;
            found.mentions.extend(other.mentions);
            found.warnings.extend(other.warnings);
            Ok(())
        };
        if releases.is_empty() {
            return add(&[], &[]);
        }
        for release in &releases {
            let Some(values) = &release.values else {
                add(&[], &[])?;
                continue;
            };
            let written = yaml_of(values)
                .map_err(|Fault(why)| Error::UnreadableChart { chart: chart.to_owned(), why })?;
            add(std::slice::from_ref(values), &[("spec.values".to_owned(), written.into_bytes())])?;
        }
        for from in releases.iter().filter_map(|release| release.values_from.as_ref()) {
            let path = Some("spec.valuesFrom".to_owned());
            let place = Place { file: from.file.to_string(), line: Some(from.line), path };
            let why = "values from elsewhere are not known when the release is made".to_owned();
            found.warnings.push(Warning { place, why });
        }
        Ok(())
    }

    /// Everything, with what was found in charts.
    fn found(self, mut found: Found) -> Found {
        let mention = |hit: Hit, need| Mention {
            reference: hit.reference,
            place: hit.place,
            how: How::Manifest,
            need,
            kind: hit.kind,
        };
        found.mentions.extend(self.walk.hits.into_iter().map(|hit| mention(hit, Need::Required)));
        found.mentions.extend(self.optional.hits.into_iter().map(|hit| mention(hit, Need::Optional)));
        found.warnings.extend(self.walk.warnings);
        found
    }

    fn warn_absent(&mut self, file: &str, named: &Named) {
        let why = if is_remote(&named.path) {
            format!("`{}` is fetched from elsewhere, and not looked into", named.path)
        } else {
            format!("`{}` is not there", named.path)
        };
        self.warn(file, Some(named.line), why);
    }

    fn warn(&mut self, file: &str, line: Option<u32>, why: String) {
        let place = Place { file: file.to_owned(), line, path: None };
        self.walk.warnings.push(Warning { place, why });
    }
}

/// The objects of a file, as far as it can be read.
fn objects(path: &str, text: &str) -> Vec<Node> {
    let file: Rc<str> = Rc::from(path);
    let mut found = Vec::new();
    for document in split(text) {
        let before = u32::try_from(text[..document.offset].matches('\n').count()).unwrap_or(0);
        for mut object in documents(document.text, &file).unwrap_or_default() {
            object.shift(before);
            found.push(object);
        }
    }
    found
}

fn replace(hits: &mut [Hit], images: &[Replacement]) {
    for hit in hits.iter_mut().filter(|hit| hit.in_container) {
        if let Some(replaced) = images.iter().find_map(|entry| entry.applied(&hit.reference)) {
            hit.reference = replaced;
        }
    }
}

/// Whether none of a document's objects has a kind.
fn is_loose(text: &str) -> bool {
    let objects = documents(text, &Rc::from(""));
    objects.is_ok_and(|objects| !objects.iter().any(|object| object.get("kind").is_some()))
}

fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.contains("?ref=")
        || path.starts_with("git@")
        || path.starts_with("github.com/")
}
