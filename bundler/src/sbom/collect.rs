//! From a bundle to its bill of materials: which layers and documents count is planned first; then each layer is read
//! once, in the order of the archive and several at a time; then each image is put together.

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::iter::{IntoParallelIterator as _, ParallelBridge as _, ParallelIterator as _};

use sealift_archive::release::Kind;
use sealift_archive::{Bundle, Digest, Progress, Reference, Release, Source as _};

use super::attached::{self, Listed, Sbom};
use super::database::{Content, Reader, Unreadable};
use super::images::{self, Attachment, Planned};
use super::installed;
use super::layers::{self, Layer, Linked, Scan};
use super::package::{Package, PackageType, text};
use super::room::Room;
use super::{Attached, Bill, Found, Image, Other, OtherKind, OtherVersion};
use crate::{Error, sbom};

/// Layers or documents that are read at a time. Each may hold two frames of the archive, a window of 128 MiB and what is
/// kept of it.
const MAX_AT_A_TIME: usize = 8;
/// Most layers of an image, as Linux's overlayfs has it.
const MAX_LAYERS: usize = 500;

/// What is to be read of a bundle.
#[derive(Debug)]
pub struct Plan<'a> {
    bundle: &'a Bundle,
    only: Option<Reference>,
    releases: Vec<(&'a Release, Vec<Planned>)>,
    layers: BTreeSet<Digest>,
}

impl<'a> Plan<'a> {
    /// Looks at the manifests of a bundle. `only` names the one image that is asked for.
    ///
    /// # Errors
    /// As [`Plan::of_some`].
    pub fn of(bundle: &'a Bundle, only: Option<&Reference>) -> Result<Self, Error> {
        Self::of_some(bundle, bundle.releases(), only)
    }

    /// Looks at the manifests of some releases of a bundle.
    ///
    /// # Errors
    /// [`sbom::Error::NoImage`], the archive's `NotCarried`, damage, or I/O.
    pub fn of_some(
        bundle: &'a Bundle,
        releases: impl IntoIterator<Item = &'a Release>,
        only: Option<&Reference>,
    ) -> Result<Self, Error> {
        let plan = |release| Ok((release, images::of(bundle, release, only)?));
        let releases = releases.into_iter().map(plan).collect::<Result<Vec<_>, Error>>()?;
        if let Some(image) = only.filter(|_| releases.iter().all(|(_, images)| images.is_empty())) {
            let named = releases.iter().flat_map(|(release, _)| &release.refs.images);
            let images = named.filter(|(name, found)| Kind::of(name, found) == Kind::Image);
            let images = images.map(|(name, _)| name.to_string()).collect();
            return Err(sbom::Error::NoImage { image: image.to_string(), images }.into());
        }
        let images = releases.iter().flat_map(|(_, images)| images);
        let images = images.filter(|planned| planned.image.layers.len() <= MAX_LAYERS);
        let layers: BTreeSet<Digest> = images.flat_map(|planned| &planned.image.layers).copied().collect();
        bundle.expect_carried(&layers)?;
        Ok(Self { bundle, only: only.cloned(), releases, layers })
    }

    /// How many bytes of layers will be read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let blobs = self.bundle.contents().entries.iter().map(|entry| entry.blob);
        blobs.filter(|blob| self.layers.contains(&blob.digest)).map(|blob| blob.size).sum()
    }

    /// Reads it: a bill for each release of the bundle.
    ///
    /// # Errors
    /// Damage, I/O, or if somebody asked to stop. What is whole but cannot be read is a warning of its image.
    pub fn read(self, progress: &dyn Progress) -> Result<Vec<Bill>, Error> {
        let threads =
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_AT_A_TIME);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::Io(std::io::Error::other(error)))?;
        pool.install(|| self.read_with_all_threads(progress))
    }

    fn read_with_all_threads(self, progress: &dyn Progress) -> Result<Vec<Bill>, Error> {
        let in_order = self.bundle.contents().entries.iter().map(|entry| entry.blob.digest);
        let in_order = in_order.filter(|digest| self.layers.contains(digest));
        let room = Room::default();
        let read = |digest| Ok((digest, read_layer(self.bundle, &digest, &room, progress)?));
        // Bridged, not split: the next layer of the file is the next one that is read.
        let layers: Layers = in_order.par_bridge().map(read).collect::<Result<_, Error>>()?;
        let mut bills = Vec::new();
        for (release, images) in self.releases {
            let sboms = read_attached(self.bundle, release, &images, progress)?;
            let whole = |planned| put_together(planned, &layers, &sboms, &room, progress);
            let images = images.into_iter().map(whole).collect::<Result<Vec<Image>, Error>>()?;
            bills.push(Bill {
                release: release.statement.name(),
                digest: release.digest(),
                others: if self.only.is_some() { Vec::new() } else { others(release, &images) },
                images,
                only: self.only.clone(),
            });
        }
        Ok(bills)
    }
}

/// Layers that were read, and why others could not be.
type Layers = HashMap<Digest, Result<Layer<Content>, String>>;

fn read_layer(
    bundle: &Bundle,
    digest: &Digest,
    room: &Room,
    progress: &dyn Progress,
) -> Result<Result<Layer<Content>, String>, Error> {
    let mut linked = Linked::new();
    loop {
        let mut stream = bundle.stream_blob(digest, progress)?;
        let mut reader = Reader::default();
        let read = layers::read(&mut stream, &mut reader, &linked);
        // First what is wrong with the archive; only then what is wrong with the layer.
        stream.finish()?;
        match read {
            Ok(Scan::Layer(layer)) => {
                let taken = room.take(reader.weight() + layer.weight());
                return Ok(taken.map(|()| layer).map_err(|why| why.to_string()));
            }
            Ok(Scan::Again(links)) => linked = links,
            // Readers of tars quote names.
            Err(error) => return Ok(Err(text(error.to_string().as_bytes()))),
        }
    }
}

/// Attached documents that were read: an SBOM, something else, or why not.
type Sboms = HashMap<Attachment, Result<Option<Sbom>, Unreadable>>;

fn read_attached(
    bundle: &Bundle,
    release: &Release,
    images: &[Planned],
    progress: &dyn Progress,
) -> Result<Sboms, Error> {
    let wanted: BTreeSet<Attachment> = images.iter().flat_map(|planned| planned.attached.clone()).collect();
    let read = |attachment: Attachment| {
        progress.go_on()?;
        let size = release.blob_list.size(&attachment.document).unwrap_or_default();
        if size > attached::MAX_BYTES {
            let why = format!("it is {size} bytes long, and no more than {} are read", attached::MAX_BYTES);
            return Ok((attachment, Err(Unreadable::new(why))));
        }
        let mut document = Vec::new();
        bundle.read_blob(&attachment.document, &mut document)?;
        Ok((attachment, attached::read(&document, &attachment.subject)))
    };
    wanted.into_par_iter().map(read).collect()
}

fn put_together(
    planned: Planned,
    layers: &Layers,
    sboms: &Sboms,
    room: &Room,
    progress: &dyn Progress,
) -> Result<Image, Error> {
    let Planned { mut image, attached } = planned;
    let mut readable = Vec::new();
    if image.layers.len() > MAX_LAYERS {
        image.warnings.push(format!("it has more than {MAX_LAYERS} layers, which are not read"));
    } else {
        for digest in &image.layers {
            match &layers[digest] {
                Ok(layer) => readable.push((*digest, layer)),
                Err(why) => image.warnings.push(format!("layer `{digest}` cannot be read: {why}")),
            }
        }
    }
    let installed = installed::of(readable, progress)?;
    image.databases = installed.databases.into_iter().collect();
    image.warnings.extend(installed.warnings);
    let distribution = installed.distribution.as_ref();
    let mut packages = Packages::default();
    for (package, layer) in installed.packages {
        let purl = package.purl(distribution);
        packages.push(Found { package, purl, layer: Some(layer), attached: Vec::new() });
    }
    for attachment in attached {
        let document = attachment.document;
        match &sboms[&attachment] {
            Ok(Some(sbom)) => {
                image.attached.push(Attached { digest: document, format: sbom.format });
                sbom.packages.iter().for_each(|listed| packages.merge(document, listed));
            }
            Ok(None) => {}
            Err(why) => image.warnings.push(format!("attached SBOM `{document}` cannot be read: {why}")),
        }
    }
    match room.take(packages.weight()) {
        Ok(()) => image.packages = packages.found,
        Err(why) => image.warnings.push(format!("its packages are not listed: {why}")),
    }
    image.packages.sort_by(|a, b| (&a.package, &a.purl).cmp(&(&b.package, &b.purl)));
    image.distribution = installed.distribution;
    // An image with several names was met several times.
    let mut told = HashSet::new();
    image.warnings.retain(|warning| told.insert(warning.clone()));
    Ok(image)
}

/// The packages of an image while several sources are put together.
#[derive(Default)]
struct Packages {
    found: Vec<Found>,
    /// Name and version → places.
    places: HashMap<(String, String), Vec<usize>>,
}

impl Packages {
    fn push(&mut self, found: Found) {
        let key = (found.package.name.clone(), found.package.version.clone());
        self.places.entry(key).or_default().push(self.found.len());
        self.found.push(found);
    }

    fn weight(&self) -> u64 {
        self.found.iter().map(|found| found.package.weight()).sum()
    }

    /// Notes that an attached SBOM lists a package that is known, or adds it.
    fn merge(&mut self, document: Digest, listed: &Listed) {
        let key = (listed.package.name.clone(), listed.package.version.clone());
        let known = self.places.get(&key).into_iter().flatten().copied();
        match known.clone().find(|&place| is_same(&self.found[place].package, &listed.package)) {
            Some(place) => {
                let attached = &mut self.found[place].attached;
                if !attached.contains(&document) {
                    attached.push(document);
                }
            }
            None => self.push(Found {
                package: listed.package.clone(),
                purl: listed.purl.clone(),
                layer: None,
                attached: vec![document],
            }),
        }
    }
}

/// Whether two packages of one name and version are one; SBOMs may say less than databases.
fn is_same(known: &Package, listed: &Package) -> bool {
    let says_nothing = PackageType::generic();
    (known.kind == listed.kind || listed.kind == says_nothing)
        && (listed.architecture.is_none() || known.architecture == listed.architecture)
}

/// What a release holds beside its images.
fn others(release: &Release, images: &[Image]) -> Vec<Other> {
    let refs = &release.refs;
    let images: HashSet<&Reference> = images.iter().flat_map(|image| &image.names).collect();
    let artifacts = refs.images.iter().filter(|(name, _)| !images.contains(name));
    let artifacts = artifacts.filter_map(|(name, descriptor)| {
        let kind = match Kind::of(name, descriptor) {
            Kind::Attachment => return None,
            Kind::Chart => OtherKind::Chart,
            Kind::FluxArtifact => OtherKind::FluxArtifact,
            _ => OtherKind::Artifact,
        };
        Some(Other { kind, name: name.to_string(), version: OtherVersion::Digest(descriptor.digest) })
    });
    let files = refs.files.iter().map(|(name, file)| Other {
        kind: OtherKind::File,
        name: name.to_string(),
        version: OtherVersion::Digest(file.digest),
    });
    let repositories = refs.git.iter().filter_map(|(name, repository)| {
        let commit = repository.refs.get(&repository.head)?.clone();
        Some(Other {
            kind: OtherKind::GitRepository,
            name: name.to_string(),
            version: OtherVersion::Commit(commit),
        })
    });
    let mut others: Vec<Other> = artifacts.chain(files).chain(repositories).collect();
    others.sort();
    others
}
