//! Reading an archive: the head is checked first, then the front pages, then each frame before it is used.
//!
//! The steps are types, so that no later one can be taken before the one ahead of it: [`Unverified`] (the head is
//! parsed, nothing is believed) → [`Bundle`] (statements, blob lists, refs and contents are verified).

mod carried;
mod damage;
mod data;
mod frames;
mod front;
mod pieces;
mod reader;
mod stream;

use std::collections::BTreeSet;
use std::path::Path;

use zstd::bulk::Decompressor;
use zstd::zstd_safe;

use crate::format::contents::Contents;
use crate::format::head::Head;
use crate::format::packing::{NeededRelease, Packing};
use crate::format::{MAX_FRONT_MEMBER_BYTES, MAX_WINDOW_BYTES, frame, series};
use crate::medium::{self, Medium};
use crate::trust::{KeyId, RoleName, RootChain, Signature, TrustRoot, Trusted};
use crate::{BlobSink, Digest, Error, Malformed, Progress, Release, Source, Statement};

use carried::Carried;
pub use damage::{Absent, Damage, Findings};
pub use data::AtHand;
use front::Front;
use reader::Reader;
pub use stream::BlobStream;

/// What the parts of the archive are called in messages.
const HEAD: &str = "the head";
const PACKING: &str = "the packing";
const FRONT: &str = "the front";

/// An archive whose head has been parsed and of which nothing is believed yet: for looking, not for using.
#[derive(Debug)]
pub struct Unverified {
    medium: Box<dyn Medium>,
    head: Head,
    packing: Packing,
}

/// An archive whose front is verified.
#[derive(Debug)]
pub struct Bundle {
    medium: Box<dyn Medium>,
    packing: Packing,
    packers: Vec<KeyId>,
    trusted: Trusted,
    head: Head,
    contents: Contents,
    releases: Vec<Release>,
    carried: Carried,
}

impl Unverified {
    /// Opens an archive, a set of volumes by one of them, or a folder that holds one of either, and reads its head.
    ///
    /// # Errors
    /// As [`medium::open`] and [`Unverified::on`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::on(medium::open(path)?)
    }

    /// Reads the head of the archive on a medium.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`], [`Error::Damaged`] or [`Error::Malformed`] for the head, or I/O.
    pub fn on(medium: Box<dyn Medium>) -> Result<Self, Error> {
        let head = Reader(&*medium).head()?;
        let packing = Packing::parse(&head.packing)?;
        Ok(Self { medium, head, packing })
    }

    /// Digests of the statements in it.
    pub fn statements(&self) -> impl Iterator<Item = Digest> {
        self.head.statements.values().map(|bytes| Digest::of(bytes))
    }

    /// How the releases travel in this file, as it says.
    #[must_use]
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Digest of `pack.json`.
    #[must_use]
    pub fn packing_digest(&self) -> Digest {
        Digest::of(&self.head.packing)
    }

    /// Where its bytes come from.
    #[must_use]
    pub fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// The documents of the head, of which nothing has been checked.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The first trust root of the chain that the archive brings. Verifying with it proves that nothing is damaged, not
    /// who made it.
    ///
    /// # Errors
    /// [`Malformed::MissingMember`] if it brings none.
    pub fn own_root(&self) -> Result<&TrustRoot, Error> {
        self.head.roots.iter().next().ok_or_else(|| Malformed::missing(HEAD, "root/1.json"))
    }

    /// Verifies head and front pages: what is trusted → newest root, here or there → packing and statements → pages.
    ///
    /// # Errors
    /// [`Error::OtherVendor`], [`Error::Unsigned`], [`Error::SignedByFormer`], [`Error::WrongLength`], [`Error::Damaged`],
    /// or what is wrong with a document.
    pub fn verify(self, trusted: impl Into<Trusted>) -> Result<Bundle, Error> {
        let Self { medium, head, packing } = self;
        let trusted = head.roots.follow(medium.name(), trusted, &head.signatures)?;
        let packers = trusted.check("pack.json", &head.packing, RoleName::Pack, &head.signatures)?;
        let found = medium.length()?;
        if found != packing.length {
            let file = medium.name().to_owned();
            return Err(Error::WrongLength { file, expected: packing.length, found });
        }
        let reader = Reader(&*medium);
        let mut front = Front::open(reader, &packing)?;
        let tail = pieces::tail();
        let tail_at = packing.length.saturating_sub(tail.len() as u64);
        match reader.checked("the tail", tail_at..packing.length, |bytes| bytes == tail) {
            // It holds nothing: the other volumes can be used without it.
            Ok(_) | Err(Error::VolumesMissing { .. }) => {}
            Err(error) => return Err(error),
        }
        let data_bytes = tail_at.checked_sub(packing.data_offset).ok_or_else(|| {
            let why = format!("it begins at {}, the tail at {tail_at}", packing.data_offset);
            Malformed::Outside { part: PACKING, item: "the data".to_owned(), why }
        })?;
        let mut releases = Vec::new();
        for (document, bytes) in statements(&head) {
            let signers = trusted.check(&document, bytes, RoleName::Release, &head.signatures)?;
            let statement = Statement::parse(&document, bytes)?;
            let sequence = statement.sequence;
            if document != format!("releases/{sequence}/release.json") {
                return Err(Error::inconsistent(&document, format!("it is sequence {sequence}")));
            }
            let list =
                front.take(&format!("releases/{sequence}/blobs"), statement.blob_list.max_text_bytes())?;
            let refs = front.take(&format!("releases/{sequence}/refs.json"), statement.refs.size)?;
            let signatures = head.signatures.of(&Digest::of(bytes)).into_iter().cloned().collect();
            releases.push(Release::assemble(statement, bytes.to_vec(), signatures, signers, &list, refs)?);
        }
        let contents = Contents::parse(&front.take("contents", MAX_FRONT_MEMBER_BYTES)?, data_bytes)?;
        front.finish()?;
        if releases.is_empty() {
            return Err(Malformed::missing(HEAD, "releases/<sequence>/release.json"));
        }
        if releases.iter().map(Release::digest).ne(packing.statements.iter().copied()) {
            return Err(Malformed::OtherStatements.into());
        }
        series::check(&releases, &packing.needs)?;
        let carried = Carried::of(medium.name(), &contents, &releases, !packing.needs.is_empty())?;
        Ok(Bundle { medium, packing, packers, trusted, head, contents, releases, carried })
    }
}

fn statements(head: &Head) -> impl Iterator<Item = (String, &[u8])> {
    head.statements
        .iter()
        .map(|(sequence, bytes)| (format!("releases/{sequence}/release.json"), bytes.as_slice()))
}

impl Bundle {
    /// Opens an archive and verifies its front.
    ///
    /// # Errors
    /// See [`Unverified::open`] and [`Unverified::verify`].
    pub fn open(path: &Path, trusted: impl Into<Trusted>) -> Result<Self, Error> {
        Unverified::open(path)?.verify(trusted)
    }

    /// Where its bytes come from.
    #[must_use]
    pub fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// The same archive on another medium: whatever is read from it is checked as before.
    #[must_use]
    pub fn with_medium(self, medium: Box<dyn Medium>) -> Self {
        Self { medium, ..self }
    }

    /// How the releases travel in this file.
    #[must_use]
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// The packing's digest.
    #[must_use]
    pub fn packing_digest(&self) -> Digest {
        Digest::of(&self.head.packing)
    }

    /// The keys of role `pack` whose signatures over the packing are good.
    #[must_use]
    pub fn packers(&self) -> &[KeyId] {
        &self.packers
    }

    /// The chain of trust roots that the archive carries.
    #[must_use]
    pub fn roots(&self) -> &RootChain {
        &self.head.roots
    }

    /// What is where.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Hashes every frame and every blob, on all cores, and lists what is wrong.
    ///
    /// # Errors
    /// If the archive cannot be read, or [`Error::Interrupted`]; damage is a finding, not an error.
    pub fn check(&self, progress: &dyn Progress) -> Result<Findings, Error> {
        damage::find(self, progress)
    }

    /// How much of these blobs is at hand, and which volumes have the rest. Nothing is read.
    #[must_use]
    pub fn at_hand(&self, wanted: &BTreeSet<Digest>) -> AtHand {
        data::at_hand(self, wanted)
    }

    /// Writes one blob to `out`; reads only the frames that it lies in.
    ///
    /// # Errors
    /// [`Error::MissingBlob`], [`Error::NotCarried`], [`Error::Damaged`], or I/O.
    pub fn read_blob(&self, digest: &Digest, out: &mut dyn std::io::Write) -> Result<(), Error> {
        data::read_blob(self, digest, out)
    }

    /// Opens one blob for reading as it is needed; several may be read at a time.
    ///
    /// # Errors
    /// [`Error::MissingBlob`], [`Error::NotCarried`].
    pub fn stream_blob<'a>(
        &'a self,
        digest: &Digest,
        progress: &'a dyn Progress,
    ) -> Result<BlobStream<'a>, Error> {
        BlobStream::open(self, digest, progress)
    }

    fn reader(&self) -> Reader<'_> {
        Reader(&*self.medium)
    }
}

impl Source for Bundle {
    fn name(&self) -> &str {
        self.medium.name()
    }

    fn releases(&self) -> &[Release] {
        &self.releases
    }

    fn needs(&self) -> &[NeededRelease] {
        &self.packing.needs
    }

    fn carries(&self, digest: &Digest) -> bool {
        self.carried.index_of(digest).is_some()
    }

    fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    fn signatures(&self) -> Vec<Signature> {
        self.head.signatures.iter().cloned().collect()
    }

    fn copy_blobs(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        data::copy_blobs(self, wanted, sink, progress)
    }
}

/// The content of a frame whose hash has been checked: one zstd frame with a checksum, exactly `plain_len` bytes of it. It
/// comes in the memory of `plain`, whatever that was used for.
///
/// The hash was right, so whatever is wrong here is no damage: whoever packed it lied about it.
fn decode(part: &str, bytes: &[u8], plain_len: u64, mut plain: Vec<u8>) -> Result<Vec<u8>, Error> {
    let part = || part.to_owned();
    if frame::is_skippable(bytes) {
        return Err(Malformed::StrayFiller { part: part() }.into());
    }
    if let Some(window) = frame::window_len(bytes).filter(|&window| window > MAX_WINDOW_BYTES) {
        return Err(Malformed::WindowTooLarge { part: part(), window, limit: MAX_WINDOW_BYTES }.into());
    }
    plain.clear();
    let is_decoded = frame::check_stored(bytes, |block| plain.extend_from_slice(block))
        || decompress(bytes, plain_len, &mut plain);
    if is_decoded && plain.len() as u64 == plain_len {
        return Ok(plain);
    }
    Err(Malformed::NotOneFrame { part: part(), announced: plain_len }.into())
}

/// Whether this is one zstd frame that holds so much, and all of it has come.
fn decompress(bytes: &[u8], plain_len: u64, plain: &mut Vec<u8>) -> bool {
    let is_one_frame = frame::is_self_contained(bytes)
        && zstd_safe::find_frame_compressed_size(bytes) == Ok(bytes.len())
        && zstd_safe::get_frame_content_size(bytes).is_ok_and(|size| size == Some(plain_len));
    plain.clear();
    plain.reserve_exact(usize::try_from(plain_len).unwrap_or(0));
    is_one_frame && Decompressor::new().and_then(|mut zstd| zstd.decompress_to_buffer(bytes, plain)).is_ok()
}
