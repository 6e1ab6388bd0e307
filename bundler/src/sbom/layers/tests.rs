use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write as _};
use std::sync::Arc;

use proptest::prelude::*;

use super::scan::{Linked, Node, Scan, Selection};
use super::tree::{Lookup, Tree};
use super::{Layer, read};

/// Files that count here.
const FILES: [&str; 3] = ["var/lib/db", "usr/lib/db", "srv/db"];
const FOLDER: &str = "var/lib/parts";

/// Keeps the files as they are.
struct Keep;

impl Selection for Keep {
    type Kind = char;
    type File = String;

    fn kind(&self, path: &str) -> Option<char> {
        (FILES.contains(&path) || path.rsplit_once('/').is_some_and(|(dir, _)| dir == FOLDER)).then_some('k')
    }

    fn leads_to(&self, path: &str) -> bool {
        ["", "var", "var/lib", FOLDER, "usr", "usr/lib", "srv"].contains(&path)
    }

    fn take(&mut self, _: char, size: u64, content: &mut dyn Read) -> io::Result<String> {
        let mut text = String::new();
        content.read_to_string(&mut text)?;
        assert_eq!(size, text.len() as u64);
        Ok(text)
    }
}

/// A tar of entries such as `f path content`, `d path`, `l path target`, `h path target`.
fn tar(entries: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut words = entry.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (kind, path, rest) = (word(), word(), word());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(match kind {
            "f" => tar::EntryType::Regular,
            "d" => tar::EntryType::Directory,
            "l" => tar::EntryType::Symlink,
            "h" => tar::EntryType::Link,
            "p" => tar::EntryType::Fifo,
            _ => panic!("{entry}"),
        });
        // Written by hand: the builder would refuse or clean what layers may have.
        if path.len() < 100 {
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        } else {
            long(&mut builder, b'L', path);
        }
        let content = if kind == "f" { rest.as_bytes() } else { b"" };
        if kind != "f" {
            header.set_link_name_literal(rest).unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn long(builder: &mut tar::Builder<Vec<u8>>, kind: u8, text: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(text.len() as u64 + 1);
    header.set_cksum();
    builder.append(&header, format!("{text}\0").as_bytes()).unwrap();
}

fn layer(tar: &[u8]) -> Layer<String> {
    match read(tar, &mut Keep, &Linked::new()).unwrap() {
        Scan::Layer(layer) => layer,
        Scan::Again(linked) => match read(tar, &mut Keep, &linked).unwrap() {
            Scan::Layer(layer) => layer,
            Scan::Again(_) => panic!("twice is enough"),
        },
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What the files that count say in the end: `path=content`, in order.
fn outcome(layers: &[&[&str]]) -> String {
    let mut tree = Tree::default();
    for entries in layers {
        tree.apply(&layer(&tar(entries)));
    }
    let mut said: Vec<String> = FILES
        .iter()
        .filter_map(|path| match tree.look_up(path) {
            Lookup::File(content, place) if place == *path => Some(format!("{path}={content}")),
            Lookup::File(content, place) => Some(format!("{path}->{place}={content}")),
            Lookup::Nothing(place) if place == *path => None,
            Lookup::Nothing(place) => Some(format!("{path}->{place}")),
            Lookup::Loop => Some(format!("{path} loops")),
        })
        .collect();
    said.extend(tree.files_in(FOLDER).map(|(name, content)| format!("{name}={content}")));
    said.join(" ")
}

const BASE: &[&str] = &["d var", "d var/lib", "f var/lib/db one", "f var/lib/parts/a A", "f srv/db s"];
const BASE_FILES: &str = "var/lib/db=one srv/db=s a=A";

/// What is meant, the layers, and what they add up to.
const CASES: &[(&str, &[&[&str]], &str)] = &[
    ("one layer", &[BASE], BASE_FILES),
    ("paths are spelled in many ways", &[&["f ./var//lib/./db x", "f /srv/db y"]], "var/lib/db=x srv/db=y"),
    (
        "no path leaves the root",
        &[&["f ../../srv/db x", "f srv/../../usr/lib/db y"]],
        "usr/lib/db=y srv/db=x",
    ),
    ("a file is replaced", &[BASE, &["f var/lib/db two"]], "var/lib/db=two srv/db=s a=A"),
    ("the last of a layer counts", &[&["f srv/db 1", "f srv/db 2"]], "srv/db=2"),
    ("a whiteout", &[BASE, &["f var/lib/.wh.db "]], "srv/db=s a=A"),
    ("a whiteout of a folder", &[BASE, &["f .wh.var "]], "srv/db=s"),
    (
        "a whiteout before what replaces it",
        &[BASE, &["f .wh.var ", "f var/lib/db new"]],
        "var/lib/db=new srv/db=s",
    ),
    (
        "a whiteout behind what replaces it",
        &[BASE, &["f var/lib/db new", "f .wh.var "]],
        "var/lib/db=new srv/db=s",
    ),
    ("a whiteout of the own layer", &[&["f srv/db s", "f srv/.wh.db "]], "srv/db=s"),
    ("an opaque folder", &[BASE, &["f var/lib/.wh..wh..opq ", "f var/lib/parts/b B"]], "srv/db=s b=B"),
    (
        "an opaque folder, said last",
        &[BASE, &["f var/lib/parts/b B", "f var/lib/parts/.wh..wh..opq "]],
        "var/lib/db=one srv/db=s b=B",
    ),
    ("an opaque root", &[BASE, &["f .wh..wh..opq ", "f srv/db t"]], "srv/db=t"),
    ("notes of aufs", &[BASE, &["f var/lib/.wh..wh.plnk x", "d .wh..wh.orph"]], BASE_FILES),
    ("a folder again", &[BASE, &["d var", "d var/lib"]], BASE_FILES),
    ("a file where a folder was", &[BASE, &["f var x"]], "srv/db=s"),
    ("a pipe where a folder was", &[BASE, &["p var/lib "]], "srv/db=s"),
    ("a folder where a file was", &[BASE, &["d srv/db"]], "var/lib/db=one a=A"),
    ("a folder where a file was, unsaid", &[&["f srv x"], &["f srv/db s"]], "srv/db=s"),
    ("a link to a file", &[BASE, &["l srv/db ../var/lib/db"]], "var/lib/db=one srv/db->var/lib/db=one a=A"),
    ("a link from the root", &[BASE, &["l srv/db /var/lib/db"]], "var/lib/db=one srv/db->var/lib/db=one a=A"),
    (
        "a link to a folder",
        &[&["l var/lib ../usr/lib", "f usr/lib/db u"]],
        "var/lib/db->usr/lib/db=u usr/lib/db=u",
    ),
    (
        "a layer writes through a link",
        &[&["l var/lib /usr/lib"], &["f var/lib/db v"]],
        "var/lib/db->usr/lib/db=v usr/lib/db=v",
    ),
    (
        "a layer takes away through a link",
        &[&["l var/lib /usr/lib", "f usr/lib/db u"], &["f var/lib/.wh.db "]],
        "var/lib/db->usr/lib/db",
    ),
    (
        "a folder where a link was",
        &[&["l var/lib /usr/lib", "f usr/lib/db u"], &["d var/lib", "f var/lib/db v"]],
        "var/lib/db=v usr/lib/db=u",
    ),
    (
        "a whiteout of a link takes the link",
        &[&["l var/lib /usr/lib", "f usr/lib/db u"], &["f var/.wh.lib "]],
        "usr/lib/db=u",
    ),
    ("a link that leads elsewhere", &[&["l srv/db /opt/db", "f opt/db x"]], "srv/db->opt/db"),
    ("a link that leads out", &[&["l srv /../../../var", "f var/db x"]], "srv/db->var/db"),
    (
        "links that go round",
        &[&["l srv/db db", "l var usr", "l usr var"]],
        "var/lib/db loops usr/lib/db loops srv/db loops",
    ),
    (
        "a hard link to a file that counts",
        &[&["f var/lib/db v", "h srv/db var/lib/db"]],
        "var/lib/db=v srv/db=v",
    ),
    (
        "a hard link to another file",
        &[&["f opt/x X", "h ./srv/db ./opt/x", "h usr/lib/db /opt/x"]],
        "usr/lib/db=X srv/db=X",
    ),
    ("a hard link to nothing", &[&["h srv/db opt/x"]], ""),
    ("a hard link to a file below it", &[&["f opt/x X"], &["h srv/db opt/x"]], ""),
    (
        "what is beside does not count",
        &[&["f var/lib/parts/deep/a x", "f var/lib/parts2/a x", "f var/lib/dbx x"]],
        "",
    ),
];

#[test]
fn layers_add_up_as_in_a_container() {
    for (name, layers, expected) in CASES {
        assert_eq!(outcome(layers), *expected, "{name}");
    }
}

#[test]
fn a_layer_that_changes_nothing_is_empty() {
    assert!(layer(&tar(&["f opt/a x", "f opt/.wh.b ", "l etc/x y", "h opt/c opt/a"])).is_empty());
    assert!(layer(&[]).is_empty());
    assert!(!layer(&tar(&["f srv/.wh.db "])).is_empty());
}

#[test]
fn layers_are_read_however_they_are_compressed() {
    let plain = tar(&["f srv/db s"]);
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let (first, second) = plain.split_at(700);
    let cases = [
        ("tar", plain.clone()),
        ("gzip", gzip(&plain)),
        ("gzip in members", [gzip(first), gzip(second)].concat()),
        ("zstd", zstd.clone()),
        (
            "zstd in frames",
            [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 1).unwrap()].concat(),
        ),
        ("zstd behind a skippable frame", [b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc", &zstd[..]].concat()),
        ("gzip with something behind the tar", gzip(&[&plain[..], b"whatever"].concat())),
    ];
    for (name, bytes) in cases {
        let Scan::Layer(layer) = read(&bytes[..], &mut Keep, &Linked::new()).unwrap() else {
            panic!("{name}")
        };
        let mut tree = Tree::default();
        tree.apply(&layer);
        assert_eq!(tree.look_up("srv/db"), Lookup::File(&"s".to_owned(), "srv/db".to_owned()), "{name}");
    }
}

#[test]
fn long_names_and_extended_headers_are_read() {
    let deep = format!("{}srv/db", "./".repeat(80));
    assert_eq!(outcome(&[&[&format!("f {deep} s")]]), "srv/db=s");
    // pax: a path, a link and a size that the header has no room for.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Regular);
    let path = format!("{}var/lib/db", "x/../".repeat(60));
    builder
        .append_pax_extensions([("path", path.as_bytes()), ("size", b"3"), ("comment", b"a=b\nc")])
        .unwrap();
    header.set_cksum();
    builder.append(&header, &b"abc"[..]).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tar(&["f srv/db s"]));
    let mut tree = Tree::default();
    tree.apply(&layer(&bytes));
    assert_eq!(tree.look_up("var/lib/db"), Lookup::File(&"abc".to_owned(), "var/lib/db".to_owned()));
    assert_eq!(tree.look_up("srv/db"), Lookup::File(&"s".to_owned(), "srv/db".to_owned()));
}

#[test]
fn a_hostile_layer_is_refused_and_takes_no_memory() {
    let claim = |kind: u8, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let wrong_sum = {
        let mut bytes = tar(&["f srv/db s"]);
        bytes[0] ^= 1;
        bytes
    };
    let many: Vec<String> = (0..20_000).map(|i| format!("f {FOLDER}/{i} x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let pax = |record: &[u8]| {
        let mut block = record.to_vec();
        block.resize(512, 0);
        [claim(b'x', record.len() as u64), block].concat()
    };
    let cases = [
        ("a name without end", [claim(b'L', u64::MAX >> 1), vec![b'a'; 9000]].concat(), "longer than any"),
        ("a header without end", [claim(b'x', 2 << 20), vec![b'a'; 9000]].concat(), "longer than any"),
        (
            "a file without end",
            [tar(&["d srv"])[..512].to_vec(), claim(b'0', u64::MAX >> 1)].concat(),
            "middle of a file",
        ),
        ("a header that is cut", tar(&["f srv/db s"])[..100].to_vec(), "middle of a header"),
        ("a wrong sum", wrong_sum, "wrong checksum"),
        ("no tar", b"{}".repeat(300), "cksum"),
        ("too many files", tar(&many), "more package databases"),
        ("a record without a length", pax(b"path=x\n"), "not made of records"),
        ("a record that is too long", pax(b"99 path=x\n"), "not made of records"),
        ("a record of nothing", pax(b"0 \n"), "not made of records"),
        ("broken gzip", [&[0x1f, 0x8b, 8][..], &[0; 100]].concat(), "deflate"),
        ("broken zstd", [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 100]].concat(), ""),
    ];
    for (name, bytes, expected) in cases {
        let said = read(&bytes[..], &mut Keep, &Linked::new()).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

/// Each link goes 800 folders down, up again and to the next: the way to one file is 6400 parts long.
#[test]
fn links_do_not_go_on_and_on() {
    let detour = |to: &str| format!("{}{}{to}", "a/".repeat(800), "../".repeat(800));
    let links = [("var", "usr"), ("usr", "opt"), ("opt", "srv"), ("srv", "etc")];
    let nodes = links.map(|(path, to)| (path.to_owned(), Node::Link(detour(to))));
    let parts = (0..5000).map(|i| (format!("{FOLDER}/{i}"), Node::File(Arc::new(String::new()))));
    let layer = |nodes: BTreeMap<String, Node<String>>| Layer {
        nodes,
        whiteouts: BTreeSet::new(),
        opaque: BTreeSet::new(),
    };
    let mut tree = Tree::default();
    tree.apply(&layer(nodes.into()));
    tree.apply(&layer(parts.collect()));
    assert_eq!(tree.look_up("var/lib/db"), Lookup::Loop);
    assert_eq!(tree.files_in(FOLDER).count(), 0);
}

#[test]
fn a_bomb_is_put_out() {
    /// A stream that goes on and on: one file of a header, then zeros.
    struct Endless(Vec<u8>);

    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                buf.fill(0);
                return Ok(buf.len());
            }
            let n = buf.len().min(self.0.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1 << 60);
    header.set_cksum();
    let bomb = Endless(header.as_bytes().to_vec());
    let mut walk = super::tar::Walk::capped(bomb, 10 << 20);
    assert!(walk.next().unwrap().is_some());
    assert!(walk.next().unwrap_err().to_string().contains("unpacks to more"));
}

proptest! {
    #[test]
    fn no_damage_is_too_odd(at in 0_usize..4000, noise in any::<[u8; 4]>(), cut in 0_usize..6000) {
        let mut bytes = tar(&[
            "d var", "f var/lib/db one", "l usr var", "h srv/db opt/x", "f var/lib/.wh..wh..opq ",
            &format!("f {}srv/db s", "./".repeat(80)),
        ]);
        let at = at.min(bytes.len() - 4);
        bytes[at..at + 4].copy_from_slice(&noise);
        bytes.truncate(cut);
        if let Ok(Scan::Again(linked)) = read(&bytes[..], &mut Keep, &Linked::new()) {
            let _ = read(&bytes[..], &mut Keep, &linked);
        }
    }
}
