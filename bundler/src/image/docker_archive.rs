//! Archives of `docker save`, read in place: nothing is unpacked, and nothing is copied but what a release takes.
//!
//! Docker 25 and later put an OCI layout into them, whose manifest is taken byte for byte. Older versions, podman, skopeo,
//! `crane save` and others write `manifest.json` alone, which names a configuration and layers; of these an OCI manifest
//! is made, the same one every time. Some versions of Docker wrote layouts that lack what `manifest.json` has (moby
//! issues 47065, 47210 and 51389); then that is believed.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use sealift_archive::{AnyDigest, Blob, Digest};

use super::layout::{self, IMAGE_NAME, Layout, MAX_MANIFEST_BYTES, Place, read_capped};
use super::manifest::{LAYER, LAYER_GZIP, Named};
use super::members::{Members, Span};
use super::{Content, manifest};
use crate::{Error, image};

/// What says which images are in the archive, and in an OCI layout.
const MANIFEST_JSON: &str = "manifest.json";
const INDEX_JSON: &str = "index.json";
/// Most images in an archive.
const MAX_IMAGES: usize = 1024;
/// Most layers of an image. Docker allows 127.
const MAX_LAYERS: usize = 1024;
/// How gzip streams begin.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An image in an archive.
#[derive(Debug)]
pub(super) struct Found {
    /// A layout that holds it.
    pub(super) layout: Layout,
    /// Its entry there.
    pub(super) target: Named,
    /// Layers of which only its configuration says what they are.
    unchecked: Vec<Layer>,
}

/// A layer as `manifest.json` names it.
#[derive(Debug)]
struct Layer {
    name: String,
    span: Span,
    content: Content,
    /// The digest that it must have when it is not compressed.
    diff_id: Digest,
}

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The part of an image's configuration that says what its layers are.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// An OCI manifest, in the order of its fields in the specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Content,
    layers: Vec<&'a Content>,
}

/// Finds the image that `reference` names, or the only one, in the archive at `path`.
///
/// # Errors
/// [`image::Error::CompressedArchive`]; [`image::Error::DockerArchive`] if it is no such archive or does not hold the image, with what
/// it holds; I/O.
pub(super) fn find(path: &Path, reference: Option<&str>) -> Result<Found, Error> {
    let archive = DockerArchive { path: path.to_owned(), members: Members::of(path)? };
    match archive.find_in_layout(reference) {
        Err(_) if archive.members.get(MANIFEST_JSON).is_some() => archive.find_in_manifest_json(reference),
        found => found,
    }
}

impl Found {
    /// Hashes layers that nobody has checked yet.
    ///
    /// # Errors
    /// [`image::Error::DockerArchive`] with the first layer that is another than the image's configuration says.
    pub(super) fn check(&self) -> Result<(), Error> {
        // Empty layers stand in many places.
        let mut seen = HashSet::new();
        for layer in self.unchecked.iter().filter(|layer| seen.insert((layer.span, layer.diff_id))) {
            let digest = |stream| match layer.content.media_type.as_str() {
                LAYER_GZIP => Blob::of_reader(MultiGzDecoder::new(stream)),
                _ => Blob::of_reader(stream),
            };
            let found = layer.span.open(self.layout.path()).and_then(digest);
            let wrong = match found {
                Ok(found) if found.digest == layer.diff_id => continue,
                Ok(found) => format!("is {}, and the image wants {} there", found.digest, layer.diff_id),
                Err(error) => format!("cannot be read: {error}"),
            };
            return Err(self.layout.refuse(format!("its layer `{}` {wrong}", layer.name)));
        }
        Ok(())
    }
}

/// What a configuration is by its own name: `<hex>.json`, `sha256:<hex>`, or the path of a blob.
fn digest_in(name: &str) -> Option<Digest> {
    let name = name.strip_prefix("blobs/sha256/").or_else(|| name.strip_prefix("sha256:")).unwrap_or(name);
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name))
}

struct DockerArchive {
    path: PathBuf,
    members: Members,
}

impl DockerArchive {
    fn find_in_layout(&self, reference: Option<&str>) -> Result<Found, Error> {
        if self.members.get(INDEX_JSON).is_none() {
            let why = format!("it is none: it holds neither `{MANIFEST_JSON}` nor `{INDEX_JSON}`");
            return Err(self.refuse(why));
        }
        let entries = layout::read_index(&self.document(INDEX_JSON)?).map_err(|why| self.refuse(why))?;
        let places =
            self.members.files().filter_map(|(name, span)| Some((layout::digest_at(name)?, Place::At(span))));
        let layout = Layout::in_archive(&self.path, entries, places.collect());
        let target = layout.find(reference)?;
        if !target.is_index() {
            let manifest = layout.manifest(&target)?;
            let config = manifest.blobs.first().map(|config| layout.small(config.digest, config.size));
            let config = config.transpose()?.and_then(|bytes| serde_json::from_slice::<Config>(&bytes).ok());
            let layers = manifest.blobs.len().saturating_sub(1);
            if config.is_some_and(|config| config.rootfs.diff_ids.len() != layers) {
                let why = format!("its manifest {} lacks layers of its image", target.digest);
                return Err(self.refuse(why));
            }
        }
        Ok(Found { layout, target, unchecked: Vec::new() })
    }

    fn find_in_manifest_json(&self, reference: Option<&str>) -> Result<Found, Error> {
        let mut images = HashMap::new();
        let mut offered = Vec::new();
        let entries: Vec<Entry> = serde_json::from_slice(&self.document(MANIFEST_JSON)?)
            .map_err(|e| self.refuse(format!("its `{MANIFEST_JSON}` is not valid: {e}")))?;
        if entries.len() > MAX_IMAGES {
            return Err(self.refuse(format!("it holds more than {MAX_IMAGES} images")));
        }
        for entry in entries {
            // Until a manifest is made, an image is known by its configuration, as with Docker.
            let config = Blob::of(&self.document(&entry.config)?);
            if digest_in(&entry.config).is_some_and(|named| named != config.digest) {
                let why = format!("its `{}` is really {}", entry.config.escape_default(), config.digest);
                return Err(self.refuse(why));
            }
            let named = Named::new(manifest::CONFIG, config);
            let tags = entry.repo_tags.as_deref().unwrap_or_default();
            offered.extend(tags.iter().map(|tag| Named {
                annotations: [(IMAGE_NAME.to_owned(), tag.clone())].into(),
                ..named.clone()
            }));
            if tags.is_empty() {
                offered.push(named);
            }
            images.insert(AnyDigest::from(config.digest), entry);
        }
        let chosen = Layout::in_archive(&self.path, offered, HashMap::new()).find(reference)?;
        match images.get(&chosen.digest) {
            Some(entry) => self.make(entry, &chosen),
            None => Err(self.refuse(format!("it lacks {}", chosen.digest))),
        }
    }

    /// Makes a manifest for an image, whose configuration is `config`.
    fn make(&self, entry: &Entry, config: &Named) -> Result<Found, Error> {
        let unchecked = self.layers(entry)?;
        let blob = |content: &Content, span| (AnyDigest::from(content.digest), Place::At(span));
        let Some((config, span)) = config.content().zip(self.members.get(&entry.config)) else {
            return Err(self.refuse(format!("it lacks `{}`", entry.config)));
        };
        let mut places: HashMap<_, _> =
            unchecked.iter().map(|layer| blob(&layer.content, layer.span)).collect();
        places.extend([blob(&config, span)]);
        let layers = unchecked.iter().map(|layer| &layer.content).collect();
        let made = Made { schema_version: 2, media_type: manifest::IMAGE, config, layers };
        let bytes = serde_json::to_vec(&made).map_err(|e| self.refuse(e.to_string()))?;
        let target = Named::new(manifest::IMAGE, Blob::of(&bytes));
        places.insert(target.digest, Place::Made(bytes));
        let layout = Layout::in_archive(&self.path, vec![target.clone()], places);
        Ok(Found { layout, target, unchecked })
    }

    fn layers(&self, entry: &Entry) -> Result<Vec<Layer>, Error> {
        let config: Config = serde_json::from_slice(&self.document(&entry.config)?)
            .map_err(|e| self.refuse(format!("its `{}` is no image's configuration: {e}", entry.config)))?;
        let diff_ids = config.rootfs.diff_ids;
        if diff_ids.len() != entry.layers.len() || diff_ids.len() > MAX_LAYERS {
            let why = format!(
                "its image has {} layers and {} of their digests",
                entry.layers.len(),
                diff_ids.len()
            );
            return Err(self.refuse(why));
        }
        let layer = |(name, diff_id): (&String, Digest)| {
            let span = self
                .members
                .get(name)
                .ok_or_else(|| self.refuse(format!("it lacks layer `{}`", name.escape_default())))?;
            let mut start = Vec::new();
            span.open(&self.path)?.take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
            let content = if start == GZIP_MAGIC {
                Content::new(LAYER_GZIP, Blob::of_reader(span.open(&self.path)?)?)
            } else {
                Content::new(LAYER, Blob { digest: diff_id, size: span.size })
            };
            Ok(Layer { name: name.clone(), span, content, diff_id })
        };
        entry.layers.iter().zip(diff_ids).map(layer).collect()
    }

    /// A small member, whole.
    fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let shown = name.escape_default();
        let span = self.members.get(name).ok_or_else(|| self.refuse(format!("it lacks `{shown}`")))?;
        read_capped(span.open(&self.path)?, MAX_MANIFEST_BYTES)
            .map_err(|why| self.refuse(format!("its `{shown}` {why}")))
    }

    fn refuse(&self, why: String) -> Error {
        image::Error::DockerArchive { archive: self.path.clone(), why }.into()
    }
}
