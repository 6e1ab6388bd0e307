//! The vendor's repositories, and how a release takes from them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::Unwatched;
use sealift_bundler::Error;
use sealift_bundler::git::{Packs, Pinned, Repository};

/// A repository of the vendor, with fixed names and times.
pub(crate) struct Source {
    pub(crate) dir: TempDir,
}

impl Source {
    /// With no commit, on the branch `main`.
    pub(crate) fn empty() -> Self {
        let source = Self { dir: TempDir::new().unwrap() };
        source.git(&["init", "--quiet", "--initial-branch=main"]);
        source
    }

    /// Three commits on `main`, `v1` on the first, `light` on the second, and `other`, a branch and a tag apart.
    pub(crate) fn small() -> Self {
        let source = Self::empty();
        for number in 1..=3 {
            source.commit("app.yaml", &format!("replicas: {number}\n"));
        }
        source.git(&["tag", "--annotate", "--message", "first", "v1", "main~2"]);
        source.git(&["tag", "light", "main~1"]);
        source.git(&["checkout", "--quiet", "-b", "other", "main~1"]);
        source.commit("other.yaml", "kind: List\n");
        source.git(&["tag", "--annotate", "--message", "apart", "apart"]);
        source.git(&["checkout", "--quiet", "main"]);
        source
    }

    /// With content that no compression makes smaller, so that what is added to it is small.
    pub(crate) fn large() -> Self {
        let source = Self::small();
        source.commit("noise.bin", &noise(64 << 10));
        source
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn commit(&self, file: &str, content: &str) {
        fs::create_dir_all(self.path().join(file).parent().unwrap()).unwrap();
        fs::write(self.path().join(file), content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("change {file}")]);
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments, "")
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.git(&["rev-parse", name])
    }

    /// As a definition beside it would name it.
    pub(crate) fn repository(&self, reference: &str) -> Repository {
        repository(self.path().to_str().unwrap(), reference)
    }

    pub(crate) fn pin(&self, reference: &str) -> Pinned {
        resolve(&self.repository(reference), None, None).unwrap().0
    }
}

pub(crate) fn git(dir: &Path, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
        command.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Letters as a simple generator makes them (xorshift), the same in every run.
pub(crate) fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 90).unwrap())
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

/// Reached with nothing of this machine's configuration.
pub(crate) fn repository(url: &str, reference: &str) -> Repository {
    Repository::new(url, reference, Path::new("/"))
        .unwrap()
        .with_variable("GIT_CONFIG_GLOBAL", "/dev/null")
        .with_variable("GIT_CONFIG_NOSYSTEM", "1")
}

pub(crate) fn resolve(
    repository: &Repository,
    branch: Option<&str>,
    previous: Option<&Pinned>,
) -> Result<(Pinned, Packs), Error> {
    repository.resolve(branch, previous, &std::env::temp_dir(), &Unwatched)
}

pub(crate) fn rebuild(repository: &Repository, pinned: &Pinned) -> Result<Packs, Error> {
    let wanted = pinned.packs.iter().map(|pack| pack.blob.digest).collect();
    repository.rebuild(pinned, &wanted, &std::env::temp_dir(), &Unwatched)
}
