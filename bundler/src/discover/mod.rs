//! Images that charts, Flux objects and Kubernetes manifests name: found, so that a release can be checked for them.
//!
//! Three sources, from the surest down: what `helm template` renders; what our own reading of templates and values finds, which needs no Helm; what
//! a chart's author lists under `artifacthub.io/images`. Whatever looks like an image and cannot be read as one is a [`Warning`]: a release that
//! passes without warnings lacks nothing that its charts render with these values.
//!
//! All of it is reading: nothing is fetched, and everything read is bounded, since charts are somebody else's.

mod chart;
mod compare;
mod documents;
mod flux;
mod folder;
mod glob;
mod helm;
mod in_chart;
mod kustomize;
mod parts;
mod reference;
mod render;
mod text;
mod walk;
mod yaml;

use std::collections::BTreeSet;
use std::fmt;

pub use chart::ChartFiles;
pub use compare::{missing, unnamed};
pub(crate) use flux::relative;
pub use folder::in_folder;
pub use helm::Helm;
pub use in_chart::in_chart;
pub(crate) use yaml::{Node, Yaml, strict_documents};

/// Stack of the thread that reads: templates nest, and so does YAML.
const STACK_BYTES: usize = 128 << 20;

/// One mention of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// As it is written, or put together: `nginx`, `ghcr.io/acme/api:1.0`.
    pub reference: String,
    /// Where it stands.
    pub place: Place,
    /// How it was found.
    pub how: How,
    /// Whether a release has to have it.
    pub need: Need,
    /// What it is.
    pub kind: Kind,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, by its path in the chart or folder, subcharts included: `charts/redis/templates/pod.yaml`.
    pub file: String,
    /// The line in it, from 1. Helm does not tell from which line of a template something comes.
    pub line: Option<u32>,
    /// The value, `image.repository`, or the place in a document, `Deployment/web spec.template.spec.containers[0].image`.
    pub path: Option<String>,
}

/// How an image was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum How {
    /// `helm template` rendered it.
    Rendered,
    /// It was read from templates and values.
    Scanned,
    /// The chart's author lists it (`artifacthub.io/images`).
    Annotation,
    /// It stands in a Kubernetes manifest or a Flux object.
    Manifest,
}

/// Whether a release has to have an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Need {
    /// It is used with these values, or it cannot be ruled out.
    Required,
    /// Values name it, but with these values nothing uses it: a part that is switched off.
    Optional,
}

/// What is mentioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A container image.
    Image,
    /// Another OCI artifact, which Flux pulls: a chart, manifests.
    Artifact,
}

/// Something that looks like an image, and could not be read as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// Why it could not be read.
    pub why: String,
}

/// What was found, sorted, each mention once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The images.
    pub mentions: Vec<Mention>,
    /// What may be images too.
    pub warnings: Vec<Warning>,
}

impl Found {
    /// Adds what was found elsewhere, its files below a folder or chart of this name.
    pub fn extend(&mut self, below: &str, other: Self) {
        let placed = |place: Place| Place { file: format!("{below}/{}", place.file), ..place };
        self.mentions.extend(
            other.mentions.into_iter().map(|mention| Mention { place: placed(mention.place), ..mention }),
        );
        self.warnings.extend(
            other.warnings.into_iter().map(|warning| Warning { place: placed(warning.place), ..warning }),
        );
    }

    /// How many different references were found.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.mentions.iter().map(|mention| &mention.reference).collect::<BTreeSet<_>>().len()
    }

    fn sorted(mut self) -> Self {
        self.mentions.sort();
        self.mentions.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        self
    }
}

/// What rendering depends on besides the chart and its values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The version of Kubernetes that charts are told of, `1.36.4`; Helm's or our default if there is none.
    pub kube_version: Option<&'a str>,
    /// The program to render with. Without it charts are read, which finds the same in nearly every chart, and says where it may not.
    pub helm: Option<&'a Helm>,
}

/// What is wrong with a YAML file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` line {}, column {}: {}", self.file, self.line, self.column, self.why)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(path) = &self.path {
            write!(f, " ({path})")?;
        }
        Ok(())
    }
}

/// Runs in a thread whose stack is large enough for what nests.
pub(crate) fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, crate::Error> + Send,
) -> Result<T, crate::Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("discover".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
