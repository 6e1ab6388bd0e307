//! What is measured of programs that run and end: create, import, medium, latency, size, verify, growth.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::content::{GROWING, LARGE, LAYERED, MANY, Set};
use super::measure::{Figures, Meter, number};
use super::peers::Peers;
use super::scratch::Scratch;
use super::sealift::{Bundled, FIRST, SECOND, Vendor};
use super::stick::Stick;
use super::table::Chapter;
use crate::vendor::{Config, Proxy, Registry};

/// Of the line between vendor and registry.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// What a stick gives in a second.
const STICK_BYTES_PER_SECOND: u64 = 30_000_000;

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// Everybody and everything that measuring needs.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) scratch: Scratch,
    pub(super) meter: Meter,
    pub(super) vendor: Vendor,
    pub(super) peers: Peers,
    pub(super) runs: usize,
}

/// A release on offer.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) set: Set,
    pub(super) registry: Registry,
    pub(super) images: Vec<String>,
}

impl Offer {
    pub(super) fn new(set: Set, config: Config) -> io::Result<Self> {
        let registry = Registry::start_with(config)?;
        let images = set.publish(&registry)?;
        Ok(Self { set, registry, images })
    }

    /// The images as one pulls them from `address`.
    fn references(&self, address: SocketAddr) -> Vec<String> {
        self.images.iter().map(|image| format!("{address}/{image}")).collect()
    }
}

impl Bench {
    /// One archive of four images, and back: paired with peers.
    pub(super) fn create(&self) -> io::Result<Chapter> {
        let offer = Offer::new(LAYERED, Config::default())?;
        let references = offer.references(offer.registry.addr());
        let (ours, theirs) = paired(
            self.runs,
            || {
                let dir = self.scratch.within("ours")?;
                let definition = Vendor::define(dir.path(), FIRST, offer.registry.addr(), &offer.images)?;
                self.vendor.lock(&self.meter, &definition)?;
                self.vendor.bundle(&self.meter, &definition, None)
            },
            || {
                let dir = self.scratch.within("theirs")?;
                Ok(Peers::create(&self.meter, &references, dir.path())?.0)
            },
        )?;
        let title = format!("{}, from a registry on loopback to one archive", describe(&offer.set));
        let mut chapter = Chapter::new("create", title);
        let whole: Vec<Figures> = ours.iter().map(|run| run.figures).collect();
        let without_keys: Vec<Figures> = ours.iter().map(Bundled::without_keys).collect();
        chapter.row("sealift bundle", whole.clone());
        chapter
            .row("  unlocking keys, meanwhile", ours.iter().map(|run| Figures::seconds(run.keys)).collect());
        chapter.row("  less waiting for keys", without_keys.clone());
        chapter.bar("bar 1.80 s");
        chapter.row("skopeo copy, tar, zstd -3", theirs.clone());
        chapter.ratio("pair by pair", &whole, &theirs);
        chapter.ratio("  less waiting for keys", &without_keys, &theirs);
        chapter.bar("bar 0.51");
        Ok(chapter)
    }

    /// An archive of four images into a store: paired with peers.
    pub(super) fn import(&self) -> io::Result<Chapter> {
        let archives = self.scratch.within("archives")?;
        let offer = Offer::new(LAYERED, Config::default())?;
        let references = offer.references(offer.registry.addr());
        let definition =
            Vendor::define(&archives.path().join("ours"), FIRST, offer.registry.addr(), &offer.images)?;
        self.vendor.lock(&self.meter, &definition)?;
        let our_archive = self.vendor.bundle(&self.meter, &definition, None)?.archive;
        let (_, their_archive) = Peers::create(&self.meter, &references, archives.path())?;
        let (ours, theirs) = paired(
            self.runs,
            || {
                let dir = self.scratch.within("ours")?;
                self.vendor.import(&self.meter, &our_archive, &dir.path().join("store"))
            },
            || {
                let dir = self.scratch.within("theirs")?;
                self.peers.import(&self.meter, &their_archive, &references, dir.path())
            },
        )?;
        let title = format!("{}, from an archive into a store or a registry", describe(&offer.set));
        let mut chapter = Chapter::new("import", title);
        chapter.row("sealiftctl import with fsync", ours.clone());
        chapter.bar("bar 2.60 s");
        chapter.row("zstd, tar, skopeo copy", theirs.clone());
        chapter.ratio("pair by pair", &ours, &theirs);
        if let Some(read) = ours.iter().filter_map(|run| run.read).max_by(f64::total_cmp) {
            let archive = number(fs::metadata(&our_archive)?.len());
            chapter.remark(format!(
                "sealiftctl read {:.3} times the bytes of the archive, at most",
                read / archive
            ));
        }
        chapter
            .remark("skopeo copies into a distribution registry, whose CPU and bytes count too".to_owned());
        Ok(chapter)
    }

    /// The same archive from a medium that is slower than everything else: paired with reading it once.
    pub(super) fn medium(&self) -> io::Result<Chapter> {
        let offer = Offer::new(LAYERED, Config::default())?;
        let dir = self.scratch.within("archives")?;
        let definition =
            Vendor::define(&dir.path().join("ours"), FIRST, offer.registry.addr(), &offer.images)?;
        self.vendor.lock(&self.meter, &definition)?;
        let archive = self.vendor.bundle(&self.meter, &definition, None)?.archive;
        let stick = || Stick::with(&archive, STICK_BYTES_PER_SECOND, self.scratch.within("stick")?);
        let (ours, theirs) = paired(
            self.runs,
            || {
                let (stick, dir) = (stick()?, self.scratch.within("ours")?);
                self.vendor.import(&self.meter, &stick.file(), &dir.path().join("store"))
            },
            || Peers::read(&self.meter, &stick()?.file()),
        )?;
        let megabytes = STICK_BYTES_PER_SECOND / 1_000_000;
        let title = format!("{}, from a stick that gives {megabytes} MB/s", describe(&offer.set));
        let mut chapter = Chapter::new("medium", title);
        chapter.row("sealiftctl import with fsync", ours.clone());
        chapter.row("dd to /dev/null", theirs.clone());
        chapter.ratio("pair by pair", &ours, &theirs);
        chapter.bar("bar 1.05");
        Ok(chapter)
    }

    /// Many images over a slow line, and once more when nothing is new.
    pub(super) fn latency(&self) -> io::Result<[Chapter; 2]> {
        let offer = Offer::new(MANY, Config::default())?;
        let line = Proxy::start(offer.registry.addr(), ROUND_TRIP)?;
        let references = offer.references(line.addr());
        let (ours, theirs) = paired(
            self.runs,
            || self.over_the_line(&offer, &line),
            || {
                let dir = self.scratch.within("theirs")?;
                Peers::pull(&self.meter, &references, dir.path())
            },
        )?;
        let (first, again): (Vec<Leg>, Vec<Leg>) = ours.into_iter().unzip();
        let title = format!("{}, {} ms round trip", describe(&offer.set), ROUND_TRIP.as_millis());
        let mut latency = Chapter::new("latency", title);
        describe_bundles(&mut latency, &first);
        describe_whole(&mut latency, &first);
        latency.bar("bar 3.00 s");
        latency.row("skopeo copy to a layout", theirs.clone());
        let whole: Vec<Figures> = first.iter().map(Leg::whole).collect();
        latency.ratio("pair by pair", &whole, &theirs);
        latency.remark(Requests::text(&first));
        let mut nothing_new = Chapter::new("again", "the next release, in which nothing is new".to_owned());
        describe_bundles(&mut nothing_new, &again);
        // Whoever has locked already waits only for the bundle; whoever has not, for both.
        nothing_new.bar("bar 0.50 s");
        describe_whole(&mut nothing_new, &again);
        nothing_new.bar("bar 0.50 s");
        nothing_new.remark(Requests::text(&again));
        Ok([latency, nothing_new])
    }

    fn over_the_line(&self, offer: &Offer, line: &Proxy) -> io::Result<(Leg, Leg)> {
        let dir = self.scratch.within("ours")?;
        let first = Vendor::define(dir.path(), FIRST, line.addr(), &offer.images)?;
        let first = self.leg(offer, &first, None)?;
        // The same file is edited, as one would: the lock beside it is the one of the release before.
        let again = Vendor::define(dir.path(), SECOND, line.addr(), &offer.images)?;
        let again = self.leg(offer, &again, Some(&first))?;
        Ok((first, again))
    }

    fn leg(&self, offer: &Offer, definition: &Path, previous: Option<&Leg>) -> io::Result<Leg> {
        offer.registry.forget();
        let lock = self.vendor.lock(&self.meter, definition)?;
        let previous = previous.map(|leg| &*leg.bundle.archive);
        let bundle = self.vendor.bundle(&self.meter, definition, previous)?;
        Ok(Leg { lock, bundle, requests: Requests::to(&offer.registry) })
    }

    /// Two gigabytes through both programs, for the memory that they take; and verified, beside hashing the file once.
    pub(super) fn size(&self) -> io::Result<[Chapter; 2]> {
        let dir = self.scratch.within("large")?;
        let kept = dir.path().join("registry");
        let offer = Offer::new(LARGE, Config { dir: Some(kept), ..Config::default() })?;
        let definition =
            Vendor::define(&dir.path().join("ours"), FIRST, offer.registry.addr(), &offer.images)?;
        self.vendor.lock(&self.meter, &definition)?;
        let bundled = self.vendor.bundle(&self.meter, &definition, None)?;
        let imported = self.vendor.import(&self.meter, &bundled.archive, &dir.path().join("store"))?;
        let mut chapter = Chapter::new("size", format!("{}, once", describe(&offer.set)));
        chapter.row("sealift bundle", vec![bundled.figures]);
        chapter.bar("bar 128 MiB");
        chapter.row("sealiftctl import with fsync", vec![imported]);
        chapter.bar("bar 128 MiB");
        Ok([chapter, self.verify(&bundled.archive)?])
    }

    /// Releases of ten to ten thousand small blobs, for what each of them costs.
    pub(super) fn growth(&self) -> io::Result<Chapter> {
        let mut chapter = Chapter::new("growth", "layers of 10 kB, from an archive into a store".to_owned());
        for set in GROWING {
            let dir = self.scratch.within("growth")?;
            let offer = Offer::new(set, Config::default())?;
            let definition =
                Vendor::define(&dir.path().join("ours"), FIRST, offer.registry.addr(), &offer.images)?;
            self.vendor.lock(&self.meter, &definition)?;
            let archive = self.vendor.bundle(&self.meter, &definition, None)?.archive;
            let runs: io::Result<Vec<Figures>> = (0..self.runs)
                .map(|_| {
                    let store = self.scratch.within("store")?;
                    self.vendor.import(&self.meter, &archive, &store.path().join("store"))
                })
                .collect();
            chapter.row(&format!("{} blobs", set.blobs()), runs?);
        }
        Ok(chapter)
    }

    fn verify(&self, archive: &Path) -> io::Result<Chapter> {
        // Without a disk: archives are written past the page cache, and kernels clear away what lies there.
        let memory = tempfile::tempdir_in(MEMORY)?;
        let copy = memory.path().join("archive.tar.zst");
        fs::copy(archive, &copy)?;
        let (ours, theirs) =
            paired(self.runs, || self.vendor.verify(&self.meter, &copy), || Peers::hash(&self.meter, &copy))?;
        let mut chapter =
            Chapter::new("verify", "the same archive, in memory: all frames and blobs".to_owned());
        chapter.row("sealift verify", ours.clone());
        chapter.row("openssl dgst -sha256", theirs.clone());
        chapter.ratio("pair by pair", &ours, &theirs);
        let cores = std::thread::available_parallelism()?;
        chapter.remark(format!(
            "openssl hashes on one core; the bar is 1 / (0.6 × {cores} cores) = {:.2}",
            1.0 / (0.6 * f64::from(u32::try_from(cores.get()).map_err(io::Error::other)?))
        ));
        Ok(chapter)
    }
}

/// One release over the line.
#[derive(Debug)]
struct Leg {
    lock: Figures,
    bundle: Bundled,
    requests: Requests,
}

impl Leg {
    fn whole(&self) -> Figures {
        self.lock.then(self.bundle.figures)
    }
}

fn describe_bundles(chapter: &mut Chapter, legs: &[Leg]) {
    let bundles = || legs.iter().map(|leg| &leg.bundle);
    chapter.row("sealift lock", legs.iter().map(|leg| leg.lock).collect());
    chapter.row("sealift bundle", bundles().map(|bundle| bundle.figures).collect());
    chapter
        .row("  unlocking keys, meanwhile", bundles().map(|bundle| Figures::seconds(bundle.keys)).collect());
    chapter.row("  less waiting for keys", bundles().map(Bundled::without_keys).collect());
}

fn describe_whole(chapter: &mut Chapter, legs: &[Leg]) {
    chapter.row("lock and bundle", legs.iter().map(Leg::whole).collect());
    let without_keys = |leg: &Leg| Figures::seconds(leg.lock.wall + leg.bundle.without_keys().wall);
    chapter.row("both, less waiting for keys", legs.iter().map(without_keys).collect());
}

/// What a registry was asked.
#[derive(Debug, Clone, Copy, Default)]
struct Requests {
    all: usize,
    blobs: usize,
}

impl Requests {
    fn to(registry: &Registry) -> Self {
        let seen = registry.seen();
        let blobs = seen.iter().filter(|request| request.path.contains("/blobs/")).count();
        Self { all: seen.len(), blobs }
    }

    /// Of the run with the most requests for blobs.
    fn text(legs: &[Leg]) -> String {
        let most = legs.iter().map(|leg| leg.requests).max_by_key(|requests| requests.blobs);
        let Self { all, blobs } = most.unwrap_or_default();
        format!("the registry was asked {all} times, {blobs} of them for a blob")
    }
}

pub(super) fn describe(set: &Set) -> String {
    let megabytes = set.bytes() / 1_000_000;
    format!("{} images on a shared base, {megabytes} MB in {} layers", set.images, set.layers())
}

/// Does both by turns, once to warm up and then so many times that count.
fn paired<A, B>(
    runs: usize,
    mut ours: impl FnMut() -> io::Result<A>,
    mut theirs: impl FnMut() -> io::Result<B>,
) -> io::Result<(Vec<A>, Vec<B>)> {
    ours()?;
    theirs()?;
    let pairs: io::Result<Vec<(A, B)>> = (0..runs).map(|_| Ok((ours()?, theirs()?))).collect();
    Ok(pairs?.into_iter().unzip())
}
