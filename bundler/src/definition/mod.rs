//! `RELEASE.yaml`, what a release engineer writes. `sealift schema` prints its JSON schema, made from these types.

mod chart;
mod file;
mod git;
mod image;
mod location;
mod overlays;
mod rebuild;
mod text_or_map;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sealift_archive::release::API_VERSION;
use sealift_archive::{Digest, FileName, Platform, Product, ReleaseName, Sequence, Version};

use crate::{Error, yaml};
pub use chart::{Chart, ChartSource};
pub use file::{File, Flux, Kubernetes, KubernetesFiles, OperatingSystem, OsArtifact};
pub use git::{Git, GitSource};
pub use image::{ForeignLayers, Image, ImageSource};
pub use location::{Asset, Assets, Location};
pub use overlays::Overlays;
pub use rebuild::Rebuild;

const KIND: &str = "Release";
/// Largest definition, in bytes.
const MAX_DEFINITION_BYTES: u64 = 4 << 20;
/// How like a known key an unknown one must be to be called a slip of the pen (1 = the same).
const LIKENESS: f64 = 0.7;

/// A release, as it is defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// `sealift/v1`
    pub api_version: String,
    /// `Release`
    pub kind: String,
    /// What is shipped.
    pub product: Product,
    /// The version, for people.
    pub version: Version,
    /// Only grows; an appliance takes a release only above its active one.
    pub sequence: Sequence,
    /// The lowest sequence that stays allowed once this release has been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Sequence>,
    /// The platforms to carry: `[linux/amd64]`, or `all`.
    pub platforms: Platforms,
    /// Versions from which an appliance may step to this one.
    #[serde(default)]
    pub upgrade_from: Vec<Version>,
    /// What operating system the release runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OperatingSystem>,
    /// What Kubernetes the release runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// How old what others have built may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Rebuild>,
    /// Which folders are overlays, and what they may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlays: Option<Overlays>,
    /// Container images.
    #[serde(default)]
    pub images: Vec<Image>,
    /// Helm charts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Folders that are served as Flux artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flux: Vec<Flux>,
    /// Git repositories.
    #[serde(default)]
    pub git: Vec<Git>,
    /// Plain files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// Which children of an index are carried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Platforms {
    /// All that there are.
    All(AllPlatforms),
    /// These: at least one, and none twice.
    Some(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<Platform>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllPlatforms {
    /// All that there are.
    All,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`Error::Definition`] with line and column.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let size = fs::metadata(file)?.len();
        if size > MAX_DEFINITION_BYTES {
            let (what, limit) = (file.display().to_string(), MAX_DEFINITION_BYTES);
            return Err(sealift_archive::Error::TooLarge { what, size, limit }.into());
        }
        Self::parse(file, &fs::read_to_string(file)?)
    }

    /// Reads the text of a definition; `file` names it in errors.
    ///
    /// # Errors
    /// As [`Definition::read`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::Definition {
            file: file.to_owned(),
            place: String::new(),
            why,
            nearest: None,
        };
        let definition: Self = serde_saphyr::from_str(text).map_err(|e| explain(file, &e))?;
        if definition.api_version != API_VERSION || definition.kind != KIND {
            return Err(refuse(format!(
                "it is a `{} {}`, not a `{API_VERSION} {KIND}`",
                definition.api_version, definition.kind
            )));
        }
        Error::all(definition.faults().into_iter().map(refuse).collect()).map_or(Ok(definition), Err)
    }

    /// All that its parts have against each other.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.floor.is_some_and(|floor| floor > self.sequence) {
            faults.push("`floor` is above `sequence`".to_owned());
        }
        faults.extend(self.platforms.faults());
        let artifacts = || self.os.iter().flat_map(|os| &os.artifacts).map(|artifact| &artifact.name);
        let waivers = || self.rebuild.iter().flat_map(|rebuild| &rebuild.waivers).map(|waiver| &waiver.name);
        let files = || self.files.iter().map(|file| &file.name);
        let kinds = [
            ("Git repositories", repeated(self.git.iter().map(|git| &git.name))),
            ("Flux artifacts", repeated(self.flux.iter().map(|flux| &flux.name))),
            ("files", repeated(files())),
            ("waivers", repeated(waivers())),
            ("artifacts of the operating system", repeated(artifacts())),
        ];
        for (kind, names) in kinds {
            faults.extend(names.iter().map(|name| format!("two {kind} are named `{name}`")));
        }
        for (one, other) in alike(files()).into_iter().chain(alike(artifacts())) {
            faults.push(format!("the files `{one}` and `{other}` have names that differ only in case"));
        }
        faults.extend(self.overlays.iter().flat_map(|overlays| overlays.faults(self.folders())));
        faults
    }

    /// The folders that it carries.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        let git = self.git.iter().filter_map(|git| match &git.source {
            GitSource::Folder(path) => Some(path),
            GitSource::Repository { .. } => None,
        });
        git.chain(self.flux.iter().map(|flux| &flux.path))
    }

    /// The release's name.
    #[must_use]
    pub fn name(&self) -> ReleaseName {
        ReleaseName { product: self.product.clone(), version: self.version.clone(), sequence: self.sequence }
    }

    /// Identity of what is defined: comments and the order of keys change nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&sealift_archive::json::to_document(self))
    }

    /// The JSON schema.
    #[must_use]
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }
}

impl Platforms {
    /// The chosen platforms; `None` means all.
    #[must_use]
    pub fn chosen(&self) -> Option<&[Platform]> {
        match self {
            Self::All(_) => None,
            Self::Some(platforms) => Some(platforms),
        }
    }

    /// Why this is no choice. None of them would be signed as all of them.
    fn faults(&self) -> Vec<String> {
        match self.chosen() {
            Some([]) => {
                vec!["`platforms` names none: name at least one, or write `platforms: all`".to_owned()]
            }
            Some(some) => {
                repeated(some.iter()).iter().map(|it| format!("`platforms` names `{it}` twice")).collect()
            }
            None => Vec::new(),
        }
    }
}

/// Those that stand there more than once, sorted.
fn repeated<'a, T: Ord + fmt::Display + 'a>(names: impl Iterator<Item = &'a T>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<&T> = names.filter(|name| !seen.insert(*name)).collect();
    repeated.into_iter().map(ToString::to_string).collect()
}

/// Names that differ from one before them only in case, with that one.
fn alike<'a>(names: impl Iterator<Item = &'a FileName>) -> Vec<(&'a FileName, &'a FileName)> {
    let mut seen = BTreeMap::new();
    let pairs = names.map(|name| (*seen.entry(name.as_str().to_ascii_lowercase()).or_insert(name), name));
    pairs.filter(|(one, other)| one != other).collect()
}

/// Where and what, and for an unknown key the known one that is most like it.
fn explain(file: &Path, error: &serde_saphyr::Error) -> Error {
    let why = yaml::reason(error);
    Error::Definition { file: file.to_owned(), place: yaml::place(error), nearest: nearest_key(&why), why }
}

/// The parser says: unknown field `platform`, expected one of a, b.
fn nearest_key(why: &str) -> Option<String> {
    let (wrong, known) = why.split_once("unknown field `")?.1.split_once("`, expected ")?;
    known
        .trim_start_matches("one of ")
        .split([',', ' ', '`'])
        .filter(|known| !known.is_empty())
        .map(|known| (strsim::jaro_winkler(wrong, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
apiVersion: sealift/v1
kind: Release
product: acme
version: 1.5.0
sequence: 15
platforms: [linux/amd64]
upgradeFrom: [1.4.0]
images:
  - nginx:1.25
  - {reference: 127.0.0.1:5000/acme/api:1, name: ghcr.io/acme/api:1}
  - {ociLayout: build/layout, reference: worker:1, name: ghcr.io/acme/worker:1}
git:
  - {name: fleet, path: gitops}
";

    fn read(text: &str) -> Result<Definition, Error> {
        Definition::parse(Path::new("RELEASE.yaml"), text)
    }

    #[test]
    fn a_definition_is_read() {
        let definition = read(GOOD).unwrap();
        assert_eq!(definition.name().to_string(), "acme 1.5.0 (sequence 15)");
        let names: Vec<String> = definition.images.iter().map(|i| i.name.to_string()).collect();
        assert_eq!(names, ["docker.io/library/nginx:1.25", "ghcr.io/acme/api:1", "ghcr.io/acme/worker:1"]);
        assert_eq!(definition.git[0].branch, None);
        let commented = format!("# a comment\n{GOOD}");
        assert_eq!(read(&commented).unwrap().digest(), definition.digest());
        assert_eq!(read(&GOOD.replace("[linux/amd64]", "all")).unwrap().platforms.chosen(), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let with = |from: &str, to: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            sealift_archive::report(&read(&text).unwrap_err())
        };
        let cases: [(&[&str], String); 14] = [
            (
                &["SL0401", "line 7", "platfroms", "did you mean `platforms`?"],
                with("platforms:", "platfroms:"),
            ),
            (&["SL0401", "`platforms` names none", "platforms: all"], with("[linux/amd64]", "[]")),
            (&["`platforms` names `linux/amd64` twice"], with("[linux/amd64]", "[linux/amd64, linux/amd64]")),
            (&["line 5", "cannot be a version"], with("1.5.0", "../1")),
            (&["line 10", "is not an image reference"], with("nginx:1.25", "Nginx:1:2")),
            (
                &["line 11", "did you mean `name`?"],
                with("name: ghcr.io/acme/api:1", "nmae: ghcr.io/acme/api:1"),
            ),
            (&["not a `sealift/v1 Release`"], with("kind: Release", "kind: Relaese")),
            (&["line 13", "names no version"], with("git:", "charts: ['oci://ghcr.io/acme/web']\ngit:")),
            (
                &["line 13", "needs `name` and `version`"],
                with("git:", "charts: [{repository: 'https://x.io'}]\ngit:"),
            ),
            (&["line 14", "needs a `ref`"], with("path: gitops", "url: 'https://x.io/a.git'")),
            (&["line 13", "either `path` or `url`"], with("git:", "files: [{name: a}]\ngit:")),
            (
                &["line 13", "holds no passwords"],
                with("git:", "files: [{name: a, url: 'https://u:p@x.io'}]\ngit:"),
            ),
            (&["missing field `product`"], with("product: acme\n", "")),
            (&["line 14"], with("path: gitops}", "path: gitops")),
        ];
        for (expected, said) in cases {
            for part in expected {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }

    #[test]
    fn all_faults_are_told_together() {
        let rest = "
  - {name: fleet, path: other}
floor: 99
files:
  - {name: a, path: x}
  - {name: a, path: y}
  - {name: b, path: x}
  - {name: B, path: y}
  - {name: c, path: x}
  - {name: c, path: y}
";
        let text = GOOD.trim_end().replace("[linux/amd64]", "[]") + rest;
        let Err(Error::Several(errors)) = read(&text) else { panic!("it has several faults") };
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let expected = ["`floor`", "names none", "`fleet`", "`a`", "`c`", "`b` and `B`"];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
