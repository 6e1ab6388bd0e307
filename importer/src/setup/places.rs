//! Where things are on an appliance: always the same places, in tests below a folder.

use std::path::{Path, PathBuf};

/// What setup keeps: answers, journal, and which files it has written. On the data disk.
pub const SETUP_DIR: &str = "/etc/sealift/setup";
/// The vendor's trust root, as the image carries it.
pub const IMAGE_TRUST: &str = "/usr/share/sealift/trust/root.json";
/// The releases that the image carries.
pub const IMAGE_RELEASES: &str = "/usr/share/sealift/releases";

/// The root of the file system.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Places {
    /// The same places below a folder.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where an absolute path is.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file of setup's own.
    #[must_use]
    pub fn own(&self, name: &str) -> PathBuf {
        self.at(SETUP_DIR).join(name)
    }
}
