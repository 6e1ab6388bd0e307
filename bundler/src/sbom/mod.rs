//! The software bill of materials of a release: which packages its images hold.
//!
//! It is made from the verified bundle when somebody asks, so there is nothing that could be stale and nothing more to
//! sign. What package managers noted in each image counts (dpkg, apk, rpm), and what SBOMs say that are attached to an
//! image. What could not be read is said, never left out in silence; software that no package manager installed and no
//! attached SBOM names is not found.

mod apk;
mod attached;
mod catalog;
mod collect;
mod cyclonedx;
mod database;
mod documents;
mod dpkg;
mod error;
mod images;
mod installed;
mod layers;
mod license;
mod package;
mod room;
mod rpm;
mod spdx;

use std::fmt;

use serde::Serialize;

use sealift_archive::release::ObjectId;
use sealift_archive::{Digest, Reference, ReleaseName};

pub use collect::Plan;
pub use cyclonedx::document as cyclonedx;
pub use error::Error;
pub use package::{Distribution, Package, PackageType, SourcePackage};
pub use spdx::document as spdx;

/// What one release holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// The release.
    pub release: ReleaseName,
    /// Digest of its statement.
    pub digest: Digest,
    /// The one image that was asked for, if not the whole release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Reference>,
    /// Its images, each for one platform.
    pub images: Vec<Image>,
    /// What else it holds: charts, Flux artifacts, files, Git repositories.
    pub others: Vec<Other>,
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The names that lead to it.
    pub names: Vec<Reference>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// `linux/amd64`, if its configuration says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What its file system says that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// Its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// The package databases that were found in it, by path.
    pub databases: Vec<String>,
    /// The SBOMs that are attached to it.
    pub attached: Vec<Attached>,
    /// Its packages, by name.
    pub packages: Vec<Found>,
    /// What could not be read, so that packages may be missing.
    pub warnings: Vec<String>,
}

/// A package and where it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The package.
    #[serde(flatten)]
    pub package: Package,
    /// Its package URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The layer that brought it in this version, if a database of the image lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The attached SBOMs that list it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Digest>,
}

/// An SBOM that is attached to an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Attached {
    /// Digest of the document, or of the envelope that it is in.
    pub digest: Digest,
    /// What it is written in.
    pub format: AttachedFormat,
}

/// What an attached SBOM is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedFormat {
    /// SPDX 2 in JSON.
    Spdx,
    /// CycloneDX in JSON.
    CycloneDx,
}

/// Something that is no image; nobody looks for packages in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: OtherKind,
    /// Its name: a reference, the name of a file or of a repository.
    pub name: String,
    /// What it is exactly.
    #[serde(flatten)]
    pub version: OtherVersion,
}

/// What something is that is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OtherKind {
    /// A Helm chart.
    Chart,
    /// Manifests that Flux takes from a registry.
    FluxArtifact,
    /// Another artifact in the registry.
    Artifact,
    /// A plain file.
    File,
    /// A Git repository.
    GitRepository,
}

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Chart => "chart",
            Self::FluxArtifact => "Flux artifact",
            Self::Artifact => "artifact",
            Self::File => "file",
            Self::GitRepository => "Git repository",
        })
    }
}

/// What says exactly which version of something it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OtherVersion {
    /// The digest of its content, or of its manifest.
    Digest(Digest),
    /// The commit that its `HEAD` names.
    Commit(ObjectId),
}

impl Bill {
    /// Only the packages that [`Package::matches`] `pattern`, and the images that hold one.
    #[must_use]
    pub fn with_package(&self, pattern: &str) -> Self {
        let mut found = Self { others: Vec::new(), ..self.clone() };
        for image in &mut found.images {
            image.packages.retain(|found| found.package.matches(pattern));
        }
        found.images.retain(|image| !image.packages.is_empty());
        found
    }

    /// Images that may hold more than is listed.
    pub fn uncertain(&self) -> impl Iterator<Item = &Image> {
        self.images.iter().filter(|image| image.is_uncertain())
    }
}

impl Image {
    /// Whether nothing in it or attached to it lists packages, so that none can be found.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.databases.is_empty() && self.attached.is_empty()
    }

    /// Whether it may hold more than is listed: because it is opaque, or something could not be read.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.is_opaque() || !self.warnings.is_empty()
    }

    /// Why it may hold more than is listed.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let opaque = self.is_opaque().then(|| {
            "it has no package database and no attached SBOM: what is in it is not known".to_owned()
        });
        opaque.into_iter().chain(self.warnings.iter().cloned()).collect()
    }

    /// The place of a layer, from 1 for the lowest.
    #[must_use]
    pub fn layer_number(&self, layer: &Digest) -> Option<usize> {
        Some(self.layers.iter().position(|l| l == layer)? + 1)
    }
}
