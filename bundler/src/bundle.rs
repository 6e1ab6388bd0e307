//! `sealift bundle`: fetch what the lock names, sign, pack.
//!
//! Everything is decided by the plan: which releases travel along, what is left out, and which blobs come from earlier
//! bundles, from disk, from registries. Keys are opened while content is fetched; if they are wrong or too few, fetching
//! stops there.

mod base;
mod earlier;
mod error;
mod known;
mod place;
mod sealed;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rayon::prelude::*;
use serde::Serialize;

use sealift_archive::format::layout::{Layout, Storing};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::format::volume::{HEADER_LEN, MAX_VOLUMES};
use sealift_archive::packer::{Front, Packed, Packer};
use sealift_archive::parity::{self, Amount};
use sealift_archive::split::VolumeSize;
use sealift_archive::trust::{KeyId, RoleName, RootChain, Signature, Signatures, Signer, TrustRoot};
use sealift_archive::{Blob, Bundle, Digest, Progress, Release, ReleaseName, Source, copy_blob, durable};
use sealift_fetch::Client;

use crate::definition::{Definition, GitSource};
use crate::git::{PinnedPack, Repository};
use crate::keys::Opener;
use crate::local::Local;
use crate::lock::Lock;
use crate::trust::Folder;
use crate::{Error, statement};
use base::Bases;
use earlier::{Earlier, Stock};
pub use error::Error as BundleError;
use known::Known;

/// What the headers of volumes take at most.
const MAX_HEADERS_BYTES: u64 = HEADER_LEN * MAX_VOLUMES as u64;

/// What to bundle and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// The definition.
    pub definition: &'a Path,
    /// The trust folder, or the trust root in it, all versions of which go along.
    pub trust: &'a Path,
    /// Keys of role `release`.
    pub release_keys: &'a [PathBuf],
    /// Keys of role `pack`.
    pub pack_keys: &'a [PathBuf],
    /// A folder with a statement that was signed apart.
    pub statement: Option<&'a Path>,
    /// An earlier bundle, whose content need not be fetched again.
    pub previous: Option<&'a Path>,
    /// Bundles of older releases, which travel along.
    pub older: &'a [PathBuf],
    /// What the appliance has already: bundles, folders with statements, receipts.
    pub bases: &'a [PathBuf],
    /// A file with keys of age, for receipts that are encrypted.
    pub identity: Option<&'a Path>,
    /// Folders with statements and bundles, in which the releases of receipts are looked for, and signatures over older
    /// statements.
    pub known: &'a [PathBuf],
    /// The folder for the archive.
    pub out: &'a Path,
    /// zstd's level for what is squeezed.
    pub level: i32,
    /// The most bytes of a volume, if the archive is to be cut into volumes.
    pub volume_size: Option<VolumeSize>,
    /// How much parity to make.
    pub parity: Option<Amount>,
}

/// What will be done.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The archive.
    pub path: PathBuf,
    /// The releases in it, by rising sequence.
    pub releases: Vec<ReleaseName>,
    /// All content that it carries.
    pub content: Tally,
    /// What it does not carry, because the needed releases have it.
    pub left_out: Tally,
    /// The releases that it builds on, by rising sequence.
    pub needs: Vec<NeededRelease>,
    /// Releases that a receipt names and nobody here knows the content of.
    pub unknown: Vec<ReleaseName>,
    /// What comes from earlier bundles.
    pub from_previous: Tally,
    /// What comes from folders and layouts.
    pub from_disk: Tally,
    /// What is fetched.
    pub to_fetch: Tally,
    /// About how much parity there will be, in bytes.
    pub parity_bytes: Option<u64>,
    /// Whether something else is at its path, such as an archive of other releases, and goes.
    pub replaces: bool,
    /// The most disk that it takes at one time, in bytes.
    pub disk_bytes: u64,
}

/// How many and how much.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Blobs.
    pub blobs: usize,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn of(blobs: impl Iterator<Item = Blob>) -> Self {
        blobs.fold(Self::default(), |t, b| Self { blobs: t.blobs + 1, bytes: t.bytes + b.size })
    }
}

/// A bundle that is planned: all that can be known before the first byte is.
#[derive(Debug)]
pub struct Planned {
    /// For people and programs.
    pub plan: Plan,
    lock: Lock,
    local: Local,
    base: PathBuf,
    /// The releases that travel along, and last the new one.
    releases: Vec<Release>,
    layout: Layout,
    root: TrustRoot,
    roots: RootChain,
    signatures: Signatures,
    stock: Stock,
}

/// Plans a bundle.
///
/// # Errors
/// A lock that is missing or stale, a trust root, statement or earlier bundle that does not fit; [`Error::Nowhere`] for
/// all that is gone from this machine and is nowhere else; volumes that are too small; what is in the way of volumes and
/// parity.
pub fn plan(order: &Order<'_>) -> Result<Planned, Error> {
    let definition = Definition::read(order.definition)?;
    let lock = Lock::read(order.definition, &definition)?;
    let local = lock.local(order.definition)?;
    let release = statement::draft(&definition, &lock)?;
    let trust = Folder::read(order.trust)?;
    let (roots, mut signatures) = trust.carried()?;
    let root = trust.trusted()?.newest().clone();
    if let Some(dir) = order.statement {
        statement::read_signatures(&release, dir)?.iter().for_each(|s| signatures.push(s.clone()));
    }
    let known = Known::below(order.known)?;
    let earlier = Earlier { trusted: trust.trusted()? };
    let along = earlier.open_all(order.older)?;
    let mut releases =
        earlier::older_releases(along.iter().flat_map(Source::releases), &release, &root, &known)?;
    let bases = Bases::read(order.bases, order.identity, &known, earlier)?;
    let name = release.statement.name();
    releases.push(release);
    let left_out = bases.leave_out(&releases)?;
    let needs = left_out.needs.clone();

    let mut wanted: BTreeMap<Digest, u64> = BTreeMap::new();
    for blob in releases.iter().flat_map(|release| release.blob_list.iter()) {
        wanted.insert(blob.digest, blob.size);
    }
    let is_carried = |digest: &Digest| !left_out.blobs.contains(digest);
    let at_hand = |digest: &Digest| wanted.get(digest).copied().filter(|_| is_carried(digest));
    let previous = order.previous.map(|path| earlier.open(path)).transpose()?;
    let stock = Stock::of(previous.into_iter().chain(along).collect(), at_hand);
    let on_disk: HashSet<Digest> = local.digests().collect();
    lock.expect_complete(|d| on_disk.contains(d) || stock.has(d) || !is_carried(d))?;
    stock.expect_complete(&releases, is_carried)?;

    let storing = lock.storing();
    let layout = Layout::plan_delta(&releases, left_out.clone(), |digest| {
        storing.get(digest).copied().or_else(|| stock.storing(digest)).unwrap_or(Storing::Stored)
    })?;
    let count = |wanted: &dyn Fn(&Digest) -> bool| Tally::of(layout.blobs().filter(|b| wanted(&b.digest)));
    let left_out = wanted.iter().filter(|(digest, _)| !is_carried(digest));
    let volume_bytes = order.volume_size.map(VolumeSize::bytes);
    let expected = |amount| parity::Plan::expected_bytes(layout.max_file_bytes(), volume_bytes, amount);
    let parity_bytes = order.parity.map(expected).transpose()?;
    let plan = Plan {
        path: order.out.join(file_name(&name, &needs)),
        releases: releases.iter().map(|release| release.statement.name()).collect(),
        content: count(&|_| true),
        left_out: Tally::of(left_out.map(|(&digest, &size)| Blob { digest, size })),
        needs,
        unknown: bases.unknown,
        from_previous: count(&|d| stock.has(d)),
        from_disk: count(&|d| on_disk.contains(d) && !stock.has(d)),
        to_fetch: count(&|d| !on_disk.contains(d) && !stock.has(d)),
        parity_bytes,
        replaces: false,
        disk_bytes: disk_bytes(&layout, order.volume_size.is_some(), parity_bytes.unwrap_or(0)),
    };
    let base = order.definition.parent().unwrap_or(Path::new("")).to_owned();
    let mut planned = Planned { plan, lock, local, base, releases, layout, root, roots, signatures, stock };
    planned.plan.replaces = place::check(&planned, order)?;
    Ok(planned)
}

/// `PRODUCT-VERSION.tar.zst`, of a delta `PRODUCT-VERSION.from-BASEVERSION.tar.zst`. An appliance that has all needed
/// releases runs the newest of them, or did: that is the one in the name.
fn file_name(name: &ReleaseName, needs: &[NeededRelease]) -> String {
    let from = needs.last().map(|base| format!(".from-{}", base.version)).unwrap_or_default();
    format!("{}-{}{from}.tar.zst", name.product, name.version)
}

/// The most disk that a bundle takes at one time: while it is packed, cut, or protected.
fn disk_bytes(layout: &Layout, is_cut: bool, parity_bytes: u64) -> u64 {
    let file = layout.max_file_bytes();
    // The archive goes when all volumes have been read back.
    let cutting = if is_cut { 2 * file + MAX_HEADERS_BYTES } else { 0 };
    layout.max_disk_bytes().max(cutting).max(file + MAX_HEADERS_BYTES * u64::from(is_cut) + parity_bytes)
}

/// Opens the keys that an order names, one after the other, and checks that they may do what they are for.
///
/// # Errors
/// A wrong password, a file that is no key, a key without its role.
pub fn open_keys(order: &Order<'_>, root: &TrustRoot, opener: &Opener) -> Result<Keys, Error> {
    let open = |files: &[PathBuf], role: RoleName| {
        let keys = opener.open_all(files, role)?;
        keys.iter().try_for_each(|key| root.expect_member(role, key.public().id()))?;
        Ok::<_, Error>(keys)
    };
    let release = open(order.release_keys, RoleName::Release)?;
    let pack = open(order.pack_keys, RoleName::Pack)?;
    root.expect_enough("pack.json", RoleName::Pack, pack.iter().map(|key| key.public().id()))?;
    Ok(Keys { release, pack })
}

/// Keys, opened.
#[derive(Debug)]
pub struct Keys {
    release: Vec<Box<dyn Signer>>,
    pack: Vec<Box<dyn Signer>>,
}

impl Planned {
    /// The trust root that goes along.
    #[must_use]
    pub fn root(&self) -> &TrustRoot {
        &self.root
    }

    /// The release that is packed, alone or with older ones.
    ///
    /// # Panics
    /// Never: a plan begins with this release.
    #[must_use]
    pub fn release(&self) -> &Release {
        self.releases.last().expect("a plan is about a release")
    }

    /// The archive, if an earlier try packed these very releases and was stopped before it was cut into volumes.
    #[must_use]
    pub fn packed(&self) -> Option<Bundle> {
        self.packed_at(&self.plan.path)
    }

    /// The archive at a path, or in volumes of which this is one, if it is of these very releases.
    fn packed_at(&self, path: &Path) -> Option<Bundle> {
        let bundle = Bundle::open(path, &self.root).ok()?;
        let of_it =
            bundle.releases().iter().map(Release::digest).eq(self.releases.iter().map(Release::digest));
        (of_it && bundle.needs() == self.plan.needs).then_some(bundle)
    }

    /// Opens the archive in the making, with whatever an earlier try left in it.
    ///
    /// # Errors
    /// No space, somebody else at work on it, or I/O.
    pub fn open(&self, progress: &dyn Progress) -> Result<Packer, Error> {
        if let Some(parent) = self.plan.path.parent() {
            durable::create_dir_all(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(Packer::open(&self.plan.path, self.layout.clone(), progress)?)
    }

    /// Brings in what lies on this machine: earlier bundles, folders, layouts.
    ///
    /// # Errors
    /// Content that is missing or other than locked.
    pub fn copy_local(&self, packer: &Packer, progress: &dyn Progress) -> Result<(), Error> {
        let missing = || packer.missing().into_iter().map(|b| b.digest).collect::<BTreeSet<_>>();
        self.stock.copy(&missing(), packer, progress)?;
        missing().into_par_iter().try_for_each(|digest| self.local.copy(digest, packer, progress).map(drop))
    }

    /// Makes the Git packs again that are still missing, each repository from a clone; with plain HTTP to other hosts
    /// only if that is allowed.
    ///
    /// # Errors
    /// What Git and its servers say, or packs that are not what was locked.
    pub fn copy_repositories(
        &self,
        packer: &Packer,
        plain_http: bool,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        for git in &self.lock.git {
            let GitSource::Repository { url, reference } = &git.source else { continue };
            let missing: BTreeSet<Digest> = packer.missing().into_iter().map(|blob| blob.digest).collect();
            let is_missing = |pack: &PinnedPack| missing.contains(&pack.blob.digest);
            if !git.pinned.packs.iter().any(is_missing) {
                continue;
            }
            let repository = Repository::new(url, reference, &self.base)?.with_plain_http(plain_http);
            let packs = repository.rebuild(&git.pinned, &missing, &std::env::temp_dir(), progress)?;
            for (blob, file) in packs.files() {
                copy_blob(blob, &mut fs::File::open(file)?, packer, progress)?;
            }
        }
        Ok(())
    }

    /// Fetches the rest, all at the same time and each blob once.
    ///
    /// # Errors
    /// What registries answer.
    pub async fn fetch(
        &self,
        client: &Client,
        packer: &Arc<Packer>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let mut missing: BTreeSet<Digest> = packer.missing().into_iter().map(|b| b.digest).collect();
        self.lock.expect_complete(|digest| !missing.contains(digest))?;
        let mut wanted = self.lock.remote()?;
        wanted.retain(|wanted| missing.remove(&wanted.blob.digest));
        if wanted.is_empty() {
            return Ok(());
        }
        Ok(client.fetch_all(wanted, packer.clone(), progress.clone()).await?)
    }

    /// All signatures over trust root and statements that go along, and the keys that signed the new statement. What was
    /// made by anybody else is left behind.
    ///
    /// # Errors
    /// [`sealift_archive::Error::Unsigned`] if they are too few.
    pub fn sign(&self, keys: &Keys) -> Result<(Signatures, Vec<KeyId>), Error> {
        let mut signatures = self.signatures.clone();
        let release = self.release();
        for key in &keys.release {
            signatures.push(Signature::sign(&release.statement_bytes, &**key)?);
        }
        let (statement, statement_bytes) = (release.digest(), &release.statement_bytes);
        let signers = self.root.check("release.json", statement_bytes, RoleName::Release, &signatures)?;
        let is_wanted = |s: &&Signature| s.document != statement || signers.contains(&s.key);
        let of_older = self.releases.iter().flat_map(|release| &release.signatures);
        Ok((signatures.iter().filter(is_wanted).chain(of_older).cloned().collect(), signers))
    }

    /// Signs the packing and finishes the archive.
    ///
    /// # Errors
    /// Too few keys of role `pack`, or what the packer says.
    pub fn finish(
        self,
        packer: Packer,
        signatures: Signatures,
        keys: &Keys,
        level: i32,
        progress: &dyn Progress,
    ) -> Result<Packed, Error> {
        let front = Front { releases: &self.releases, roots: self.roots, signatures };
        let sign = |packing: &[u8]| {
            let made: Vec<Signature> =
                keys.pack.iter().map(|key| Signature::sign(packing, &**key)).collect::<Result<_, _>>()?;
            self.root.check("pack.json", packing, RoleName::Pack, &made.iter().cloned().collect())?;
            Ok(made)
        };
        Ok(packer.finish(front, level, sign, progress)?)
    }
}
