//! `sealift export`: the images of a bundle as a plain OCI layout. No lock-in.

use std::collections::{BTreeSet, HashMap};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageIndexBuilder, MediaType, SCHEMA_VERSION};
use tempfile::NamedTempFile;

use sealift_archive::{
    Blob, BlobSink, BlobWriter, Bundle, Check, Digest, Progress, Release, Source as _, durable, release,
};

use crate::Error;
use crate::image::layout::{IMAGE_NAME, MARKER, REF_NAME};

/// Writes the images of every release in `bundle` to `dir`, checked blob by blob. `index.json` is written last, so that
/// an interrupted export is no layout yet; blobs that are there already are hashed, and kept if they are right.
///
/// # Errors
/// [`Error::Exists`] if `dir` is a layout already, damage, or I/O.
pub fn oci_layout(bundle: &Bundle, dir: &Path, progress: &dyn Progress) -> Result<usize, Error> {
    let index_file = dir.join("index.json");
    if index_file.exists() {
        return Err(Error::Exists { path: index_file });
    }
    let blobs = dir.join("blobs/sha256");
    durable::create_dir_all(&blobs)?;
    let packs: BTreeSet<Digest> =
        bundle.releases().iter().flat_map(|r| r.refs.git.values().flat_map(|g| g.packs.clone())).collect();
    let mut wanted = BTreeSet::new();
    for entry in bundle.contents().entries.iter().filter(|e| !packs.contains(&e.blob.digest)) {
        progress.go_on()?;
        if !is_there(dir, entry.blob)? {
            wanted.insert(entry.blob.digest);
        }
    }
    bundle.copy_blobs(&wanted, &Layout { dir, blobs: &blobs }, progress)?;
    durable::sync_dir(&blobs)?;
    durable::write(&dir.join("oci-layout"), MARKER.as_bytes())?;
    let invalid = |e: oci_spec::OciSpecError| Error::Layout { layout: dir.to_owned(), why: e.to_string() };
    let images = bundle
        .releases()
        .iter()
        .flat_map(descriptors)
        .collect::<Result<Vec<Descriptor>, _>>()
        .map_err(invalid)?;
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(images)
        .build()
        .map_err(invalid)?;
    durable::write(&index_file, index.to_string_pretty().map_err(invalid)?.as_bytes())?;
    Ok(bundle.releases().iter().map(|release| release.refs.images.len()).sum())
}

fn is_there(dir: &Path, blob: Blob) -> Result<bool, Error> {
    let path = dir.join(blob.digest.blob_path());
    match fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        file => Ok(Blob::of_reader(file?)? == blob),
    }
}

/// The blobs of a layout that is being written.
struct Layout<'a> {
    dir: &'a Path,
    blobs: &'a Path,
}

impl BlobSink for Layout<'_> {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, sealift_archive::Error> {
        let file = NamedTempFile::new_in(self.blobs)?;
        Ok(Box::new(LayoutBlob {
            path: self.dir.join(blob.digest.blob_path()),
            file,
            check: Check::new(blob),
        }))
    }
}

struct LayoutBlob {
    path: PathBuf,
    file: NamedTempFile,
    check: Check,
}

impl BlobWriter for LayoutBlob {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), sealift_archive::Error> {
        self.check.update(bytes)?;
        Ok(self.file.write_all(bytes)?)
    }

    fn restart(&mut self) -> Result<(), sealift_archive::Error> {
        self.check = Check::new(self.check.wanted());
        self.file.as_file().set_len(0)?;
        Ok(self.file.rewind()?)
    }

    fn finish(self: Box<Self>) -> Result<(), sealift_archive::Error> {
        self.check.finish()?;
        // Temporary files are private to their owner; a layout is for everybody.
        self.file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        self.file.as_file().sync_data()?;
        self.file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

/// What the index of the layout names: images by their names, and what refers to them, as others write it, without one.
fn descriptors(release: &Release) -> Vec<Result<Descriptor, oci_spec::OciSpecError>> {
    let images = release.refs.images.iter().map(|(name, image)| {
        let names = [REF_NAME, IMAGE_NAME].map(|key| (key.to_owned(), name.to_string()));
        describe(image, names.into_iter().collect())
    });
    let referrers = release.refs.referrers.values().flatten().map(|referrer| {
        let annotations = referrer.annotations.iter().map(|(key, value)| (key.clone(), value.clone()));
        describe(referrer, annotations.collect())
    });
    images.chain(referrers).collect()
}

fn describe(
    of: &release::Descriptor,
    annotations: HashMap<String, String>,
) -> Result<Descriptor, oci_spec::OciSpecError> {
    let described = DescriptorBuilder::default()
        .media_type(of.media_type.as_str())
        .digest(of.digest.to_string().parse::<oci_spec::image::Digest>()?)
        .size(of.size)
        .annotations(annotations);
    match &of.artifact_type {
        Some(artifact_type) => described.artifact_type(artifact_type.as_str()).build(),
        None => described.build(),
    }
}
