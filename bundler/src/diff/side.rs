//! One of the two things that are compared: a lock, or a bundle that carries one release.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealift_archive::release::{Kind, ObjectId};
use sealift_archive::{
    AnyDigest, Blob, BlobList, Bundle, Digest, FileName, Reference, Refs, Release, RepositoryName,
};

use super::packages::{self, Packages};
use crate::Error;
use crate::image::Content;
use crate::image::manifest::Manifest;
use crate::lock::Lock;
use crate::sbom::Bill;
use crate::statement;

/// How much of a tag names the manifest that something is attached to: `sha256-` or `sha512-`, and 64 digits.
const STEM_LEN: usize = 71;

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
    /// All of its content and all that is attached to it, in bytes.
    pub(super) bytes: u64,
}

impl Side {
    /// A lock.
    ///
    /// # Errors
    /// If the lock contradicts itself.
    pub fn of_lock(path: &Path, lock: &Lock) -> Result<Self, Error> {
        let (refs, blobs) = statement::content(lock)?;
        // An image with two names is locked twice, and may have been signed under either.
        let mut carried: BTreeMap<Digest, BTreeSet<Blob>> = BTreeMap::new();
        for image in lock.all_images() {
            carried.entry(image.target.digest).or_default().extend(image.contents().map(Content::blob));
        }
        let size_of =
            |digest: &Digest| Ok(carried.get(digest).into_iter().flatten().map(|blob| blob.size).sum());
        Self::new(path.display().to_string(), &refs, blobs, size_of)
    }

    /// A release of a bundle.
    ///
    /// # Errors
    /// The archive's `NotCarried` for a delta without the manifests, or damage.
    pub fn of_release(bundle: &Bundle, release: &Release) -> Result<Self, Error> {
        let title = release.statement.name().to_string();
        let attached = Attached::of(release);
        let size_of = |digest: &Digest| weigh(bundle, release, &attached, *digest);
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

/// What is attached to manifests by tags.
struct Attached<'a>(BTreeMap<&'a str, Vec<Digest>>);

impl<'a> Attached<'a> {
    fn of(release: &'a Release) -> Self {
        let mut by_stem: BTreeMap<&str, Vec<Digest>> = BTreeMap::new();
        for (name, descriptor) in &release.refs.images {
            if Kind::of(name, descriptor) == Kind::Attachment
                && let Some(stem) = name.tag().and_then(|tag| tag.get(..STEM_LEN))
            {
                by_stem.entry(stem).or_default().push(descriptor.digest);
            }
        }
        Self(by_stem)
    }

    /// What is attached to the manifest of this name.
    fn to(&self, name: AnyDigest) -> impl Iterator<Item = Digest> {
        let mut stem = name.to_string().replace(':', "-");
        stem.truncate(STEM_LEN);
        self.0.get(stem.as_str()).into_iter().flatten().copied()
    }
}

/// The size of all content below a manifest and of what is attached to it, each piece once: what a lock counts, too.
fn weigh(bundle: &Bundle, release: &Release, attached: &Attached<'_>, top: Digest) -> Result<u64, Error> {
    let refs = &release.refs;
    let mut content = BTreeSet::new();
    let mut open = vec![top];
    while let Some(digest) = open.pop() {
        let Some(info) = refs.manifests.get(&digest).filter(|_| content.insert(digest)) else {
            continue;
        };
        let mut bytes = Vec::new();
        bundle.read_blob(&digest, &mut bytes)?;
        let manifest = Manifest::parse(&digest.to_string(), &info.media_type, &bytes)?;
        content.extend(manifest.blobs.iter().filter_map(|blob| refs.digest_of(blob.digest)));
        open.extend(manifest.children.iter().filter_map(|child| refs.digest_of(child.digest)));
        open.extend(refs.referrers.get(&digest).into_iter().flatten().map(|referrer| referrer.digest));
        let aliases = refs.aliases.iter().filter(|(_, named)| **named == digest);
        let names = aliases.map(|(alias, _)| AnyDigest::from(*alias)).chain([digest.into()]);
        open.extend(names.flat_map(|name| attached.to(name)));
    }
    Ok(content.iter().filter_map(|digest| release.blob_list.size(digest)).sum())
}
