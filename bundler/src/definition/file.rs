//! Plain files of a release, Flux artifacts, and the files that make the machine: of k3s and of the operating system.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sealift_archive::reference::is_repository;
use sealift_archive::release::Day;
use sealift_archive::{Digest, FileName, Version};

use super::location::{Asset, Assets, Location, parse_sha256};

/// A file that is served as `/files/<name>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "FileObject", into = "FileObject")]
#[schemars(with = "FileObject")]
pub struct File {
    /// What it is called in the release.
    pub name: FileName,
    /// Where it is, and the digest that it must have.
    pub asset: Asset,
    /// What it is, if its name does not tell.
    pub media_type: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileObject {
    /// Served as `/files/<name>`.
    name: FileName,
    /// The file, relative to the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    /// Where to fetch it from: `https://…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The SHA-256 that it must have, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Its `Content-Type`, if its name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

impl TryFrom<FileObject> for File {
    type Error = String;

    fn try_from(object: FileObject) -> Result<Self, String> {
        if let Some(wrong) = object.media_type.as_deref().filter(|text| !is_media_type(text)) {
            return Err(format!("`{wrong}` is not a media type like `application/pdf`"));
        }
        let asset = Asset {
            location: Location::of(object.path, object.url)?,
            sha256: object.sha256.as_deref().map(parse_sha256).transpose()?,
        };
        Ok(Self { name: object.name, asset, media_type: object.media_type })
    }
}

impl From<File> for FileObject {
    fn from(file: File) -> Self {
        let (path, url) = match file.asset.location {
            Location::Path(path) => (Some(path), None),
            Location::Url(url) => (None, Some(url.into())),
        };
        let sha256 = file.asset.sha256.as_ref().map(Digest::hex);
        Self { name: file.name, path, url, sha256, media_type: file.media_type }
    }
}

/// What an HTTP header can hold, with a slash in it.
fn is_media_type(text: &str) -> bool {
    text.split('/').count() == 2
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !text.ends_with('/')
}

/// A folder that is served as a Flux artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "FluxObject", into = "FluxObject")]
#[schemars(with = "FluxObject")]
pub struct Flux {
    /// Served as `sealift.internal/flux/<name>`, with the release's version as its tag.
    pub name: String,
    /// The folder, relative to the definition.
    pub path: PathBuf,
    /// What the artifact says about where it comes from.
    pub source: Option<String>,
    /// What the artifact says about its revision.
    pub revision: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FluxObject {
    /// Served as `sealift.internal/flux/<name>`, with the release's version as its tag.
    name: String,
    /// The folder, relative to the definition.
    path: PathBuf,
    /// What the artifact says about where it comes from, as `flux push artifact --source` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// What the artifact says about its revision, as `flux push artifact --revision` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

impl TryFrom<FluxObject> for Flux {
    type Error = String;

    fn try_from(object: FluxObject) -> Result<Self, String> {
        let FluxObject { name, path, source, revision } = object;
        if !is_repository(&name) {
            return Err(format!(
                "`{name}` is not made of lower-case letters, digits and single `.`, `_`, `-` or `/`"
            ));
        }
        Ok(Self { name, path, source, revision })
    }
}

impl From<Flux> for FluxObject {
    fn from(Flux { name, path, source, revision }: Flux) -> Self {
        Self { name, path, source, revision }
    }
}

/// What operating system the release runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatingSystem {
    /// `ubuntu-24.04`
    pub base: String,
    /// The day on which its packages were last brought up to date: `2026-11-23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Day>,
    /// Machine images and the like that belong to the release. Their digests are signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<OsArtifact>,
}

/// A machine image or the like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OsArtifact {
    /// What it is called in the release.
    pub name: FileName,
    /// The file, relative to the definition.
    pub path: PathBuf,
    /// Carry it too, as `/files/os/<name>`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carry: bool,
}

/// What Kubernetes the release runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// `k3s`
    pub distribution: String,
    /// `v1.36.4+k3s1`
    pub version: Version,
    /// The files that k3s is installed from, carried as `/files/k3s/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<KubernetesFiles>,
}

/// The assets of a k3s release; each a path or a URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesFiles {
    /// `sha256sum-amd64.txt` of the release, or several of them.
    pub checksums: Assets,
    /// The `k3s` binary, or one for each architecture; listed in `checksums` under its own file name.
    pub binary: Assets,
    /// `k3s-images.txt`: the images in it are carried as ordinary images.
    pub images: Asset,
    /// `install.sh`
    pub install_script: Asset,
}
