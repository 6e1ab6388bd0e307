//! Lies in the head, which is parsed before anything is believed.

use sealift_archive::format::{HEAD_BYTES, frame};
use serde_json::json;
use tar::EntryType;

use super::{Case, area, head, packing, packing_text};
use crate::forge::{HONEST, Lies, squeezed};
use crate::tar_member::Member;

/// Where frame 0 says how long its content is.
const CONTENT_SIZE: std::ops::Range<usize> = 5..9;

fn replace(text: &mut String, old: &str, new: &str) {
    assert!(text.contains(old), "{old} in {text}");
    *text = text.replacen(old, new, 1);
}

/// A member of another kind, in a place where a file could be.
fn another_kind(kind: EntryType) -> Member {
    Member::of_kind(kind, "root/2.json")
}

/// A file with a name that no writer would give it.
fn named(name: &[u8]) -> Member {
    Member::new("x", "{}").named(name)
}

pub(crate) const CASES: &[Case] = &[
    area("head-claims-4-gib", 139, |area| area[CONTENT_SIZE].fill(0xFF)),
    area("head-leaves-no-room-for-filler", 139, |area| {
        *area = frame::stored(&vec![0; usize::try_from(HEAD_BYTES).unwrap() - 19]);
    }),
    head("head-overflows", 139, |_, members| members.push(Member::new("root/2.json", vec![b' '; 300 << 10]))),
    area("head-is-compressed", 110, |area| {
        let mut other = squeezed(&vec![0; 4 << 20]);
        other.resize(area.len(), 0);
        *area = other;
    }),
    area("head-is-followed-by-a-flood-of-filler", 112, |area| {
        area.truncate(area.len() - 8 * 1000);
        area.extend(frame::filler(8).repeat(1000));
    }),
    area("head-filler-hides-bytes", 112, |area| *area.last_mut().unwrap() = 1),
    // Documents that two readers could read differently, or not at all.
    packing_text("key-twice", 138, |text| replace(text, "\"format\": 1", "\"format\": 2, \"format\": 1")),
    packing_text("key-in-two-spellings", 138, |text| {
        replace(text, "\"format\": 1", "\"f\\u006frmat\": 2, \"format\": 1");
    }),
    packing_text("key-twice-deep-inside", 138, |text| {
        replace(text, "\"plainLength\":", "\"plainLength\": 1, \"plainLength\":");
    }),
    packing_text("json-is-deep", 106, |text| *text = "[".repeat(60_000)),
    packing_text("json-goes-on", 106, |text| text.push_str("{}")),
    packing_text("json-is-empty", 106, String::clear),
    packing("json-has-an-unknown-key", 106, |packing| packing["somethingElse"] = true.into()),
    packing("packing-is-a-statement", 107, |packing| packing["kind"] = "Statement".into()),
    packing("packing-has-a-later-format", 109, |packing| packing["format"] = 2.into()),
    packing("packing-wants-a-feature", 109, |packing| {
        packing["requires"] = json!([{"feature": "\u{1b}[2Jmagic", "since": "9.9"}]);
    }),
    packing_text("packing-is-too-large", 108, |text| text.push_str(&" ".repeat(64 << 10))),
    head("signature-is-too-large", 108, |_, members| {
        let name = members.last().unwrap().name();
        *members.last_mut().unwrap() = Member::new(&name, vec![b' '; (16 << 10) + 1]);
    }),
    head("too-many-members", 108, |_, members| {
        members.extend((0..257).map(|number| Member::new(&format!("member-{number}"), [])));
    }),
    // Names that could lead somewhere else.
    head("name-leads-up", 140, |_, members| members.push(named(b"releases/../../etc/passwd"))),
    head("name-leads-up-elsewhere", 140, |_, members| members.push(named(b"..\\..\\autoexec.bat"))),
    head("name-is-absolute", 140, |_, members| members.push(named(b"/etc/passwd"))),
    head("name-goes-on-behind-a-nul", 140, |_, members| members.push(named(b"root/2.json\0/../../x"))),
    head("name-is-spelled-otherwise", 140, |_, members| members.push(named(b"./root/2.json"))),
    head("name-speaks-to-the-terminal", 140, |_, members| members.push(named(b"\x1b]0;title\x07"))),
    head("name-is-no-text", 140, |_, members| members.push(named(b"\xFF\xFE"))),
    head("name-is-empty", 140, |_, members| members.push(named(b""))),
    // Members that are no files.
    head("symbolic-link", 141, |_, members| members.push(another_kind(EntryType::Symlink))),
    head("hard-link", 141, |_, members| members.push(another_kind(EntryType::Link))),
    head("character-device", 141, |_, members| members.push(another_kind(EntryType::Char))),
    head("block-device", 141, |_, members| members.push(another_kind(EntryType::Block))),
    head("pipe", 141, |_, members| members.push(another_kind(EntryType::Fifo))),
    head("folder", 141, |_, members| members.push(another_kind(EntryType::Directory))),
    head("sparse-file", 141, |_, members| members.push(another_kind(EntryType::GNUSparse))),
    head("long-name", 141, |_, members| members.push(another_kind(EntryType::GNULongName))),
    head("extended-header", 141, |_, members| members.insert(0, another_kind(EntryType::XHeader))),
    // Files that are not as they must be, not all there, or not alone.
    head("mode-of-a-program", 142, |_, members| {
        members[0] = members[0].clone().with(|header| header.set_mode(0o4755));
    }),
    head("wrong-sum", 142, |_, members| members[0].header.as_mut_bytes()[0] ^= 1),
    head("another-order", 142, |_, members| members.swap(0, 1)),
    head("padding-hides-bytes", 142, |_, members| members[0].padding = b'!'),
    head("unknown-member", 143, |_, members| members.push(Member::new("etc/profile.d/x.sh", "reboot"))),
    head("member-twice", 143, |_, members| members.insert(1, members[0].clone())),
    head("sequence-in-another-spelling", 143, |_, members| {
        members[1] = members[1].clone().named(b"releases/03/release.json");
    }),
    head("no-packing", 144, |_, members| drop(members.remove(0))),
    Case {
        name: "no-statement",
        code: 144,
        lies: Lies {
            packing: |packing| packing["statements"] = json!([]),
            front: |members| drop(members.drain(..2)),
            head: |_, members| drop(members.remove(1)),
            ..HONEST
        },
    },
    head("member-of-2-to-63-bytes", 148, |_, members| {
        members[0] = members[0].clone().with(|header| header.set_size(1 << 63));
    }),
    head("member-goes-on-behind-the-head", 148, |_, members| {
        let last = members.pop().unwrap();
        members.push(last.with(|header| header.set_size(200 << 10)));
    }),
];
