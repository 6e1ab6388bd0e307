//! Releases for tests: signed, with real content and real Git packs, and nothing of a file around them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use fs_err as fs;
use sealift_archive::release::{BlobListSummary, GitRepository};
use sealift_archive::trust::{RoleName, SecretKey, Signature, Signatures, TrustRoot};
use sealift_archive::{
    Blob, BlobList, BlobSink as _, Digest, Refs, Release, ReleaseName, Statement, Unwatched,
};
use tempfile::TempDir;

use crate::{Error, RootFile, Store, StoredRelease, Writer};

/// A key for releases and packings. Making one costs half a second, so all tests share it.
pub(crate) static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::generate(b"").unwrap().0);
/// The key for trust roots.
pub(crate) static ROOT_KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::generate(b"").unwrap().0);

pub(crate) static ROOT: LazyLock<TrustRoot> = LazyLock::new(|| {
    let members = [(RoleName::Root, &ROOT_KEY), (RoleName::Release, &KEY), (RoleName::Pack, &KEY)];
    TrustRoot::first(&members.map(|(role, key)| (role, vec![key.public().clone()])).into()).unwrap()
});

/// A store with the fixture's trust root.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::in_dir(&std::env::temp_dir())
    }

    /// A store somewhere below a directory.
    pub(crate) fn in_dir(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let store = Store::create(dir.path()).unwrap();
        let signatures = [Signature::sign(ROOT.bytes(), &*ROOT_KEY).unwrap()].into_iter().collect();
        let file =
            RootFile { name: "root.json".to_owned(), root: ROOT.clone(), signatures: Some(signatures) };
        store.lock("pin").unwrap().pin(&file).unwrap();
        Self { dir, store }
    }

    /// Another store with the same content, without the fsyncs that making it again would take.
    pub(crate) fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").arg("--archive").arg(self.dir.path().join(".")).arg(dir.path()).status();
        assert!(copied.unwrap().success());
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    pub(crate) fn writer(&self) -> Writer {
        self.store.lock("test").unwrap()
    }

    pub(crate) fn states(&self) -> Vec<String> {
        let releases = self.store.releases().unwrap();
        releases.iter().map(|r| format!("{} {}", r.sequence(), r.state())).collect()
    }
}

/// `acme 1.N`, sequence N, which can follow `acme 1.(N-1)`.
pub(crate) struct Content {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) release: Release,
}

impl Content {
    pub(crate) fn new(sequence: u64, contents: &[&[u8]]) -> Self {
        Self::with(sequence, contents, Refs::default(), |_| ())
    }

    /// With a Git repository `fleet` of `commits` commits, in one pack.
    pub(crate) fn with_git(sequence: u64, commits: usize) -> Self {
        let (repository, pack) = fleet(commits);
        let mut refs = Refs::default();
        refs.git.insert("fleet".parse().unwrap(), repository);
        Self::with(sequence, &[&pack], refs, |_| ())
    }

    pub(crate) fn with(
        sequence: u64,
        contents: &[&[u8]],
        refs: Refs,
        change: impl FnOnce(&mut Statement),
    ) -> Self {
        let blobs: BTreeMap<Digest, Vec<u8>> = contents.iter().map(|c| (Digest::of(c), c.to_vec())).collect();
        let mut blob_list = BlobList::default();
        for content in contents {
            blob_list.insert(Blob::of(content)).unwrap();
        }
        let summary = BlobListSummary::of(&blob_list);
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: format!("1.{sequence}").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
        };
        let refs_bytes = refs.to_bytes();
        let mut statement = Statement::new(name, summary, Blob::of(&refs_bytes));
        statement.upgrade_from = vec![format!("1.{}", sequence - 1).parse().unwrap()];
        change(&mut statement);
        let statement_bytes = statement.to_bytes();
        let signatures = vec![Signature::sign(&statement_bytes, &*KEY).unwrap()];
        let signers = vec![KEY.public().id()];
        let release =
            Release { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes };
        Self { blobs, release }
    }

    /// Imports it, the whole way.
    pub(crate) fn stage(&self, writer: &Writer) -> Result<StoredRelease, Error> {
        let need = writer.need(&[&self.release])?;
        let incoming = writer.begin(&self.release, "fixture", &need)?;
        let intake = incoming.intake()?;
        for blob in &need.missing {
            let mut one = intake.open(*blob)?;
            one.write(&self.blobs[&blob.digest])?;
            one.finish()?;
        }
        intake.finish()?;
        incoming.stage(&(&*ROOT).into(), &Signatures::default(), &Unwatched)
    }
}

/// A repository with so many commits on `main`, the first of them tagged, and its pack.
pub(crate) fn fleet(commits: usize) -> (GitRepository, Vec<u8>) {
    let (repository, mut packs) = fleet_in_packs(&[commits]);
    (repository, packs.remove(0))
}

/// The same in several packs, one after the other: each has what is new in so many commits.
pub(crate) fn fleet_in_packs(commits: &[usize]) -> (GitRepository, Vec<Vec<u8>>) {
    let all: usize = commits.iter().sum();
    let dir = tempfile::tempdir().unwrap();
    git(&dir, &["init", "--quiet", "--initial-branch=main"], "");
    for number in 0..all {
        fs::write(dir.path().join("app.yaml"), format!("replicas: {number}\n")).unwrap();
        git(&dir, &["add", "app.yaml"], "");
        git(&dir, &["commit", "--quiet", "--message", &format!("change {number}")], "");
    }
    git(&dir, &["tag", "--annotate", "--message", "first", "v1", &format!("main~{}", all - 1)], "");
    let mut packed = 0;
    let pack = |commits: &usize| {
        let before = if packed > 0 { format!("^main~{}\n", all - packed) } else { "v1\n".to_owned() };
        packed += commits;
        let revisions = format!("main~{}\n{before}", all - packed);
        let name = git(&dir, &["pack-objects", "--quiet", "--revs", "out"], &revisions);
        fs::read(dir.path().join(format!("out-{}.pack", name.trim()))).unwrap()
    };
    let packs: Vec<Vec<u8>> = commits.iter().map(pack).collect();
    let object = |name: &str| git(&dir, &["rev-parse", name], "").trim().parse().unwrap();
    let refs = [("refs/heads/main", "main"), ("refs/tags/v1", "v1")];
    let refs = refs.map(|(name, short)| (name.to_owned(), object(short))).into();
    let digests = packs.iter().map(|pack| Digest::of(pack)).collect();
    (GitRepository { head: "refs/heads/main".to_owned(), refs, packs: digests }, packs)
}

/// The same commits for everybody: names and times are fixed.
fn git(dir: &TempDir, args: &[&str], input: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;

    let mut git = Command::new("git");
    git.current_dir(dir.path()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
        git.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap()
}
