//! Charts and Flux artifacts in a lock: what a registry holds, but made here, or known under a second name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use url::Url;

use sealift_archive::reference::{INTERNAL_HOST, is_component};
use sealift_archive::release::{CHART_TYPE, FLUX_TYPE};
use sealift_archive::{Digest, Reference, Refs, Unwatched, Version};
use sealift_fetch::{Client, Kind, Origin, Wanted};

use super::{Content, LockedImage};
use crate::Error;
use crate::artifact::{Artifact, Part};
use crate::chart::{self, ChartManifest, ChartName, ChartVersion, Metadata, Repository};
use crate::definition::{Chart, ChartSource, Flux, ImageSource};
use crate::flux;
use crate::in_memory::InMemory;
use crate::local::Local;

/// A chart, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedChart {
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from.
    pub source: ChartSource,
    /// `sealift.internal/charts/<name>:<version>`; what comes from a registry has its original name too.
    pub served: Reference,
    /// What is written into a chart that is packed from a folder as the time of its files, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<u64>,
    /// The artifact.
    pub image: LockedImage,
    /// Manifest and configuration of a chart from an HTTP repository, as text: they were made here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
    /// Values files with which it will be installed, relative to the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<PathBuf>,
}

/// A folder as Flux artifact, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedFlux {
    /// The folder, relative to the definition.
    pub path: PathBuf,
    /// What it says about where it comes from.
    pub source: String,
    /// What it says about its revision.
    pub revision: String,
    /// What Flux leaves out by its own rules, relative to the folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<PathBuf>,
    /// The artifact, as `sealift.internal/flux/<name>:<version of the release>`.
    pub image: LockedImage,
}

/// Where charts are looked for, and what is written into those that are packed here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charts<'a> {
    pub(super) client: &'a Client,
    /// The folder of the definition.
    pub(super) base: &'a Path,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub(super) date: u64,
}

impl Charts<'_> {
    /// Pins a chart of a repository.
    pub(super) async fn download(
        &self,
        chart: &Chart,
        repository: &Repository,
        name: &str,
        version: &str,
    ) -> Result<LockedChart, Error> {
        let refuse = |why| Error::from(chart::Error::BadChart { chart: chart.source.to_string(), why });
        let name = ChartName::parse(name).map_err(refuse)?;
        let version = ChartVersion::parse(version).map_err(refuse)?;
        let found = repository.get(&name, &version).await?;
        let artifact = found.chart.artifact(None);
        let urls =
            [(chart::CONTENT_TYPE, Some(found.tgz_url)), (chart::PROVENANCE_TYPE, found.provenance_url)];
        let mut locked = pin(chart, &found.chart.metadata, &artifact)?;
        let is_kept = |part: &&Part| urls.iter().all(|(media_type, _)| *media_type != part.media_type);
        let made = std::iter::once(&artifact.manifest).chain(artifact.blobs.iter().filter(is_kept));
        locked.made = made.map(|part| String::from_utf8_lossy(&part.bytes).into_owned()).collect();
        for content in &mut locked.image.blobs {
            let url = urls.iter().find(|(media_type, _)| *media_type == content.media_type);
            content.url = url.and_then(|(_, url)| url.as_ref().map(Url::to_string));
        }
        Ok(locked)
    }

    /// Pins a chart that is a folder or a file. Whatever waits for a network goes on meanwhile.
    pub(super) async fn pack(&self, chart: &Chart, path: &Path) -> Result<LockedChart, Error> {
        let (path, date) = (self.base.join(path), self.date);
        let packing = spawn_blocking(move || {
            let (packed, date) = if path.is_dir() {
                (chart::Chart::from_directory(&path, date)?, Some(date))
            } else {
                (chart::Chart::from_file(&path)?, None)
            };
            let artifact = packed.artifact(date);
            Ok::<_, Error>((packed.metadata, artifact, date))
        });
        let (metadata, artifact, date) = packing.await.map_err(io::Error::other)??;
        Ok(LockedChart { date, ..pin(chart, &metadata, &artifact)? })
    }

    /// Pins a chart that is in a registry, and was resolved as an image.
    pub(super) async fn adopt(
        &self,
        chart: &Chart,
        reference: &Reference,
        image: LockedImage,
    ) -> Result<LockedChart, Error> {
        let name = chart.source.to_string();
        let manifest = self.client.manifest(&reference.at(image.target.name())).await?;
        let config = ChartManifest::parse(&name, &manifest.bytes)?.config;
        let sink = Arc::new(InMemory::default());
        let origin = Origin::Registry { reference: reference.clone(), kind: Kind::Blob };
        let wanted = Wanted { blob: config, alias: None, origin };
        self.client.fetch_all(vec![wanted], sink.clone(), Arc::new(Unwatched)).await?;
        let metadata = Metadata::from_config(&name, &sink.take())?;
        let served = served(chart, &metadata)?;
        Ok(locked(chart, &metadata, served, image))
    }
}

fn pin(chart: &Chart, metadata: &Metadata, artifact: &Artifact) -> Result<LockedChart, Error> {
    let served = served(chart, metadata)?;
    Ok(locked(chart, metadata, served.clone(), image_of(served, artifact)))
}

fn locked(chart: &Chart, metadata: &Metadata, served: Reference, image: LockedImage) -> LockedChart {
    LockedChart {
        name: metadata.name.to_string(),
        version: metadata.version.to_string(),
        source: chart.source.clone(),
        served,
        date: None,
        image,
        made: Vec::new(),
        values: chart.values.clone(),
    }
}

/// `sealift.internal/charts/<name>:<version>`
fn served(chart: &Chart, metadata: &Metadata) -> Result<Reference, Error> {
    let own = metadata.name.as_str();
    let name = chart.alias.as_deref().unwrap_or(own);
    if !is_component(name) {
        let why = format!("a registry cannot have a chart named `{name}`; give it another name with `as:`");
        return Err(chart::Error::BadChart { chart: chart.source.to_string(), why }.into());
    }
    Ok(format!("{INTERNAL_HOST}/charts/{name}:{}", metadata.version.tag()).parse()?)
}

/// What was made here, as the image that it is for a registry.
fn image_of(name: Reference, artifact: &Artifact) -> LockedImage {
    let content = |part: &Part| Content::new(part.media_type, part.blob());
    let target = content(&artifact.manifest);
    LockedImage {
        name,
        source: ImageSource::Made,
        manifests: vec![target.clone()],
        target,
        blobs: artifact.blobs.iter().map(content).collect(),
        tags: BTreeMap::new(),
        referrers: BTreeMap::new(),
    }
}

/// Pins a folder as Flux artifact. Whatever waits for a network goes on meanwhile.
pub(super) async fn resolve_flux(flux: &Flux, base: &Path, release: &Version) -> Result<LockedFlux, Error> {
    let name = format!("{INTERNAL_HOST}/flux/{}", flux.name);
    let tag = release.as_str().replace('+', "_");
    let source = flux.source.clone().unwrap_or_else(|| name.clone());
    let revision = flux.revision.clone().unwrap_or_else(|| release.to_string());
    let (path, told) = (base.join(&flux.path), (source.clone(), revision.clone()));
    let packing = spawn_blocking(move || flux::pack(&path, &told.0, &told.1));
    let packed = packing.await.map_err(io::Error::other)??;
    let image = image_of(format!("{name}:{tag}").parse()?, &packed.artifact);
    Ok(LockedFlux { path: flux.path.clone(), source, revision, left_out: packed.left_out, image })
}

impl LockedChart {
    /// What of it lies on this machine or in the lock; if its folder or file is gone, only the latter. `None` if it is
    /// not what was locked.
    pub(super) fn local(&self, base: &Path) -> Result<Option<Local>, Error> {
        let mut local = Local::default();
        for text in &self.made {
            local.add_bytes(text.clone().into_bytes());
        }
        if let ChartSource::Path(path) = &self.source
            && let path = base.join(path)
            && path.exists()
        {
            let packed = match self.date {
                Some(date) => chart::Chart::from_directory(&path, date)?,
                None => chart::Chart::from_file(&path)?,
            };
            if !add(packed.artifact(self.date), self.image.target.digest, &mut local) {
                return Ok(None);
            }
        }
        Ok(Some(local))
    }

    /// Adds its names to those of the release.
    pub(crate) fn add_to(&self, refs: &mut Refs) -> Result<(), Error> {
        self.image.add_to(refs)?;
        // Signatures have tags in each repository.
        LockedImage { name: self.served.clone(), ..self.image.clone() }.add_to(refs)?;
        for name in [&self.served, &self.image.name] {
            name_type(refs, name, CHART_TYPE);
        }
        Ok(())
    }
}

impl LockedFlux {
    /// Its content, which lies on this machine. `None` if it is not what was locked.
    pub(super) fn local(&self, base: &Path) -> Result<Option<Local>, Error> {
        let mut local = Local::default();
        let packed = flux::pack(&base.join(&self.path), &self.source, &self.revision)?;
        Ok(add(packed.artifact, self.image.target.digest, &mut local).then_some(local))
    }

    /// Adds its name to those of the release.
    pub(crate) fn add_to(&self, refs: &mut Refs) -> Result<(), Error> {
        self.image.add_to(refs)?;
        name_type(refs, &self.image.name, FLUX_TYPE);
        Ok(())
    }
}

/// Whether an artifact is the wanted one; then its parts are at hand.
fn add(artifact: Artifact, wanted: Digest, local: &mut Local) -> bool {
    let made = local.add_bytes(artifact.manifest.bytes);
    for part in artifact.blobs {
        local.add_bytes(part.bytes);
    }
    made.digest == wanted
}

fn name_type(refs: &mut Refs, name: &Reference, artifact_type: &str) {
    if let Some(descriptor) = refs.images.get_mut(name) {
        descriptor.artifact_type = Some(artifact_type.to_owned());
    }
}
