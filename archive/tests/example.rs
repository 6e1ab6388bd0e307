//! The worked example at the end of `FORMAT.md` is an archive, byte by byte: the one that is built here.
//!
//! ECDSA signatures differ each time, so those of the example are kept, with its trust root, in `tests/example`. After a
//! change of the format: `cargo test -p sealift-archive --test example -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod page;
mod second_reader;

use std::path::PathBuf;

use fs_err as fs;
use sealift_archive::format::contents::{Contents, Encoding, Entry, Frame};
use sealift_archive::format::head::Head;
use sealift_archive::format::packing::{Packing, Page};
use sealift_archive::format::{FRONT_ALIGN, HEAD_BYTES, frame, member};
use sealift_archive::release::{BlobListSummary, Descriptor};
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, Signatures, TrustRoot};
use sealift_archive::{Blob, BlobList, Bundle, Digest, Refs, ReleaseName, Statement, Unwatched};
use second_reader::SecondReader;

const CONTENT: &[u8] = b"hello, world\n";
const NAME: &str = "hello.txt";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example");
const FORMAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md");
/// Where the example begins in the page.
const HEADING: &str = "## 10. A worked example\n";

#[test]
fn the_page_shows_the_archive_that_is_built_here() {
    let archive = Archive::signed_by(&kept_root(), kept_signatures);
    let format = fs::read_to_string(FORMAT).unwrap();
    let (_, shown) = format.split_once(HEADING).unwrap();
    let wanted = page::of(&archive.file());
    for (number, (shown, wanted)) in shown.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(shown, wanted, "line {} of the example", number + 1);
    }
    assert_eq!(shown.lines().count(), wanted.lines().count());
}

#[test]
fn the_example_is_taken_by_both_readers() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("acme-1.0.tar.zst");
    fs::write(&path, Archive::signed_by(&kept_root(), kept_signatures).file()).unwrap();
    let bundle = Bundle::open(&path, kept_root()).unwrap();
    assert!(bundle.check(&Unwatched).unwrap().is_whole());
    let mut content = Vec::new();
    bundle.read_blob(&Digest::of(CONTENT), &mut content).unwrap();
    assert_eq!(content, CONTENT);
    let second = SecondReader::trusting(&kept_root());
    assert_eq!(second.verdicts(std::slice::from_ref(&path)), [Ok(vec!["acme 1.0, blobs: 1".to_owned()])]);
    assert_eq!(second.blob(&path, &Digest::of(CONTENT).to_string()).unwrap(), CONTENT);
}

/// Not a check: makes new keys, signs the example with them, and writes it into the page.
#[test]
#[ignore = "it writes into the tree; run it when the format has changed"]
fn the_example_is_written_anew() {
    let [root_key, key] = [(); 2].map(|()| SecretKey::generate(b"").unwrap().0);
    let members = [(RoleName::Root, &root_key), (RoleName::Release, &key), (RoleName::Pack, &key)];
    let root =
        TrustRoot::first(&members.map(|(role, key)| (role, vec![key.public().clone()])).into()).unwrap();
    let sign = |document: &[u8]| {
        let key = if document == root.bytes() { &root_key } else { &key };
        Signature::sign(document, key).unwrap()
    };
    if fs::metadata(EXAMPLE).is_ok() {
        fs::remove_dir_all(EXAMPLE).unwrap();
    }
    fs::create_dir(EXAMPLE).unwrap();
    fs::write(format!("{EXAMPLE}/root.json"), root.bytes()).unwrap();
    let archive = Archive::signed_by(&root, |document| {
        let signatures: Signatures = [sign(document)].into_iter().collect();
        signatures.write_to(&PathBuf::from(EXAMPLE)).unwrap();
        signatures
    });
    let format = fs::read_to_string(FORMAT).unwrap();
    let before = format.split_once(HEADING).map_or(format.as_str(), |(before, _)| before).trim_end();
    fs::write(FORMAT, format!("{before}\n\n{HEADING}{}", page::of(&archive.file()))).unwrap();
}

fn kept_root() -> TrustRoot {
    TrustRoot::parse("root.json", &fs::read(format!("{EXAMPLE}/root.json")).unwrap()).unwrap()
}

fn kept_signatures(document: &[u8]) -> Signatures {
    Signatures::read_from(&PathBuf::from(EXAMPLE), &Digest::of(document)).unwrap()
}

/// A release of one file, and nothing that could be left out.
struct Archive {
    head: Vec<u8>,
    page: Vec<u8>,
    filler: Vec<u8>,
    data: Vec<u8>,
    tail: Vec<u8>,
}

impl Archive {
    fn signed_by(root: &TrustRoot, signatures_of: impl Fn(&[u8]) -> Signatures) -> Self {
        let blob = Blob::of(CONTENT);
        let data = frame::stored(&member::write_all(&[(blob.digest.blob_path(), CONTENT.to_vec())]));
        let tail = frame::stored(&[0; member::END_LEN]);
        let (statement, list, refs) = release(blob);
        let narrow = |length: u64| u32::try_from(length).unwrap();
        let only = Frame {
            offset: 0,
            length: narrow(data.len() as u64),
            plain_length: narrow(member::len(blob.size)),
            // The frame is the last one of its blob.
            hash: *blob.digest.as_raw(),
            last_blob: 0,
        };
        let offset = narrow(member::HEADER_LEN);
        let entry = Entry { blob, frame: 0, offset, encoding: Encoding::Chained };
        let contents = Contents { frames: vec![only], entries: vec![entry] }.encode().unwrap();
        let front = member::write_all(&[
            ("releases/1/blobs".to_owned(), list.into_bytes()),
            ("releases/1/refs.json".to_owned(), refs),
            ("contents".to_owned(), contents),
        ]);
        // Stored, as a page may be: what zstd makes of it depends on zstd.
        let page = frame::stored(&front);
        let page_end = HEAD_BYTES + page.len() as u64;
        let data_offset = (page_end + frame::MIN_FILLER).next_multiple_of(FRONT_ALIGN);
        let length = data_offset + (data.len() + tail.len()) as u64;
        let places = Page {
            offset: HEAD_BYTES,
            length: page.len() as u64,
            plain_length: front.len() as u64,
            digest: Digest::of(&page),
        };
        let statement_bytes = statement.to_bytes();
        let packing = Packing::new(vec![Digest::of(&statement_bytes)], length, data_offset, vec![places]);
        let mut head = Head { packing: packing.to_bytes(), ..Head::default() };
        for document in [root.bytes(), &statement_bytes, &head.packing.clone()] {
            for signature in signatures_of(document).iter() {
                head.signatures.push(signature.clone());
            }
        }
        head.statements.insert(statement.sequence, statement_bytes);
        head.roots = RootChain::default();
        head.roots.insert("root.json", root.clone()).unwrap();
        let filler = frame::filler(data_offset - page_end);
        Self { head: head.encode().unwrap(), page, filler, data, tail }
    }

    fn file(&self) -> Vec<u8> {
        [&self.head, &self.page, &self.filler, &self.data, &self.tail].map(Vec::as_slice).concat()
    }
}

/// The statement of the release, the text of its blob list, and its refs.
fn release(blob: Blob) -> (Statement, String, Vec<u8>) {
    let mut list = BlobList::default();
    list.insert(blob).unwrap();
    let text = list.to_text();
    let mut refs = Refs::default();
    let file = Descriptor {
        media_type: "text/plain".to_owned(),
        digest: blob.digest,
        size: blob.size,
        artifact_type: None,
        annotations: std::collections::BTreeMap::new(),
    };
    refs.files.insert(NAME.parse().unwrap(), file);
    let name = ReleaseName {
        product: "acme".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        sequence: 1.try_into().unwrap(),
    };
    let digest = Digest::of(text.as_bytes());
    let summary = BlobListSummary { digest, count: 1, content_bytes: blob.size };
    let refs = refs.to_bytes();
    (Statement::new(name, summary, Blob::of(&refs)), text, refs)
}
