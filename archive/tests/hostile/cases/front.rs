//! Lies in the packing about the front, and in its pages and members.

use sealift_archive::format::{PAGE_PLAIN_BYTES, frame};
use serde_json::json;
use tar::EntryType;

use super::{Case, blob_list, file, front, packing, pages, statement};
use crate::forge::{FrontPage, squeezed};
use crate::tar_member::Member;
use crate::zstd_frame::{bomb, with_dictionary, with_window};

/// The largest number that a sequence may have; those beyond it would not be read exactly by every parser of JSON.
const TWO_TO_63: u64 = 1 << 63;

/// Takes the only page apart into two.
fn split(pages: &mut Vec<FrontPage>) {
    let plain = zstd::decode_all(&pages[0].bytes[..]).unwrap();
    let piece = |plain: &[u8]| FrontPage { bytes: squeezed(plain), plain_length: plain.len() as u64 };
    *pages = plain.chunks(plain.len().div_ceil(2)).map(piece).collect();
}

/// Changes what the page holds.
fn repack(pages: &mut [FrontPage], change: impl FnOnce(&mut Vec<u8>)) {
    let mut plain = zstd::decode_all(&pages[0].bytes[..]).unwrap();
    change(&mut plain);
    pages[0] = FrontPage { bytes: squeezed(&plain), plain_length: plain.len() as u64 };
}

/// Puts other bytes in place of the page, and says of them what was said of it.
fn replace(pages: &mut [FrontPage], make: impl FnOnce(u64) -> Vec<u8>) {
    pages[0].bytes = make(pages[0].plain_length);
}

pub(crate) const CASES: &[Case] = &[
    file("cut", 111, |file| file.truncate(file.len() - 1)),
    file("something-behind-the-end", 111, |file| file.push(0)),
    file("another-tail", 112, |file| *file.last_mut().unwrap() ^= 1),
    file("page-damaged", 112, |file| file[(256 << 10) + 20] ^= 1),
    file("filler-of-the-front-hides-bytes", 112, |file| file[(260 << 10) - 1] ^= 1),
    // Where things are said to lie.
    packing("file-of-2-to-63-bytes", 108, |packing| packing["length"] = TWO_TO_63.into()),
    packing("pages-overlap", 145, |packing| packing["pages"][0]["offset"] = ((256 << 10) - 1).into()),
    packing("pages-leave-a-gap", 146, |packing| packing["pages"][0]["offset"] = ((256 << 10) + 1).into()),
    packing("page-far-forward", 146, |packing| packing["pages"][0]["offset"] = TWO_TO_63.into()),
    packing("page-twice", 145, |packing| {
        let page = packing["pages"][0].clone();
        packing["pages"].as_array_mut().unwrap().push(page);
    }),
    packing("page-of-no-bytes", 148, |packing| packing["pages"][0]["length"] = 0.into()),
    packing("page-of-2-to-63-bytes", 148, |packing| packing["pages"][0]["length"] = TWO_TO_63.into()),
    packing("page-longer-than-its-content", 148, |packing| packing["pages"][0]["plainLength"] = 1.into()),
    packing("page-holds-2-to-63-bytes", 148, |packing| {
        packing["pages"][0]["plainLength"] = TWO_TO_63.into();
    }),
    packing("too-many-pages", 108, |packing| {
        let page = packing["pages"][0].clone();
        packing["pages"] = vec![page; 65].into();
    }),
    packing("data-in-the-front", 145, |packing| packing["dataOffset"] = (256 << 10).into()),
    packing("data-on-no-boundary", 147, |packing| {
        packing["dataOffset"] = (packing["dataOffset"].as_u64().unwrap() + 512).into();
    }),
    packing("data-behind-the-end", 147, |packing| packing["dataOffset"] = (1 << 20).into()),
    packing("data-behind-a-flood-of-filler", 152, |packing| packing["dataOffset"] = TWO_TO_63.into()),
    packing("another-statement", 153, |packing| {
        packing["statements"] = json!([format!("sha256:{}", "0".repeat(64))]);
    }),
    packing("one-statement-more", 153, |packing| {
        let first = packing["statements"][0].clone();
        packing["statements"].as_array_mut().unwrap().push(first);
    }),
    // What a page really is.
    pages("page-is-a-bomb", 150, |pages| replace(pages, |said| bomb(said, 64 << 20))),
    pages("page-announces-a-bomb", 150, |pages| replace(pages, |_| bomb(1 << 40, 1 << 20))),
    pages("page-is-two-frames", 150, |pages| {
        let plain = zstd::decode_all(&pages[0].bytes[..]).unwrap();
        replace(pages, |_| plain.chunks(2048).flat_map(squeezed).collect());
    }),
    pages("page-has-no-checksum", 150, |pages| {
        let plain = zstd::decode_all(&pages[0].bytes[..]).unwrap();
        replace(pages, |_| zstd::bulk::compress(&plain, 3).unwrap());
    }),
    pages("page-wants-a-dictionary", 150, |pages| replace(pages, with_dictionary)),
    pages("page-is-noise", 150, |pages| replace(pages, |_| b"noise".repeat(9))),
    pages("page-goes-on-as-filler", 150, |pages| pages[0].bytes.extend(frame::filler(8).repeat(9))),
    pages("page-has-a-window-of-3-tib", 151, |pages| replace(pages, |said| with_window(0xFF, said))),
    pages("page-has-a-window-over-the-cap", 151, |pages| {
        replace(pages, |said| with_window(0b0111_0001, said));
    }),
    pages("page-is-filler", 152, |pages| replace(pages, |_| frame::filler(600))),
    pages("pages-of-64-mib-and-one-byte", 108, |pages| {
        split(pages);
        for page in pages.iter_mut() {
            page.plain_length = PAGE_PLAIN_BYTES;
        }
        let zeros = || vec![0; usize::try_from(PAGE_PLAIN_BYTES).unwrap()];
        pages
            .extend((0..15).map(|_| FrontPage { bytes: squeezed(&zeros()), plain_length: PAGE_PLAIN_BYTES }));
    }),
    pages("pages-of-64-mib-of-zeros", 142, |pages| {
        let page = || squeezed(&vec![0; usize::try_from(PAGE_PLAIN_BYTES).unwrap()]);
        *pages = (0..16).map(|_| FrontPage { bytes: page(), plain_length: PAGE_PLAIN_BYTES }).collect();
    }),
    // What stands in the pages.
    front("front-has-a-link", 141, |members| members.push(Member::of_kind(EntryType::Symlink, "blobs"))),
    front("front-leads-up", 140, |members| members[0] = members[0].clone().named(b"releases/../blobs")),
    front("front-in-another-order", 144, |members| members.swap(0, 1)),
    front("front-without-contents", 144, |members| drop(members.pop())),
    front("front-with-something-else", 143, |members| members.push(Member::new("more", "bytes"))),
    front("front-without-refs", 144, |members| drop(members.remove(1))),
    front("front-with-60-mib-of-refs", 148, |members| {
        members[1] = Member::new("releases/3/refs.json", vec![b' '; 60 << 20]);
    }),
    front("front-with-60-mib-of-blobs", 148, |members| {
        members[0] = Member::new("releases/3/blobs", vec![b'\n'; 60 << 20]);
    }),
    front("front-with-60-mib-of-contents", 148, |members| {
        members[2] = Member::new("contents", vec![0; 60 << 20]);
    }),
    front("front-has-a-member-of-2-to-63-bytes", 148, |members| {
        members[2] = members[2].clone().with(|header| header.set_size(1 << 63));
    }),
    pages("front-is-cut", 142, |pages| repack(pages, |plain| plain.truncate(plain.len() - 512))),
    pages("front-ends-as-a-file-would", 142, |pages| repack(pages, |plain| plain.extend([0; 1024]))),
    front("another-blob-list", 105, |members| members[0] = Member::new("releases/3/blobs", "")),
    front("other-refs", 105, |members| members[1] = Member::new("releases/3/refs.json", "{}")),
    // What the vendor's people signed, and contradicts itself.
    statement("statement-of-another-sequence", 107, |statement| statement["sequence"] = 4.into()),
    statement("statement-counts-to-2-to-63", 107, |statement| {
        statement["blobList"]["count"] = TWO_TO_63.into();
    }),
    statement("sequence-of-2-to-63", 106, |statement| statement["sequence"] = TWO_TO_63.into()),
    statement("floor-above-the-sequence", 107, |statement| statement["floor"] = 4.into()),
    statement("statement-wants-a-feature", 109, |statement| {
        statement["requires"] = json!([{"feature": "patches", "since": "0.3.0"}]);
    }),
    statement("product-leads-up", 106, |statement| statement["product"] = "../acme".into()),
    blob_list("blob-list-with-a-blob-twice", 107, |text| {
        let first = text.lines().next().unwrap();
        *text = format!("{first}\n{first}\n");
    }),
    blob_list("blob-list-that-is-not-sorted", 107, |text| {
        *text = text.lines().rev().flat_map(|line| [line, "\n"]).collect();
    }),
    blob_list("blob-list-with-a-size-of-2-to-64", 107, |text| {
        *text = text.replacen(" 1500\n", " 18446744073709551616\n", 1);
    }),
];
