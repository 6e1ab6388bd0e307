//! From references to digests: every image is asked for once, all at the same time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use sealift_archive::{Blob, Digest, FileName, Platform, Progress, Reference, Unwatched};
use sealift_fetch::{Client, Kind, Origin, Wanted};
use tokio::task::spawn_blocking;

use super::{Content, Lock, LockedFile, LockedGit, LockedImage};
use crate::definition::{Asset, Definition, Git, GitSource, Image, ImageSource, Location, OsArtifact};
use crate::files::{Finder, media_type_of};
use crate::git::{Pinned, Repository, folder};
use crate::image::{self, Child, Manifest};
use crate::in_memory::InMemory;
use crate::k3s::{self, K3s};
use crate::{Error, oci_layout};

/// The branch of a folder that names none.
const DEFAULT_BRANCH: &str = "main";
/// Folder of artifacts of the operating system among the files of a release.
const OS_FOLDER: &str = "os";

/// Images that are resolved at a time. The client bounds the requests to each registry; this bounds memory.
const IMAGES_AT_A_TIME: usize = 32;
/// Indexes of indexes of indexes are somebody's mistake.
const MAX_DEPTH: usize = 4;
/// Largest configuration of an image that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// Most manifests under one reference.
const MAX_MANIFESTS: usize = 256;

/// What to resolve, and with what.
pub(crate) struct Order<'a> {
    /// Asks registries and web servers.
    pub(crate) client: &'a Client,
    /// What is resolved.
    pub(crate) definition: &'a Definition,
    /// The file that it was read from.
    pub(crate) file: &'a Path,
    /// The lock of an earlier release, whose Git packs are built upon.
    pub(crate) previous: Option<&'a Lock>,
    /// Date of Git commits that are made from folders, in seconds since 1970.
    pub(crate) date: u64,
    /// Learns how many bytes have passed, and may stop it.
    pub(crate) progress: Arc<dyn Progress>,
}

impl Order<'_> {
    fn base(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

/// Resolves everything that a definition names. An image that leads to what one in the lock beside `file` led to is taken from there: one request.
///
/// # Errors
/// All that is wrong, together: what registries, servers, layouts or git answer; names that stand twice; platforms that
/// are not there; files that are not what they should be.
pub(crate) async fn resolve(order: &Order<'_>) -> Result<Lock, Error> {
    let &Order { client, definition, file, .. } = order;
    let base = order.base();
    let finder = Finder { client, base, progress: &*order.progress };
    let mut lock = Lock::new(definition);
    let mut errors = Vec::new();

    let k3s = match definition.kubernetes.as_ref().and_then(|k| k.files.as_ref()) {
        Some(files) => k3s::resolve(files, finder).await.unwrap_or_else(|found| {
            errors.extend(found);
            K3s::default()
        }),
        None => K3s::default(),
    };
    let images = images_of(definition, &k3s, &mut errors);
    let known = Lock::known_images(file, definition);
    let platforms = definition.platforms.chosen();
    let resolving = stream::iter(&images)
        .map(|image| resolve_image(client, image, platforms, base, &known))
        .buffered(IMAGES_AT_A_TIME)
        .collect::<Vec<_>>();
    let (images, files, git) =
        tokio::join!(resolving, resolve_files(definition, k3s, finder), resolve_git(order, order.previous));
    keep_good(images, &mut lock.images, &mut errors);
    keep_good(files, &mut lock.files, &mut errors);
    keep_good(git, &mut lock.git, &mut errors);
    for artifact in definition.os.iter().flat_map(|os| &os.artifacts) {
        match resolve_os_artifact(artifact, finder).await {
            Ok((blob, carried)) => {
                lock.os_artifacts.insert(artifact.name.clone(), blob);
                lock.files.extend(carried);
            }
            Err(error) => errors.push(error),
        }
    }
    lock.expect_apart(&mut errors);
    Error::all(errors).map_or(Ok(lock), Err)
}

fn keep_good<T>(
    results: impl IntoIterator<Item = Result<T, Error>>,
    good: &mut Vec<T>,
    errors: &mut Vec<Error>,
) {
    for result in results {
        match result {
            Ok(item) => good.push(item),
            Err(error) => errors.push(error),
        }
    }
}

/// The images of the definition, then those of k3s that it does not name itself.
fn images_of(definition: &Definition, k3s: &K3s, errors: &mut Vec<Error>) -> Vec<Image> {
    let mut names = BTreeSet::new();
    let mut images = Vec::new();
    for image in &definition.images {
        if names.insert(&image.name) {
            images.push(image.clone());
        } else {
            errors.push(Error::NameTwice { name: image.name.to_string() });
        }
    }
    let system = k3s.images.iter().filter(|name| names.insert(*name));
    images
        .extend(system.map(|name| Image { name: name.clone(), source: ImageSource::Registry(name.clone()) }));
    images
}

async fn resolve_files(
    definition: &Definition,
    k3s: K3s,
    finder: Finder<'_>,
) -> Vec<Result<LockedFile, Error>> {
    let of_k3s = k3s.files.into_iter().map(|(name, source, blob)| Ok(locked_file(name, source, blob, None)));
    let of_definition = definition.files.iter().map(|file| async move {
        let blob = finder.measure(&file.asset).await?;
        Ok(locked_file(file.name.clone(), file.asset.location.clone(), blob, file.media_type.clone()))
    });
    of_k3s.chain(join_all(of_definition).await).collect()
}

fn locked_file(name: FileName, source: Location, blob: Blob, media_type: Option<String>) -> LockedFile {
    let media_type = media_type.unwrap_or_else(|| media_type_of(name.as_str()).to_owned());
    LockedFile { name, source, content: Content { media_type, digest: blob.digest, size: blob.size } }
}

async fn resolve_os_artifact(
    artifact: &OsArtifact,
    finder: Finder<'_>,
) -> Result<(Blob, Option<LockedFile>), Error> {
    let location = Location::Path(artifact.path.clone());
    let blob = finder.measure(&Asset { location: location.clone(), sha256: None }).await?;
    if !artifact.carry {
        return Ok((blob, None));
    }
    let name = format!("{OS_FOLDER}/{}", artifact.name).parse()?;
    Ok((blob, Some(locked_file(name, location, blob, None))))
}

/// All repositories at the same time: each waits for a network or a disk of its own.
async fn resolve_git(order: &Order<'_>, previous: Option<&Lock>) -> Vec<Result<LockedGit, Error>> {
    let resolving = order.definition.git.iter().map(|git| {
        let earlier = previous.and_then(|lock| lock.git.iter().find(|locked| locked.name == git.name));
        let earlier = earlier.filter(|locked| matches!(locked.source, GitSource::Repository { .. }));
        let earlier = earlier.map(|locked| locked.pinned.clone());
        let (git, base, date) = (git.clone(), order.base().to_owned(), order.date);
        let progress = Arc::clone(&order.progress);
        let resolving = move || resolve_repository(git, &base, date, earlier.as_ref(), &*progress);
        async { spawn_blocking(resolving).await.unwrap_or_else(|e| Err(std::io::Error::other(e).into())) }
    });
    join_all(resolving).await
}

fn resolve_repository(
    git: Git,
    base: &Path,
    date: u64,
    earlier: Option<&Pinned>,
    progress: &dyn Progress,
) -> Result<LockedGit, Error> {
    let (pinned, date) = match &git.source {
        GitSource::Folder(path) => {
            let branch = git.branch.as_deref().unwrap_or(DEFAULT_BRANCH);
            let head = format!("refs/heads/{branch}");
            (folder::pack(&base.join(path), &head, date)?.pinned(), Some(date))
        }
        GitSource::Repository { url, reference } => {
            let repository = Repository::new(url, reference, base)?;
            let scratch = std::env::temp_dir();
            (repository.resolve(git.branch.as_deref(), earlier, &scratch, progress)?.0, None)
        }
    };
    Ok(LockedGit { name: git.name, source: git.source, date, pinned })
}

/// Where manifests come from.
enum Manifests<'a> {
    Registry(&'a Client, &'a Reference),
    Layout(Box<oci_layout::Layout>),
}

impl Manifests<'_> {
    async fn get(&self, wanted: Content) -> Result<Manifest, Error> {
        let (name, blob) = (self.name_of(wanted.digest), wanted.blob());
        let (media_type, bytes) = match self {
            Self::Registry(client, reference) => {
                let manifest = client.manifest(&reference.at(blob.digest)).await?;
                (manifest.media_type, manifest.bytes)
            }
            Self::Layout(layout) => (wanted.media_type, layout.manifest(blob)?),
        };
        Manifest::parse(&name, &media_type, &bytes)
    }

    /// A small blob, checked.
    async fn blob(&self, content: &Content) -> Result<Vec<u8>, Error> {
        match self {
            Self::Layout(layout) => layout.manifest(content.blob()),
            Self::Registry(client, reference) => {
                let sink = Arc::new(InMemory::default());
                let origin = Origin::Registry { reference: (*reference).clone(), kind: Kind::Blob };
                let wanted = Wanted { blob: content.blob(), origin };
                client.fetch_all(vec![wanted], sink.clone(), Arc::new(Unwatched)).await?;
                Ok(sink.take())
            }
        }
    }

    fn name_of(&self, digest: Digest) -> String {
        match self {
            Self::Registry(_, reference) => reference.at(digest).to_string(),
            Self::Layout(layout) => format!("{digest} in {}", layout.path().display()),
        }
    }
}

async fn resolve_image(
    client: &Client,
    image: &Image,
    platforms: Option<&[Platform]>,
    base: &Path,
    known: &HashMap<Digest, LockedImage>,
) -> Result<LockedImage, Error> {
    let (manifests, top) = match &image.source {
        ImageSource::Registry(reference) => {
            let answer = client.manifest(reference).await?;
            let top = Manifest::parse(&reference.to_string(), &answer.media_type, &answer.bytes)?;
            (Manifests::Registry(client, reference), top)
        }
        ImageSource::OciLayout { path, reference } => {
            let layout = oci_layout::Layout::open(&base.join(path))?;
            let wanted = layout.find(reference.as_deref())?;
            let bytes = layout.manifest(wanted.blob())?;
            let top = Manifest::parse(&image.name.to_string(), &wanted.media_type, &bytes)?;
            (Manifests::Layout(Box::new(layout)), top)
        }
    };
    let target = top.content.clone();
    if image.name.digest().is_some_and(|named| named != target.digest.into()) {
        let why = format!("it leads to {}", target.digest);
        return Err(Error::BadImage { image: image.name.to_string(), why });
    }
    if let Some(known) = known.get(&target.digest).filter(|known| known.target == target) {
        return Ok(LockedImage { name: image.name.clone(), source: image.source.clone(), ..known.clone() });
    }
    expect_platform(&manifests, &image.name, &top, platforms).await?;
    let mut found = Found {
        name: image.name.to_string(),
        platforms,
        manifests: Vec::new(),
        blobs: Vec::new(),
        seen: HashSet::new(),
    };
    found.take(&manifests, top, 0).await?;
    Ok(LockedImage {
        name: image.name.clone(),
        source: image.source.clone(),
        target,
        manifests: found.manifests,
        blobs: found.blobs,
    })
}

/// Refuses an image without an index that is for none of the chosen platforms.
async fn expect_platform(
    from: &Manifests<'_>,
    name: &Reference,
    top: &Manifest,
    platforms: Option<&[Platform]>,
) -> Result<(), Error> {
    let (Some(platforms), Some(config)) = (platforms, top.blobs.first()) else { return Ok(()) };
    if config.size > MAX_CONFIG_BYTES {
        let why = format!("its configuration is {} bytes long", config.size);
        return Err(Error::BadImage { image: name.to_string(), why });
    }
    // Artifacts have configurations of other kinds, and belong to every platform.
    let Some(has) = image::platform_of(&from.blob(config).await?) else { return Ok(()) };
    let child = Child { content: top.content.clone(), platform: Some(has.clone()) };
    match platforms.first() {
        Some(wanted) if !platforms.iter().any(|p| child.is_for(p)) => {
            Err(Error::NoPlatform { image: name.to_string(), platform: wanted.clone(), has })
        }
        _ => Ok(()),
    }
}

/// What was found below one reference, children before their parents.
struct Found<'a> {
    name: String,
    platforms: Option<&'a [Platform]>,
    manifests: Vec<Content>,
    blobs: Vec<Content>,
    seen: HashSet<Digest>,
}

impl Found<'_> {
    fn take<'s>(
        &'s mut self,
        from: &'s Manifests<'_>,
        manifest: Manifest,
        depth: usize,
    ) -> BoxFuture<'s, Result<(), Error>> {
        async move {
            if depth > MAX_DEPTH {
                return Err(self.too_many());
            }
            for blob in manifest.blobs {
                if self.seen.insert(blob.digest) {
                    self.blobs.push(blob);
                }
            }
            let chosen = self.choose(manifest.children)?;
            if self.manifests.len() + chosen.len() > MAX_MANIFESTS {
                return Err(self.too_many());
            }
            let children: Vec<Manifest> = stream::iter(chosen)
                .map(|child| from.get(child))
                .buffered(IMAGES_AT_A_TIME)
                .try_collect()
                .await?;
            for child in children {
                self.take(from, child, depth + 1).await?;
            }
            if self.seen.insert(manifest.content.digest) {
                self.manifests.push(manifest.content);
            }
            Ok(())
        }
        .boxed()
    }

    fn too_many(&self) -> Error {
        let why = "its indexes hold too many manifests, or each other".to_owned();
        Error::BadImage { image: self.name.clone(), why }
    }

    /// The children of an index that are carried. Those without a platform (attestations and the like) belong to
    /// nobody's choice and come along only with `all`.
    fn choose(&self, children: Vec<Child>) -> Result<Vec<Content>, Error> {
        let Some(platforms) = self.platforms.filter(|_| !children.is_empty()) else {
            return Ok(children.into_iter().map(|c| c.content).collect());
        };
        let mut chosen = Vec::new();
        for wanted in platforms {
            let mut matching = children.iter().filter(|c| c.is_for(wanted)).peekable();
            if matching.peek().is_none() {
                let has: Vec<&str> = children.iter().filter_map(|c| c.platform.as_deref()).collect();
                let has = if has.is_empty() { "none that are named".to_owned() } else { has.join(", ") };
                return Err(Error::NoPlatform { image: self.name.clone(), platform: wanted.clone(), has });
            }
            for child in matching {
                if !chosen.contains(&child.content) {
                    chosen.push(child.content.clone());
                }
            }
        }
        Ok(chosen)
    }
}
