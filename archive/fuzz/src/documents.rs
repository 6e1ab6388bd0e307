//! Documents: JSON, and the blob list.

use sealift_archive::format::packing::Packing;
use sealift_archive::release::published::Envelope;
use sealift_archive::release::{Channel, Inventory, Receipt};
use sealift_archive::trust::{RoleName, Signature, Signatures, TrustRoot};
use sealift_archive::{Blob, BlobList, Digest, Error, Refs, Statement};

use super::vendor::VENDOR;

/// What the signature target signs, and what it does not.
pub(super) const DOCUMENT: &[u8] = b"a document";
const OTHER_DOCUMENT: &[u8] = b"another document";

/// A statement that is taken says the same when it is written again.
pub fn statement(bytes: &[u8]) -> bool {
    let parse = |bytes: &[u8]| Statement::parse("release.json", bytes);
    let Ok(statement) = parse(bytes) else { return false };
    assert!(statement.floor <= statement.sequence, "a floor above its sequence");
    expect_same(&statement, parse(&statement.to_bytes()));
    true
}

/// A packing that is taken says the same when it is written again.
pub fn packing(bytes: &[u8]) -> bool {
    let Ok(packing) = Packing::parse(bytes) else { return false };
    expect_same(&packing, Packing::parse(&packing.to_bytes()));
    true
}

/// A receipt that is taken says the same when it is written again.
pub fn receipt(bytes: &[u8]) -> bool {
    let parse = |bytes: &[u8]| Receipt::parse("receipt.json", bytes);
    let Ok(receipt) = parse(bytes) else { return false };
    expect_same(&receipt, parse(&receipt.to_bytes()));
    true
}

/// A channel that is taken says the same when it is written again, and leads upwards.
pub fn channel(bytes: &[u8]) -> bool {
    let parse = |bytes: &[u8]| Channel::parse("channel.json", bytes);
    let Ok(channel) = parse(bytes) else { return false };
    assert!(channel.floor <= channel.release.sequence, "a floor above its release");
    assert!(channel.earlier.iter().all(|earlier| earlier.sequence < channel.release.sequence));
    expect_same(&channel, parse(&channel.to_bytes()));
    true
}

/// An envelope that is taken holds the same when it is written again, and no signature over anything else.
pub fn envelope(bytes: &[u8]) -> bool {
    let parse = |bytes: &[u8]| Envelope::parse("envelope.json", bytes);
    let Ok(envelope) = parse(bytes) else { return false };
    let digest = Digest::of(&envelope.document);
    assert!(envelope.signatures.iter().all(|signature| signature.document == digest));
    let written = envelope.to_bytes();
    expect_same(&written, parse(&written).map(|again| again.to_bytes()));
    true
}

/// The form that we write may be longer than what was read; then it may be too long.
fn expect_same<T: std::fmt::Debug + PartialEq>(wanted: &T, again: Result<T, Error>) {
    match again {
        Ok(again) => assert_eq!(again, *wanted),
        Err(error) => assert!(matches!(error, Error::TooLarge { .. }), "what we wrote is refused: {error}"),
    }
}

/// A blob list that is taken has one form.
pub fn blob_list(bytes: &[u8]) -> bool {
    let Ok(list) = BlobList::parse("blobs", bytes) else { return false };
    assert!(list.to_text().as_bytes() == bytes, "a blob list has two forms");
    assert!(list_of(list.iter()).is_ok_and(|again| again == list), "a blob is on the list twice");
    true
}

/// Refs that are taken have one form, and those that agree with a list lead somewhere: every image to a manifest that its
/// name allows, everything to the list.
pub fn refs(bytes: &[u8]) -> bool {
    let Ok(refs) = Refs::parse("refs.json", bytes) else { return false };
    assert!(refs.to_bytes() == bytes, "refs have two forms");
    let _ = Inventory::of(&refs);
    let named = named_by(&refs);
    let agree = |list: &BlobList| refs.check_against("refs.json", list).is_ok();
    if list_of(named.iter().copied()).is_ok_and(|list| agree(&list)) {
        for (name, descriptor) in &refs.images {
            assert!(refs.manifests.contains_key(&descriptor.digest), "`{name}` leads to no manifest");
            let tagged = name.tag().map(|_| descriptor.digest);
            assert_eq!(refs.of_tag(name).map(|found| found.digest), tagged, "the tag of `{name}`");
        }
        for missing in &named {
            let rest = named.iter().filter(|blob| blob.digest != missing.digest);
            let list = list_of(rest.copied()).expect("a part of a list is a list");
            assert!(!agree(&list), "nobody misses {missing:?}");
        }
    }
    true
}

/// Everything that these refs lead to. Of packs and aliases they do not tell the size.
fn named_by(refs: &Refs) -> Vec<Blob> {
    let descriptors =
        refs.images.values().chain(refs.referrers.values().flatten()).chain(refs.files.values());
    let sized = descriptors.map(|descriptor| (descriptor.digest, descriptor.size));
    let sized: Vec<(Digest, u64)> =
        sized.chain(refs.manifests.iter().map(|(&digest, info)| (digest, info.size))).collect();
    let others = refs.aliases.values().chain(refs.git.values().flat_map(|repository| &repository.packs));
    let others = others.filter(|other| sized.iter().all(|(digest, _)| digest != *other));
    let others = others.map(|&digest| (digest, 1));
    sized.iter().copied().chain(others).map(|(digest, size)| Blob { digest, size }).collect()
}

fn list_of(blobs: impl IntoIterator<Item = Blob>) -> Result<BlobList, Error> {
    let mut list = BlobList::default();
    blobs.into_iter().try_for_each(|blob| list.insert(blob))?;
    Ok(list)
}

/// A trust root that is taken can be used: each role can be filled. Without signatures nobody follows it.
pub fn trust_root(bytes: &[u8]) -> bool {
    let Ok(root) = TrustRoot::parse("root.json", bytes) else { return false };
    assert_eq!((root.bytes(), root.digest()), (bytes, Digest::of(bytes)));
    for (name, role) in root.roles() {
        assert!((1..=role.keys.len()).contains(&role.threshold), "nobody can have the role {name}");
    }
    for role in [RoleName::Root, RoleName::Release, RoleName::Pack, RoleName::Channel] {
        let signed = root.check("a document", DOCUMENT, role, &Signatures::default());
        assert!(matches!(signed, Err(Error::Unsigned { .. })), "{role}: {signed:?}");
    }
    let mut chain = VENDOR.roots();
    if chain.insert("root.json", root).is_ok() {
        let signatures = [VENDOR.root_signature.clone()].into_iter().collect();
        let followed = chain.follow("fuzz", &VENDOR.root, &signatures);
        assert!(followed.is_err(), "a trust root that nobody signed is followed");
    }
    true
}

/// Whether bytes pass for the vendor's signature over a document; they never do for one that was not signed.
pub fn signature(bytes: &[u8]) -> bool {
    let passes = |document: &[u8]| {
        let path = format!("{}/{}.sigstore.json", Digest::of(document).hex(), VENDOR.key.public().id());
        let Ok(Some(signature)) = Signature::from_file(&path, bytes.to_owned()) else { return false };
        assert_eq!(signature.path(), path);
        let signatures = [signature].into_iter().collect();
        VENDOR.root.check("a document", document, RoleName::Release, &signatures).is_ok()
    };
    assert!(!passes(OTHER_DOCUMENT), "this was never signed");
    passes(DOCUMENT)
}
