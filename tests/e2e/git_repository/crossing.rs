//! A release with nothing but a Git repository, brought into an appliance's store by the libraries.

use std::collections::BTreeSet;

use sealift_archive::release::BlobListSummary;
use sealift_archive::trust::{SecretKey, Signature, Signatures, TrustRoot};
use sealift_archive::{Blob, BlobList, Digest, Refs, Release, ReleaseName, Statement, Unwatched, copy_blob};
use sealift_bundler::git::{Packs, Pinned};
use sealift_store::Store;
use sealift_tests::trust::{ACME, PASSWORD};
use sealift_tests::vendor::PRODUCT;
use sealift_tests::{Appliance, scratch};

/// Imports and activates a release of this sequence; returns the packs that the appliance did not have.
pub(crate) fn bring(
    appliance: &Appliance,
    sequence: u64,
    name: &str,
    pinned: &Pinned,
    packs: &[&Packs],
) -> BTreeSet<Digest> {
    let trust = scratch();
    ACME.write(trust.path());
    let read = |file: &str| fs_err::read(trust.path().join(file)).expect("a file of the trust folder");
    let root = TrustRoot::parse("root.json", &read("root.json")).expect("the trust root");
    let key = SecretKey::from_encrypted_pem("release.key", &read("release.key"), PASSWORD.as_bytes());
    let release = release(sequence, name, pinned, &key.expect("the release key"));

    let store = Store::open(appliance.store()).expect("the appliance's store");
    let writer = store.lock("test").expect("nobody else is at work");
    let need = writer.need(&release.blob_list, &release.refs).expect("what it takes");
    let incoming = writer.begin(&release, "test", &need).expect("room for it");
    let intake = incoming.intake().expect("the import begins");
    for blob in &need.missing {
        let mut files = packs.iter().flat_map(|packs| packs.files());
        let (_, file) = files.find(|(found, _)| found == blob).expect("the pack came along");
        let mut file = fs_err::File::open(file).expect("the pack");
        copy_blob(*blob, &mut file, &intake, &Unwatched).expect("the pack is what it should be");
    }
    intake.finish().expect("all packs came");
    let staged = incoming.stage(&root, &Signatures::default(), &Unwatched).expect("a complete release");
    writer.activate(staged.sequence()).expect("nothing stands against it");
    need.missing.iter().map(|blob| blob.digest).collect()
}

fn release(sequence: u64, name: &str, pinned: &Pinned, key: &SecretKey) -> Release {
    let mut refs = Refs::default();
    refs.git.insert(name.parse().expect("a name"), pinned.carried());
    let refs_bytes = refs.to_bytes();
    let mut blob_list = BlobList::default();
    for pack in &pinned.packs {
        blob_list.insert(pack.blob).expect("none twice");
    }
    let summary = BlobListSummary {
        digest: Digest::of(blob_list.to_text().as_bytes()),
        count: blob_list.len() as u64,
        content_bytes: blob_list.total_bytes(),
    };
    let version = |sequence: u64| format!("1.{sequence}").parse().expect("a version");
    let name = ReleaseName {
        product: PRODUCT.parse().expect("a product"),
        version: version(sequence),
        sequence: sequence.try_into().expect("a sequence"),
    };
    let mut statement = Statement::new(name, summary, Blob::of(&refs_bytes));
    statement.upgrade_from = vec![version(sequence - 1)];
    let statement_bytes = statement.to_bytes();
    let signatures = vec![Signature::sign(&statement_bytes, key).expect("a signature")];
    let signers = vec![key.public().id()];
    Release { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes }
}
