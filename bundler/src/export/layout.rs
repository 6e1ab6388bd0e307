//! The manifests of an archive and all that they name, as a directory in the OCI image layout (image spec 1.1,
//! image-layout.md).
//!
//! `index.json` has an entry for each name, and one without a name for each manifest that refers to another, so that
//! tools find signatures and the like as they would in a registry. What manifests know by SHA-512 also lies under that
//! name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use sealift_archive::release::Descriptor;
use sealift_archive::{AnyDigest, Blob, Bundle, Digest, Progress, Release, Sha512, durable, json};

use super::target::Target;
use crate::Error;
use crate::image::layout::{IMAGE_NAME, MARKER, REF_NAME};

/// The media type and version of `index.json`.
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const SCHEMA_VERSION: u8 = 2;
/// How much of a manifest is looked at, in bytes; registries take no larger ones.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Writes the manifests of some releases of `bundle`, and what they name, to `dir`, checked blob by blob. `index.json` is
/// written last, so that an interrupted export is no layout yet; blobs that are there already are hashed, and kept if they
/// are right. Plain files and Git packs are no part of a layout.
///
/// # Errors
/// [`Error::Exists`] if `dir` is a layout already, the archive's `NotCarried`, damage, or I/O.
pub fn oci_layout(
    bundle: &Bundle,
    releases: &[&Release],
    dir: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let index_file = dir.join("index.json");
    if index_file.exists() {
        return Err(Error::Exists { path: index_file });
    }
    let content = Content::of(releases);
    bundle.expect_carried(content.manifests.iter().chain(&content.rest))?;
    content.write(&content.manifests, bundle, dir, progress)?;
    // A plain file may be part of an image as well, and then an image needs it.
    let mut rest = content.rest.clone();
    for digest in &content.manifests {
        let named = named_by(&dir.join(digest.blob_path()))?;
        rest.extend(named.into_iter().filter_map(|name| content.digest_of(name)));
    }
    content.write(&rest, bundle, dir, progress)?;
    durable::write(&dir.join("oci-layout"), MARKER.as_bytes())?;
    Ok(durable::write(&index_file, &json::to_document(&Index::of(releases)))?)
}

/// Bytes that [`oci_layout`] writes, as far as the front of the archive tells.
#[must_use]
pub fn oci_layout_bytes(releases: &[&Release]) -> u64 {
    let content = Content::of(releases);
    content.manifests.iter().chain(&content.rest).filter_map(|digest| content.sizes.get(digest)).sum()
}

/// The content of some releases, as far as their documents tell what it is.
#[derive(Default)]
struct Content {
    sizes: BTreeMap<Digest, u64>,
    manifests: BTreeSet<Digest>,
    /// What is neither a manifest nor known to be something else: configurations and layers.
    rest: BTreeSet<Digest>,
    aliases: BTreeMap<Sha512, Digest>,
}

impl Content {
    fn of(releases: &[&Release]) -> Self {
        let mut content = Self::default();
        let mut other = BTreeSet::new();
        for Release { refs, statement, blob_list, .. } in releases {
            content.sizes.extend(blob_list.iter().map(|blob| (blob.digest, blob.size)));
            content.manifests.extend(refs.manifests.keys());
            content.aliases.extend(&refs.aliases);
            other.extend(refs.files.values().map(|file| file.digest));
            other.extend(refs.git.values().flat_map(|repository| &repository.packs));
            other.extend(statement.os.iter().flat_map(|os| os.artifacts.values()).map(|blob| blob.digest));
        }
        let is_rest = |digest: &&Digest| !content.manifests.contains(digest) && !other.contains(digest);
        content.rest = content.sizes.keys().filter(is_rest).copied().collect();
        content
    }

    /// Our own name of content that is here.
    fn digest_of(&self, name: AnyDigest) -> Option<Digest> {
        match name {
            AnyDigest::Sha256(digest) => self.sizes.contains_key(&digest).then_some(digest),
            AnyDigest::Sha512(alias) => self.aliases.get(&alias).copied(),
        }
    }

    fn write(
        &self,
        wanted: &BTreeSet<Digest>,
        bundle: &Bundle,
        dir: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut target = Target::default();
        let by_sha256 = self.sizes.keys().map(|digest| (digest, digest.blob_path()));
        let by_sha512 = self.aliases.iter().map(|(alias, digest)| (digest, blob_path(alias)));
        for (&digest, path) in by_sha256.chain(by_sha512).filter(|(digest, _)| wanted.contains(digest)) {
            if let Some(&size) = self.sizes.get(&digest) {
                target.add(Blob { digest, size }, dir.join(path));
            }
        }
        let found = target.look(dir, progress)?;
        // A torn blob of an export that was interrupted is written anew.
        if let Some(path) = found.in_the_way.into_iter().next() {
            return Err(Error::Exists { path });
        }
        target.fill(&found.missing, bundle, progress)
    }
}

/// `blobs/sha512/<hex>`
fn blob_path(digest: &Sha512) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

/// What a manifest or an index names, whichever of the two it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    config: Option<Named>,
    layers: Vec<Named>,
    manifests: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: AnyDigest,
}

/// What the manifest in this file names; nothing, if it is none.
fn named_by(path: &Path) -> Result<Vec<AnyDigest>, Error> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes)?;
    let Manifest { config, layers, manifests } = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(config.into_iter().chain(layers).chain(manifests).map(|named| named.digest).collect())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

impl Index {
    fn of(releases: &[&Release]) -> Self {
        let mut named = BTreeMap::new();
        let mut unnamed = BTreeMap::new();
        for refs in releases.iter().map(|release| &release.refs) {
            for (name, found) in &refs.images {
                let annotations = [REF_NAME, IMAGE_NAME].map(|key| (key.to_owned(), name.to_string()));
                let entry = Descriptor { annotations: annotations.into(), ..found.clone() };
                named.insert((name, found.digest), entry);
            }
            for referrer in refs.referrers.values().flatten() {
                let mut entry = referrer.clone();
                entry.annotations.retain(|key, _| ![REF_NAME, IMAGE_NAME].contains(&key.as_str()));
                unnamed.insert(referrer.digest, entry);
            }
        }
        for (_, digest) in named.keys() {
            unnamed.remove(digest);
        }
        let manifests = named.into_values().chain(unnamed.into_values()).collect();
        Self { schema_version: SCHEMA_VERSION, media_type: INDEX_TYPE, manifests }
    }
}
