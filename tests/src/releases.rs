//! Three releases of a vendor that an appliance can go through, for tests of what comes between.

use std::path::PathBuf;

use sealift_lab::vendor::image::noise;

use crate::trust::Trust;
use crate::{Vendor, fixture};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A release has more blobs than are fsynced one by one, more bytes than go into one frame of an archive, and blobs of
/// which the beginning is worth keeping.
const SMALL_LAYERS: u64 = 9;
/// Size of a small blob.
pub const SMALL_BYTES: usize = 20_000;
const LARGE_BYTES: usize = 1_400_000;
const SHARED_BYTES: usize = 3_000_000;

/// Versions 1.0.0, 2.0.0 and 3.0.0, each in an archive of 5 MB with an image and a Git repository. The second and the third
/// can both follow the first; the second has another repository besides.
#[derive(Debug)]
pub struct Releases {
    /// Who made them.
    pub vendor: Vendor,
    /// The archive with the first.
    pub first: PathBuf,
    /// The archive with the second.
    pub second: PathBuf,
    /// The archive with the third.
    pub third: PathBuf,
}

impl Releases {
    /// Makes them.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        let vendor = Vendor::new(trust);
        let [first, second, third] = [
            (1, "", ""),
            (2, "upgradeFrom: [1.0.0]\n", "- {name: notes, path: gitops-2, branch: main}\n"),
            (3, "upgradeFrom: [1.0.0, 2.0.0]\n", ""),
        ]
        .map(|(number, follows, repository)| {
            let small = (0..SMALL_LAYERS).map(|seed| noise(100 * number + seed, SMALL_BYTES));
            let large = [noise(1, SHARED_BYTES), noise(10 + number, LARGE_BYTES)];
            let tag = format!("{number}.0");
            vendor.offer("acme/app", &tag, LAYER, &large.into_iter().chain(small).collect::<Vec<_>>());
            let git = vendor.path(format!("gitops-{number}"));
            fixture::write_git_folder(&git);
            fixture::write(&git.join("release"), tag.as_bytes());
            let image = vendor.image(&format!("acme/app:{tag}"));
            let rest = format!(
                "{follows}images:\n{image}git:\n- {{name: fleet, path: gitops-{number}, branch: main}}\n\
                 {repository}"
            );
            vendor.define(&format!("{number}.0.0"), number, &rest);
            vendor.lock();
            vendor.bundle()
        });
        Self { vendor, first, second, third }
    }
}
