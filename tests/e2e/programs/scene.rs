//! What most tests begin with: a small release of one image, its archive, and a large one for what takes time.

use std::path::PathBuf;
use std::sync::LazyLock;

use sealift_archive::Digest;
use sealift_lab::vendor::image::noise;
use sealift_lab::vendor::{Fault, Target};
use sealift_tests::Vendor;
use sealift_tests::process::Running;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::behind_head;

/// A media type of layers that are kept as they are.
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A media type of layers that are squeezed.
pub(crate) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
/// The name of the small release's archive.
pub(crate) const ARCHIVE: &str = "acme-appliance-1.0.0.tar.zst";
/// Where the transfer of the victim breaks off: far enough that what came counts as progress, and short of the end.
pub(crate) const HALF: u64 = 400_000;

/// The large release comes in pieces, so that some are complete when it is stopped: 160 MB in all.
const LARGE_LAYERS: u64 = 20;
const LARGE_LAYER_BYTES: usize = 8_000_000;

/// The layers of the small release's one image.
pub(crate) static LAYERS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| vec![noise(1, 800_000), noise(2, 500_000), noise(3, 30_000)]);
/// What follows the head of its archive when it is made without trouble.
pub(crate) static UNTROUBLED: LazyLock<Vec<u8>> = LazyLock::new(|| behind_head(&locked().bundle()));

/// A vendor with the small release, locked.
pub(crate) fn locked() -> Vendor {
    let vendor = defined();
    offer(&vendor);
    vendor.lock();
    vendor.registry().forget();
    vendor
}

/// A vendor with the small release, defined. The registry has nothing yet.
pub(crate) fn defined() -> Vendor {
    let vendor = Vendor::new(&ACME);
    vendor.define("1.0.0", 1, &format!("images:\n{}", vendor.image("acme/app:1.0")));
    vendor
}

/// The vendor's registry gets the image of the small release; returns its digests, the manifest first.
pub(crate) fn offer(vendor: &Vendor) -> Vec<String> {
    vendor.offer("acme/app", "1.0", GZIP, &LAYERS)
}

/// The blob that faults are for: the first layer.
pub(crate) fn victim() -> Digest {
    Digest::of(&LAYERS[0])
}

/// Packs a release that follows the small one, large enough to be caught in the middle of its import.
pub(crate) fn large(vendor: &Vendor) -> PathBuf {
    let layers: Vec<Vec<u8>> = (0..LARGE_LAYERS).map(|seed| noise(seed, LARGE_LAYER_BYTES)).collect();
    vendor.offer("acme/large", "2.0", GZIP, &layers);
    vendor.define("2.0.0", 2, &format!("upgradeFrom: [1.0.0]\nimages:\n{}", vendor.image("acme/large:2.0")));
    vendor.lock();
    vendor.bundle()
}

/// A run of `sealift bundle` that has all but the end of the victim, which does not come.
pub(crate) fn stalled(vendor: &Vendor) -> Running {
    vendor.registry().faults().always(Target::Blob(victim()), Fault::Stall(HALF));
    let mut bundling = Running::start(&vendor.bundling());
    let partial = vendor.path("out").join(format!("{ARCHIVE}.partial"));
    let journal = vendor.path("out").join(format!("{ARCHIVE}.partial.journal"));
    bundling.watch("all but the end of the victim is here", || {
        let done = fs_err::read_to_string(&journal).unwrap_or_default().matches("done").count();
        done == LAYERS.len() + 1
            && fs_err::read(&partial).is_ok_and(|bytes| holds(&bytes, &LAYERS[0][..1000]))
    });
    bundling
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
