//! One of the two things that are compared: a lock, or a bundle that carries one release.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealift_archive::release::{Kind, ObjectId};
use sealift_archive::{
    AnyDigest, BlobList, Bundle, Digest, FileName, Reference, Refs, Release, RepositoryName, Source as _,
};

use super::packages::{self, Packages};
use crate::Error;
use crate::image::manifest::Manifest;
use crate::lock::Lock;
use crate::sbom::Bill;
use crate::statement;

/// What is compared.
#[derive(Debug)]
pub struct Side {
    /// What people call it.
    pub title: String,
    pub(super) artifacts: BTreeMap<Reference, Artifact>,
    pub(super) files: BTreeMap<FileName, Artifact>,
    pub(super) git: BTreeMap<RepositoryName, BTreeMap<String, ObjectId>>,
    pub(super) packages: Option<Packages>,
    pub(super) blobs: BlobList,
}

/// An image, chart, Flux artifact or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) kind: Option<Kind>,
    pub(super) digest: Digest,
    /// All of its content, in bytes.
    pub(super) bytes: u64,
}

impl Side {
    /// A lock.
    ///
    /// # Errors
    /// If the lock contradicts itself.
    pub fn of_lock(path: &Path, lock: &Lock) -> Result<Self, Error> {
        let (refs, blobs) = statement::content(lock)?;
        let sizes: BTreeMap<Digest, u64> = lock
            .images
            .iter()
            .map(|image| {
                let content = image.manifests.iter().chain(&image.blobs);
                (image.target.digest, content.map(|c| c.size).sum())
            })
            .collect();
        let size_of = |digest: &Digest| Ok(sizes.get(digest).copied().unwrap_or_default());
        Self::new(path.display().to_string(), &refs, blobs, size_of)
    }

    /// The release of a bundle, or the newest if there are several.
    ///
    /// # Errors
    /// A bundle without a release, or damage.
    pub fn of_bundle(path: &Path, bundle: &Bundle) -> Result<Self, Error> {
        let Some(release) = bundle.releases().last() else {
            return Err(Error::NoRelease { bundle: path.to_owned() });
        };
        let title = release.statement.name().to_string();
        let size_of = |digest: &Digest| weigh(bundle, release, *digest);
        Self::new(title, &release.refs, release.blob_list.clone(), size_of)
    }

    /// The same with the packages in its images.
    #[must_use]
    pub fn with_packages(self, bill: &Bill) -> Self {
        Self { packages: Some(packages::of(bill)), ..self }
    }

    fn new(
        title: String,
        refs: &Refs,
        blobs: BlobList,
        size_of: impl Fn(&Digest) -> Result<u64, Error>,
    ) -> Result<Self, Error> {
        let artifact = |(name, descriptor): (&Reference, &sealift_archive::release::Descriptor)| {
            let (kind, digest) = (Some(Kind::of(name, descriptor)), descriptor.digest);
            Ok((name.clone(), Artifact { kind, digest, bytes: size_of(&digest)? }))
        };
        let file = |(name, d): (&FileName, &sealift_archive::release::Descriptor)| {
            (name.clone(), Artifact { kind: None, digest: d.digest, bytes: d.size })
        };
        Ok(Self {
            title,
            artifacts: refs.images.iter().map(artifact).collect::<Result<_, Error>>()?,
            files: refs.files.iter().map(file).collect(),
            git: refs.git.iter().map(|(name, git)| (name.clone(), git.refs.clone())).collect(),
            packages: None,
            blobs,
        })
    }
}

/// The size of all content below a manifest, each piece once.
fn weigh(bundle: &Bundle, release: &Release, top: Digest) -> Result<u64, Error> {
    let mut content = BTreeMap::new();
    let (mut open, mut seen) = (vec![top], BTreeSet::new());
    while let Some(digest) = open.pop() {
        let Some(info) = release.refs.manifests.get(&digest).filter(|_| seen.insert(digest)) else {
            continue;
        };
        let mut bytes = Vec::new();
        bundle.read_blob(&digest, &mut bytes)?;
        let manifest = Manifest::parse(&digest.to_string(), &info.media_type, &bytes)?;
        content.insert(AnyDigest::from(digest), info.size);
        content.extend(manifest.blobs.iter().map(|blob| (blob.digest, blob.size)));
        open.extend(manifest.children.iter().filter_map(|child| release.refs.digest_of(child.digest)));
    }
    Ok(content.values().sum())
}
