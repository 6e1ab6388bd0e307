//! The whole reader: an archive is opened, verified, checked, and every blob is read in every way there is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use sealift_archive::bundle::Unverified;
use sealift_archive::{Bundle, Digest, Error, Release, Source as _, Unwatched};

use super::edits::Edits;
use super::forge::{BLUEPRINTS, Forged};
use super::memory::{Arrived, Memory};
use super::vendor::VENDOR;

/// Makes an archive with the edits that the bytes tell (the first one says of which archive) and reads it.
///
/// Nothing is believed that was not signed; what is found whole was not changed after it was packed; and what comes out
/// is what its digest says, whichever way it is read.
pub fn reader(bytes: &[u8]) -> bool {
    let (which, edits) = bytes.split_first().unwrap_or((&0, &[]));
    let forged = BLUEPRINTS[usize::from(*which) % BLUEPRINTS.len()].forge(&Edits::parse(edits));
    let Forged { file, is_as_packed, packing, statements } = forged;
    let opened = Unverified::on(Box::new(Memory(file)));
    let Ok(bundle) = opened.and_then(|archive| archive.verify(&VENDOR.root)) else { return false };
    assert_eq!(bundle.packing_digest(), packing, "nobody signed this packing");
    let found: Vec<Digest> = bundle.releases().iter().map(Release::digest).collect();
    assert_eq!(found, statements, "nobody signed these statements");

    let is_whole = is_whole(&bundle);
    assert!(is_as_packed || !is_whole, "a change goes unnoticed");
    let arrived: Vec<bool> = carried(&bundle).iter().map(|digest| arrives(&bundle, digest)).collect();
    let all_arrive = arrived.iter().all(|&arrives| arrives);
    assert!(all_arrive || !is_whole, "a blob of a whole archive does not arrive");
    assert_eq!(all_arrive, all_arrive_together(&bundle), "alone and together are two things");
    is_whole
}

/// Whether the reader finds nothing wrong with any frame or blob.
fn is_whole(bundle: &Bundle) -> bool {
    bundle.check(&Unwatched).is_ok_and(|findings| findings.damages.is_empty())
}

/// The digests of all that the archive has.
fn carried(bundle: &Bundle) -> BTreeSet<Digest> {
    let listed = bundle.releases().iter().flat_map(|release| release.blob_list.iter());
    listed.map(|blob| blob.digest).filter(|digest| bundle.carries(digest)).collect()
}

/// Whether a blob can be had: in three ways, which agree.
fn arrives(bundle: &Bundle, digest: &Digest) -> bool {
    let _ = bundle.storing(digest);
    let read = || {
        let mut bytes = Vec::new();
        bundle.read_blob(digest, &mut bytes).map(|()| bytes)
    };
    let streamed = || {
        let (mut stream, mut bytes) = (bundle.stream_blob(digest, &Unwatched)?, Vec::new());
        // What a failed read was about, `finish` tells.
        let _ = stream.read_to_end(&mut bytes);
        stream.finish().map(|()| bytes)
    };
    let ways = [
        read().ok(),
        streamed().ok(),
        copied(bundle, &[*digest].into()).ok().and_then(|mut blobs| blobs.remove(digest)),
    ];
    assert!(ways.iter().all(|way| *way == ways[0]), "a blob depends on how it is read");
    assert!(ways[0].as_ref().is_none_or(|bytes| Digest::of(bytes) == *digest), "another blob is read");
    ways[0].is_some()
}

fn all_arrive_together(bundle: &Bundle) -> bool {
    let wanted = carried(bundle);
    copied(bundle, &wanted).is_ok_and(|blobs| blobs.into_keys().eq(wanted))
}

fn copied(bundle: &Bundle, wanted: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
    let arrived = Arrived::default();
    bundle.copy_blobs(wanted, &arrived, &Unwatched)?;
    Ok(arrived.into_blobs())
}
