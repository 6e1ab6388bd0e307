//! `sealift bundle`: fetch what the lock names, sign, pack.
//!
//! Everything is decided by the plan: which blobs come from an earlier bundle, from disk, from registries. Keys are
//! opened while content is fetched; if they are wrong or too few, fetching stops there.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rayon::prelude::*;
use serde::Serialize;

use sealift_archive::bundle::Unverified;
use sealift_archive::format::layout::{Layout, Storing};
use sealift_archive::format::volume::{HEADER_LEN, MAX_VOLUMES};
use sealift_archive::packer::{Front, Packed, Packer};
use sealift_archive::parity::{self, Amount};
use sealift_archive::split::VolumeSize;
use sealift_archive::trust::{KeyId, RoleName, RootChain, Signature, Signatures, Signer, TrustRoot, Trusted};
use sealift_archive::{Blob, Bundle, Digest, Progress, Release, Source as _, copy_blob, durable};
use sealift_fetch::Client;

use crate::definition::{Definition, GitSource};
use crate::git::{PinnedPack, Repository};
use crate::keys::Opener;
use crate::local::Local;
use crate::lock::Lock;
use crate::trust::Folder;
use crate::{Error, statement};

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
    /// All content.
    pub content: Tally,
    /// What comes from the earlier bundle.
    pub from_previous: Tally,
    /// What comes from folders and layouts.
    pub from_disk: Tally,
    /// What is fetched.
    pub to_fetch: Tally,
    /// About how much parity there will be, in bytes.
    pub parity_bytes: Option<u64>,
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
    fn of(blobs: impl Iterator<Item = Blob>) -> Self {
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
    release: Release,
    layout: Layout,
    root: TrustRoot,
    roots: RootChain,
    signatures: Signatures,
    previous: Option<Bundle>,
    from_previous: BTreeSet<Digest>,
}

/// Plans a bundle.
///
/// # Errors
/// A lock that is missing or stale, a trust root, statement or earlier bundle that does not fit; [`Error::Nowhere`] for
/// all that is gone from this machine and is nowhere else.
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
    let storing = lock.storing();
    let layout = Layout::plan(std::slice::from_ref(&release), |digest| {
        storing.get(digest).copied().unwrap_or(Storing::Stored)
    })?;
    let previous = order.previous.map(|path| open_for_content(path, trust.trusted()?)).transpose()?;
    let from_previous: BTreeSet<Digest> = previous
        .iter()
        .flat_map(|bundle| bundle.contents().entries.iter().map(|e| e.blob))
        // By size too: a manifest may lie about it, and then the registry has to answer for that.
        .filter(|blob| release.blob_list.size(&blob.digest) == Some(blob.size))
        .map(|blob| blob.digest)
        .collect();
    let on_disk: HashSet<Digest> = local.digests().collect();
    lock.expect_complete(|digest| on_disk.contains(digest) || from_previous.contains(digest))?;
    let count =
        |wanted: &dyn Fn(&Digest) -> bool| Tally::of(release.blob_list.iter().filter(|b| wanted(&b.digest)));
    let name = format!("{}-{}.tar.zst", definition.product, definition.version);
    let volume_bytes = order.volume_size.map(VolumeSize::bytes);
    let expected = |amount| parity::Plan::expected_bytes(layout.max_file_bytes(), volume_bytes, amount);
    let parity_bytes = order.parity.map(expected).transpose()?;
    let plan = Plan {
        path: order.out.join(name),
        content: count(&|_| true),
        from_previous: count(&|d| from_previous.contains(d)),
        from_disk: count(&|d| on_disk.contains(d) && !from_previous.contains(d)),
        to_fetch: count(&|d| !on_disk.contains(d) && !from_previous.contains(d)),
        parity_bytes,
        disk_bytes: disk_bytes(&layout, order.volume_size.is_some(), parity_bytes.unwrap_or(0)),
    };
    let base = order.definition.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Planned { plan, lock, local, base, release, layout, root, roots, signatures, previous, from_previous })
}

/// Opens an earlier bundle for its content. The lock vouches for that, so its signers may have lost their role since.
fn open_for_content(path: &Path, trusted: &Trusted) -> Result<Bundle, Error> {
    let archive = Unverified::open(path)?;
    let then = archive.head().roots.iter().next_back().map(TrustRoot::version);
    let judge = trusted.versions().find(|root| Some(root.version()) == then).unwrap_or(trusted.newest());
    Ok(archive.verify(judge)?)
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

    /// The release that is packed.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The archive, if an earlier try packed this very release and was stopped before it was cut into volumes.
    #[must_use]
    pub fn packed(&self) -> Option<Bundle> {
        let bundle = Bundle::open(&self.plan.path, &self.root).ok()?;
        let is_it = bundle.releases().iter().map(Release::digest).eq([self.release.digest()]);
        is_it.then_some(bundle)
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

    /// Brings in what lies on this machine: an earlier bundle, folders, layouts.
    ///
    /// # Errors
    /// Content that is missing or other than locked.
    pub fn copy_local(&self, packer: &Packer, progress: &dyn Progress) -> Result<(), Error> {
        let missing = || packer.missing().into_iter().map(|b| b.digest).collect::<BTreeSet<_>>();
        if let Some(previous) = &self.previous {
            let wanted = missing().intersection(&self.from_previous).copied().collect();
            previous.copy_blobs(&wanted, packer, progress)?;
        }
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

    /// All signatures over trust root and statement that go along, and the keys that signed the statement. What was made
    /// by anybody else is left behind.
    ///
    /// # Errors
    /// [`sealift_archive::Error::Unsigned`] if they are too few.
    pub fn sign(&self, keys: &Keys) -> Result<(Signatures, Vec<KeyId>), Error> {
        let mut signatures = self.signatures.clone();
        for key in &keys.release {
            signatures.push(Signature::sign(&self.release.statement_bytes, &**key)?);
        }
        let (statement, statement_bytes) = (self.release.digest(), &self.release.statement_bytes);
        let signers = self.root.check("release.json", statement_bytes, RoleName::Release, &signatures)?;
        let is_wanted = |s: &&Signature| s.document != statement || signers.contains(&s.key);
        Ok((signatures.iter().filter(is_wanted).cloned().collect(), signers))
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
        let front = Front { releases: std::slice::from_ref(&self.release), roots: self.roots, signatures };
        let sign = |packing: &[u8]| {
            let made: Vec<Signature> =
                keys.pack.iter().map(|key| Signature::sign(packing, &**key)).collect::<Result<_, _>>()?;
            self.root.check("pack.json", packing, RoleName::Pack, &made.iter().cloned().collect())?;
            Ok(made)
        };
        Ok(packer.finish(front, level, sign, progress)?)
    }
}
