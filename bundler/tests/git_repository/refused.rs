//! What cannot be carried.

use std::collections::BTreeMap;

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::{Unwatched, report};

use crate::mirror::Mirror;
use crate::source::{Source, git, repository, resolve};

/// What makes a tip that is not whole, and how that is said.
type NotWhole = (fn(&Source), [&'static str; 2]);

#[test]
fn what_is_not_in_the_repository_is_refused_by_path_and_commit() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    let submodule = |source: &Source| {
        let entry = format!("160000,{},parts/sub", "1".repeat(40));
        source.git(&["update-index", "--add", "--cacheinfo", &entry]);
        source.git(&["commit", "--quiet", "--message", "a submodule"]);
    };
    let lfs = |source: &Source| source.commit("images/disk.img", POINTER);
    let cases: [NotWhole; 2] = [
        (submodule, ["`parts/sub`", "is a submodule"]),
        (lfs, ["`images/disk.img`", "is a Git LFS pointer"]),
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
        let scratch = TempDir::new().unwrap();
        let repository = repository(url, reference);
        let said = report(&repository.resolve(None, None, scratch.path(), &Unwatched).unwrap_err());
        assert!(expected.iter().all(|part| said.contains(part)), "{url} {reference}: {said}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{url} {reference}: something is left");
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
