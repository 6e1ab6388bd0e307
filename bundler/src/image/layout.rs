//! Images on this machine in the OCI image layout (image spec 1.1, image-layout.md): a directory, or an archive of
//! `docker save`, which holds one too or is read as if it did. Read as a source, written by `export`.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fs_err as fs;
use oci_spec::image::{Descriptor, ImageIndex};

use sealift_archive::{AnyDigest, AnyHash, Blob};

use super::manifest::{Manifest, Named};
use super::members::Span;
use super::{Content, cosign, names};
use crate::local::Local;
use crate::{Error, image};

/// What the specification wants in `oci-layout`.
pub const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// Annotation with a tag or a full name, on entries of `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation with the full name.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// Largest `index.json` and largest manifest, in bytes: what registries take.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Most manifests that are looked at for what they refer to.
const MAX_MANIFESTS: usize = 16_384;

/// A layout that images are taken from.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    entries: Vec<Named>,
    blobs: Blobs,
    /// What refers to what, once it was looked for.
    referrers: OnceLock<Vec<(AnyDigest, Named)>>,
}

/// Where the blobs of a layout are.
#[derive(Debug)]
enum Blobs {
    /// In the files of a directory.
    Folder,
    /// In the members of an archive, or made of them.
    Archive(HashMap<AnyDigest, Place>),
}

/// Where in an archive a blob is.
#[derive(Debug)]
pub(super) enum Place {
    /// Between these bytes.
    At(Span),
    /// Nowhere: it was made from what is there.
    Made(Vec<u8>),
}

impl Layout {
    /// Opens a directory and reads its index.
    ///
    /// # Errors
    /// [`image::Error::Layout`] if the directory is no layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::from(image::Error::Layout { layout: path.to_owned(), why });
        let marker =
            fs::read_to_string(path.join("oci-layout")).map_err(|e| refuse(format!("it is none: {e}")))?;
        if !marker.contains("imageLayoutVersion") {
            return Err(refuse("its `oci-layout` file is not that of an image layout".to_owned()));
        }
        let file = fs::File::open(path.join("index.json")).map_err(|e| refuse(e.to_string()))?;
        let bytes =
            read_capped(file, MAX_MANIFEST_BYTES).map_err(|e| refuse(format!("its `index.json` {e}")))?;
        let entries = read_index(&bytes).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), entries, blobs: Blobs::Folder, referrers: OnceLock::new() })
    }

    /// A layout with these entries whose blobs are in an archive.
    pub(super) fn in_archive(path: &Path, entries: Vec<Named>, blobs: HashMap<AnyDigest, Place>) -> Self {
        Self { path: path.to_owned(), entries, blobs: Blobs::Archive(blobs), referrers: OnceLock::new() }
    }

    /// Its directory or archive.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entry of the index with this tag, full name or digest; without one, the only entry that refers to no other.
    ///
    /// # Errors
    /// [`image::Error::Layout`] or [`image::Error::DockerArchive`], with what there is.
    pub fn find(&self, reference: Option<&str>) -> Result<Named, Error> {
        let mut found = match reference {
            Some(wanted) => names::called(&self.entries, wanted),
            None => self.entries.iter().collect(),
        };
        if reference.is_none() && found.len() > 1 {
            let referrers: HashSet<_> = self.all_referrers()?.iter().map(|(_, named)| named.digest).collect();
            found.retain(|named| !referrers.contains(&named.digest) && !names::is_of_digest(named));
        }
        if found.iter().any(|named| cosign::suffix(named).is_none()) {
            found.retain(|named| cosign::suffix(named).is_none());
        }
        // An image with two names stands there twice.
        let mut seen = HashSet::new();
        found.retain(|named| seen.insert(named.digest));
        let names = || self.entries.iter().map(names::shown).collect::<Vec<_>>().join(", ");
        match (&found[..], reference) {
            ([one], _) => Ok((*one).clone()),
            ([], Some(wanted)) => Err(self.refuse(format!("it holds no `{wanted}`; it holds {}", names()))),
            (_, Some(wanted)) => Err(self.refuse(format!("it holds `{wanted}` {} times", found.len()))),
            (_, None) => Err(self
                .refuse(format!("say with `reference:` which of its images is meant; it holds {}", names()))),
        }
    }

    /// The entry that is tagged so, or would be in a registry.
    pub(super) fn tagged(&self, tag: &str) -> Option<&Named> {
        cosign::tagged(&self.entries, tag)
            .or_else(|| self.entries.iter().find(|named| names::tags(named).any(|found| found == tag)))
    }

    /// The manifests that have this one as their subject, among its entries and all that can be reached from them.
    ///
    /// # Errors
    /// As [`Layout::manifest`], of any of them, or if there are too many to look at.
    pub(super) fn referrers(&self, subject: &Content) -> Result<Vec<Named>, Error> {
        let is_meant = |name: &AnyDigest| *name == subject.digest.into() || *name == subject.name();
        let all = self.all_referrers()?.iter();
        Ok(all.filter(|(name, _)| is_meant(name)).map(|(_, referrer)| referrer.clone()).collect())
    }

    /// Subject and descriptor of each manifest that has a subject.
    fn all_referrers(&self) -> Result<&[(AnyDigest, Named)], Error> {
        if let Some(found) = self.referrers.get() {
            return Ok(found);
        }
        cosign::expect_clear(&self.entries).map_err(|why| self.refuse(why))?;
        let found = self.find_referrers()?;
        Ok(self.referrers.get_or_init(|| found))
    }

    /// What is damaged might be a signature, so nothing but what a layout need not hold is passed over: children of an
    /// index that were not copied along.
    fn find_referrers(&self) -> Result<Vec<(AnyDigest, Named)>, Error> {
        let mut found = Vec::new();
        let mut queue = self.entries.clone();
        let mut seen = HashSet::new();
        let mut next = 0;
        while let Some(named) = queue.get(next).cloned() {
            let is_child = next >= self.entries.len();
            next += 1;
            if queue.len() > MAX_MANIFESTS {
                return Err(self.refuse(format!("it names more than {MAX_MANIFESTS} manifests")));
            }
            let is_left_out = is_child && self.size(named.digest).is_none();
            if !named.is_manifest() || is_left_out || !seen.insert(named.digest) {
                continue;
            }
            let manifest = self.manifest(&named)?;
            if let Some(subject) = manifest.subject {
                let (artifact_type, annotations) = (manifest.artifact_type, manifest.annotations);
                found.push((subject, Named { artifact_type, annotations, ..named }));
            }
            queue.extend(manifest.children);
        }
        Ok(found)
    }

    /// Reads a manifest, checked.
    ///
    /// # Errors
    /// [`image::Error::Layout`] or [`image::Error::DockerArchive`] if it is missing, too large or other content;
    /// [`image::Error::BadImage`] if it is none.
    pub fn manifest(&self, named: &Named) -> Result<Manifest, Error> {
        let name = format!("{} in {}", named.digest, self.path.display());
        Ok(Manifest::parse(&name, &named.media_type, &self.small(named.digest, named.size)?)?
            .named(named.digest))
    }

    /// Reads a blob of at most [`MAX_MANIFEST_BYTES`], checked.
    ///
    /// # Errors
    /// As [`Layout::manifest`].
    pub(super) fn small(&self, digest: AnyDigest, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_MANIFEST_BYTES {
            return Err(self.refuse(format!("{digest} is too large for a manifest")));
        }
        let bytes =
            read_capped(self.blob(digest)?, size).map_err(|e| self.refuse(format!("{digest} {e}")))?;
        let found = digest.same_kind_of(&bytes);
        if found == digest && bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(self.refuse(format!("{digest} is really {found}, {} of {size} bytes long", bytes.len())))
        }
    }

    /// The blob that is named so, by our own name, checked.
    ///
    /// # Errors
    /// As [`Layout::manifest`].
    pub(super) fn identify(&self, name: AnyDigest) -> Result<Blob, Error> {
        let mut hashed = Hashed { reader: self.blob(name)?, hash: name.hash() };
        let blob = Blob::of_reader(&mut hashed)?;
        match hashed.hash.finish() {
            found if found == name => Ok(blob),
            found => Err(self.refuse(format!("{name} is really {found}"))),
        }
    }

    /// The size of a blob, in bytes; `None` if it is not there.
    pub(super) fn size(&self, digest: AnyDigest) -> Option<u64> {
        match &self.blobs {
            // What cannot be looked at is there, and reading it will say why.
            Blobs::Folder => match fs::metadata(self.path.join(blob_path(digest))) {
                Ok(metadata) => Some(metadata.len()),
                Err(error) => (error.kind() != io::ErrorKind::NotFound).then_some(0),
            },
            Blobs::Archive(places) => Some(match places.get(&digest)? {
                Place::At(span) => span.size,
                Place::Made(bytes) => bytes.len() as u64,
            }),
        }
    }

    /// A blob as a stream, unchecked.
    ///
    /// # Errors
    /// As [`Layout::manifest`], if it is missing.
    pub(super) fn blob(&self, digest: AnyDigest) -> Result<Box<dyn Read + '_>, Error> {
        match &self.blobs {
            Blobs::Folder => {
                let file = fs::File::open(self.path.join(blob_path(digest)));
                Ok(Box::new(file.map_err(|e| self.refuse(e.to_string()))?))
            }
            Blobs::Archive(places) => match places.get(&digest) {
                Some(Place::At(span)) => Ok(Box::new(span.open(&self.path)?)),
                Some(Place::Made(bytes)) => Ok(Box::new(&bytes[..])),
                None => Err(self.refuse(format!("{digest} is missing"))),
            },
        }
    }

    /// Says where content is, to be copied when it is needed.
    pub(crate) fn hand_over(&self, content: &Content, local: &mut Local) {
        let own = AnyDigest::from(content.digest);
        let name = if self.size(own).is_some() { own } else { content.name() };
        match &self.blobs {
            Blobs::Folder => local.add_file(content.blob(), self.path.join(blob_path(name)), 0),
            Blobs::Archive(places) => match places.get(&name) {
                Some(Place::At(span)) => local.add_file(content.blob(), self.path.clone(), span.offset),
                Some(Place::Made(bytes)) => drop(local.add_bytes(bytes.clone())),
                None => {}
            },
        }
    }

    /// Something is wrong with it.
    pub(super) fn refuse(&self, why: String) -> Error {
        let path = self.path.clone();
        match self.blobs {
            Blobs::Folder => image::Error::Layout { layout: path, why }.into(),
            Blobs::Archive(_) => image::Error::DockerArchive { archive: path, why }.into(),
        }
    }
}

/// Hashes what passes.
struct Hashed<R> {
    reader: R,
    hash: AnyHash,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.hash.update(&buf[..read]);
        Ok(read)
    }
}

/// The entries of an `index.json`.
pub(super) fn read_index(bytes: &[u8]) -> Result<Vec<Named>, String> {
    let index = ImageIndex::from_reader(bytes).map_err(|e| format!("its `index.json` is not valid: {e}"))?;
    index.manifests().iter().map(|entry: &Descriptor| Named::read(entry)).collect()
}

/// Where a layout keeps a blob.
pub(super) fn blob_path(digest: AnyDigest) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

/// The blob that a layout keeps in this place.
pub(super) fn digest_at(path: &str) -> Option<AnyDigest> {
    path.strip_prefix("blobs/")?.replacen('/', ":", 1).parse().ok()
}

/// Reads to the end, and not on and on.
pub(super) fn read_capped(reader: impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limit { Err(format!("is larger than {limit} bytes")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use sealift_archive::{Digest, Sha512, digest_tag};
    use serde_json::{Value, json};

    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    /// A layout on disk, and what was put into it.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("oci-layout"), MARKER).unwrap();
            Self(dir)
        }

        fn add(&self, media_type: &str, document: &Value) -> Value {
            let bytes = document.to_string().into_bytes();
            let blob = Blob::of(&bytes);
            self.write(&blob.digest.blob_path(), &bytes);
            json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
        }

        fn write(&self, path: &str, bytes: &[u8]) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        fn open(&self, entries: &[Value]) -> Layout {
            let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
            self.write("index.json", index.as_bytes());
            Layout::open(self.0.path()).unwrap()
        }
    }

    fn manifest(subject: Option<&Value>, number: u8) -> Value {
        let config = json!({"mediaType": "application/x-config", "digest": Digest::of(&[number]), "size": 1});
        let mut manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        manifest
    }

    fn tagged(entry: &Value, tag: &str) -> Value {
        let mut entry = entry.clone();
        entry["annotations"] = json!({ REF_NAME: tag });
        entry
    }

    #[test]
    fn what_refers_to_an_image_is_found_wherever_it_is_and_is_not_taken_for_it() {
        let folder = Folder::new();
        let image = folder.add(MANIFEST, &manifest(None, 0));
        let signature = folder.add(MANIFEST, &manifest(Some(&image), 1));
        let sbom = folder.add(MANIFEST, &manifest(Some(&image), 2));
        let missing = json!({"mediaType": MANIFEST, "digest": Digest::of(b"missing"), "size": 7});
        let note = json!({"mediaType": "text/plain", "digest": Digest::of(b"note"), "size": 4});
        let inner = json!({"schemaVersion": 2, "manifests": [missing, sbom]});
        let other = folder.add(INDEX, &inner);
        let fallback = format!("sha256-{}", Digest::of(b"x").hex());

        let layout = folder.open(&[image.clone(), signature.clone(), tagged(&other, &fallback), note]);
        let subject = layout.find(image["digest"].as_str()).unwrap().content().unwrap();
        let found: Vec<String> =
            layout.referrers(&subject).unwrap().iter().map(|r| r.digest.to_string()).collect();
        assert_eq!(found, [signature["digest"].as_str().unwrap(), sbom["digest"].as_str().unwrap()]);
        assert_eq!(
            layout.referrers(&subject).unwrap()[0].artifact_type.as_deref(),
            Some("application/x-config")
        );
        assert_eq!(layout.tagged(&fallback).unwrap().digest.to_string(), other["digest"].as_str().unwrap());

        let said = layout.find(None).unwrap_err().to_string();
        assert!(said.contains("which of its images") && said.contains("sha256:"), "{said}");
        let layout =
            folder.open(&[tagged(&image, "1"), signature, tagged(&image, "2"), tagged(&other, &fallback)]);
        assert_eq!(layout.find(None).unwrap().digest, subject.digest.into());
    }

    #[test]
    fn what_may_have_been_a_signature_is_not_passed_over() {
        let size = usize::try_from(MAX_MANIFEST_BYTES).unwrap() + 1;
        let document = manifest(None, 1).to_string();
        let other = document.replace("schemaVersion", "SchemaVersion").into_bytes();
        let cases = [
            ("is really", Some(other)),
            ("is larger than", Some(vec![b' '; size])),
            ("bytes long", Some(Vec::new())),
            ("No such file", None),
        ];
        for (expected, spoilt) in &cases {
            for is_child in [false, true] {
                let folder = Folder::new();
                let image = folder.add(MANIFEST, &manifest(None, 0));
                let signature = folder.add(MANIFEST, &manifest(None, 1));
                let index = folder.add(INDEX, &json!({"schemaVersion": 2, "manifests": [signature]}));
                let layout = folder.open(&[image.clone(), if is_child { index } else { signature.clone() }]);
                let path = blob_path(signature["digest"].as_str().unwrap().parse().unwrap());
                match spoilt {
                    Some(bytes) => folder.write(&path, bytes),
                    None => fs::remove_file(folder.0.path().join(&path)).unwrap(),
                }
                let subject = layout.find(image["digest"].as_str()).unwrap().content().unwrap();
                match layout.referrers(&subject) {
                    // Indexes are often copied without all that they name.
                    Ok(found) => {
                        assert!(is_child && *expected == "No such file" && found.is_empty(), "{expected}");
                    }
                    Err(error) => assert!(error.to_string().contains(expected), "{expected}: {error}"),
                }
            }
        }
    }

    #[test]
    fn what_cosign_saved_beside_an_image_is_found_and_not_taken_for_it() {
        let folder = Folder::new();
        let [image, sigs, more] = [0, 1, 2].map(|number| folder.add(MANIFEST, &manifest(None, number)));
        let marked = |entry: &Value, kind: &str| {
            let mut entry = entry.clone();
            entry["annotations"] = json!({"kind": format!("dev.cosignproject.cosign/{kind}")});
            entry
        };
        let entries = [marked(&image, "image"), marked(&sigs, "sigs")];
        let layout = folder.open(&entries);
        let found = layout.find(None).unwrap();
        assert_eq!(found.digest.to_string(), image["digest"].as_str().unwrap());
        let signature = layout.tagged(&digest_tag::with_suffix(found.digest, ".sig").unwrap()).unwrap();
        assert_eq!(signature.digest.to_string(), sigs["digest"].as_str().unwrap());
        let layout = folder.open(&[&entries[..], &[marked(&more, "sigs")]].concat());
        let said = layout.referrers(&found.content().unwrap()).unwrap_err().to_string();
        assert!(said.contains("two `.sig`"), "{said}");
    }

    #[test]
    fn content_is_what_it_is_called_or_refused() {
        let folder = Folder::new();
        let image = folder.add(MANIFEST, &manifest(None, 0));
        let layout = folder.open(&[image]);
        let named = layout.find(None).unwrap();
        layout.manifest(&named).unwrap();
        folder.write(&blob_path(Sha512::of(b"long").into()), b"long");
        assert_eq!(layout.small(Sha512::of(b"long").into(), 4).unwrap(), b"long");

        let missing = Named { digest: Digest::of(b"missing").into(), ..named.clone() };
        let huge = Named { size: MAX_MANIFEST_BYTES + 1, ..named.clone() };
        let short = Named { size: named.size - 1, ..named.clone() };
        let long = Named { size: named.size + 1, ..named.clone() };
        for (wrong, expected) in
            [(missing, "No such file"), (huge, "too large"), (short, "is larger than"), (long, "bytes long")]
        {
            let said = layout.manifest(&wrong).unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
        folder.write(&blob_path(named.digest), &vec![b' '; usize::try_from(named.size).unwrap()]);
        let said = layout.manifest(&named).unwrap_err().to_string();
        assert!(said.contains("is really"), "{said}");
    }
}
