//! What `sealift` packs is read by the reader in Python that was written from the format's page alone.

use std::path::Path;
use std::process::Command;

use sealift_archive::Digest;
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::{ACME, OTHER};
use sealift_tests::{Vendor, fixture, peers, process};

use crate::scene::{GZIP, PLAIN};

/// Bits that are flipped, spread over all of the archive.
const FLIPS: usize = 12;
/// Volumes that hold the front, and not all of the data.
const VOLUME_SIZE: &str = "700KB";

/// The second reader, who believes the trust root in `trust`.
fn reader(vendor: &Vendor, command: &str, trust: &str) -> Command {
    let mut reader = Command::new(peers::tool("python3"));
    // Without -B it would leave compiled files in the tree.
    reader.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/reader"), command, "--trust"]);
    reader.arg(vendor.path(trust).join("root.json"));
    reader
}

fn verify(vendor: &Vendor, archive: &Path) -> Command {
    let mut command = vendor.sealift();
    command.args(["verify", "--trust", "trust/root.json"]).arg(archive);
    command
}

#[test]
fn a_second_reader_takes_what_is_packed_and_refuses_what_is_damaged() {
    let vendor = Vendor::new(&ACME);
    fixture::write_git_folder(&vendor.path("gitops"));
    let layers = [noise(1, 600_000), noise(2, 400_000)];
    let text = b"a layer that shrinks ".repeat(20_000);
    vendor.offer("acme/stored", "1.0", GZIP, &layers);
    vendor.offer("acme/squeezed", "1.0", PLAIN, std::slice::from_ref(&text));
    let images = vendor.image("acme/stored:1.0") + &vendor.image("acme/squeezed:1.0");
    vendor.define("1.0.0", 1, &format!("git:\n- {{name: fleet, path: gitops}}\nimages:\n{images}"));
    vendor.lock();
    let archive = vendor.bundle();

    process::run(&mut verify(&vendor, &archive));
    let said = process::text(reader(&vendor, "verify", "trust").arg(&archive));
    assert!(said.contains(": acme-appliance 1.0.0, blobs: "), "{said}");
    for blob in layers.iter().chain([&text]) {
        let mut command = reader(&vendor, "blob", "trust");
        assert!(process::run(command.arg(&archive).arg(Digest::of(blob).to_string())) == *blob);
    }

    OTHER.write_root(&vendor.path("other"));
    let refused = process::refusal(reader(&vendor, "verify", "other").arg(&archive));
    assert!(refused.contains("another vendor"), "{refused}");

    let mut split = vendor.sealift();
    split.args(["split", "--trust", "trust/root.json", "--volume-size", VOLUME_SIZE, "-o", "volumes"]);
    process::run(split.arg(&archive));
    process::run(&mut verify(&vendor, &vendor.path("volumes")));
    process::run(reader(&vendor, "verify", "trust").arg(vendor.path("volumes")));

    let whole = fs_err::read(&archive).expect("the archive");
    let damaged = vendor.path("damaged.tar.zst");
    for place in (0..FLIPS).map(|index| index * (whole.len() - 1) / (FLIPS - 1)) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs_err::write(&damaged, bytes).expect("room for the archive");
        process::finish(&verify(&vendor, &damaged)).expect(3);
        let refused = process::refusal(reader(&vendor, "verify", "trust").arg(&damaged));
        assert!(refused.contains(": refused: "), "byte {place}: {refused}");
    }
}
