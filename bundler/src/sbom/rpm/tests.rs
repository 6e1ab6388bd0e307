use std::io::Cursor;

use proptest::prelude::*;

use super::{Packages, Unreadable, read, read_hash, read_ndb, read_sqlite, sqlite};

/// See `fixtures/README.md`.
const SQLITE: &[u8] = include_bytes!("fixtures/rpmdb.sqlite.zst");
const HASH: &[u8] = include_bytes!("fixtures/Packages.zst");

fn unpack(fixture: &[u8]) -> Vec<u8> {
    zstd::decode_all(fixture).unwrap()
}

/// The headers of the fixtures.
fn headers() -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    let keep = |header: &[u8]| {
        headers.push(header.to_vec());
        Ok(())
    };
    let mut keep = keep;
    sqlite::each_header(&mut super::File::new(Cursor::new(unpack(SQLITE))).unwrap(), &mut keep).unwrap();
    headers
}

/// An ndb database, written as rpm's `rpmpkg.c` does: a page of slots, then blobs, each with a head and a tail.
fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let mut file: Vec<u8> = [*b"RpmP", word(0), word(7), word(1), word(9)].concat();
    file.resize(32, 0);
    // A slot that is free, as after a package was removed.
    let mut slots = vec![[*b"Slot", word(0), word(0), word(0)].concat()];
    let mut blobs = Vec::new();
    for (number, header) in (1..).zip(headers) {
        let at = (4096 + blobs.len()) / 16;
        let start = blobs.len();
        blobs.extend([*b"BlbS", word(number), word(7), word(header.len())].concat());
        blobs.extend(header);
        // The tail is right-aligned in the last block.
        let len = (blobs.len() - start + 12).next_multiple_of(16);
        blobs.resize(start + len - 12, 0);
        blobs.extend([word(0), word(header.len()), *b"BlbE"].concat());
        slots.push([*b"Slot", word(number), word(at), word(len / 16)].concat());
    }
    let free = [*b"Slot", word(0), word(0), word(0)].concat();
    slots.resize((4096 - 32) / 16, free);
    file.extend(slots.concat());
    file.extend(blobs);
    file
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

/// A header of these tags: type and data.
fn header(tags: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, bytes) in tags {
        let offset = u32::try_from(data.len()).unwrap();
        index.extend([*tag, *kind, offset, 1].map(u32::to_be_bytes).concat());
        data.extend_from_slice(bytes);
    }
    let intro = [tags.len(), data.len()].map(|n| u32::try_from(n).unwrap().to_be_bytes());
    [intro.concat(), index, data].concat()
}

fn listed(packages: Result<Packages, Unreadable>) -> Vec<String> {
    let mut listed: Vec<String> = packages
        .unwrap()
        .into_iter()
        .map(|p| {
            let source = p.source.map(|s| format!("{} {}", s.name, s.version.unwrap())).unwrap_or_default();
            let architecture = p.architecture.clone().unwrap_or_default();
            let license = p.license.clone().unwrap_or_default();
            format!("{} {:?} {} {architecture} ({license}) <{source}>", p.name, p.epoch, p.version)
        })
        .collect();
    listed.sort();
    listed
}

const LISTED: [&str; 4] = [
    "gpg-pubkey None 6544634c-6b03dde0  (pubkey) <>",
    "libmany-devel Some(2) 1.0-3.fc40 noarch (MIT) <many 1.0-3.fc40>",
    "many Some(2) 1.0-3.fc40 noarch (GPLv2+ and MIT) <>",
    "tiny None 0.1-1 noarch (MIT) <>",
];

#[test]
fn the_three_forms_list_the_same() {
    assert_eq!(listed(read_sqlite(&mut Cursor::new(unpack(SQLITE)))), LISTED);
    assert_eq!(listed(read_hash(&mut Cursor::new(unpack(HASH)))), LISTED);
    assert_eq!(listed(read_ndb(&mut Cursor::new(ndb(&headers())))), LISTED);
}

#[test]
fn a_header_says_what_counts_and_nothing_more() {
    let read =
        |header: &[u8]| super::header::parse(header).map(|p| p.map(|p| format!("{} {}", p.name, p.version)));
    let string = 6;
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("all", header(&[(1000, string, b"a\0"), (1001, string, b"1\0"), (1002, string, b"2\0")]), "a 1-2"),
        (
            "later tags replace",
            header(&[(1000, string, b"a\0"), (1001, string, b"1\0"), (1000, string, b"b\0")]),
            "b 1",
        ),
        ("text without its end", header(&[(1001, string, b"1\0"), (1000, string, b"a")]), "a 1"),
        ("a name that is a number", header(&[(1000, 4, b"\0\0\0\x07")]), "none"),
        ("no name", header(&[(1001, string, b"1\0")]), "none"),
        ("an offset that leads out", header(&[(1000, string, b"a\0")])[..24].to_vec(), "error"),
        ("nothing", Vec::new(), "error"),
        ("too many tags", [0xff; 64].to_vec(), "error"),
    ];
    for (name, bytes, expected) in cases {
        let said = match read(&bytes) {
            Ok(Some(package)) => package,
            Ok(None) => "none".to_owned(),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(said, expected, "{name}");
    }
}

type Reader = fn(&mut Cursor<Vec<u8>>) -> Result<Packages, Unreadable>;

#[test]
fn other_files_and_damaged_ones_are_told_apart() {
    let sqlite = unpack(SQLITE);
    let hash = unpack(HASH);
    let changed = |bytes: &[u8], at: usize, new: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    // Schemas that were written over leave copies behind.
    let mut renamed = sqlite.clone();
    for at in 0..renamed.len() - 13 {
        if renamed[at..].starts_with(b"tablePackages") {
            renamed[at + 5] = b'p';
        }
    }
    let overflow = hash.chunks(4096).position(|page| page[25] == 7).unwrap() * 4096;
    let cases: [(&str, Reader, Vec<u8>, &str); 13] = [
        ("empty", read_sqlite, Vec::new(), "no SQLite database"),
        ("text", read_sqlite, vec![b'x'; 5000], "no SQLite database"),
        ("odd pages", read_sqlite, changed(&sqlite, 16, &[0, 7]), "no SQLite database"),
        ("another table", read_sqlite, renamed, "no table `Packages`"),
        ("cut", read_sqlite, sqlite[..8192].to_vec(), "behind its end"),
        ("empty", read_hash, Vec::new(), "no hash database"),
        ("a b-tree", read_hash, changed(&hash, 12, &0x0005_3162_u32.to_le_bytes()), "no hash database"),
        ("encrypted", read_hash, changed(&hash, 24, &[1]), "encrypted"),
        ("cut", read_hash, hash[..hash.len() - 4096].to_vec(), "behind its end"),
        (
            "a chain that goes round",
            read_hash,
            {
                let own = u32::try_from(overflow / 4096).unwrap().to_le_bytes();
                changed(&changed(&hash, overflow + 16, &own), overflow + 22, &[1, 0])
            },
            "chain",
        ),
        ("empty", read_ndb, Vec::new(), "no ndb database"),
        ("another version", read_ndb, changed(&ndb(&headers()), 4, &[1]), "no ndb database"),
        ("a blob elsewhere", read_ndb, changed(&ndb(&headers()), 4096, b"blbS"), "where it should be"),
    ];
    for (name, read, bytes, expected) in cases {
        let said = read(&mut Cursor::new(bytes)).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_database_that_holds_more_than_it_is_long_is_refused() {
    let big = header(&[(1000, 6, b"a\0"), (9999, 7, &vec![0; 100_000])]);
    let database = ndb(&[big]);
    // Every slot leads to the one blob.
    let mut slots = database.clone();
    let slot = database[48..64].to_vec();
    for at in (48..4096).step_by(16) {
        slots[at..at + 16].copy_from_slice(&slot);
    }
    assert_eq!(read_ndb(&mut Cursor::new(database)).unwrap().len(), 1);
    let said = read_ndb(&mut Cursor::new(slots)).unwrap_err().to_string();
    assert!(said.contains("more than it is long"), "{said}");
}

fn damage(
    mut bytes: Vec<u8>,
    places: &[(prop::sample::Index, u8)],
    cut: prop::sample::Index,
) -> Cursor<Vec<u8>> {
    for (place, byte) in places {
        let at = place.index(bytes.len());
        bytes[at] = *byte;
    }
    // Most of the time all of it stays.
    let keep = cut.index(4 * bytes.len());
    bytes.truncate(keep.max(1));
    Cursor::new(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_damage_is_too_odd(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        // Where databases are described, damage does most.
        front in prop::collection::vec((0_usize..128, any::<u8>()), 0..4),
        cut: prop::sample::Index,
        noise: Vec<u8>,
    ) {
        for (fixture, reader) in [
            (unpack(SQLITE), read_sqlite as fn(&mut Cursor<Vec<u8>>) -> _),
            (unpack(HASH), read_hash),
            (ndb(&headers()), read_ndb),
        ] {
            let mut bytes = fixture;
            for (at, byte) in &front {
                bytes[*at] = *byte;
            }
            let _ = reader(&mut damage(bytes, &places, cut));
            let _ = reader(&mut Cursor::new(noise.clone()));
        }
        let _ = super::header::parse(&noise);
        let header = headers().swap_remove(0);
        let _ = super::header::parse(damage(header, &places, cut).get_ref());
        let _ = read(&mut Cursor::new(noise), |file, each| sqlite::each_header(file, each));
    }
}
