//! Directories in the OCI image layout (image spec 1.1, image-layout.md): read as a source, written by `export`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use oci_spec::image::{Descriptor, ImageIndex};

use sealift_archive::{Blob, Digest, Reference, VerifyingReader};

use crate::Error;
use crate::lock::Content;

/// What the specification wants in `oci-layout`.
pub const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// Annotation with a tag or a full name, on entries of `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation with the full name.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// Largest `index.json` and largest manifest, in bytes: what registries take.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// A layout that images are taken from.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    index: ImageIndex,
}

impl Layout {
    /// Opens a layout and reads its index.
    ///
    /// # Errors
    /// [`Error::Layout`] if the directory is no layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::Layout { layout: path.to_owned(), why };
        let marker =
            fs::read_to_string(path.join("oci-layout")).map_err(|e| refuse(format!("it is none: {e}")))?;
        if !marker.contains("imageLayoutVersion") {
            return Err(refuse("its `oci-layout` file is not that of an image layout".to_owned()));
        }
        let bytes = read_capped(&path.join("index.json")).map_err(|e| refuse(e.to_string()))?;
        let index = ImageIndex::from_reader(&bytes[..])
            .map_err(|e| refuse(format!("its `index.json` is not valid: {e}")))?;
        Ok(Self { path: path.to_owned(), index })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entry of the index with this tag, full name or digest; without one, the only entry.
    ///
    /// # Errors
    /// [`Error::Layout`], with what there is.
    pub fn find(&self, reference: Option<&str>) -> Result<Content, Error> {
        let refuse = |why: String| Error::Layout { layout: self.path.clone(), why };
        let entries = self.index.manifests();
        let found: Vec<&Descriptor> = match reference {
            Some(wanted) => called(entries, wanted),
            None => entries.iter().collect(),
        };
        let names = || {
            let names: Vec<String> = entries
                .iter()
                .map(|d| names_of(d).next().unwrap_or_else(|| d.digest().to_string()))
                .collect();
            names.join(", ")
        };
        let [descriptor] = found[..] else {
            let why = match reference {
                Some(wanted) if found.is_empty() => format!("it holds no `{wanted}`; it holds {}", names()),
                Some(wanted) => format!("it holds `{wanted}` {} times", found.len()),
                None => format!("say with `reference:` which of its images is meant; it holds {}", names()),
            };
            return Err(refuse(why));
        };
        let digest = descriptor.digest().to_string();
        let digest = digest.parse().map_err(|_| refuse(format!("`{digest}` is not sha256")))?;
        Ok(Content { media_type: descriptor.media_type().to_string(), digest, size: descriptor.size() })
    }

    /// Reads a manifest, checked.
    ///
    /// # Errors
    /// [`Error::Layout`] if it is missing or too large, or that it is other content.
    pub fn manifest(&self, blob: Blob) -> Result<Vec<u8>, Error> {
        let refuse = |why: String| Error::Layout { layout: self.path.clone(), why };
        if blob.size > MAX_MANIFEST_BYTES {
            return Err(refuse(format!("{} is too large for a manifest", blob.digest)));
        }
        let mut reader = VerifyingReader::new(self.open_blob(blob.digest)?, blob);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|e| refuse(e.to_string()))?;
        reader.finish()?;
        Ok(bytes)
    }

    fn open_blob(&self, digest: Digest) -> Result<fs::File, Error> {
        fs::File::open(self.path.join(digest.blob_path()))
            .map_err(|e| Error::Layout { layout: self.path.clone(), why: e.to_string() })
    }
}

fn read_capped(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(std::io::Error::other(format!(
            "`{}` is larger than {MAX_MANIFEST_BYTES} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

fn names_of(descriptor: &Descriptor) -> impl Iterator<Item = String> + '_ {
    let annotations = descriptor.annotations().as_ref();
    [IMAGE_NAME, REF_NAME].into_iter().filter_map(move |key| annotations?.get(key).cloned())
}

/// The entries that `wanted` names: by digest or full name; else a bare tag by the tag of their names, or a full name by
/// the tag alone of entries that have no full name.
fn called<'a>(entries: &'a [Descriptor], wanted: &str) -> Vec<&'a Descriptor> {
    let full = |name: &str| name.contains(['/', ':']).then(|| name.parse::<Reference>().ok()).flatten();
    let wanted_full = full(wanted);
    let is_exactly = |d: &&Descriptor| {
        d.digest().to_string() == wanted
            || names_of(d).any(|name| name == wanted || (wanted_full.is_some() && full(&name) == wanted_full))
    };
    let exactly: Vec<_> = entries.iter().filter(is_exactly).collect();
    if !exactly.is_empty() {
        return exactly;
    }
    let by_tag = |d: &&Descriptor| match wanted_full.as_ref().map(Reference::tag) {
        None => names_of(d).any(|name| full(&name).is_some_and(|name| name.tag() == Some(wanted))),
        Some(tag) => {
            names_of(d).all(|name| full(&name).is_none()) && names_of(d).any(|name| Some(&*name) == tag)
        }
    };
    entries.iter().filter(by_tag).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_entry_is_found_by_what_it_is_called() {
        let entry = |number: u8, names: &[(&str, &str)]| {
            let digest = Digest::of(&[number]);
            let annotations: BTreeMap<&str, &str> = names.iter().copied().collect();
            let value = serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest, "size": 1, "annotations": annotations,
            });
            serde_json::from_value::<Descriptor>(value).unwrap()
        };
        let entries = [
            entry(0, &[(REF_NAME, "1.5")]),
            entry(1, &[(REF_NAME, "2.0"), (IMAGE_NAME, "ghcr.io/other/thing:2.0")]),
            entry(2, &[(IMAGE_NAME, "docker.io/library/web:3.0")]),
        ];
        let digest = Digest::of(&[1]).to_string();
        let cases: [(&str, &[usize]); 8] = [
            ("1.5", &[0]),
            ("ghcr.io/acme/api:1.5", &[0]),
            ("2.0", &[1]),
            ("ghcr.io/other/thing:2.0", &[1]),
            ("ghcr.io/acme/api:2.0", &[]),
            ("web:3.0", &[2]),
            ("3.0", &[2]),
            (&digest, &[1]),
        ];
        for (wanted, expected) in cases {
            let found: Vec<usize> = called(&entries, wanted)
                .iter()
                .map(|found| entries.iter().position(|e| e == *found).unwrap())
                .collect();
            assert_eq!(found, expected, "{wanted}");
        }
    }
}
