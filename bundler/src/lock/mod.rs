//! `RELEASE.lock.json`: every reference of a definition, resolved to digests and sizes. Meant to be committed.
//!
//! From the lock alone follows everything that is signed and packed; `sealift bundle` asks a registry for content by
//! digest and for nothing else.

mod resolve;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use sealift_archive::format::MAX_BLOB_BYTES;
use sealift_archive::format::layout::Storing;
use sealift_archive::release::{API_VERSION, ObjectId, RepositoryName};
use sealift_archive::{Blob, Digest, Platform, durable, json};

use crate::definition::Definition;
use crate::folder::{self, PackedFolder};
pub use crate::image::{Content, LockedImage};
use crate::{Error, image};
pub use resolve::resolve;

const KIND: &str = "Lock";
/// Largest lock, in bytes: a release of 20,000 blobs needs about 5 MB.
const MAX_LOCK_BYTES: usize = 64 << 20;
/// What a lock says about packs; the media type is ours, nobody serves packs by it.
const PACK_MEDIA_TYPE: &str = "application/x-git-packed-objects";

/// A definition with everything pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    api_version: String,
    kind: String,
    /// Identity of the definition that was locked.
    pub definition: Digest,
    /// The platforms that were chosen; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<Platform>>,
    /// Images, in the order of the definition.
    pub images: Vec<LockedImage>,
    /// Git repositories, in the order of the definition.
    pub git: Vec<LockedGit>,
}

/// A folder as a Git repository, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedGit {
    /// The repository's name.
    pub name: RepositoryName,
    /// The folder, relative to the definition.
    pub path: PathBuf,
    /// The branch.
    pub branch: String,
    /// The one commit.
    pub commit: ObjectId,
    /// Its date, in seconds since 1970 (`SOURCE_DATE_EPOCH` when it was locked, else 0).
    pub date: u64,
    /// The one pack.
    pub pack: Blob,
}

impl Lock {
    fn new(definition: &Definition, images: Vec<LockedImage>, git: Vec<LockedGit>) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            definition: definition.digest(),
            platforms: definition.platforms.chosen().map(<[_]>::to_vec),
            images,
            git,
        }
    }

    /// The images of the lock beside `file`, by what they lead to, if it chose the same platforms: the rest follows from
    /// that and need not be asked for again, whatever the image is called now. A lock that cannot be read tells nothing.
    #[must_use]
    pub fn known_images(file: &Path, definition: &Definition) -> HashMap<Digest, LockedImage> {
        let path = Self::path_of(file);
        let lock: Option<Self> = fs::read(&path)
            .ok()
            .and_then(|bytes| json::parse(&path.display().to_string(), &bytes, MAX_LOCK_BYTES).ok());
        lock.filter(|lock| lock.platforms.as_deref() == definition.platforms.chosen())
            .map(|lock| lock.images.into_iter().map(|image| (image.target.digest, image)).collect())
            .unwrap_or_default()
    }

    /// Where the lock of a definition lies: beside it, `RELEASE.yaml` → `RELEASE.lock.json`.
    #[must_use]
    pub fn path_of(definition: &Path) -> PathBuf {
        definition.with_extension("lock.json")
    }

    /// Reads the lock of `definition`, which was read from `file`.
    ///
    /// # Errors
    /// [`Error::NoLock`], [`Error::StaleLock`] if it was made from another definition, or what is wrong with it.
    pub fn read(file: &Path, definition: &Definition) -> Result<Self, Error> {
        let path = Self::path_of(file);
        let stale = |why: &str| Error::StaleLock {
            lock: path.clone(),
            definition: file.to_owned(),
            why: why.to_owned(),
        };
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoLock { lock: path, definition: file.to_owned() });
            }
            read => read?,
        };
        let lock: Self = json::parse(&path.display().to_string(), &bytes, MAX_LOCK_BYTES)?;
        if lock.api_version != API_VERSION || lock.kind != KIND {
            return Err(stale("another version of Sealift made it"));
        }
        if lock.definition != definition.digest() {
            return Err(stale("the definition has changed since"));
        }
        if let Some(huge) = lock.contents().find(|content| content.size > MAX_BLOB_BYTES) {
            let what = huge.digest.to_string();
            return Err(
                sealift_archive::Error::TooLarge { what, size: huge.size, limit: MAX_BLOB_BYTES }.into()
            );
        }
        Ok(lock)
    }

    /// Packs the folders and looks into the layouts again, and refuses the lock if they are not what was locked. Folders
    /// come back packed, by digest.
    ///
    /// # Errors
    /// [`Error::StaleLock`], or what is wrong with a folder or layout.
    pub fn expect_fresh(&self, file: &Path) -> Result<HashMap<Digest, PackedFolder>, Error> {
        let base = file.parent().unwrap_or(Path::new(""));
        let stale =
            |why: String| Error::StaleLock { lock: Self::path_of(file), definition: file.to_owned(), why };
        let mut packs = HashMap::new();
        for git in &self.git {
            let packed = folder::pack(&base.join(&git.path), &git.branch, git.date)?;
            if packed.commit != git.commit {
                return Err(stale(format!("folder `{}` has changed since", git.path.display())));
            }
            if packed.blob() != git.pack {
                let why = "packs the same content into other bytes than where it was locked";
                return Err(stale(format!("`git` on this machine {why} (folder `{}`)", git.path.display())));
            }
            packs.insert(git.pack.digest, packed);
        }
        for image in &self.images {
            // A layout that is gone does no harm as long as nothing of it is missing.
            let Some(path) = image.source.path().filter(|path| base.join(path).exists()) else { continue };
            if let Some((_, found)) = image::local(&image.source, base)?
                && found.digest != image.target.name()
            {
                return Err(stale(format!("`{}` holds another `{}`", path.display(), image.name)));
            }
        }
        Ok(packs)
    }

    /// Writes the lock beside its definition, durably.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, file: &Path) -> Result<PathBuf, Error> {
        let path = Self::path_of(file);
        durable::write(&path, &json::to_document(self))?;
        Ok(path)
    }

    /// Every piece of content, with its media type.
    pub fn contents(&self) -> impl Iterator<Item = Content> + '_ {
        let images = self.images.iter().flat_map(|i| i.contents().cloned());
        let packs = self.git.iter().map(|g| Content::new(PACK_MEDIA_TYPE, g.pack));
        images.chain(packs)
    }

    /// How each piece of content is kept in an archive: by the media type under which it is named first.
    #[must_use]
    pub fn storing(&self) -> HashMap<Digest, Storing> {
        let mut storing = HashMap::new();
        for content in self.contents() {
            storing.entry(content.digest).or_insert_with(|| Storing::of_media_type(&content.media_type));
        }
        storing
    }
}
