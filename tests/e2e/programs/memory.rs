//! Memory is bounded, whatever the size of what is bundled, verified and imported, and on machines with many cores too.

use std::process::Command;

use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, memory};

use crate::scene::{GZIP, PLAIN};

/// The most resident memory of any of our programs.
const LIMIT: u64 = 128 << 20;
/// As many as a machine of today that builds releases has.
const CORES: &str = "16";
const MB: usize = 1_000_000;
const TEXT: &[u8; 25] = b"the same again and again\n";

#[test]
fn memory_is_bounded_whatever_the_size() {
    let stored = |count: u64| -> Vec<Vec<u8>> { (0..count).map(|seed| noise(seed, 60 * MB)).collect() };
    let squeezed = vec![noise(7, 30 * MB), TEXT.repeat(30 * MB / TEXT.len())];
    let cases = [("300 MB stored", stored(5), Vec::new()), ("60 MB of them squeezed", stored(4), squeezed)];
    for (case, stored, squeezed) in cases {
        let vendor = Vendor::new(&ACME);
        vendor.offer("acme/stored", "1.0", GZIP, &stored);
        vendor.offer("acme/squeezed", "1.0", PLAIN, &squeezed);
        let images = vendor.image("acme/stored:1.0") + &vendor.image("acme/squeezed:1.0");
        vendor.define("1.0.0", 1, &format!("images:\n{images}"));
        vendor.lock();
        expect_bounded(&format!("{case}: bundle"), &mut vendor.bundling());

        let archive = vendor.path("out/acme-appliance-1.0.0.tar.zst");
        let mut verifying = vendor.sealift();
        verifying.args(["verify", "--trust", "trust/root.json"]).arg(&archive);
        expect_bounded(&format!("{case}: verify"), &mut verifying);
        let appliance = Appliance::new(&ACME);
        expect_bounded(&format!("{case}: import"), appliance.importing(&archive).arg("--activate"));
        expect_bounded(&format!("{case}: check the store"), appliance.sealiftctl().arg("verify"));
    }
}

fn expect_bounded(what: &str, command: &mut Command) {
    let peak = memory::peak_bytes(command.env("RAYON_NUM_THREADS", CORES));
    assert!(peak < LIMIT, "{what}: took {} MiB", peak >> 20);
}
