//! Where an image is, and how its manifests are had there.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use sealift_archive::{AnyDigest, Blob, Reference, Unwatched};
use sealift_fetch::{self as fetch, Client, Kind, Origin, Wanted};

use super::docker_archive;
use super::layout::Layout;
use super::manifest::{Manifest, Named};
use crate::definition::{Image, ImageSource};
use crate::in_memory::InMemory;
use crate::{Error, image};

/// Where an image is.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// In a repository of a registry.
    Registry {
        client: &'a Client,
        /// What leads to the image there.
        reference: &'a Reference,
    },
    /// On this machine.
    Local(Box<Layout>),
}

/// The layout or archive of an image that is on this machine, and what it leads to there. Its layers are not looked at.
///
/// # Errors
/// What is wrong with the layout or archive.
pub(crate) fn local(source: &ImageSource, base: &Path) -> Result<Option<(Layout, Named)>, Error> {
    match source {
        ImageSource::Registry(_) | ImageSource::Made => Ok(None),
        ImageSource::OciLayout { path, reference } => {
            let layout = Layout::open(&base.join(path))?;
            let target = layout.find(reference.as_deref())?;
            Ok(Some((layout, target)))
        }
        ImageSource::DockerArchive { path, reference } => {
            let found = docker_archive::find(&base.join(path), reference.as_deref())?;
            Ok(Some((found.layout, found.target)))
        }
    }
}

impl<'a> Source<'a> {
    /// Opens where an image is, and reads what its reference leads to.
    pub(super) async fn open(
        client: &'a Client,
        image: &'a Image,
        base: &Path,
    ) -> Result<(Self, Manifest), Error> {
        let (layout, target) = match &image.source {
            ImageSource::Registry(reference) => {
                let manifest = read(reference, &client.manifest(reference).await?)?;
                return Ok((Self::Registry { client, reference }, manifest));
            }
            ImageSource::DockerArchive { path, reference } => {
                let (path, reference) = (base.join(path), reference.clone());
                // It reads every layer. Whatever waits for a network goes on meanwhile.
                let reading = spawn_blocking(move || {
                    let found = docker_archive::find(&path, reference.as_deref())?;
                    found.check()?;
                    Ok::<_, Error>((found.layout, found.target))
                });
                reading.await.map_err(io::Error::other)??
            }
            ImageSource::OciLayout { path, reference } => {
                let layout = Layout::open(&base.join(path))?;
                let target = layout.find(reference.as_deref())?;
                (layout, target)
            }
            ImageSource::Made => {
                let why = "no definition can ask for what is made here".to_owned();
                return Err(image::Error::BadImage { image: image.name.to_string(), why }.into());
            }
        };
        let manifest = layout.manifest(&target)?;
        Ok((Self::Local(Box::new(layout)), manifest))
    }

    /// The manifest that a document names; `None` if it is not there.
    pub(super) async fn manifest(&self, named: &Named) -> Result<Option<Manifest>, Error> {
        match self {
            Self::Registry { client, reference } => {
                let reference = reference.at(named.digest);
                match client.manifest(&reference).await {
                    Err(error) if error.is_absent() => Ok(None),
                    manifest => Ok(Some(read(&reference, &manifest?)?)),
                }
            }
            Self::Local(layout) if layout.size(named.digest).is_none() => Ok(None),
            Self::Local(layout) => layout.manifest(named).map(Some),
        }
    }

    /// The manifest with this tag in the same repository; `None` if there is none.
    pub(super) async fn tagged(&self, tag: &str) -> Result<Option<Manifest>, Error> {
        match self {
            Self::Registry { client, reference } => {
                let reference = reference.tagged(tag)?;
                let manifest = client.manifest_if_any(&reference).await?;
                manifest.map(|manifest| read(&reference, &manifest)).transpose()
            }
            Self::Local(layout) => layout.tagged(tag).map(|named| layout.manifest(named)).transpose(),
        }
    }

    /// A small blob, checked. Whoever asks has looked at its size.
    pub(super) async fn small(&self, named: &Named) -> Result<Vec<u8>, Error> {
        match self {
            Self::Local(layout) => layout.small(named.digest, named.size),
            Self::Registry { client, reference } => {
                let origin = blobs_of(reference);
                let (blob, alias) = match named.digest {
                    AnyDigest::Sha256(digest) => (Blob { digest, size: named.size }, None),
                    AnyDigest::Sha512(alias) => {
                        (client.identify(&origin, named.digest, named.size, &Unwatched).await?, Some(alias))
                    }
                };
                let sink = Arc::new(InMemory::default());
                let wanted = Wanted { blob, alias, origin };
                client.fetch_all(vec![wanted], sink.clone(), Arc::new(Unwatched)).await?;
                Ok(sink.take())
            }
        }
    }

    /// What to call something in it.
    pub(super) fn name_of(&self, digest: AnyDigest) -> String {
        match self {
            Self::Registry { reference, .. } => reference.at(digest).to_string(),
            Self::Local(layout) => format!("{digest} in {}", layout.path().display()),
        }
    }

    /// What to call it: the registry, or the file.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Registry { reference, .. } => reference.host().to_owned(),
            Self::Local(layout) => layout.path().display().to_string(),
        }
    }
}

/// The blobs of a repository.
pub(super) fn blobs_of(reference: &Reference) -> Origin {
    Origin::Registry { reference: reference.clone(), kind: Kind::Blob }
}

fn read(reference: &Reference, manifest: &fetch::Manifest) -> Result<Manifest, Error> {
    let read = Manifest::parse(&reference.to_string(), &manifest.media_type, &manifest.bytes)?;
    Ok(match reference.digest() {
        Some(name) => read.named(name),
        None => read,
    })
}
