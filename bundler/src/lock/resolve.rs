//! From references to digests: every image is asked for once, all at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::task::spawn_blocking;
use url::Url;

use sealift_archive::{Blob, FileName, Progress, Reference};
use sealift_fetch::Client;

use super::artifacts::{Charts, resolve_flux};
use super::{Content, Lock, LockedChart, LockedFile, LockedGit, LockedImage};
use crate::Error;
use crate::chart::Repository;
use crate::check;
use crate::definition::{
    Asset, Chart, ChartSource, Definition, Git, GitSource, Image, ImageSource, Location, OsArtifact,
};
use crate::discover::Helm;
use crate::files::{Finder, media_type_of};
use crate::git::{self, Pinned, folder};
use crate::image::{Scope, resolve_image};
use crate::k3s::{self, K3s};
use crate::statement;

/// The branch of a folder that names none.
const DEFAULT_BRANCH: &str = "main";
/// Folder of artifacts of the operating system among the files of a release.
const OS_FOLDER: &str = "os";

/// Images that are resolved at a time. The client bounds the requests to each registry; this bounds memory.
const IMAGES_AT_A_TIME: usize = 32;

/// What to resolve, and with what.
pub struct Order<'a> {
    /// Asks registries and web servers.
    pub client: &'a Client,
    /// What is resolved.
    pub definition: &'a Definition,
    /// The file that it was read from.
    pub file: &'a Path,
    /// The lock of an earlier release, whose Git packs are built upon.
    pub previous: Option<&'a Lock>,
    /// Date of Git commits that are made from folders, in seconds since 1970.
    pub date: u64,
    /// Whether Git may speak plain HTTP to hosts that are not this machine; the client has its own word on that.
    pub plain_http: bool,
    /// Learns how many bytes have passed, and may stop it.
    pub progress: Arc<dyn Progress>,
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("file", &self.file).field("date", &self.date).finish_non_exhaustive()
    }
}

impl Order<'_> {
    fn base(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

/// Resolves everything that a definition names. An image that leads to what one in the lock beside `file` led to is taken
/// from there, and only what refers to it is asked for again.
///
/// # Errors
/// All that is wrong, together: what registries, servers, layouts or git answer; names that stand twice; platforms that
/// are not there; files that are not what they should be.
pub async fn resolve(order: &Order<'_>) -> Result<Lock, Error> {
    let &Order { client, definition, file, .. } = order;
    let base = order.base();
    let finder = Finder { client, base, progress: &order.progress };
    let mut lock = Lock::new(definition);
    let mut errors = Vec::new();

    let k3s = match definition.kubernetes.as_ref().and_then(|k| k.files.as_ref()) {
        // What is wrong with one of its files is no reason not to ask for the images that another one names.
        Some(files) => {
            let (k3s, wrong) = k3s::resolve(files, finder).await;
            errors.extend(wrong);
            k3s
        }
        None => K3s::default(),
    };
    let images = images_of(definition, &k3s, &mut lock.system_images, &mut errors);
    let known = Lock::known_images(file, definition);
    let scope = Scope { client, platforms: definition.platforms.chosen(), base, known: &known };
    let repositories = open_repositories(client, definition, &mut errors).await;
    let charts = Charts { client, base, date: order.date };
    let flux = definition.flux.iter().map(|flux| resolve_flux(flux, base, &definition.version));
    let (images, flux, charts, files, git) = tokio::join!(
        resolve_images(scope, &images),
        join_all(flux),
        join_all(definition.charts.iter().map(|chart| resolve_chart(scope, charts, &repositories, chart))),
        resolve_files(definition, k3s, finder),
        resolve_git(order, order.previous)
    );
    keep_good(images, &mut lock.images, &mut errors);
    keep_good(charts.into_iter().filter_map(Result::transpose), &mut lock.charts, &mut errors);
    keep_good(files, &mut lock.files, &mut errors);
    keep_good(git, &mut lock.git, &mut errors);
    keep_good(flux, &mut lock.flux, &mut errors);
    for artifact in definition.os.iter().flat_map(|os| &os.artifacts) {
        match resolve_os_artifact(artifact, finder).await {
            Ok((blob, carried)) => {
                lock.os_artifacts.insert(artifact.name.clone(), blob);
                lock.files.extend(carried);
            }
            Err(error) => errors.push(error),
        }
    }
    expect_consistent(&lock, &mut errors);
    Error::all(errors).map_or(Ok(lock), Err)
}

/// The same with the images besides that charts and folders name and the definition does not.
///
/// # Errors
/// As [`resolve`] and [`check::check`], and all that is wrong with those images.
pub async fn resolve_with_named(order: &Order<'_>, helm: Option<&Helm>) -> Result<Lock, Error> {
    let mut lock = resolve(order).await?;
    let &Order { client, definition, file, .. } = order;
    let names = check::unlisted(&check::Order { client, definition, file, lock: &lock, helm }).await?;
    let images: Vec<Image> =
        names.into_iter().map(|name| Image::new(name.clone(), ImageSource::Registry(name))).collect();
    let known = Lock::known_images(file, definition);
    let scope = Scope { client, platforms: definition.platforms.chosen(), base: order.base(), known: &known };
    let mut errors = Vec::new();
    keep_good(resolve_images(scope, &images).await, &mut lock.images, &mut errors);
    expect_consistent(&lock, &mut errors);
    Error::all(errors).map_or(Ok(lock), Err)
}

/// Finds what would make it no release. Only if no name stands twice: what else is said then has that as its cause.
fn expect_consistent(lock: &Lock, errors: &mut Vec<Error>) {
    let told = errors.len();
    lock.expect_apart(errors);
    if errors.len() == told {
        errors.extend(statement::content(lock).err());
    }
}

async fn resolve_images(scope: Scope<'_>, images: &[Image]) -> Vec<Result<LockedImage, Error>> {
    let resolving = stream::iter(images).map(|image| resolve_one(scope, image));
    resolving.buffered(IMAGES_AT_A_TIME).collect().await
}

async fn resolve_one(scope: Scope<'_>, image: &Image) -> Result<LockedImage, Error> {
    resolve_image(scope, image).await.map_err(Error::Several)
}

/// `None` if its repository could not be opened, which has been told already.
async fn resolve_chart(
    scope: Scope<'_>,
    charts: Charts<'_>,
    repositories: &BTreeMap<Url, Repository>,
    chart: &Chart,
) -> Result<Option<LockedChart>, Error> {
    match &chart.source {
        ChartSource::Repository { url, name, version } => match repositories.get(url) {
            Some(repository) => charts.download(chart, repository, name, version).await.map(Some),
            None => Ok(None),
        },
        ChartSource::Oci(reference) => {
            let image = Image::new(reference.clone(), ImageSource::Registry(reference.clone()));
            charts.adopt(chart, reference, resolve_one(scope, &image).await?).await.map(Some)
        }
        ChartSource::Path(path) => charts.pack(chart, path).await.map(Some),
    }
}

/// Each chart repository once, however many charts come from it.
async fn open_repositories(
    client: &Client,
    definition: &Definition,
    errors: &mut Vec<Error>,
) -> BTreeMap<Url, Repository> {
    let urls: BTreeSet<&Url> = definition
        .charts
        .iter()
        .filter_map(|chart| match &chart.source {
            ChartSource::Repository { url, .. } => Some(url),
            _ => None,
        })
        .collect();
    let opened = join_all(urls.iter().map(|url| Repository::open(client, url))).await;
    let mut repositories = BTreeMap::new();
    for (url, repository) in urls.into_iter().zip(opened) {
        match repository {
            Ok(repository) => drop(repositories.insert(url.clone(), repository)),
            Err(error) => errors.push(error),
        }
    }
    repositories
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
fn images_of(
    definition: &Definition,
    k3s: &K3s,
    system: &mut BTreeSet<Reference>,
    errors: &mut Vec<Error>,
) -> Vec<Image> {
    let mut names = BTreeSet::new();
    let mut images = Vec::new();
    for image in &definition.images {
        if names.insert(&image.name) {
            images.push(image.clone());
        } else {
            errors.push(Error::NameTwice { name: image.name.to_string() });
        }
    }
    for name in k3s.images.iter().filter(|name| names.insert(*name)) {
        system.insert(name.clone());
        images.push(Image::new(name.clone(), ImageSource::Registry(name.clone())));
    }
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
    LockedFile { name, source, content: Content::new(media_type, blob) }
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
        let (plain_http, progress) = (order.plain_http, Arc::clone(&order.progress));
        let resolving = move || match &git.source {
            GitSource::Folder(path) => pack_folder(&git, &base.join(path), date, &*progress),
            GitSource::Repository { url, reference } => {
                let repository = git::Repository::new(url, reference, &base)?.with_plain_http(plain_http);
                pin_repository(&git, &repository, earlier.as_ref(), &*progress)
            }
        };
        async { spawn_blocking(resolving).await.unwrap_or_else(|e| Err(std::io::Error::other(e).into())) }
    });
    join_all(resolving).await
}

fn pack_folder(git: &Git, folder: &Path, date: u64, progress: &dyn Progress) -> Result<LockedGit, Error> {
    let branch = git.branch.as_deref().unwrap_or(DEFAULT_BRANCH);
    let packed = folder::pack(folder, &format!("refs/heads/{branch}"), date, progress)?;
    Ok(locked_git(git, packed.pinned(), Some(date)))
}

fn pin_repository(
    git: &Git,
    repository: &git::Repository,
    earlier: Option<&Pinned>,
    progress: &dyn Progress,
) -> Result<LockedGit, Error> {
    let scratch = std::env::temp_dir();
    let (pinned, _) = repository.resolve(git.branch.as_deref(), earlier, &scratch, progress)?;
    Ok(locked_git(git, pinned, None))
}

fn locked_git(git: &Git, pinned: Pinned, date: Option<u64>) -> LockedGit {
    LockedGit { name: git.name.clone(), source: git.source.clone(), date, pinned }
}
