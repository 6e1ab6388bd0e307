//! Reading an archive: the head is checked first, then the front pages, then each frame before it is used.
//!
//! The steps are types, so that no later one can be taken before the one ahead of it: [`Unverified`] (the head is
//! parsed, nothing is believed) → [`Bundle`] (statements, blob lists, refs and contents are verified).

mod damage;
mod data;
mod stream;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fs_err as fs;
use zstd::zstd_safe;

use crate::format::contents::Contents;
use crate::format::head::Head;
use crate::format::packing::{Packing, Page, UNTOLD};
use crate::format::{
    FRONT_ALIGN, HEAD_BYTES, MAX_FILE_BYTES, MAX_FRONT_PLAIN_BYTES, MAX_WINDOW_BYTES, PAGE_PLAIN_BYTES,
    frame, member,
};
use crate::trust::{KeyId, RoleName, RootChain, Signature, TrustRoot};
use crate::{Blob, BlobList, BlobSink, Digest, Error, Malformed, Progress, Refs, Release, Source, Statement};

pub use damage::{Damage, Findings};
pub use stream::BlobStream;

/// Most pages that a packing may name.
const MAX_PAGES: usize = 64;
/// What the parts of the archive are called in messages.
const HEAD: &str = "the head";
const PACKING: &str = "the packing";
const FRONT: &str = "the front";
const CONTENTS: &str = "the contents";
/// How much filler is read at a time.
const FILLER_PIECE: u64 = 64 << 10;

/// An archive whose head has been parsed and of which nothing is believed yet: for looking, not for using.
#[derive(Debug)]
pub struct Unverified {
    file: fs::File,
    name: String,
    head: Head,
    packing: Packing,
}

/// An archive whose front is verified.
#[derive(Debug)]
pub struct Bundle {
    file: fs::File,
    name: String,
    packing: Packing,
    packers: Vec<KeyId>,
    root: TrustRoot,
    head: Head,
    contents: Contents,
    releases: Vec<Release>,
    /// Digest → index in the contents.
    index: BTreeMap<Digest, usize>,
}

impl Unverified {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`], [`Error::Damaged`] or [`Error::Malformed`] for the head, or I/O.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = fs::File::open(path)?;
        let name = path.display().to_string();
        let mut area = vec![0; usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX)];
        let mut have = 0;
        while have < area.len() {
            match file.file().read_at(&mut area[have..], have as u64).map_err(|e| name_error(&name, &e))? {
                0 => break,
                n => have += n,
            }
        }
        let head = Head::parse(&name, &area[..have])?;
        let packing = Packing::parse(&head.packing)?;
        Ok(Self { file, name, head, packing })
    }

    /// The first trust root of the chain that the archive brings. Verifying with it proves that nothing is damaged, not
    /// who made it.
    ///
    /// # Errors
    /// [`Malformed::MissingMember`] if it brings none.
    pub fn own_root(&self) -> Result<&TrustRoot, Error> {
        self.head.roots.iter().next().ok_or_else(|| Malformed::missing(HEAD, "root/1.json"))
    }

    /// Verifies head and front pages: `trusted` → newest root → packing and statements → pages.
    ///
    /// # Errors
    /// [`Error::OtherVendor`], [`Error::Unsigned`], [`Error::WrongLength`], [`Error::Damaged`], or what is wrong with a
    /// document.
    pub fn verify(self, trusted: &TrustRoot) -> Result<Bundle, Error> {
        let Self { file, name, head, packing } = self;
        let root = head.roots.follow(&name, trusted, &head.signatures)?;
        let packers = root.check("pack.json", &head.packing, RoleName::Pack, &head.signatures)?;
        if !packing.needs.is_empty() {
            return Err(Error::needs_newer("pack.json", "delta", UNTOLD));
        }
        let found = file.metadata()?.len();
        if found != packing.length {
            return Err(Error::WrongLength { file: name, expected: packing.length, found });
        }
        let reader = Reader { file: &file, name: &name };
        let mut front = reader.front(&packing)?.into_iter();
        let tail = frame::stored(&[0; member::END_LEN]);
        let tail_at = packing.length.saturating_sub(tail.len() as u64);
        if reader.read("the tail", tail_at, packing.length)? != tail {
            return Err(reader.damaged("the tail", tail_at, packing.length));
        }
        let data_bytes = tail_at.checked_sub(packing.data_offset).ok_or_else(|| {
            let why = format!("it begins at {}, the tail at {tail_at}", packing.data_offset);
            Malformed::Outside { part: PACKING, item: "the data".to_owned(), why }
        })?;
        // In the order of the format, or not at all.
        let mut take = |member: &str| match front.next() {
            Some((name, content)) if name == member => Ok(content),
            _ => Err(Malformed::missing(FRONT, member)),
        };
        let mut releases = Vec::new();
        for (document, bytes) in statements(&head) {
            let signers = root.check(&document, bytes, RoleName::Release, &head.signatures)?;
            let statement = Statement::parse(&document, bytes)?;
            let sequence = statement.sequence;
            if document != format!("releases/{sequence}/release.json") {
                return Err(Error::inconsistent(&document, format!("it is sequence {sequence}")));
            }
            let list = take(&format!("releases/{sequence}/blobs"))?;
            let refs = take(&format!("releases/{sequence}/refs.json"))?;
            releases.push(Release::assemble(statement, bytes, signers, &head, &list, refs)?);
        }
        let contents = Contents::parse(&take("contents")?, data_bytes)?;
        if let Some((name, _)) = front.next() {
            return Err(Malformed::unexpected(FRONT, &name));
        }
        if releases.is_empty() {
            return Err(Malformed::missing(HEAD, "releases/<sequence>/release.json"));
        }
        if releases.iter().map(Release::digest).ne(packing.statements.iter().copied()) {
            return Err(Malformed::OtherStatements.into());
        }
        let index = index(&name, &contents, &releases)?;
        Ok(Bundle { file, name, packing, packers, root, head, contents, releases, index })
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
    pub fn open(path: &Path, trusted: &TrustRoot) -> Result<Self, Error> {
        Unverified::open(path)?.verify(trusted)
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

    /// Writes one blob to `out`; reads only the frames that it lies in.
    ///
    /// # Errors
    /// [`Error::MissingBlob`], [`Error::Damaged`], or I/O.
    pub fn read_blob(&self, digest: &Digest, out: &mut dyn std::io::Write) -> Result<(), Error> {
        data::read_blob(self, digest, out)
    }

    /// Opens one blob for reading as it is needed; several may be read at a time.
    ///
    /// # Errors
    /// [`Error::MissingBlob`].
    pub fn stream_blob<'a>(
        &'a self,
        digest: &Digest,
        progress: &'a dyn Progress,
    ) -> Result<BlobStream<'a>, Error> {
        BlobStream::open(self, digest, progress)
    }

    fn reader(&self) -> Reader<'_> {
        Reader { file: &self.file, name: &self.name }
    }
}

impl Source for Bundle {
    fn name(&self) -> &str {
        &self.name
    }

    fn releases(&self) -> &[Release] {
        &self.releases
    }

    fn trust_root(&self) -> &TrustRoot {
        &self.root
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

impl Release {
    /// Puts a verified statement together with the documents whose digests it names.
    fn assemble(
        statement: Statement,
        statement_bytes: &[u8],
        signers: Vec<KeyId>,
        head: &Head,
        list: &[u8],
        refs_bytes: Vec<u8>,
    ) -> Result<Self, Error> {
        let sequence = statement.sequence;
        let summary = statement.blob_list;
        let (list_name, refs_name) =
            (format!("releases/{sequence}/blobs"), format!("releases/{sequence}/refs.json"));
        let found = Digest::of(list);
        if found != summary.digest {
            return Err(Error::WrongContent { wanted: summary.digest, found });
        }
        let found = Digest::of(&refs_bytes);
        if found != statement.refs.digest || refs_bytes.len() as u64 != statement.refs.size {
            return Err(Error::WrongContent { wanted: statement.refs.digest, found });
        }
        let blob_list = BlobList::parse(&list_name, list)?;
        if blob_list.len() as u64 != summary.count || blob_list.total_bytes() != summary.content_bytes {
            return Err(Error::inconsistent(&list_name, "the statement counts its content otherwise"));
        }
        let refs = Refs::parse(&refs_name, &refs_bytes)?;
        refs.check_against(&refs_name, &blob_list)?;
        let document = Digest::of(statement_bytes);
        let signatures = head.signatures.of(&document).into_iter().cloned().collect();
        let statement_bytes = statement_bytes.to_owned();
        Ok(Self { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes })
    }
}

/// Finds each blob, and makes sure that the contents hold all that the releases list and nothing else.
fn index(name: &str, contents: &Contents, releases: &[Release]) -> Result<BTreeMap<Digest, usize>, Error> {
    let mut index = BTreeMap::new();
    for (position, entry) in contents.entries.iter().enumerate() {
        let Blob { digest, size } = entry.blob;
        let listed = releases.iter().find_map(|r| r.blob_list.size(&digest));
        if index.insert(digest, position).is_some() || listed.is_none() {
            return Err(Malformed::UnlistedBlob { digest }.into());
        }
        if let Some(other) = listed.filter(|listed| *listed != size) {
            let (item, why) = (digest.to_string(), format!("the blob list says {other}"));
            return Err(Malformed::FalseLength { part: CONTENTS, item, length: size, why }.into());
        }
    }
    for blob in releases.iter().flat_map(|r| r.blob_list.iter()) {
        if !index.contains_key(&blob.digest) {
            return Err(Error::MissingBlob { source_name: name.to_owned(), digest: blob.digest });
        }
    }
    Ok(index)
}

/// Reads checked stretches of the file.
struct Reader<'a> {
    file: &'a fs::File,
    name: &'a str,
}

impl Reader<'_> {
    /// Reads from `start` to `end`; a file that ends before is damaged in `part`.
    fn read(&self, part: &str, start: u64, end: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        match self.file.file().read_exact_at(&mut bytes, start) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(part, start, end))
            }
            Err(error) => Err(name_error(self.name, &error)),
        }
    }

    /// Reads and checks the front pages and the filler behind them: member name → content.
    fn front(&self, packing: &Packing) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let offset = check_places(packing)?;
        let mut plain = Vec::new();
        for (number, page) in packing.pages.iter().enumerate() {
            let part = format!("front page {number}");
            let bytes = self.read(&part, page.offset, page.offset + page.length)?;
            if Digest::of(&bytes) != page.digest {
                return Err(self.damaged(&part, page.offset, page.offset + page.length));
            }
            plain.extend_from_slice(&decode(&part, &bytes, page.plain_length)?);
        }
        self.check_filler(offset, packing.data_offset)?;
        member::read_all(FRONT, &plain)
    }

    fn check_filler(&self, start: u64, end: u64) -> Result<(), Error> {
        const PART: &str = "the filler of the front";
        let header_end = start + frame::MIN_FILLER;
        let mut sound = self.read(PART, start, header_end)? == frame::filler_header(end - start);
        let mut at = header_end;
        while sound && at < end {
            let piece_end = end.min(at + FILLER_PIECE);
            sound = self.read(PART, at, piece_end)?.iter().all(|&b| b == 0);
            at = piece_end;
        }
        if sound { Ok(()) } else { Err(self.damaged(PART, start, end)) }
    }

    fn damaged(&self, part: &str, start: u64, end: u64) -> Error {
        Error::Damaged { file: self.name.to_owned(), part: part.to_owned(), start, end }
    }
}

/// Refuses pages that are not one behind the other between head and data, or too large; says where they end.
fn check_places(packing: &Packing) -> Result<u64, Error> {
    if packing.length > MAX_FILE_BYTES {
        let what = "the archive, as its packing says,".to_owned();
        return Err(Error::TooLarge { what, size: packing.length, limit: MAX_FILE_BYTES });
    }
    if packing.pages.len() > MAX_PAGES {
        let (size, limit) = (packing.pages.len() as u64, MAX_PAGES as u64);
        return Err(Error::TooLarge { what: "the number of front pages".to_owned(), size, limit });
    }
    let mut end = HEAD_BYTES;
    for (number, page) in packing.pages.iter().enumerate() {
        let Page { offset, length, plain_length, .. } = *page;
        let false_length = |item: String, length, most: u64| {
            let why = format!("it goes from 1 to {most}");
            Err(Malformed::FalseLength { part: PACKING, item, length, why }.into())
        };
        if !(1..=PAGE_PLAIN_BYTES).contains(&plain_length) {
            return false_length(
                format!("the content of front page {number}"),
                plain_length,
                PAGE_PLAIN_BYTES,
            );
        }
        if !(1..=frame::stored_len(plain_length)).contains(&length) {
            return false_length(format!("front page {number}"), length, frame::stored_len(plain_length));
        }
        Malformed::place(PACKING, format!("front page {number}"), offset, end)?;
        end += length;
    }
    let plain: u64 = packing.pages.iter().map(|p| p.plain_length).sum();
    if plain > MAX_FRONT_PLAIN_BYTES {
        let what = "the front of the archive".to_owned();
        return Err(Error::TooLarge { what, size: plain, limit: MAX_FRONT_PLAIN_BYTES });
    }
    // The filler must have room for its header, and be no longer than what the pages could have needed.
    let (data, filler_end) = (packing.data_offset, end + frame::MIN_FILLER);
    if data < filler_end {
        return Err(Malformed::Overlap {
            part: PACKING,
            item: "the data".to_owned(),
            start: data,
            end: filler_end,
        }
        .into());
    }
    if data - end > MAX_FRONT_PLAIN_BYTES {
        return Err(Malformed::StrayFiller { part: FRONT.to_owned() }.into());
    }
    if data > packing.length || !data.is_multiple_of(FRONT_ALIGN) {
        let why = format!("byte {data} is no multiple of {FRONT_ALIGN}, or behind the end of the file");
        return Err(Malformed::Outside { part: PACKING, item: "the data".to_owned(), why }.into());
    }
    Ok(end)
}

/// The content of a frame whose hash has been checked: one zstd frame with a checksum, exactly `plain_len` bytes of it.
///
/// The hash was right, so whatever is wrong here is no damage: whoever packed it lied about it.
fn decode(part: &str, bytes: &[u8], plain_len: u64) -> Result<Vec<u8>, Error> {
    let part = || part.to_owned();
    if frame::is_skippable(bytes) {
        return Err(Malformed::StrayFiller { part: part() }.into());
    }
    if let Some(window) = frame::window_len(bytes).filter(|&window| window > MAX_WINDOW_BYTES) {
        return Err(Malformed::WindowTooLarge { part: part(), window, limit: MAX_WINDOW_BYTES }.into());
    }
    let by_zstd = || {
        let is_one_frame = frame::has_checksum(bytes)
            && zstd_safe::find_frame_compressed_size(bytes) == Ok(bytes.len())
            && zstd_safe::get_frame_content_size(bytes).is_ok_and(|size| size == Some(plain_len));
        let capacity = usize::try_from(plain_len).unwrap_or(0);
        is_one_frame.then(|| zstd::bulk::decompress(bytes, capacity).ok()).flatten()
    };
    frame::decode_stored(bytes)
        .or_else(by_zstd)
        .filter(|plain| plain.len() as u64 == plain_len)
        .ok_or_else(|| Malformed::NotOneFrame { part: part(), announced: plain_len }.into())
}

fn name_error(name: &str, error: &std::io::Error) -> Error {
    let text: Cow<'_, str> = format!("failed to read `{name}`: {error}").into();
    Error::Io(std::io::Error::new(error.kind(), text))
}
