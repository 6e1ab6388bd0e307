//! The images of a folder that becomes a Git repository: Kubernetes manifests, kustomizations, Flux objects, charts.
//!
//! What is deployed is followed from where it begins: the paths of Flux's `Kustomization`s, and kustomizations that no other takes in. Every other
//! manifest counts as it stands. So an image that an overlay replaces is not asked for under its old name, and none is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use fs_err as fs;

use super::documents::{self, split};
use super::flux::{self, Deployed, Release, relative};
use super::in_chart::{Given, with_values};
use super::kustomize::{FILES, Kustomization, Named, Replacement};
use super::render::{Fault, yaml_of};
use super::walk::{Hit, Walk};
use super::yaml::{Node, documents};
use super::{ChartFiles, Found, How, Mention, Need, Place, Settings, Warning, on_large_stack};
use crate::{Error, git};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most bytes of all files that are read.
const MAX_FOLDER_BYTES: u64 = 512 << 20;
/// Most files.
const MAX_FILES: usize = 200_000;
/// Deepest folder, and longest chain of kustomizations.
const MAX_DEPTH: usize = 64;
/// Most files that are read for all kustomizations together: overlays may take in the same base again and again.
const MAX_READS: usize = 100_000;

/// Finds the images that the files of a folder name. A chart in it is rendered with the values of each `HelmRelease` that uses it, or with its own.
///
/// # Errors
/// [`Error::BadFolder`] for a folder that is too large or too deep; what [`super::in_chart`] says about charts in it, as [`Error::Several`]; I/O.
/// Files that cannot be read as YAML become warnings: a repository holds more than manifests.
pub fn in_folder(folder: &Path, settings: &Settings<'_>) -> Result<Found, Error> {
    on_large_stack(|| {
        let mut repository = Repository::read(folder)?;
        repository.look_at_objects();
        let mut found = Found::default();
        repository.follow_deployed();
        repository.take_rest();
        repository.finish_into(&mut found);
        let mut failures = Vec::new();
        for chart in &repository.charts {
            match repository.in_chart(chart, settings) {
                Ok(other) => {
                    found.mentions.extend(other.mentions);
                    found.warnings.extend(other.warnings);
                }
                Err(error) => failures.push(error),
            }
        }
        Error::all(failures).map_or(Ok(()), Err)?;
        Ok(found.sorted())
    })
}

/// A folder, and what was seen of it.
struct Repository<'p> {
    root: &'p Path,
    /// Text of the files that may matter, by path; those of charts apart.
    files: BTreeMap<String, Rc<str>>,
    /// Folders with a `Chart.yaml`.
    charts: Vec<String>,
    kustomizations: BTreeMap<String, Rc<Kustomization>>,
    /// Kustomizations that are being built, from the outermost in, and all that have been.
    open: Vec<String>,
    built: BTreeSet<String>,
    deployed: Vec<Deployed>,
    releases: Vec<Release>,
    /// Files that some kustomization or Flux path has taken in.
    taken: BTreeSet<String>,
    reads: usize,
    walk: Walk,
    optional: Walk,
}

impl<'p> Repository<'p> {
    fn read(root: &'p Path) -> Result<Self, Error> {
        let mut repository = Self {
            root,
            files: BTreeMap::new(),
            charts: Vec::new(),
            kustomizations: BTreeMap::new(),
            open: Vec::new(),
            built: BTreeSet::new(),
            deployed: Vec::new(),
            releases: Vec::new(),
            taken: BTreeSet::new(),
            reads: 0,
            walk: Walk::default(),
            optional: Walk::default(),
        };
        let mut bytes = 0;
        repository.read_dir(root, "", 0, &mut bytes)?;
        repository.walk.known_charts.clone_from(&repository.charts);
        Ok(repository)
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str, depth: usize, bytes: &mut u64) -> Result<(), Error> {
        let refuse = |why| Error::from(git::Error::BadFolder { path: dir.to_owned(), why });
        if depth > MAX_DEPTH {
            return Err(refuse("folders are nested too deeply"));
        }
        let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        if depth > 0 && entries.iter().any(|entry| entry.file_name() == "Chart.yaml") {
            self.charts.push(prefix.trim_end_matches('/').to_owned());
            return Ok(());
        }
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let (path, kind) = (entry.path(), entry.file_type()?);
            // Flux leaves out what begins with a dot (`.git`, `.github`); so do we.
            if kind.is_dir() && !name.starts_with('.') {
                self.read_dir(&path, &format!("{prefix}{name}/"), depth + 1, bytes)?;
            } else if kind.is_file() {
                let mut content = Vec::new();
                fs::File::open(&path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
                *bytes += content.len() as u64;
                if *bytes > MAX_FOLDER_BYTES || self.files.len() >= MAX_FILES {
                    return Err(refuse("it is too large to be searched for images"));
                }
                let shown = format!("{prefix}{name}");
                if content.len() as u64 > MAX_FILE_BYTES {
                    if is_manifest(&shown) {
                        self.warn(
                            &shown,
                            None,
                            format!("it is larger than {MAX_FILE_BYTES} bytes and was not searched"),
                        );
                    }
                } else if let Ok(text) = String::from_utf8(content) {
                    self.files.insert(shown, Rc::from(text));
                } else if is_manifest(&shown) {
                    self.warn(&shown, None, "it is not UTF-8 and was not searched".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Reads kustomizations and the Flux objects that say something about other files.
    fn look_at_objects(&mut self) {
        for (path, text) in self.files.iter().filter(|(path, _)| is_manifest(path)) {
            let objects = objects(path, text);
            if let Some(dir) = FILES.iter().find_map(|name| folder_of(path, name)) {
                self.kustomizations
                    .insert(dir, Rc::new(objects.first().map(Kustomization::of).unwrap_or_default()));
                continue;
            }
            self.deployed.extend(objects.iter().filter_map(flux::deployed));
            self.releases.extend(objects.iter().filter_map(flux::release));
        }
    }

    fn follow_deployed(&mut self) {
        let is_folder = |path: &str| {
            path.is_empty()
                || self.files.keys().any(|file| file.starts_with(path) && file[path.len()..].starts_with('/'))
        };
        let mut begin: Vec<Deployed> =
            self.deployed.iter().filter(|deployed| is_folder(&deployed.path)).cloned().collect();
        let inner: BTreeSet<String> = self
            .kustomizations
            .iter()
            .flat_map(|(dir, kustomization)| {
                kustomization.resources.iter().filter_map(|named| inside(dir, &named.path))
            })
            .chain(begin.iter().map(|deployed| deployed.path.clone()))
            .collect();
        let is_below_deployed = |dir: &str| {
            begin.iter().any(|d| !self.kustomizations.contains_key(&d.path) && is_below(dir, &d.path))
        };
        let outer: Vec<String> = self
            .kustomizations
            .keys()
            .filter(|dir| !inner.contains(*dir) && !is_below_deployed(dir))
            .cloned()
            .collect();
        begin.extend(outer.into_iter().map(|path| Deployed { path, ..Deployed::default() }));
        for deployed in begin {
            let before = self.walk.hits.len();
            self.build(&deployed.path, deployed.variables.as_ref());
            replace(&mut self.walk.hits[before..], &deployed.images);
        }
        // Those that take in one another in a circle have no beginning.
        for dir in self.kustomizations.keys().cloned().collect::<Vec<_>>() {
            if !self.built.contains(&dir) {
                self.build(&dir, None);
            }
        }
    }

    /// Takes in a folder: by its kustomization, or, as Flux does without one, every manifest in it.
    fn build(&mut self, dir: &str, variables: Option<&BTreeMap<String, String>>) {
        let Some(kustomization) = self.kustomizations.get(dir).map(Rc::clone) else {
            self.build_all(dir, variables);
            return;
        };
        let file = FILES
            .iter()
            .map(|name| joined(dir, name))
            .find(|file| self.files.contains_key(file))
            .unwrap_or_default();
        let begin = self.walk.hits.len();
        if self.open.iter().any(|open| open == dir) || self.open.len() > MAX_DEPTH {
            self.warn(&file, None, "kustomizations take in one another in a circle".to_owned());
            return;
        }
        self.built.insert(dir.to_owned());
        self.open.push(dir.to_owned());
        for named in kustomization.resources.iter().chain(&kustomization.patches) {
            match inside(dir, &named.path).filter(|_| !is_remote(&named.path)) {
                Some(path) if self.files.contains_key(&path) => self.take(&path, variables),
                Some(path) if self.files.keys().any(|file| is_below(file, &path)) => {
                    self.build(&path, variables);
                }
                _ => self.warn_absent(&file, named),
            }
        }
        for named in &kustomization.texts {
            match inside(dir, &named.path).and_then(|path| Some((self.files.get(&path).cloned()?, path))) {
                Some((text, path)) => self.take_text(&path, &text, variables),
                None => self.warn_absent(&file, named),
            }
        }
        // Patches and literals that stand in the kustomization itself.
        self.take(&file, variables);
        if let Some(line) = kustomization.helm_charts {
            self.warn(
                &file,
                Some(line),
                "charts of `helmCharts:` are not looked into: list them under `charts:`".to_owned(),
            );
        }
        replace(&mut self.walk.hits[begin..], &kustomization.images);
        self.open.pop();
    }

    fn build_all(&mut self, dir: &str, variables: Option<&BTreeMap<String, String>>) {
        let below: Vec<String> =
            self.files.keys().filter(|file| is_below(file, dir) && is_manifest(file)).cloned().collect();
        let dirs: BTreeSet<String> =
            self.kustomizations.keys().filter(|inner| is_below(inner, dir)).cloned().collect();
        for file in below.iter().filter(|file| !dirs.iter().any(|inner| is_below(file, inner))) {
            self.take(file, variables);
        }
        let is_outermost =
            |inner: &&String| !dirs.iter().any(|other| other != *inner && is_below(inner, other));
        for inner in dirs.iter().filter(is_outermost) {
            self.build(inner, variables);
        }
    }

    /// Every manifest that nothing has taken in.
    fn take_rest(&mut self) {
        let rest: Vec<String> = self
            .files
            .keys()
            .filter(|path| is_manifest(path) && !self.taken.contains(*path))
            .cloned()
            .collect();
        for path in rest {
            let Some(text) = self.read_file(&path, None) else { return };
            self.walk_file(&path, &text, true);
        }
    }

    /// Takes in a file of objects or patches.
    fn take(&mut self, path: &str, variables: Option<&BTreeMap<String, String>>) {
        if let Some(text) = self.read_file(path, variables) {
            self.walk_file(path, &text, false);
        }
    }

    /// Walks through the objects of a file. Where anything may lie, what has no kind is no object: values of a chart, a workflow, notes.
    fn walk_file(&mut self, path: &str, text: &str, may_be_loose: bool) {
        self.taken.insert(path.to_owned());
        for document in split(text) {
            let before = text[..document.offset].matches('\n').count();
            let line_at = |offset: usize| {
                u32::try_from(before + text[document.offset..offset].matches('\n').count() + 1).ok()
            };
            let walk =
                if may_be_loose && is_loose(document.text) { &mut self.optional } else { &mut self.walk };
            documents::walk(walk, &document, path, &line_at);
        }
    }

    /// A file that goes into a `ConfigMap` or `Secret` as text.
    fn take_text(&mut self, path: &str, text: &str, variables: Option<&BTreeMap<String, String>>) {
        self.taken.insert(path.to_owned());
        let text = variables.map_or_else(|| text.to_owned(), |variables| flux::substitute(text, variables));
        self.walk.text_file(path, &text);
    }

    fn read_file(&mut self, path: &str, variables: Option<&BTreeMap<String, String>>) -> Option<Rc<str>> {
        self.reads += 1;
        if self.reads > MAX_READS {
            self.warn(
                path,
                None,
                "kustomizations take in too many files; it was not searched again".to_owned(),
            );
            return None;
        }
        let text = self.files.get(path)?;
        Some(
            variables
                .map_or_else(|| Rc::clone(text), |variables| Rc::from(flux::substitute(text, variables))),
        )
    }

    fn finish_into(&mut self, found: &mut Found) {
        let mention = |hit: Hit, need| Mention {
            reference: hit.reference,
            place: hit.place,
            how: How::Manifest,
            need,
            kind: hit.kind,
        };
        found.mentions.extend(self.walk.hits.drain(..).map(|hit| mention(hit, Need::Required)));
        found.mentions.extend(self.optional.hits.drain(..).map(|hit| mention(hit, Need::Optional)));
        found.warnings.append(&mut self.walk.warnings);
    }

    /// A chart of the folder, with the values of each release of it.
    fn in_chart(&self, chart: &str, settings: &Settings<'_>) -> Result<Found, Error> {
        let files = ChartFiles::read(&self.root.join(chart))?;
        let releases: Vec<&Release> = self.releases.iter().filter(|release| release.chart == chart).collect();
        let below = format!("{chart}/");
        if releases.is_empty() {
            return with_values(
                &files,
                &Given { below: &below, trees: &[], files: &[] },
                settings,
                Vec::new(),
            );
        }
        let mut all = Found::default();
        for release in releases {
            let given: Vec<Node> = release.values.iter().cloned().collect();
            let refuse = |fault: Fault| Error::UnreadableChart { chart: chart.to_owned(), why: fault.0 };
            let written = given
                .iter()
                .map(|node| Ok(("spec.values".to_owned(), yaml_of(node).map_err(refuse)?.into_bytes())));
            let written: Vec<_> = written.collect::<Result<_, Error>>()?;
            let found = with_values(
                &files,
                &Given { below: &below, trees: &given, files: &written },
                settings,
                Vec::new(),
            )?;
            all.mentions.extend(found.mentions);
            all.warnings.extend(found.warnings);
            if let Some(from) = &release.values_from {
                let place = Place {
                    file: from.file.to_string(),
                    line: Some(from.line),
                    path: Some("spec.valuesFrom".to_owned()),
                };
                all.warnings.push(Warning {
                    place,
                    why: "values from elsewhere are not known when the release is made".to_owned(),
                });
            }
        }
        Ok(all)
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
        self.walk.warnings.push(Warning { place: Place { file: file.to_owned(), line, path: None }, why });
    }
}

/// The objects of a file. What cannot be read is told of when it is searched.
fn objects(path: &str, text: &str) -> Vec<Node> {
    let file: Rc<str> = Rc::from(path);
    let mut found = Vec::new();
    for document in split(text) {
        let before = u32::try_from(text[..document.offset].matches('\n').count()).unwrap_or(0);
        let read = documents(document.text, &file).unwrap_or_default();
        found.extend(read.into_iter().map(|mut object| {
            object.shift(before);
            object
        }));
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

fn is_manifest(path: &str) -> bool {
    let path = Path::new(path);
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
        || path.ends_with("Kustomization")
}

/// Whether none of a document's objects has a kind.
fn is_loose(text: &str) -> bool {
    documents(text, &Rc::from(""))
        .is_ok_and(|objects| !objects.iter().any(|object| object.get("kind").is_some()))
}

/// The folder of a file with a name.
fn folder_of(path: &str, name: &str) -> Option<String> {
    if path == name {
        Some(String::new())
    } else {
        path.strip_suffix(name)?.strip_suffix('/').map(str::to_owned)
    }
}

fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn inside(dir: &str, path: &str) -> Option<String> {
    if path.starts_with('/') { None } else { relative(&format!("{dir}/{path}")) }
}

fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.contains("?ref=")
        || path.starts_with("git@")
        || path.starts_with("github.com/")
}
