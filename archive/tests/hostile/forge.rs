//! Archives made piece by piece, so that a lie can be told anywhere in them. Whatever comes after a lie is made as an
//! honest writer would make it: sizes fit, hashes are right, and the vendor's own keys have signed. So the check that
//! refuses it is the last one that stands between the lie and an appliance.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sealift_archive::chain::{Chain, State};
use sealift_archive::format::contents::{Contents, Encoding, Entry, Frame};
use sealift_archive::format::packing::{Packing, Page};
use sealift_archive::format::{FRONT_ALIGN, HEAD_BYTES, PAGE_PLAIN_BYTES, frame, member};
use sealift_archive::release::BlobListSummary;
use sealift_archive::trust::{RoleName, SecretKey, Signature, TrustRoot};
use sealift_archive::{Blob, BlobList, Digest, Refs, ReleaseName, Statement, json};
use serde_json::Value;

use crate::tar_member::{Member, stream};

/// Length of a tar block, and of what a frame of a chained blob holds of it here.
const BLOCK: usize = 512;

/// The people of a vendor.
pub(crate) struct Keys {
    pub(crate) root: SecretKey,
    /// Two of two must sign a release.
    pub(crate) release: [SecretKey; 2],
    pub(crate) pack: SecretKey,
}

/// The vendor whom an appliance trusts.
pub(crate) static VENDOR: LazyLock<Keys> = LazyLock::new(keys);
/// Somebody else.
pub(crate) static STRANGER: LazyLock<Keys> = LazyLock::new(keys);

fn keys() -> Keys {
    let key = || SecretKey::generate(b"").unwrap().0;
    Keys { root: key(), release: [key(), key()], pack: key() }
}

/// A data frame as it will stand in the file, and what is said of it.
pub(crate) struct DataFrame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) plain_length: u64,
    pub(crate) last_blob: u32,
    /// The state behind it, if it belongs to a chained blob.
    pub(crate) state: Option<[u8; 32]>,
}

/// A front page as it will stand in the file.
pub(crate) struct FrontPage {
    pub(crate) bytes: Vec<u8>,
    pub(crate) plain_length: u64,
}

/// What is changed, in the order in which an archive is made.
pub(crate) struct Lies {
    /// Who makes it.
    pub(crate) vendor: fn() -> &'static Keys,
    /// Whether the first blob is chained, through three frames.
    pub(crate) chained: bool,
    /// The blobs of the release; the first one is stored, the others are squeezed together.
    pub(crate) blobs: fn(&mut Vec<Vec<u8>>),
    /// What the frames of the data hold, before that is packed.
    pub(crate) plain: fn(&mut Vec<Vec<u8>>),
    /// The frames of the data.
    pub(crate) frames: fn(&mut Vec<DataFrame>),
    /// The contents, and their bytes.
    pub(crate) contents: fn(&mut Contents),
    pub(crate) table: fn(&mut Vec<u8>),
    /// The text of the blob list that the release signers sign.
    pub(crate) blob_list: fn(&mut String),
    /// The statement.
    pub(crate) statement: fn(&mut Value),
    /// The members of the front, then its pages.
    pub(crate) front: fn(&mut Vec<Member>),
    pub(crate) pages: fn(&mut Vec<FrontPage>),
    /// The packing, and its bytes.
    pub(crate) packing: fn(&mut Value),
    pub(crate) packing_text: fn(&mut String),
    /// Who signs.
    pub(crate) release_signers: fn(&Keys) -> Vec<&SecretKey>,
    pub(crate) pack_signers: fn(&Keys) -> Vec<&SecretKey>,
    /// The members of the head, then its area.
    pub(crate) head: fn(&Keys, &mut Vec<Member>),
    pub(crate) area: fn(&mut Vec<u8>),
    /// The file.
    pub(crate) file: fn(&mut Vec<u8>),
}

/// No lie at all.
pub(crate) const HONEST: Lies = Lies {
    vendor: || &VENDOR,
    chained: false,
    blobs: |_| {},
    plain: |_| {},
    frames: |_| {},
    contents: |_| {},
    table: |_| {},
    blob_list: |_| {},
    statement: |_| {},
    front: |_| {},
    pages: |_| {},
    packing: |_| {},
    packing_text: |_| {},
    release_signers: |keys| keys.release.iter().collect(),
    pack_signers: |keys| vec![&keys.pack],
    head: |_, _| {},
    area: |_| {},
    file: |_| {},
};

/// The vendor's trust root.
pub(crate) fn root(keys: &Keys) -> TrustRoot {
    let members = [
        (RoleName::Root, vec![&keys.root]),
        (RoleName::Release, keys.release.iter().collect()),
        (RoleName::Pack, vec![&keys.pack]),
    ];
    let members = members.map(|(role, keys)| (role, keys.into_iter().map(|k| k.public().clone()).collect()));
    let one_of_each = TrustRoot::first(&BTreeMap::from(members)).unwrap();
    let mut document: Value = serde_json::from_slice(one_of_each.bytes()).unwrap();
    document["roles"]["release"]["threshold"] = 2.into();
    TrustRoot::parse("root.json", &json::to_document(&document)).unwrap()
}

/// The blob that is stored.
pub(crate) fn first_blob() -> Vec<u8> {
    b"layer".repeat(300)
}

/// Makes the archive with these lies in it.
pub(crate) fn make(lies: &Lies) -> Vec<u8> {
    let keys = (lies.vendor)();
    let mut blobs = vec![first_blob(), b"{\"a\":1}".repeat(700), b"text ".repeat(60)];
    (lies.blobs)(&mut blobs);
    let frames = data(&blobs, lies);
    let (statement, front) = release(&blobs, &frames, lies);
    let pages = pages(&front, lies);
    let data: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes).collect();
    let tail = frame::stored(&[0; member::END_LEN]);

    let front_end = HEAD_BYTES + pages.iter().map(|page| page.bytes.len() as u64).sum::<u64>();
    let data_offset = (front_end + frame::MIN_FILLER).next_multiple_of(FRONT_ALIGN);
    let length = data_offset + (data.len() + tail.len()) as u64;
    let packing = packing(&statement, length, data_offset, &pages, lies);

    let mut file = head(keys, &statement, packing.as_bytes(), lies);
    file.extend(pages.into_iter().flat_map(|page| page.bytes));
    file.extend(frame::filler(data_offset - front_end));
    file.extend(data);
    file.extend(tail);
    (lies.file)(&mut file);
    file
}

/// A frame as an honest writer squeezes it.
pub(crate) fn squeezed(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(true).unwrap();
    compressor.compress(plain).unwrap()
}

/// The members of the blobs: the first one in a stored frame, the others in a squeezed one.
fn data(blobs: &[Vec<u8>], lies: &Lies) -> Vec<DataFrame> {
    let members: Vec<Member> =
        blobs.iter().map(|b| Member::new(&Digest::of(b).blob_path(), b.clone())).collect();
    let mut plain = vec![stream(&members[..1]), stream(&members[1..])];
    (lies.plain)(&mut plain);
    let (first, others) = plain.split_first().unwrap();
    let stored = |plain: &[u8]| DataFrame {
        bytes: frame::stored(plain),
        plain_length: plain.len() as u64,
        last_blob: 0,
        state: None,
    };
    let mut frames = vec![stored(first)];
    if lies.chained {
        let (start, rest) = first.split_at(2 * BLOCK);
        frames = std::iter::once(start).chain(rest.chunks(BLOCK)).map(stored).collect();
        chain(&mut frames, &blobs[0]);
    }
    frames.extend(others.iter().map(|plain| DataFrame {
        bytes: squeezed(plain),
        plain_length: plain.len() as u64,
        last_blob: u32::try_from(blobs.len() - 1).unwrap(),
        state: None,
    }));
    (lies.frames)(&mut frames);
    frames
}

/// Names the state behind each of the frames of a blob, and behind the last one its digest.
fn chain(frames: &mut [DataFrame], blob: &[u8]) {
    let mut chain = Chain::default();
    for (frame, piece) in frames.iter_mut().zip(blob.chunks(BLOCK)) {
        chain.update(piece);
        let digest = *Digest::of(blob).as_raw();
        frame.state = Some(chain.state().map_or(digest, State::to_raw));
    }
}

/// The statement of a release of these blobs, and the front that goes with it.
fn release(blobs: &[Vec<u8>], frames: &[DataFrame], lies: &Lies) -> (Vec<u8>, Vec<u8>) {
    let mut list = BlobList::default();
    for blob in blobs {
        list.insert(Blob::of(blob)).unwrap();
    }
    let mut text = list.to_text();
    (lies.blob_list)(&mut text);
    let refs = Refs::default().to_bytes();
    let digest = Digest::of(text.as_bytes());
    let summary = BlobListSummary { digest, count: list.len() as u64, content_bytes: list.total_bytes() };
    let name = ReleaseName {
        product: "acme".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        sequence: 3.try_into().unwrap(),
    };
    let statement = Statement::new(name, summary, Blob::of(&refs)).to_bytes();
    let mut statement: Value = serde_json::from_slice(&statement).unwrap();
    (lies.statement)(&mut statement);

    let mut contents = contents(blobs, frames);
    if lies.chained {
        contents.entries[0].encoding = Encoding::Chained;
    }
    (lies.contents)(&mut contents);
    let mut table = contents.encode().unwrap();
    (lies.table)(&mut table);
    let mut front = vec![
        Member::new("releases/3/blobs", text),
        Member::new("releases/3/refs.json", refs),
        Member::new("contents", table),
    ];
    (lies.front)(&mut front);
    (json::to_document(&statement), stream(&front))
}

fn contents(blobs: &[Vec<u8>], frames: &[DataFrame]) -> Contents {
    let (mut offset, mut at) = (0, 0);
    let record = |frame: &DataFrame| {
        let length = frame.bytes.len() as u64;
        offset += length;
        Frame {
            offset: offset - length,
            length: u32::try_from(length).unwrap(),
            plain_length: u32::try_from(frame.plain_length).unwrap(),
            hash: frame.state.unwrap_or_else(|| *Digest::of(&frame.bytes).as_raw()),
            last_blob: frame.last_blob,
        }
    };
    let frames: Vec<Frame> = frames.iter().map(record).collect();
    let first_end = member::len(blobs[0].len() as u64);
    let squeezed_frame = u32::try_from(frames.iter().position(|frame| frame.last_blob > 0).unwrap()).unwrap();
    let entry = |blob: &Vec<u8>| {
        let start = at + member::HEADER_LEN;
        at += member::len(blob.len() as u64);
        let (frame, offset) =
            if start < first_end { (0, start) } else { (squeezed_frame, start - first_end) };
        let offset = u32::try_from(offset).unwrap();
        Entry { blob: Blob::of(blob), frame, offset, encoding: Encoding::Identity }
    };
    Contents { frames, entries: blobs.iter().map(entry).collect() }
}

fn pages(front: &[u8], lies: &Lies) -> Vec<FrontPage> {
    let piece = usize::try_from(PAGE_PLAIN_BYTES).unwrap();
    let page = |plain: &[u8]| FrontPage { bytes: squeezed(plain), plain_length: plain.len() as u64 };
    let mut pages = front.chunks(piece).map(page).collect();
    (lies.pages)(&mut pages);
    pages
}

fn packing(statement: &[u8], length: u64, data_offset: u64, pages: &[FrontPage], lies: &Lies) -> String {
    let mut end = HEAD_BYTES;
    let place = |page: &FrontPage| {
        let (offset, length) = (end, page.bytes.len() as u64);
        end += length;
        Page { offset, length, plain_length: page.plain_length, digest: Digest::of(&page.bytes) }
    };
    let pages = pages.iter().map(place).collect();
    let packing = Packing::new(vec![Digest::of(statement)], length, data_offset, pages).to_bytes();
    let mut packing: Value = serde_json::from_slice(&packing).unwrap();
    (lies.packing)(&mut packing);
    let mut text = String::from_utf8(json::to_document(&packing)).unwrap();
    (lies.packing_text)(&mut text);
    text
}

fn head(keys: &Keys, statement: &[u8], packing: &[u8], lies: &Lies) -> Vec<u8> {
    let root = root(keys);
    let signed = [
        (root.bytes(), vec![&keys.root]),
        (statement, (lies.release_signers)(keys)),
        (packing, (lies.pack_signers)(keys)),
    ];
    let signatures: BTreeMap<String, Vec<u8>> = signed
        .into_iter()
        .flat_map(|(document, by)| by.into_iter().map(move |key| Signature::sign(document, key).unwrap()))
        .map(|signature| (format!("signatures/{}", signature.path()), signature.bundle))
        .collect();
    let mut members = vec![
        Member::new("pack.json", packing),
        Member::new("releases/3/release.json", statement),
        Member::new("root/1.json", root.bytes()),
    ];
    members.extend(signatures.into_iter().map(|(name, bundle)| Member::new(&name, bundle)));
    (lies.head)(keys, &mut members);
    let mut area = frame::stored(&stream(&members));
    let left = HEAD_BYTES.saturating_sub(area.len() as u64);
    if left >= frame::MIN_FILLER {
        area.extend(frame::filler(left));
    }
    (lies.area)(&mut area);
    area
}
