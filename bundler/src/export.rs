//! `sealift export`: the images of a bundle as a plain OCI layout. No lock-in.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use fs_err as fs;
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageIndexBuilder, MediaType, SCHEMA_VERSION};
use rayon::prelude::*;

use sealift_archive::{Bundle, Digest, Progress, Release, Source as _, durable};

use crate::Error;
use crate::oci_layout::{IMAGE_NAME, MARKER, REF_NAME};

/// Writes the images of every release in `bundle` to `dir`, checked blob by blob. `index.json` is written last, so that
/// an interrupted export is no layout yet; blobs that are there already are kept.
///
/// # Errors
/// [`Error::Exists`] if `dir` holds something else, damage, or I/O.
pub fn oci_layout(bundle: &Bundle, dir: &Path, progress: &dyn Progress) -> Result<usize, Error> {
    let index_file = dir.join("index.json");
    if index_file.exists() {
        return Err(Error::Exists { path: index_file });
    }
    let blobs = dir.join("blobs/sha256");
    durable::create_dir_all(&blobs)?;
    let packs: Vec<Digest> =
        bundle.releases().iter().flat_map(|r| r.refs.git.values().flat_map(|g| g.packs.clone())).collect();
    let wanted: Vec<_> =
        bundle.contents().entries.iter().filter(|e| !packs.contains(&e.blob.digest)).collect();
    wanted.par_iter().try_for_each(|entry| {
        progress.go_on()?;
        let path = dir.join(entry.blob.digest.blob_path());
        if fs::metadata(&path).is_ok_and(|m| m.len() == entry.blob.size) {
            return Ok(());
        }
        let file = tempfile::NamedTempFile::new_in(&blobs)?;
        let mut out = BufWriter::new(file);
        bundle.read_blob(&entry.blob.digest, &mut out)?;
        out.flush()?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        readable(file.as_file())?;
        file.persist(&path).map_err(|e| e.error)?;
        progress.advance(entry.blob.size);
        Ok::<_, Error>(())
    })?;
    durable::write(&dir.join("oci-layout"), MARKER.as_bytes())?;
    let images: Vec<Descriptor> = bundle.releases().iter().flat_map(descriptors).collect();
    let count = images.len();
    let invalid = |e: oci_spec::OciSpecError| Error::Layout { layout: dir.to_owned(), why: e.to_string() };
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(images)
        .build()
        .map_err(invalid)?;
    durable::write(&index_file, index.to_string_pretty().map_err(invalid)?.as_bytes())?;
    Ok(count)
}

fn descriptors(release: &Release) -> Vec<Descriptor> {
    let describe = |(name, image): (&sealift_archive::Reference, &sealift_archive::release::Descriptor)| {
        let annotations =
            [REF_NAME, IMAGE_NAME].map(|key| (key.to_owned(), name.to_string())).into_iter().collect();
        DescriptorBuilder::default()
            .media_type(image.media_type.as_str())
            .digest(image.digest.to_string().parse::<oci_spec::image::Digest>().ok()?)
            .size(image.size)
            .annotations::<std::collections::HashMap<String, String>>(annotations)
            .build()
            .ok()
    };
    release.refs.images.iter().filter_map(describe).collect()
}

/// Temporary files are private to their owner; a layout is for everybody.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}
