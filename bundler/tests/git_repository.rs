//! Repositories as sources of a release, with the real Git on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::{
    Blob, BlobSink, BlobWriter, Check, Class, Digest, Explain as _, Progress, Unwatched, report,
};
use sealift_bundler::Error;
use sealift_bundler::git::{Packs, Pinned, Repository};

/// A repository of the vendor, with fixed names and times.
struct Source {
    dir: TempDir,
}

impl Source {
    /// With no commit, on the branch `main`.
    fn empty() -> Self {
        let source = Self { dir: TempDir::new().unwrap() };
        source.git(&["init", "--quiet", "--initial-branch=main"]);
        source
    }

    /// Three commits on `main`, `v1` on the first, `light` on the second, and `other`, a branch and a tag apart.
    fn small() -> Self {
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
    fn large() -> Self {
        let source = Self::small();
        source.commit("noise.bin", &noise(64 << 10));
        source
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn commit(&self, file: &str, content: &str) {
        fs::create_dir_all(self.path().join(file).parent().unwrap()).unwrap();
        fs::write(self.path().join(file), content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("change {file}")]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments, "")
    }

    fn id(&self, name: &str) -> String {
        self.git(&["rev-parse", name])
    }

    /// As a definition beside it would name it.
    fn repository(&self, reference: &str) -> Repository {
        repository(self.path().to_str().unwrap(), reference)
    }

    fn pin(&self, reference: &str) -> Pinned {
        resolve(&self.repository(reference), None, None).unwrap().0
    }
}

fn git(dir: &Path, arguments: &[&str], input: &str) -> String {
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
fn noise(length: usize) -> String {
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
fn repository(url: &str, reference: &str) -> Repository {
    Repository::new(url, reference, Path::new("/"))
        .unwrap()
        .with_variable("GIT_CONFIG_GLOBAL", "/dev/null")
        .with_variable("GIT_CONFIG_NOSYSTEM", "1")
}

fn resolve(
    repository: &Repository,
    branch: Option<&str>,
    previous: Option<&Pinned>,
) -> Result<(Pinned, Packs), Error> {
    let scratch = TempDir::new().unwrap();
    let resolved = repository.resolve(branch, previous, scratch.path(), &Unwatched);
    if let Err(error) = &resolved {
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
        assert!(left.is_empty(), "{error}: {left:?} is left");
        return resolved;
    }
    // The packs lie there.
    let _ = scratch.keep();
    resolved
}

fn rebuild(repository: &Repository, pinned: &Pinned) -> Result<Packs, Error> {
    let wanted = pinned.packs.iter().map(|pack| pack.blob.digest).collect();
    let scratch = TempDir::new().unwrap().keep();
    repository.rebuild(pinned, &wanted, &scratch, &Unwatched)
}

/// What an appliance makes of packs and refs.
struct Mirror {
    dir: TempDir,
}

impl Mirror {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare", "--template="], "");
        Self { dir }
    }

    /// Takes the packs in, in their order, and sets the refs.
    fn take(&self, pinned: &Pinned, packs: &[&Packs]) {
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

    fn clone_into(&self, dir: &Path) -> PathBuf {
        let url = format!("file://{}", self.dir.path().display());
        git(dir, &["clone", "--quiet", &url, "clone"], "");
        dir.join("clone")
    }
}

fn content(packs: &[&Packs], digest: &Digest) -> Vec<u8> {
    let (packs, blob) = packs
        .iter()
        .find_map(|packs| Some((packs, *packs.blobs().iter().find(|blob| blob.digest == *digest)?)))
        .expect("the pack is there");
    let sink = Memory::default();
    packs.copy(blob, &sink, &Unwatched).unwrap();
    sink.0.into_inner().unwrap()
}

/// All objects with their content.
fn objects(dir: &Path) -> String {
    git(dir, &["cat-file", "--batch-all-objects", "--batch"], "")
}

fn refs(dir: &Path) -> String {
    git(dir, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"], "")
}

#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl BlobSink for Memory {
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, sealift_archive::Error> {
        Ok(Box::new(MemoryWriter { memory: self, check: Check::new(blob) }))
    }
}

struct MemoryWriter<'a> {
    memory: &'a Memory,
    check: Check,
}

impl BlobWriter for MemoryWriter<'_> {
    fn position(&self) -> u64 {
        self.check.seen()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), sealift_archive::Error> {
        self.check.update(bytes)?;
        self.memory.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), sealift_archive::Error> {
        unreachable!("it is copied once")
    }

    fn finish(self: Box<Self>) -> Result<(), sealift_archive::Error> {
        self.check.finish()
    }
}

#[test]
fn every_object_of_the_history_arrives_as_it_was() {
    let source = Source::small();
    // All that is left is what is carried.
    for arguments in [&["branch", "--delete", "--force", "other"][..], &["tag", "--delete", "apart"]] {
        source.git(arguments);
    }
    source.git(&["reflog", "expire", "--expire=now", "--all"]);
    source.git(&["gc", "--quiet", "--prune=now"]);
    let (pinned, packs) = resolve(&source.repository("main"), None, None).unwrap();
    assert_eq!(pinned.packs.len(), 1);
    let mirror = Mirror::new();
    mirror.take(&pinned, &[&packs]);
    let clone = mirror.clone_into(mirror.dir.path());
    assert_eq!(objects(&clone), objects(source.path()));
    assert_eq!(refs(mirror.dir.path()), refs(source.path()));
    assert_eq!(fs::read_to_string(clone.join("app.yaml")).unwrap(), "replicas: 3\n");
    assert_eq!(git(&clone, &["symbolic-ref", "HEAD"], ""), "refs/heads/main");
}

#[test]
fn the_same_history_makes_the_same_pack_however_the_remote_packed_it() {
    let source = Source::small();
    for number in 0..60 {
        let lines: Vec<String> = (0..200).map(|line| format!("{}\n", line * (number % 7 + 1))).collect();
        source.commit(&format!("dir{}/file{}", number % 5, number % 11), &lines.concat());
    }
    source.git(&["tag", "--annotate", "--message", "second", "v2"]);
    let loose = source.pin("main");
    let repack = ["repack", "-a", "-d", "-f", "-q"];
    let ways: [&[&[&str]]; 4] = [
        &[&[&repack[..], &["--window=50", "--depth=200"]].concat()],
        &[&[&repack[..], &["--window=0"]].concat(), &["commit-graph", "write", "--reachable"]],
        &[&["gc", "--quiet", "--prune=now"]],
        &[&["repack", "-a", "-d", "-q", "--write-bitmap-index"], &["multi-pack-index", "write"]],
    ];
    for way in ways {
        way.iter().for_each(|arguments| drop(source.git(arguments)));
        assert_eq!(source.pin("main"), loose, "{way:?}");
    }
    source.git(&[&repack[..], &["--window=0"]].concat());
    let counted = source.git(&["count-objects", "-v"]);
    let kilobytes = counted.lines().find_map(|line| line.strip_prefix("size-pack: ")).unwrap();
    let without_deltas = kilobytes.parse::<u64>().unwrap() << 10;
    let size = loose.packs[0].blob.size;
    assert!(size * 4 < without_deltas * 3, "{size}, {without_deltas} bytes without deltas");
}

#[test]
fn a_ref_is_found_by_any_of_its_names() {
    let source = Source::small();
    source.git(&["update-ref", "refs/pull/7/head", "other"]);
    source.git(&["tag", "--annotate", "--message", "of a tag", "nested", "v1"]);
    let first = source.id("v1^{commit}");
    let (main, other) = (source.id("main"), source.id("other"));
    let main_tags = ["refs/tags/light", "refs/tags/nested", "refs/tags/v1"];
    let other_tags = ["refs/tags/apart", "refs/tags/light", "refs/tags/nested", "refs/tags/v1"];
    let first_tags = ["refs/tags/nested", "refs/tags/v1"];
    let cases: [(&str, Option<&str>, &str, &str, &str, &[&str]); 9] = [
        ("main", None, "refs/heads/main", "refs/heads/main", &main, &main_tags),
        ("main", Some("stable"), "refs/heads/main", "refs/heads/stable", &main, &main_tags),
        ("other", None, "refs/heads/other", "refs/heads/other", &other, &other_tags),
        ("v1", None, "refs/tags/v1", "refs/heads/main", &first, &first_tags),
        ("nested", Some("fixed"), "refs/tags/nested", "refs/heads/fixed", &first, &first_tags),
        ("refs/tags/apart", None, "refs/tags/apart", "refs/heads/main", &other, &other_tags),
        ("refs/pull/7/head", None, "refs/pull/7/head", "refs/heads/main", &other, &other_tags),
        (&first, None, &first, "refs/heads/main", &first, &first_tags),
        (&main, None, &main, "refs/heads/main", &main, &main_tags),
    ];
    for (reference, branch, from, head, commit, tags) in cases {
        let (pinned, packs) = resolve(&source.repository(reference), branch, None).unwrap();
        assert_eq!((pinned.from.as_str(), pinned.head.as_str()), (from, head), "{reference}");
        assert_eq!(pinned.refs[head].as_str(), commit, "{reference}");
        let found: Vec<&String> = pinned.refs.keys().filter(|name| name.starts_with("refs/tags/")).collect();
        assert_eq!(found, tags, "{reference}");
        for name in &found {
            assert_eq!(pinned.refs[*name].as_str(), source.id(name), "{reference}: the tag itself");
        }
        Mirror::new().take(&pinned, &[&packs]);
    }
}

#[test]
fn a_commit_is_found_on_a_server_that_gives_away_refs_only() {
    let source = Source::small();
    let commit = source.id("main~1");
    // Version 0 of the protocol has this rule.
    let old = |reference: &str| {
        let settings = [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "protocol.version"),
            ("GIT_CONFIG_VALUE_0", "0"),
        ];
        settings.iter().fold(source.repository(reference), |repository, (name, value)| {
            repository.with_variable(name, value)
        })
    };
    source.git(&["tag", "--delete", "light"]);
    let (pinned, packs) = resolve(&old(&commit), None, None).unwrap();
    assert_eq!(pinned.refs.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/tags/v1"]);
    Mirror::new().take(&pinned, &[&packs]);
    assert_eq!(rebuild(&old(&commit), &pinned).unwrap().blobs(), packs.blobs());
    let said = report(&resolve(&old(&"1".repeat(40)), None, None).unwrap_err());
    assert!(said.contains("SL0453"), "{said}");
}

#[test]
fn a_ref_that_is_not_there_is_refused_with_what_there_is() {
    let source = Source::small();
    source.git(&["branch", "v1"]);
    let cases = [
        ("v1", ["SL0454", "write `refs/heads/v1` or `refs/tags/v1`"]),
        ("mian", ["SL0453", "did you mean `main`?"]),
        ("refs/heads/mian", ["SL0453", "did you mean `main`?"]),
        ("HEAD", ["SL0453", "has no `HEAD`"]),
        ("refs/pull/1/head", ["SL0453", "has no `refs/pull/1/head`"]),
        ("0123456789abcdef0123456789abcdef01234567", ["SL0453", "has no `0123456789abcdef"]),
    ];
    for (reference, expected) in cases {
        let error = resolve(&source.repository(reference), None, None).unwrap_err();
        let said = report(&error);
        assert!(expected.iter().all(|part| said.contains(part)), "{reference}: {said}");
        assert_eq!(error.class(), Class::Usage, "{said}");
    }
    let said = report(&resolve(&Source::empty().repository("main"), None, None).unwrap_err());
    assert!(said.contains("SL0453") && said.contains("all of its 40 characters"), "{said}");
    let wrong = Repository::new("x", "main~1", Path::new("/")).unwrap_err();
    assert!(report(&wrong).contains("SL0450"), "{wrong}");
}

#[test]
fn a_later_release_adds_a_small_pack() {
    let source = Source::large();
    let repository = source.repository("main");
    let (first, first_packs) = resolve(&repository, None, None).unwrap();

    let (same, none) = resolve(&repository, None, Some(&first)).unwrap();
    assert_eq!((same, none.blobs()), (first.clone(), &[][..]), "nothing is new");

    source.commit("app.yaml", "replicas: 4\n");
    source.git(&["tag", "--annotate", "--message", "second", "v2"]);
    let (second, second_packs) = resolve(&repository, None, Some(&first)).unwrap();
    assert_eq!(second.packs[..1], first.packs);
    assert_eq!(second_packs.blobs(), [second.packs[1].blob]);
    assert!(second.packs[1].blob.size * 20 < first.packs[0].blob.size);

    let mirror = Mirror::new();
    mirror.take(&first, &[&first_packs]);
    mirror.take(&second, &[&second_packs]);
    let clone = mirror.clone_into(mirror.dir.path());
    assert_eq!(fs::read_to_string(clone.join("app.yaml")).unwrap(), "replicas: 4\n");
    assert_eq!(git(&clone, &["rev-parse", "v2"], ""), source.id("v2"));

    // An appliance that has nothing yet gets the same.
    let rebuilt = rebuild(&repository, &second).unwrap();
    let anew = Mirror::new();
    anew.take(&second, &[&rebuilt]);
    assert_eq!(objects(anew.dir.path()), objects(mirror.dir.path()));

    // A tag on a commit that is there already needs no pack, or only its own object.
    source.git(&["tag", "also", "v1^{commit}"]);
    let (third, packs) = resolve(&repository, None, Some(&second)).unwrap();
    assert_eq!((&third.packs, packs.blobs()), (&second.packs, &[][..]));
    assert!(third.refs.contains_key("refs/tags/also"));
}

#[test]
fn packs_do_not_pile_up() {
    let source = Source::large();
    let repository = source.repository("main");
    let mut pinned = source.pin("main");
    let mut counts = Vec::new();
    for number in 0..8 {
        source.commit("app.yaml", &format!("replicas: {}\n", number + 10));
        pinned = resolve(&repository, None, Some(&pinned)).unwrap().0;
        counts.push(pinned.packs.len());
    }
    assert_eq!(counts, [2, 3, 4, 5, 6, 7, 8, 1]);
    source.commit("more.bin", &noise(100 << 10));
    assert_eq!(resolve(&repository, None, Some(&pinned)).unwrap().0.packs.len(), 1, "more than half is new");
}

#[test]
fn what_was_taken_out_of_the_history_is_not_carried_on() {
    let changes: [(&str, &[&[&str]]); 4] = [
        ("the branch goes back", &[&["reset", "--quiet", "--hard", "main~1"]]),
        ("a commit is replaced", &[&["commit", "--quiet", "--amend", "--message", "other words"]]),
        (
            "a tag is replaced",
            &[&["tag", "--force", "--annotate", "--message", "other words", "v1", "main~2"]],
        ),
        ("a tag is deleted", &[&["tag", "--delete", "v1"]]),
    ];
    for (name, change) in changes {
        let source = Source::large();
        let repository = source.repository("main");
        let first = source.pin("main");
        change.iter().for_each(|arguments| drop(source.git(arguments)));
        let (second, packs) = resolve(&repository, None, Some(&first)).unwrap();
        assert_eq!(second.packs.len(), 1, "{name}");
        assert_eq!(packs.blobs(), [second.packs[0].blob], "{name}");
        assert_eq!(second, source.pin("main"), "{name}: as if there had been no release before");
    }
}

#[test]
fn locked_packs_are_made_again_though_the_remote_has_moved_on() {
    let moves: [(&str, &[&[&str]]); 3] = [
        ("forward", &[&["commit", "--quiet", "--allow-empty", "--message", "more"], &["tag", "v9"]]),
        (
            "elsewhere",
            &[&["commit", "--quiet", "--amend", "--message", "other words"], &["tag", "--delete", "v1"]],
        ),
        ("away", &[&["checkout", "--quiet", "--detach"], &["branch", "--delete", "--force", "main"]]),
    ];
    for (name, change) in moves {
        let source = Source::small();
        let repository = source.repository("main");
        let pinned = source.pin("main");
        change.iter().for_each(|arguments| drop(source.git(arguments)));
        assert_eq!(rebuild(&repository, &pinned).unwrap().blobs(), [pinned.packs[0].blob], "{name}");
    }
}

#[test]
fn only_the_packs_that_are_wanted_are_made() {
    let source = Source::large();
    let repository = source.repository("main");
    let first = source.pin("main");
    source.commit("app.yaml", "replicas: 4\n");
    let second = resolve(&repository, None, Some(&first)).unwrap().0;
    let scratch = TempDir::new().unwrap();
    for wanted in [vec![], vec![0], vec![1], vec![0, 1]] {
        let blobs: Vec<Blob> = wanted.iter().map(|index: &usize| second.packs[*index].blob).collect();
        let digests: BTreeSet<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        let made = repository.rebuild(&second, &digests, scratch.path(), &Unwatched).unwrap();
        assert_eq!(made.blobs(), blobs);
    }
    // What is not wanted need not be there any more.
    fs::remove_dir_all(source.path().join(".git")).unwrap();
    repository.rebuild(&second, &BTreeSet::new(), scratch.path(), &Unwatched).unwrap();
}

#[test]
fn what_is_gone_or_comes_out_differently_is_a_stale_lock() {
    let source = Source::small();
    let mut pinned = source.pin("main");
    pinned.packs[0].wants.pop();
    let said = report(&rebuild(&source.repository("main"), &pinned).unwrap_err());
    assert!(said.contains("SL0459") && said.contains("git version"), "{said}");

    let pinned = source.pin("main");
    source.git(&["commit", "--quiet", "--amend", "--message", "other words"]);
    source.git(&["reflog", "expire", "--expire=now", "--all"]);
    source.git(&["gc", "--quiet", "--prune=now"]);
    let said = report(&rebuild(&source.repository("main"), &pinned).unwrap_err());
    let commit = pinned.refs["refs/heads/main"].as_str();
    assert!(said.contains("SL0458") && said.contains(commit) && said.contains("sealift lock"), "{said}");
}

#[test]
fn what_is_not_in_the_repository_is_refused_by_path_and_commit() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    let submodule = |source: &Source| {
        let entry = format!("160000,{},parts/sub", "1".repeat(40));
        source.git(&["update-index", "--add", "--cacheinfo", &entry]);
        source.git(&["commit", "--quiet", "--message", "a submodule"]);
    };
    let lfs = |source: &Source| source.commit("images/disk.img", POINTER);
    let cases: [(&dyn Fn(&Source), [&str; 2]); 2] = [
        (&submodule, ["`parts/sub`", "is a submodule"]),
        (&lfs, ["`images/disk.img`", "is a Git LFS pointer"]),
    ];
    for (make, expected) in cases {
        let source = Source::small();
        make(&source);
        let broken = source.id("main");
        source.git(&["tag", "--annotate", "--message", "not whole", "broken"]);
        let said = report(&resolve(&source.repository("main"), None, None).unwrap_err());
        let expected = [&expected[..], &["SL0456", &broken, "hint:"]].concat();
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");

        // Once it is taken out, only the tag that still leads to it is left out, and listed.
        source.git(&["rm", "--quiet", "-r", "--cached", expected[0].trim_matches('`')]);
        source.git(&["commit", "--quiet", "--message", "whole again"]);
        let (pinned, packs) = resolve(&source.repository("main"), None, None).unwrap();
        let why = format!("{} {}", expected[0], expected[1]);
        assert_eq!(pinned.left_out, BTreeMap::from([("refs/tags/broken".to_owned(), why)]));
        assert!(pinned.refs.contains_key("refs/tags/v1") && !pinned.refs.contains_key("refs/tags/broken"));
        Mirror::new().take(&pinned, &[&packs]);
    }

    // A file that LFS would take, committed whole, is whole.
    let source = Source::small();
    source.commit(".gitattributes", "*.img filter=lfs diff=lfs merge=lfs -text\n");
    source.commit("disk.img", "content");
    assert!(source.pin("main").left_out.is_empty());
}

#[test]
fn repositories_that_cannot_be_carried_are_refused_with_the_reason() {
    let source = Source::large();
    let url = format!("file://{}", source.path().display());
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    git(dir.path(), &["clone", "--quiet", "--depth=1", &url, "shallow"], "");
    source.git(&["config", "uploadpack.allowFilter", "true"]);
    git(dir.path(), &["clone", "--quiet", "--no-checkout", "--filter=blob:none", &url, "partial"], "");
    git(&dir.path().join("partial"), &["remote", "set-url", "origin", "file:///nonexistent"], "");
    git(dir.path(), &["init", "--quiet", "--initial-branch=main", "--object-format=sha256", "sha256"], "");
    git(&dir.path().join("sha256"), &["commit", "--quiet", "--allow-empty", "--message", "x"], "");
    fs::create_dir(dir.path().join("nothing")).unwrap();
    source.git(&["tag", "file", "main:app.yaml"]);
    let bad_tree = {
        let id = source.id("main:app.yaml");
        let raw: Vec<u8> = (0..20).map(|i| u8::from_str_radix(&id[2 * i..2 * i + 2], 16).unwrap()).collect();
        fs::write(dir.path().join("tree"), [b"0100644 app.yaml\0", &raw[..]].concat()).unwrap();
        let file = at("tree");
        source.git(&["hash-object", "-w", "-t", "tree", "--literally", &file])
    };
    let bad = source.git(&["commit-tree", "-m", "bad", &bad_tree]);
    source.git(&["branch", "bad", &bad]);
    let path = source.path().display().to_string();
    let cases: [(&str, &str, &[&str]); 7] = [
        (&at("shallow"), "main", &["SL0455", "shallow", "--unshallow"]),
        (&at("partial"), "main", &["SL0455", "partial", "--refetch"]),
        (&at("sha256"), "main", &["SL0455", "SHA-256"]),
        (&path, "file", &["SL0455", "no commit"]),
        (&path, "bad", &["SL0457", &bad_tree, "zeroPaddedFilemode"]),
        (&at("nothing"), "main", &["SL0451", "does not appear to be a git repository"]),
        (&at("missing"), "main", &["SL0451", "missing"]),
    ];
    for (url, reference, expected) in cases {
        let said = report(&resolve(&repository(url, reference), None, None).unwrap_err());
        assert!(expected.iter().all(|part| said.contains(part)), "{url} {reference}: {said}");
    }
}

#[test]
fn a_git_that_overlooks_broken_objects_gets_them_no_further() {
    let source = Source::small();
    let bad = ["commit", "--quiet", "--allow-empty", "--message", "x"];
    source.git(&bad);
    let commit =
        source.git(&["cat-file", "commit", "main"]).replace("<test@example.com>", "<test@example.com");
    let id = git(
        source.path(),
        &["hash-object", "-w", "-t", "commit", "--literally", "--stdin"],
        &format!("{commit}\n"),
    );
    source.git(&["update-ref", "refs/heads/main", &id]);
    let config = source.path().join("overlook");
    fs::write(&config, "[fetch \"fsck\"]\nmissingEmail = ignore\nbadEmail = ignore\n").unwrap();
    let repository = source.repository("main").with_variable("GIT_CONFIG_GLOBAL", config);
    let said = report(&resolve(&repository, None, None).unwrap_err());
    assert!(said.contains("SL0457") && said.contains(&id), "{said}");
}

/// A stand-in for ssh that does this.
fn by_ssh(dir: &Path, script: &str) -> Repository {
    let program = dir.join("remote-shell");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    let set = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, set).unwrap();
    repository("git@git.example.com:acme/policies.git", "main")
        .with_variable("GIT_SSH_COMMAND", program.as_os_str())
        .with_variable("GIT_SSH_VARIANT", "simple")
}

#[test]
fn nobody_is_asked() {
    let cases = [
        ("echo 'git@git.example.com: Permission denied (publickey).' >&2; exit 255", "Permission denied"),
        ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed"),
        // What the kernel does to a process in the background that reads from the terminal.
        ("kill -TTIN 0; exit 0", "wanted to ask"),
    ];
    for (script, expected) in cases {
        let dir = TempDir::new().unwrap();
        let error = resolve(&by_ssh(dir.path(), script), None, None).unwrap_err();
        let said = report(&error);
        let expected = ["SL0452", "git@git.example.com:acme/policies.git", expected, "credential helper"];
        assert!(expected.iter().all(|part| said.contains(part)), "{script}: {said}");
        assert_eq!(error.class(), Class::Unreachable);
    }
}

#[test]
fn openssh_is_told_to_ask_nobody() {
    let dir = TempDir::new().unwrap();
    let source = Source::small();
    // Called `ssh`, and does what sshd would do with the command.
    let script = format!(
        "echo \"$@\" > {0}/said; cd {1} && exec git-upload-pack .",
        dir.path().display(),
        source.path().display()
    );
    let _ = by_ssh(dir.path(), &script);
    fs::rename(dir.path().join("remote-shell"), dir.path().join("ssh")).unwrap();
    let ssh = format!("{}/ssh -i key", dir.path().display());
    let repository = repository("ssh://git@git.example.com/acme/policies.git", "main")
        .with_variable("GIT_SSH_COMMAND", ssh);
    let (pinned, _) = resolve(&repository, None, None).unwrap();
    assert_eq!(pinned, source.pin("main"));
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert!(
        said.contains("-i key") && said.contains("-oBatchMode=yes") && said.contains("git@git.example.com"),
        "{said}"
    );
}

/// Somebody who asks to stop as soon as a file is there.
struct Impatient {
    file: PathBuf,
    asked: AtomicUsize,
}

impl Progress for Impatient {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        // So that a test fails instead of hanging.
        self.asked.fetch_add(1, Ordering::Relaxed) > 1000 || self.file.exists()
    }
}

#[test]
fn stopping_stops_git_and_all_that_it_started() {
    let dir = TempDir::new().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
    let scratch = TempDir::new().unwrap();
    let impatient = Impatient { file: pid.clone(), asked: AtomicUsize::new(0) };
    let error = by_ssh(dir.path(), &script).resolve(None, None, scratch.path(), &impatient).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left");
    let pid = fs::read_to_string(pid).unwrap();
    // Whoever inherited it may not have come round to burying it.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("gone", |(_, rest)| &rest[..1]);
    assert!(["gone", "Z", "X"].contains(&state), "{stat}");
}

#[test]
fn the_users_configuration_holds_and_runs_nothing_of_the_remotes() {
    let source = Source::small();
    let dir = TempDir::new().unwrap();
    let (config, hooks, ran) = (dir.path().join("config"), dir.path().join("hooks"), dir.path().join("ran"));
    fs::create_dir(&hooks).unwrap();
    for hook in ["reference-transaction", "post-checkout", "pre-auto-gc"] {
        let hook = hooks.join(hook);
        fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let settings = format!(
        "[url \"file://{}\"]\ninsteadOf = https://git.example.com/policies.git\n\
         [url \"ext::touch {} \"]\ninsteadOf = https://evil.example.com/\n\
         [core]\nhooksPath = {}\n\
         [fetch]\nprune = true\npruneTags = true\nwriteCommitGraph = true\n\
         [init]\ndefaultObjectFormat = sha256\n",
        source.path().display(),
        ran.display(),
        hooks.display(),
    );
    fs::write(&config, settings).unwrap();
    let at = |url: &str| {
        repository(url, "main")
            .with_variable("GIT_CONFIG_GLOBAL", &config)
            .with_variable("GIT_DIR", "/nonexistent")
    };
    let (pinned, _) = resolve(&at("https://git.example.com/policies.git"), None, None).unwrap();
    assert_eq!(pinned, source.pin("main"));
    let said = report(&resolve(&at("https://evil.example.com/x"), None, None).unwrap_err());
    assert!(said.contains("transport 'ext' not allowed"), "{said}");
    assert!(!ran.exists(), "somebody ran something");
}
