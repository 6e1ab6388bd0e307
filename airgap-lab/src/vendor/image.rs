//! OCI images made in memory, the same bytes every time (image-spec: config, manifest, image index).
//!
//! Layers are gzip-compressed tar archives of files that the caller names; time stamps and owners are zero. An
//! image that is made from real programs can be run, and an index of several images is pulled like any other.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use sealift_archive::Digest;
use serde_json::{Value, json};

/// Media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index over several images.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What most builders of images use.
const GZIP_LEVEL: u32 = 6;
const DIRECTORY_MODE: u32 = 0o755;

/// One file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path in the image, without a leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// The content.
    pub bytes: Bytes,
}

impl File {
    /// A file that anybody may read.
    pub fn plain(path: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { path: path.into(), mode: 0o644, bytes: bytes.into() }
    }

    /// A file that anybody may run.
    pub fn program(path: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { path: path.into(), mode: 0o755, bytes: bytes.into() }
    }
}

/// One layer, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    compressed: Bytes,
    /// Digest of the tar archive before compression.
    diff_id: Digest,
}

impl Layer {
    /// A layer of these files, in this order, with the directories above them.
    ///
    /// # Errors
    /// A path that a tar archive cannot hold, such as an absolute one.
    pub fn of(files: &[File]) -> io::Result<Self> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut made = BTreeSet::new();
        for file in files {
            let mut parents: Vec<&Path> = Path::new(&file.path).ancestors().skip(1).collect();
            parents.reverse();
            for parent in parents {
                if !parent.as_os_str().is_empty() && made.insert(PathBuf::from(parent)) {
                    let mut header = header(tar::EntryType::Directory, DIRECTORY_MODE, 0);
                    archive.append_data(&mut header, parent, io::empty())?;
                }
            }
            let mut header = header(tar::EntryType::Regular, file.mode, file.bytes.len() as u64);
            archive.append_data(&mut header, &file.path, &*file.bytes)?;
        }
        let plain = archive.into_inner()?;
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(GZIP_LEVEL));
        gzip.write_all(&plain)?;
        Ok(Self { compressed: gzip.finish()?.into(), diff_id: Digest::of(&plain) })
    }

    /// The layer as it is stored in a registry.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.compressed
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// An image for one platform, or an index over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    media_type: &'static str,
    manifest: Bytes,
    platform: Option<Value>,
    blobs: Vec<Bytes>,
    children: Vec<Image>,
}

impl Image {
    /// An image for `platform` (`linux/amd64`, `linux/arm/v7`) that runs `command`.
    #[must_use]
    pub fn new(platform: &str, layers: &[Layer], command: &[&str]) -> Self {
        let mut parts = platform.split('/');
        let mut platform = json!({"os": parts.next(), "architecture": parts.next()});
        if let Some(variant) = parts.next() {
            platform["variant"] = variant.into();
        }
        let mut config = platform.clone();
        config["config"] = json!({"Entrypoint": command});
        config["rootfs"] = json!({
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(),
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(LAYER_GZIP, &layer.compressed)).collect::<Vec<_>>(),
        });
        let blobs =
            std::iter::once(config).chain(layers.iter().map(|layer| layer.compressed.clone())).collect();
        Self {
            media_type: MANIFEST,
            manifest: manifest.to_string().into(),
            platform: Some(platform),
            blobs,
            children: Vec::new(),
        }
    }

    /// An index over images for several platforms.
    #[must_use]
    pub fn index(images: &[Self]) -> Self {
        let entries: Vec<Value> = images
            .iter()
            .map(|image| {
                let mut entry = descriptor(image.media_type, &image.manifest);
                if let Some(platform) = &image.platform {
                    entry["platform"] = platform.clone();
                }
                entry
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        Self {
            media_type: INDEX,
            manifest: manifest.to_string().into(),
            platform: None,
            blobs: Vec::new(),
            children: images.to_vec(),
        }
    }

    /// An artifact that refers to another image: a signature, an SBOM (image-spec, "Guidelines for Artifact Usage").
    #[must_use]
    pub fn referrer(subject: &Self, artifact_type: &str, content: impl Into<Bytes>) -> Self {
        let (config, content) = (Bytes::from_static(b"{}"), content.into());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": descriptor(EMPTY, &config),
            "layers": [descriptor(artifact_type, &content)],
            "subject": descriptor(subject.media_type, &subject.manifest),
            "annotations": {"org.opencontainers.image.created": "1970-01-01T00:00:00Z"},
        });
        Self {
            media_type: MANIFEST,
            manifest: manifest.to_string().into(),
            platform: None,
            blobs: vec![config, content],
            children: Vec::new(),
        }
    }

    /// The digest by which it is pulled.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The media type of its manifest.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Its manifest, or its index.
    #[must_use]
    pub fn manifest(&self) -> &Bytes {
        &self.manifest
    }

    /// Its config and layers, in this order. An index has none of its own.
    #[must_use]
    pub fn blobs(&self) -> &[Bytes] {
        &self.blobs
    }

    /// The images that an index is over.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        &self.children
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

/// Bytes that do not compress, the same ones for the same seed.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    // SplitMix64: a few lines, and good enough that gzip finds nothing in it.
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + size_of::<u64>());
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn layer() -> Layer {
        Layer::of(&[
            File::program("usr/bin/tool", "#!/bin/true\n"),
            File::plain("usr/share/tool/data", noise(1, 3000)),
        ])
        .unwrap()
    }

    #[test]
    fn a_layer_holds_its_files_and_the_directories_above_them() {
        let layer = layer();
        let mut plain = Vec::new();
        GzDecoder::new(&layer.bytes()[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(Digest::of(&plain), layer.diff_id);
        let mut archive = tar::Archive::new(&plain[..]);
        let found: Vec<(String, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), header.size().unwrap())
            })
            .collect();
        let expected = [
            ("usr", 0o755, 0),
            ("usr/bin", 0o755, 0),
            ("usr/bin/tool", 0o755, 12),
            ("usr/share", 0o755, 0),
            ("usr/share/tool", 0o755, 0),
            ("usr/share/tool/data", 0o644, 3000),
        ];
        assert_eq!(found, expected.map(|(path, mode, size)| (path.to_owned(), mode, size)));
    }

    #[test]
    fn an_image_is_the_same_every_time_and_names_what_it_is_made_of() {
        let image = Image::new("linux/arm/v7", &[layer()], &["/usr/bin/tool"]);
        assert_eq!(image, Image::new("linux/arm/v7", &[layer()], &["/usr/bin/tool"]));

        let manifest: Value = serde_json::from_slice(image.manifest()).unwrap();
        assert_eq!(manifest["config"]["digest"], Digest::of(&image.blobs()[0]).to_string());
        assert_eq!(manifest["layers"][0]["digest"], Digest::of(&image.blobs()[1]).to_string());
        assert_eq!(manifest["layers"][0]["size"], image.blobs()[1].len());
        let config: Value = serde_json::from_slice(&image.blobs()[0]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], layer().diff_id.to_string());
        assert_eq!(config["variant"], "v7");

        let index = Image::index(std::slice::from_ref(&image));
        let document: Value = serde_json::from_slice(index.manifest()).unwrap();
        assert_eq!(document["manifests"][0]["digest"], image.digest().to_string());
        assert_eq!(document["manifests"][0]["platform"]["architecture"], "arm");
    }

    #[test]
    fn noise_does_not_compress_and_depends_on_its_seed() {
        let layer = Layer::of(&[File::plain("noise", noise(7, 100_000))]).unwrap();
        assert!(layer.bytes().len() > 99_000);
        assert_ne!(noise(7, 100), noise(8, 100));
        assert_eq!(noise(7, 13), noise(7, 100)[..13]);
    }
}
