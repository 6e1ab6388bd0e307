//! Seeds: what fuzzing begins with. Documents, tables and archives as an honest writer makes them, and lies that lead a
//! fuzzer to places that it would hardly find by itself.

use sealift_archive::format::HEAD_BYTES;
use sealift_archive::format::parity::page::PAYLOAD_BYTES;
use sealift_archive::format::parity::{Amount, Grid, Index, PieceHasher};
use sealift_archive::format::volume::{self, Cuts};
use sealift_archive::release::Channel;
use sealift_archive::release::published::Envelope;
use sealift_archive::{Digest, Source as _, json};

use super::archives::{ARCHIVES, open};
use super::documents::DOCUMENT;
use super::edits::{Edit, Step};
use super::forge::BLUEPRINTS;
use super::head;
use super::sealed::KEYS;
use super::vendor::VENDOR;

/// Bytes for a target.
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// What to call them.
    pub name: String,
    /// What the target is given.
    pub bytes: Vec<u8>,
    /// Whether that is taken.
    pub is_honest: bool,
}

impl Seed {
    fn honest(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { target, name: format!("honest-{name}"), bytes: bytes.into(), is_honest: true }
    }
}

/// All seeds.
pub fn all() -> Vec<Seed> {
    let mut seeds = vec![
        Seed::honest("age_file", "two-recipients", SEALED),
        Seed::honest("channel", "stable", channel()),
        Seed::honest("envelope", "channel", envelope()),
        Seed::honest("identities", "one", KEYS),
        Seed::honest("receipt", "receipt", RECEIPT),
        Seed::honest("signature", "signature", VENDOR.sign(DOCUMENT).bundle),
        Seed::honest("trust_root", "first", VENDOR.root.bytes()),
        Seed::honest("trust_root", "second", second_root()),
    ];
    for (archive, name) in ARCHIVES.iter().zip(["one", "both", "delta"]) {
        seeds.extend(of_archive(archive, name));
    }
    for (which, name) in (0_u8..).zip(["one", "both", "delta", "cut"]) {
        seeds.push(Seed::honest("reader", name, [which]));
        seeds.push(Seed::honest("contents", name, BLUEPRINTS[usize::from(which)].contents()));
    }
    seeds.extend(volumes());
    seeds.extend(parity());
    seeds.extend(lies());
    seeds
}

const RECEIPT: &str = r#"{
  "apiVersion": "sealift/v1",
  "kind": "Receipt",
  "product": "acme",
  "releases": [
    {
      "version": "1.0",
      "sequence": 1,
      "statement": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      "state": "active"
    }
  ],
  "trust": {"rootVersion": 1, "floor": 1, "installedSequence": 1},
  "created": "2026-01-31T23:59:59.5+01:00"
}"#;

/// What `age -r SOMEBODY -r` and the key of [`KEYS`] made of `hello from age`.
const SEALED: &[u8] = b"\
age-encryption.org/v1\n\
-> X25519 xWvVWdvsxpWcaCtdBnZzBXbwUbjhAC/AKD1pVLCvzV8\n\
u4kTGo/pgIYfUALZihPiLN8P1+jjS+u+JlqC3cGWliE\n\
-> X25519 irICVK+4eum7wqOh6RMAktkJV2YkructLUk/Yi9KeHk\n\
+tXjTQHdXP4hAa+xScjjn7tl9knU+0+PSJ88Mn3pHHQ\n\
--- 24Yq7Y0cwEfO+JZZ76+xiUOKskkC7Bx+R7nvaObdvfo\n\
\x3e\xe0\xc3\xf2\xd5\xfc\xc8\x45\xd9\x1a\x6b\x1d\x67\x27\x85\x32\xd8\xed\x91\x0a\xf1\xa5\xeb\xe1\
\x4d\xaa\x64\xf7\xc8\x46\x1d\x64\xb5\x04\x73\x72\x29\x30\xde\x0c\x89\x55\x42\x81\xd1\x8f";

const CHANNEL: &str = r#"{
  "apiVersion": "sealift/v1",
  "kind": "Channel",
  "product": "acme",
  "name": "stable",
  "version": 7,
  "release": {
    "version": "1.5.0",
    "sequence": 15,
    "statement": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
  },
  "earlier": [
    {
      "version": "1.4.0",
      "sequence": 14,
      "statement": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9825"
    }
  ],
  "floor": 12,
  "expires": "2026-12-01T00:00:00Z"
}"#;

/// A channel as it is published.
fn channel() -> Vec<u8> {
    Channel::parse("channel.json", CHANNEL.as_bytes()).expect("our own channel").to_bytes()
}

fn envelope() -> Vec<u8> {
    let channel = channel();
    let signatures = [VENDOR.sign(&channel)].into_iter().collect();
    Envelope::new(channel, &signatures).expect("a small document").to_bytes()
}

/// A trust root with another version and fewer roles.
fn second_root() -> Vec<u8> {
    let mut document: serde_json::Value = serde_json::from_slice(VENDOR.root.bytes()).expect("our own root");
    document["version"] = 2.into();
    json::to_document(&document)
}

/// The documents of an archive.
fn of_archive(archive: &[u8], name: &str) -> Vec<Seed> {
    let members = head::members(archive).expect("our own head");
    let bundle = open(archive);
    let newest = bundle.releases().last().expect("an archive has a release");
    vec![
        Seed::honest("packing", name, json::to_document(bundle.packing())),
        Seed::honest("head", name, members),
        Seed::honest("statement", name, newest.statement_bytes.clone()),
        Seed::honest("blob_list", name, newest.blob_list.to_text()),
        Seed::honest("refs", name, newest.refs_bytes.clone()),
    ]
}

/// The headers of two volumes.
fn volumes() -> impl Iterator<Item = Seed> {
    let cuts = Cuts { packing: Digest::of(b"pack.json"), lengths: vec![HEAD_BYTES, 4096] };
    let headers: Vec<Vec<u8>> = cuts.headers().map(|header| header.encode()).collect();
    headers.into_iter().zip(["first", "last"]).map(|(bytes, name)| Seed::honest("volume_header", name, bytes))
}

/// The indexes of an archive in one file, and of one in three volumes with several parity files.
fn parity() -> impl Iterator<Item = Seed> {
    let ten_percent: Amount = "10%".parse().expect("an amount");
    let plan = |name: &str, header_bytes, lengths: &[u64], most_bytes| {
        Grid::plan(Digest::of(name.as_bytes()), header_bytes, lengths.to_vec(), ten_percent, most_bytes)
    };
    let grids = [
        ("one", plan("one", 0, &[300_000], None)),
        ("three", plan("three", volume::HEADER_LEN, &[200_000, 100_000, 9000], Some(30_000))),
    ];
    grids.into_iter().map(|(name, grid)| {
        let grid = grid.expect("a small archive");
        let hashes = |count| vec![PieceHasher::default().finish(); count as usize];
        let (pieces, recovery) = (hashes(grid.pieces()), hashes(grid.recovery_pieces()));
        let pages = Index { grid, pieces, recovery }.to_pages(1);
        let payloads = pages.iter().flat_map(|page| &page[..PAYLOAD_BYTES]);
        Seed::honest("parity_header", name, payloads.copied().collect::<Vec<u8>>())
    })
}

/// Where the contents say what (`FORMAT.md`, 4.1), of an archive with four frames.
mod at {
    pub(super) const FRAMES: u16 = 8;
    pub(super) const BLOBS: u16 = 12;
    pub(super) const FRAME: u16 = 16;
    pub(super) const PLAIN_LENGTH: u16 = FRAME + 4;
    pub(super) const HASH: u16 = FRAME + 8;
    pub(super) const LAST_BLOB: u16 = FRAME + 40;
    pub(super) const BLOB: u16 = FRAME + 4 * 44;
    pub(super) const SIZE: u16 = BLOB + 32;
    pub(super) const ENCODING: u16 = BLOB + 40;
    pub(super) const IN_FRAME: u16 = BLOB + 44;
    pub(super) const LENGTH: u16 = BLOB + 52;
}

/// Lies in the archive of one release: where, and which bytes stand there instead.
const LIES: [(&str, Step, u8, u16, &[u8]); 24] = [
    ("more-frames", Step::Contents, 0, at::FRAMES, &[0xFF; 4]),
    ("more-blobs", Step::Contents, 0, at::BLOBS, &[7]),
    ("longer-frame", Step::Contents, 0, at::FRAME, &[0xFF]),
    ("larger-content", Step::Contents, 0, at::PLAIN_LENGTH, &[0, 0xFE, 0xFF, 0xFF]),
    ("other-hash", Step::Contents, 0, at::HASH, &[0]),
    ("other-last-blob", Step::Contents, 0, at::LAST_BLOB, &[1]),
    ("other-blob", Step::Contents, 0, at::BLOB, &[0]),
    ("blob-of-2-to-63-bytes", Step::Contents, 0, at::SIZE, &[0, 0, 0, 0, 0, 0, 0, 0x80]),
    ("other-encoding", Step::Contents, 0, at::ENCODING, &[0]),
    ("later-encoding", Step::Contents, 0, at::ENCODING, &[2]),
    ("blob-elsewhere", Step::Contents, 0, at::IN_FRAME, &[0xFF; 8]),
    ("other-extent", Step::Contents, 0, at::LENGTH, &[0xFF]),
    ("other-member", Step::Plain, 0, 0, b"etc/passwd\0"),
    ("other-content", Step::Plain, 3, 520, b"else"),
    ("skippable-frame", Step::Frame, 3, 0, &[0x5A, 0x2A, 0x4D, 0x18]),
    ("larger-window", Step::Frame, 3, 4, &[0x44, 0xFF]),
    ("other-size-on-the-list", Step::List, 0, 72, b"9"),
    ("other-refs", Step::Refs, 0, 20, b"v9"),
    ("other-statement", Step::Statement, 0, 20, b"v9"),
    ("other-member-in-front", Step::Front, 0, 0, b"../"),
    ("other-page", Step::Page, 0, 4, &[0xFF; 8]),
    ("other-packing", Step::Packing, 0, 80, b"99"),
    ("other-head", Step::Head, 0, 0, b"../"),
    ("other-area", Step::Area, 0, 5, &[0xFF; 4]),
];

fn lies() -> impl Iterator<Item = Seed> {
    LIES.into_iter().map(|(name, step, which, position, come)| {
        let gone = u8::try_from(come.len()).expect("a lie is short");
        let edit = Edit { step, which, position, gone, come: come.to_owned() };
        let bytes = [&[0], &edit.encode()[..]].concat();
        Seed { target: "reader", name: format!("lie-{name}"), bytes, is_honest: false }
    })
}
