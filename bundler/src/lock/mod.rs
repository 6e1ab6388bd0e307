//! `RELEASE.lock.json`: every reference of a definition, resolved to digests and sizes. Meant to be committed.
//!
//! From the lock alone follows everything that is signed and packed; `sealift bundle` asks a registry for content by
//! digest and for nothing else.

mod artifacts;
mod locked;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use sealift_archive::format::MAX_BLOB_BYTES;
use sealift_archive::format::layout::Storing;
use sealift_archive::release::{API_VERSION, MAX_REFS_BYTES};
use sealift_archive::{Blob, Digest, FileName, Platform, Reference, Unwatched, durable, json};
use sealift_fetch::{Origin, Wanted};

use crate::definition::{Definition, GitSource, Location};
use crate::files::read_capped;
use crate::git::folder;
pub use crate::image::{Content, LockedImage};
use crate::local::Local;
use crate::{Error, image, statement};
pub use artifacts::{LockedChart, LockedFlux};
pub use locked::{LockedFile, LockedGit};

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
    /// Those of them that only the image list of Kubernetes names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub system_images: BTreeSet<Reference>,
    /// Charts, in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<LockedChart>,
    /// Flux artifacts, in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flux: Vec<LockedFlux>,
    /// Git repositories, in the order of the definition.
    pub git: Vec<LockedGit>,
    /// Plain files: those of Kubernetes first, then in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedFile>,
    /// Artifacts of the operating system, carried or not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub os_artifacts: BTreeMap<FileName, Blob>,
}

/// The part of a lock that all versions of Sealift write alike.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    api_version: String,
    kind: String,
}

impl Lock {
    fn new(definition: &Definition) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            definition: definition.digest(),
            platforms: definition.platforms.chosen().map(<[_]>::to_vec),
            images: Vec::new(),
            system_images: BTreeSet::new(),
            charts: Vec::new(),
            flux: Vec::new(),
            git: Vec::new(),
            files: Vec::new(),
            os_artifacts: BTreeMap::new(),
        }
    }

    /// The images of the lock beside `file`, by what they lead to, if it chose the same platforms: the rest follows from
    /// that and need not be asked for again, whatever the image is called now. A lock that cannot be read tells nothing.
    #[must_use]
    pub fn known_images(file: &Path, definition: &Definition) -> HashMap<Digest, LockedImage> {
        let lock = Self::load(&Self::path_of(file)).ok();
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
        if !path.exists() {
            return Err(Error::NoLock { lock: path, definition: file.to_owned() });
        }
        let lock = Self::load(&path)?;
        if lock.definition != definition.digest() {
            let why = "the definition has changed since".to_owned();
            return Err(Error::StaleLock { lock: path, definition: file.to_owned(), why });
        }
        Ok(lock)
    }

    /// Reads a lock, whatever definition it belongs to.
    ///
    /// # Errors
    /// [`Error::OtherLock`] if another version of Sealift made it, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let bytes = read_capped(path, MAX_LOCK_BYTES as u64)?;
        let form: Form = json::parse(&name, &bytes, MAX_LOCK_BYTES)?;
        if form.api_version != API_VERSION || form.kind != KIND {
            return Err(Error::OtherLock {
                lock: path.to_owned(),
                form: format!("{} {}", form.api_version, form.kind),
            });
        }
        let lock: Self = json::parse(&name, &bytes, MAX_LOCK_BYTES)?;
        if let Some(huge) = lock.contents().find(|content| content.size > MAX_BLOB_BYTES) {
            let what = huge.digest.to_string();
            return Err(
                sealift_archive::Error::TooLarge { what, size: huge.size, limit: MAX_BLOB_BYTES }.into()
            );
        }
        Ok(lock)
    }

    /// Two things of the release that would have one name, or names that differ only in case.
    fn expect_apart(&self, errors: &mut Vec<Error>) {
        let mut charts = BTreeMap::new();
        for chart in &self.charts {
            if let Some(other) = charts.insert(chart.served.name(), &chart.source) {
                let (one, other) = (chart.source.to_string(), other.to_string());
                errors.push(Error::TwoCharts { name: chart.served.name(), one, other });
            }
        }
        let mut names = BTreeMap::new();
        for file in &self.files {
            if let Some(other) = names.insert(file.name.as_str().to_ascii_lowercase(), &file.name) {
                let (one, other) = (file.name.to_string(), other.to_string());
                errors.push(if one == other {
                    Error::NameTwice { name: one }
                } else {
                    Error::NamesAlike { one, other }
                });
            }
        }
        // Sorted, what is in a folder follows it, with at most names between that begin like it.
        for (name, file) in &names {
            let folder = format!("{name}/");
            if let Some((_, inside)) =
                names.range(folder.clone()..).next().filter(|(n, _)| n.starts_with(&folder))
            {
                let (file, inside) = (file.to_string(), inside.to_string());
                errors.push(Error::FileAndFolder { file, inside });
            }
        }
    }

    /// What of the content lies on this machine. Folders are packed again and layouts looked into, and the lock is refused
    /// if they are not what was locked; files are looked at when they are copied.
    ///
    /// # Errors
    /// [`Error::StaleLock`], or what is wrong with a folder or layout.
    pub(crate) fn local(&self, file: &Path) -> Result<Local, Error> {
        let base = file.parent().unwrap_or(Path::new(""));
        let stale =
            |why: String| Error::StaleLock { lock: Self::path_of(file), definition: file.to_owned(), why };
        let mut local = Local::default();
        // A folder, layout or file that is gone does no harm as long as nothing of it is missing: all of it may lie in
        // an earlier bundle.
        let is_there = |path: &Path| base.join(path).exists();
        for git in &self.git {
            // A repository's packs are made again only if they are missing in the end: that needs a clone.
            let GitSource::Folder(path) = &git.source else { continue };
            if !is_there(path) {
                continue;
            }
            let date = git.date.unwrap_or_default();
            // Nothing here looks at a flag, so nobody sets one: a signal ends the process.
            let packed = folder::pack(&base.join(path), &git.pinned.head, date, &Unwatched)?;
            let now = packed.pinned();
            if now.refs != git.pinned.refs {
                return Err(stale(format!("folder `{}` has changed since", path.display())));
            }
            if now != git.pinned {
                let why = "packs the same content into other bytes than where it was locked";
                return Err(stale(format!("`git` on this machine {why} (folder `{}`)", path.display())));
            }
            packed.move_to(&mut local);
        }
        for image in &self.images {
            let Some(path) = image.source.path().filter(|path| is_there(path)) else { continue };
            let Some((layout, found)) = image::local(&image.source, base)? else { continue };
            if found.digest != image.target.name() {
                return Err(stale(format!("`{}` holds another `{}`", path.display(), image.name)));
            }
            image.local().for_each(|content| layout.hand_over(content, &mut local));
        }
        local.extend(self.local_charts(file)?);
        for flux in self.flux.iter().filter(|flux| is_there(&flux.path)) {
            let why = || stale(format!("folder `{}` has changed since", flux.path.display()));
            local.extend(flux.local(base)?.ok_or_else(why)?);
        }
        for LockedFile { source, content, .. } in &self.files {
            let Location::Path(path) = source else { continue };
            let path = base.join(path);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.len() != content.size => return Err(Error::Changed { path }),
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                Err(_) => {}
                Ok(_) => local.add_file(content.blob(), path, 0),
            }
        }
        Ok(local)
    }

    /// The charts among it, and what was made of those that lie on servers.
    ///
    /// # Errors
    /// As [`Lock::local`].
    pub(crate) fn local_charts(&self, file: &Path) -> Result<Local, Error> {
        let base = file.parent().unwrap_or(Path::new(""));
        let mut local = Local::default();
        for chart in &self.charts {
            local.extend(chart.local(base)?.ok_or_else(|| Error::StaleLock {
                lock: Self::path_of(file),
                definition: file.to_owned(),
                why: format!("chart `{}` has changed since", chart.source),
            })?);
        }
        Ok(local)
    }

    /// Where all content is fetched from that lies on servers; content of several origins comes several times.
    ///
    /// # Errors
    /// [`image::Error::BadImage`] for an address that is none.
    pub fn remote(&self) -> Result<Vec<Wanted>, Error> {
        let mut wanted = Vec::new();
        for image in self.all_images() {
            wanted.extend(image.wanted()?);
        }
        wanted.extend(self.files.iter().filter_map(|file| match &file.source {
            Location::Url(url) => {
                Some(Wanted { blob: file.content.blob(), alias: None, origin: Origin::Url(url.clone()) })
            }
            Location::Path(_) => None,
        }));
        Ok(wanted)
    }

    /// Checks that nothing is missing: whatever is not at hand has to lie on a server, or come from a repository.
    ///
    /// # Errors
    /// [`Error::Nowhere`] for each image, chart, folder and file that is not complete; an address that is none.
    pub(crate) fn expect_complete(&self, is_at_hand: impl Fn(&Digest) -> bool) -> Result<(), Error> {
        let remote: HashSet<Digest> = self.remote()?.into_iter().map(|wanted| wanted.blob.digest).collect();
        let errors = self.parts().filter_map(|(what, mut digests)| {
            digests.retain(|digest| !is_at_hand(digest) && !remote.contains(digest));
            (!digests.is_empty()).then_some(Error::Nowhere { what, digests })
        });
        Error::all(errors.collect()).map_or(Ok(()), Err)
    }

    /// What the release is made of and where each part comes from, in words, with its content. Repositories are left
    /// out: their packs are made again from a clone.
    fn parts(&self) -> impl Iterator<Item = (String, Vec<Digest>)> + '_ {
        let digests = |image: &LockedImage| image.contents().map(|content| content.digest).collect();
        let images = self.images.iter().map(move |image| (format!("image `{}`", image.name), digests(image)));
        let charts =
            self.charts.iter().map(move |chart| (format!("chart `{}`", chart.source), digests(&chart.image)));
        let flux = self
            .flux
            .iter()
            .map(move |flux| (format!("folder `{}`", flux.path.display()), digests(&flux.image)));
        let git = self.git.iter().filter_map(|git| match &git.source {
            GitSource::Folder(path) => {
                let packs = git.pinned.packs.iter().map(|pack| pack.blob.digest);
                Some((format!("folder `{}`", path.display()), packs.collect()))
            }
            GitSource::Repository { .. } => None,
        });
        let files =
            self.files.iter().map(|file| (format!("file `{}`", file.source), vec![file.content.digest]));
        images.chain(charts).chain(flux).chain(git).chain(files)
    }

    /// Everything that a registry serves: images, charts, Flux artifacts.
    pub fn all_images(&self) -> impl Iterator<Item = &LockedImage> {
        let charts = self.charts.iter().map(|chart| &chart.image);
        self.images.iter().chain(charts).chain(self.flux.iter().map(|flux| &flux.image))
    }

    /// Writes the lock beside its definition, durably, unless nobody could read it or what is drawn up from it.
    ///
    /// # Errors
    /// A lock that is too large or contradicts itself, as [`statement::content`] says; I/O.
    pub fn write(&self, file: &Path) -> Result<PathBuf, Error> {
        let path = Self::path_of(file);
        let bytes = json::to_document(self);
        expect_at_most(MAX_LOCK_BYTES, &bytes, &path.display().to_string())?;
        let (refs, _) = statement::content(self)?;
        expect_at_most(MAX_REFS_BYTES, &refs.to_bytes(), "refs.json")?;
        durable::write(&path, &bytes)?;
        Ok(path)
    }

    /// Every piece of content, with its media type.
    pub fn contents(&self) -> impl Iterator<Item = Content> + '_ {
        let images = self.all_images().flat_map(|image| image.contents().cloned());
        let packs = self.git.iter().flat_map(|git| &git.pinned.packs);
        let packs = packs.map(|pack| Content::new(PACK_MEDIA_TYPE, pack.blob));
        let files = self.files.iter().map(|file| file.content.clone());
        images.chain(packs).chain(files)
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

/// Refuses to write what would not be read.
fn expect_at_most(limit: usize, bytes: &[u8], what: &str) -> Result<(), Error> {
    if bytes.len() <= limit {
        return Ok(());
    }
    let (what, size, limit) = (what.to_owned(), bytes.len() as u64, limit as u64);
    Err(sealift_archive::Error::TooLarge { what, size, limit }.into())
}

#[cfg(test)]
mod tests {
    use sealift_archive::release::Descriptor;
    use sealift_archive::{Error as ArchiveError, Sha512};

    use super::*;

    /// A lock of one image about whose signature much is said.
    fn lock(bytes: usize) -> Lock {
        let target = Content::new("text/manifest", Blob::of(b"image"));
        let said = [("said".to_owned(), "x".repeat(bytes))].into();
        let signature = Descriptor { annotations: said, ..target.descriptor() };
        let name: Reference = "ghcr.io/acme/api:1".parse().unwrap();
        let image = LockedImage {
            source: crate::definition::ImageSource::Registry(name.clone()),
            name,
            manifests: vec![target.clone()],
            referrers: [(target.digest, vec![signature])].into(),
            target,
            blobs: vec![Content { alias: Some(Sha512::of(b"")), ..Content::new("", Blob::of(b"")) }],
            tags: BTreeMap::new(),
        };
        let text = "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.0.0\nsequence: 1\n\
                    platforms: all\nimages: [ghcr.io/acme/api:1]\n";
        let definition = Definition::parse(Path::new("RELEASE.yaml"), text).unwrap();
        Lock { images: vec![image], ..Lock::new(&definition) }
    }

    #[test]
    fn nothing_is_written_that_would_not_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("RELEASE.yaml");
        lock(1000).write(&file).unwrap();
        let before = fs::read(Lock::path_of(&file)).unwrap();
        let error = lock(MAX_LOCK_BYTES).write(&file).unwrap_err();
        assert!(matches!(error, Error::Archive(ArchiveError::TooLarge { .. })), "{error}");
        assert_eq!(fs::read(Lock::path_of(&file)).unwrap(), before);
    }
}
