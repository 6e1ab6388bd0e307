//! Releases made by hand, in one archive: images of any layers, with anything attached.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealift_archive::format::layout::{Layout, Storing};
use sealift_archive::packer::{Front, Packer};
use sealift_archive::release::{BlobListSummary, Descriptor, GitRepository, ManifestInfo};
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, TrustRoot};
use sealift_archive::{
    Blob, BlobList, BlobSink as _, Bundle, Digest, Refs, Release, ReleaseName, Statement, Unwatched,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of layers that are plain tars.
pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A release that is being made.
#[derive(Default)]
pub(crate) struct Draft {
    blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) refs: Refs,
}

/// An archive with one release, gone when dropped.
pub(crate) struct Made {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
    root: TrustRoot,
}

impl Made {
    pub(crate) fn open(&self) -> Bundle {
        Bundle::open(&self.path, &self.root).unwrap()
    }
}

impl Draft {
    pub(crate) fn blob(&mut self, bytes: impl Into<Vec<u8>>) -> Blob {
        let bytes = bytes.into();
        let blob = Blob::of(&bytes);
        self.blobs.insert(blob.digest, bytes);
        blob
    }

    /// A manifest or index with a name.
    pub(crate) fn name(&mut self, name: &str, manifest: Digest) {
        let descriptor = self.descriptor(manifest);
        self.refs.images.insert(name.parse().unwrap(), descriptor);
    }

    /// An image of these layers: media type and content.
    pub(crate) fn image(&mut self, platform: &str, layers: &[(&str, Vec<u8>)]) -> Digest {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = self.blob(json!({"os": os, "architecture": architecture}).to_string());
        let layers: Vec<Value> = layers
            .iter()
            .map(|(media_type, content)| {
                let blob = self.blob(content.clone());
                json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
            })
            .collect();
        self.manifest(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
            "layers": layers,
        }))
    }

    /// An index of these manifests, each with annotations.
    pub(crate) fn index(&mut self, children: &[(Digest, Value)]) -> Digest {
        let child = |(digest, annotations): &(Digest, Value)| {
            let size = self.blobs[digest].len();
            json!({"mediaType": MANIFEST, "digest": digest, "size": size, "annotations": annotations})
        };
        let manifests: Vec<Value> = children.iter().map(child).collect();
        let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
        self.add_manifest(INDEX, &bytes)
    }

    /// An artifact with one layer.
    pub(crate) fn artifact(&mut self, kind: &str, media_type: &str, content: &[u8]) -> Digest {
        let (config, layer) = (self.blob("{}"), self.blob(content));
        self.manifest(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": kind, "digest": config.digest, "size": config.size},
            "layers": [{"mediaType": media_type, "digest": layer.digest, "size": layer.size}],
        }))
    }

    pub(crate) fn manifest(&mut self, manifest: &Value) -> Digest {
        self.add_manifest(MANIFEST, &manifest.to_string())
    }

    /// Says that a manifest refers to another as its subject.
    pub(crate) fn refer(&mut self, subject: Digest, manifest: Digest) {
        let descriptor = self.descriptor(manifest);
        self.refs.referrers.entry(subject).or_default().push(descriptor);
    }

    pub(crate) fn git(&mut self, name: &str, commit: &str) {
        let pack = self.blob("PACK");
        let head = "refs/heads/main".to_owned();
        let refs = [(head.clone(), commit.parse().unwrap())].into();
        self.refs.git.insert(name.parse().unwrap(), GitRepository { head, refs, packs: vec![pack.digest] });
    }

    pub(crate) fn file(&mut self, name: &str, content: &str) {
        let blob = self.blob(content);
        self.refs.files.insert(name.parse().unwrap(), descriptor(blob, "text/plain"));
    }

    fn add_manifest(&mut self, media_type: &str, bytes: &str) -> Digest {
        let blob = self.blob(bytes);
        let info = ManifestInfo { media_type: media_type.to_owned(), size: blob.size };
        self.refs.manifests.insert(blob.digest, info);
        blob.digest
    }

    fn descriptor(&self, manifest: Digest) -> Descriptor {
        let ManifestInfo { media_type, size } = &self.refs.manifests[&manifest];
        descriptor(Blob { digest: manifest, size: *size }, media_type)
    }

    /// Packs it as version 1.5.0 of `acme`.
    pub(crate) fn pack(self) -> Made {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("acme-1.5.0.tar.zst");
        let keys = [(); 2].map(|()| SecretKey::generate(b"").unwrap().0);
        let members = [(RoleName::Root, &keys[0]), (RoleName::Release, &keys[1]), (RoleName::Pack, &keys[1])];
        let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
        let root = TrustRoot::first(&members.into()).unwrap();
        let release = self.release();
        write(&path, &self.blobs, &release, &keys, &root);
        Made { dir, path, root }
    }

    fn release(&self) -> Release {
        let mut blob_list = BlobList::default();
        for bytes in self.blobs.values() {
            blob_list.insert(Blob::of(bytes)).unwrap();
        }
        let refs_bytes = self.refs.to_bytes();
        let summary = BlobListSummary::of(&blob_list);
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: "1.5.0".parse().unwrap(),
            sequence: 15.try_into().unwrap(),
        };
        let statement = Statement::new(name, summary, Blob::of(&refs_bytes));
        Release {
            statement_bytes: statement.to_bytes(),
            statement,
            signatures: Vec::new(),
            signers: Vec::new(),
            blob_list,
            refs: self.refs.clone(),
            refs_bytes,
        }
    }
}

fn write(
    path: &Path,
    blobs: &BTreeMap<Digest, Vec<u8>>,
    release: &Release,
    [root_key, key]: &[SecretKey; 2],
    root: &TrustRoot,
) {
    let releases = std::slice::from_ref(release);
    let packer =
        Packer::open(path, Layout::plan(releases, |_| Storing::Squeezed).unwrap(), &Unwatched).unwrap();
    for blob in packer.missing() {
        let mut writer = packer.open(blob).unwrap();
        writer.write(&blobs[&blob.digest]).unwrap();
        writer.finish().unwrap();
    }
    let mut roots = RootChain::default();
    roots.insert("root", root.clone()).unwrap();
    let signatures = [(root.bytes(), root_key), (release.statement_bytes.as_slice(), key)];
    let signatures = signatures.map(|(document, key)| Signature::sign(document, key).unwrap());
    let front = Front { releases, roots, signatures: signatures.into_iter().collect() };
    let sign = |packing: &[u8]| Ok(vec![Signature::sign(packing, key)?]);
    packer.finish(front, 1, sign, &Unwatched).unwrap();
}

fn descriptor(blob: Blob, media_type: &str) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: blob.digest,
        size: blob.size,
        artifact_type: None,
        annotations: BTreeMap::new(),
    }
}

/// A tar of these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A paragraph of dpkg's database.
pub(crate) fn deb(name: &str, version: &str, source: &str) -> String {
    let source = if source.is_empty() { String::new() } else { format!("Source: {source}\n") };
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{source}Version: {version}\n\n"
    )
}
