//! A vendor for tests: releases with real signatures, offered from memory or packed into a real archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use sealift_archive::format::layout::{Layout, LeftOut, Storing};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::packer::{Front, Packer};
use sealift_archive::release::{BlobListSummary, CHART_TYPE, Descriptor, ManifestInfo};
use sealift_archive::trust::{
    RoleName, RootChain, RootDraft, SecretKey, Signature, Signatures, TrustRoot, Trusted,
};
use sealift_archive::{
    Blob, BlobList, BlobSink, Digest, Progress, Refs, Release, ReleaseName, Source, Statement, Unwatched,
    copy_blob,
};

/// A vendor with one key for trust roots and one for everything else.
pub(crate) struct Vendor {
    root_key: Arc<SecretKey>,
    pub(crate) key: SecretKey,
    pub(crate) root: TrustRoot,
    /// The version before it, if there is one.
    former: Option<TrustRoot>,
}

/// Making a key costs half a second, so the tests of one program share two vendors.
pub(crate) static ACME: LazyLock<Vendor> = LazyLock::new(Vendor::new);
pub(crate) static OTHER: LazyLock<Vendor> = LazyLock::new(Vendor::new);

impl Vendor {
    fn new() -> Self {
        let [root_key, key] = [(); 2].map(|()| SecretKey::generate(b"").unwrap().0);
        let members = [
            (RoleName::Root, &root_key),
            (RoleName::Release, &key),
            (RoleName::Pack, &key),
            (RoleName::Channel, &key),
        ];
        let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
        let root = TrustRoot::first(&members.into()).unwrap();
        Self { root_key: Arc::new(root_key), key, root, former: None }
    }

    /// The same vendor after its key for everything was revoked, and replaced by another.
    pub(crate) fn with_another_key(&self) -> Self {
        let key = SecretKey::generate(b"").unwrap().0;
        let mut draft = RootDraft::after(&self.root);
        for role in [RoleName::Release, RoleName::Pack, RoleName::Channel] {
            draft.remove(role, &self.key.public().id());
            draft.add(role, key.public().clone());
        }
        let root = draft.finish().unwrap();
        Self { root_key: self.root_key.clone(), key, root, former: Some(self.root.clone()) }
    }

    fn roots(&self) -> impl Iterator<Item = &TrustRoot> {
        self.former.iter().chain([&self.root])
    }

    /// Writes `root.json` and its signature, as `sealift trust init` does.
    pub(crate) fn write_root(&self, dir: &Path) -> PathBuf {
        let file = dir.join("root.json");
        fs_err::write(&file, self.root.bytes()).unwrap();
        self.root_signatures().write_to(dir).unwrap();
        file
    }

    pub(crate) fn root_signatures(&self) -> Signatures {
        self.roots().map(|root| Signature::sign(root.bytes(), &*self.root_key).unwrap()).collect()
    }

    pub(crate) fn signature(&self, document: &[u8]) -> Signatures {
        [Signature::sign(document, &self.key).unwrap()].into_iter().collect()
    }
}

/// A release and its content in memory: `acme 1.N`, sequence N, which can follow `acme 1.(N-1)`.
pub(crate) struct Offer {
    pub(crate) release: Release,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    trusted: Trusted,
}

impl Offer {
    pub(crate) fn new(vendor: &Vendor, sequence: u64, contents: Vec<Vec<u8>>) -> Self {
        Self::with(vendor, sequence, contents, |_, _| ())
    }

    pub(crate) fn with(
        vendor: &Vendor,
        sequence: u64,
        contents: Vec<Vec<u8>>,
        change: impl FnOnce(&mut Statement, &mut BlobList),
    ) -> Self {
        Self::build(vendor, sequence, contents, &[], change)
    }

    /// With these files and nothing else.
    pub(crate) fn with_files(vendor: &Vendor, sequence: u64, files: &[(&str, &str)]) -> Self {
        Self::with_files_and(vendor, sequence, files, |_, _| ())
    }

    /// The same, and something else to say.
    pub(crate) fn with_files_and(
        vendor: &Vendor,
        sequence: u64,
        files: &[(&str, &str)],
        change: impl FnOnce(&mut Statement, &mut BlobList),
    ) -> Self {
        let contents = files.iter().map(|(_, content)| content.as_bytes().to_vec()).collect();
        Self::build(vendor, sequence, contents, files, change)
    }

    fn build(
        vendor: &Vendor,
        sequence: u64,
        contents: Vec<Vec<u8>>,
        files: &[(&str, &str)],
        change: impl FnOnce(&mut Statement, &mut BlobList),
    ) -> Self {
        let blobs: BTreeMap<Digest, Vec<u8>> = contents.into_iter().map(|c| (Digest::of(&c), c)).collect();
        let mut blob_list = BlobList::default();
        for content in blobs.values() {
            blob_list.insert(Blob::of(content)).unwrap();
        }
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: format!("1.{sequence}").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
        };
        let mut refs = if files.is_empty() { names_for(&blobs) } else { Refs::default() };
        for (name, content) in files {
            refs.files.insert(
                name.parse().unwrap(),
                descriptor(content.as_bytes(), "application/octet-stream", None),
            );
        }
        let refs_bytes = refs.to_bytes();
        let nothing = BlobListSummary { digest: Digest::of(b""), count: 0, content_bytes: 0 };
        let mut statement = Statement::new(name, nothing, Blob::of(&refs_bytes));
        statement.upgrade_from = vec![format!("1.{}", sequence - 1).parse().unwrap()];
        change(&mut statement, &mut blob_list);
        statement.blob_list = BlobListSummary::of(&blob_list);
        let statement_bytes = statement.to_bytes();
        let signatures = vendor.signature(&statement_bytes).iter().cloned().collect();
        let signers = vec![vendor.key.public().id()];
        let release =
            Release { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes };
        Self { release, blobs, trusted: (&vendor.root).into() }
    }

    /// Packs it into `dir`.
    pub(crate) fn pack(&self, vendor: &Vendor, dir: &Path) -> PathBuf {
        let name = format!("acme-{}.tar.zst", self.release.statement.version);
        pack(vendor, &dir.join(name), &[self], &[])
    }
}

/// Packs several releases into one archive, without what the bases have.
pub(crate) fn pack(vendor: &Vendor, target: &Path, offers: &[&Offer], bases: &[&Offer]) -> PathBuf {
    let releases: Vec<Release> = offers.iter().map(|offer| offer.release.clone()).collect();
    let left_out = LeftOut {
        needs: bases.iter().map(|base| NeededRelease::from(&base.release)).collect(),
        blobs: bases.iter().flat_map(|base| base.blobs.keys().copied()).collect(),
    };
    let layout = Layout::plan_delta(&releases, left_out, |_| Storing::Stored).unwrap();
    let packer = Packer::open(target, layout, &Unwatched).unwrap();
    let contents: BTreeMap<Digest, &Vec<u8>> =
        offers.iter().flat_map(|offer| offer.blobs.iter().map(|(digest, bytes)| (*digest, bytes))).collect();
    for blob in packer.missing() {
        copy_blob(blob, &mut contents[&blob.digest].as_slice(), &packer, &Unwatched).unwrap();
    }
    let mut roots = RootChain::default();
    vendor.roots().for_each(|root| roots.insert("root.json", root.clone()).unwrap());
    let mut signatures = vendor.root_signatures();
    let of_releases = releases.iter().flat_map(|release| &release.signatures);
    of_releases.for_each(|signature| signatures.push(signature.clone()));
    let front = Front { releases: &releases, roots, signatures };
    packer
        .finish(front, 1, |packing| Ok(vec![Signature::sign(packing, &vendor.key)?]), &Unwatched)
        .unwrap()
        .path
}

impl Source for Offer {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn releases(&self) -> &[Release] {
        std::slice::from_ref(&self.release)
    }

    fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    fn signatures(&self) -> Vec<Signature> {
        self.release.signatures.clone()
    }

    fn copy_blobs(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), sealift_archive::Error> {
        for digest in wanted {
            progress.go_on()?;
            let content = &self.blobs[digest];
            let mut writer = sink.open(Blob::of(content))?;
            writer.write(content)?;
            progress.advance(content.len() as u64);
            writer.finish()?;
        }
        Ok(())
    }
}

/// Names for the first three of these: an image, a chart under two names, and a file.
fn names_for(blobs: &BTreeMap<Digest, Vec<u8>>) -> Refs {
    const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
    let mut refs = Refs::default();
    let mut name = |content: &[u8], name: &str, artifact_type| {
        let named = descriptor(content, MANIFEST_TYPE, artifact_type);
        let info = ManifestInfo { media_type: named.media_type.clone(), size: named.size };
        refs.manifests.insert(named.digest, info);
        refs.images.insert(name.parse().unwrap(), named);
    };
    let mut contents = blobs.values();
    if let Some(image) = contents.next() {
        name(image, "ghcr.io/acme/app:1", None);
    }
    if let Some(chart) = contents.next() {
        name(chart, "ghcr.io/acme/charts/app:1", Some(CHART_TYPE));
        name(chart, "sealift.internal/charts/app:1", Some(CHART_TYPE));
    }
    if let Some(file) = contents.next() {
        refs.files.insert("docs/notes.txt".parse().unwrap(), descriptor(file, "text/plain", None));
    }
    refs
}

fn descriptor(content: &[u8], media_type: &str, artifact_type: Option<&str>) -> Descriptor {
    let (Blob { digest, size }, media_type) = (Blob::of(content), media_type.to_owned());
    let artifact_type = artifact_type.map(str::to_owned);
    Descriptor { media_type, digest, size, artifact_type, annotations: BTreeMap::new() }
}

/// Content that differs for each number.
pub(crate) fn contents(numbers: std::ops::Range<u64>, size: usize) -> Vec<Vec<u8>> {
    numbers.map(|number| number.to_le_bytes().iter().copied().cycle().take(size).collect()).collect()
}
