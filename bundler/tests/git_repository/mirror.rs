//! What an appliance makes of packs and refs.

use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::Digest;
use sealift_bundler::git::{Packs, Pinned};

use crate::source::git;

/// A bare repository.
pub(crate) struct Mirror {
    pub(crate) dir: TempDir,
}

impl Mirror {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare", "--template="], "");
        Self { dir }
    }

    /// Takes the packs in, in their order, and sets the refs.
    pub(crate) fn take(&self, pinned: &Pinned, packs: &[&Packs]) {
        let carried = pinned.carried();
        for digest in &carried.packs {
            let name = format!("objects/pack/pack-{}.pack", digest.hex());
            if !self.dir.path().join(&name).exists() {
                fs::write(self.dir.path().join(&name), content(packs, digest)).unwrap();
                git(self.dir.path(), &["index-pack", "--strict", &name], "");
            }
        }
        for (name, object) in &carried.refs {
            git(self.dir.path(), &["update-ref", name, object.as_str()], "");
        }
        git(self.dir.path(), &["symbolic-ref", "HEAD", &carried.head], "");
        git(self.dir.path(), &["fsck", "--full", "--strict", "--no-dangling", "--no-progress"], "");
    }

    pub(crate) fn clone_into(&self, dir: &Path) -> PathBuf {
        let url = format!("file://{}", self.dir.path().display());
        git(dir, &["clone", "--quiet", &url, "clone"], "");
        dir.join("clone")
    }
}

pub(crate) fn content(packs: &[&Packs], digest: &Digest) -> Vec<u8> {
    let mut files = packs.iter().flat_map(|packs| packs.files());
    let (_, file) = files.find(|(blob, _)| blob.digest == *digest).expect("the pack is there");
    fs::read(file).unwrap()
}

/// All objects with their content.
pub(crate) fn objects(dir: &Path) -> String {
    git(dir, &["cat-file", "--batch-all-objects", "--batch"], "")
}

pub(crate) fn refs(dir: &Path) -> String {
    git(dir, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"], "")
}
