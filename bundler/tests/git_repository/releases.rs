//! Releases that follow one another, and packs that are made again.

use std::collections::BTreeSet;

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::{Blob, Digest, Unwatched, report};

use crate::mirror::{Mirror, objects};
use crate::source::{Source, git, noise, rebuild, resolve};

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
        for arguments in change {
            source.git(arguments);
        }
        let (second, packs) = resolve(&repository, None, Some(&first)).unwrap();
        assert_eq!(second.packs.len(), 1, "{name}");
        assert_eq!(packs.blobs(), [second.packs[0].blob], "{name}");
        assert_eq!(second, source.pin("main"), "{name}: as if there had been no release before");
    }
}

#[test]
fn locked_packs_are_made_again_though_the_remote_has_moved_on() {
    let moves: [(&str, &[&[&str]]); 4] = [
        ("forward", &[&["commit", "--quiet", "--allow-empty", "--message", "more"], &["tag", "v9"]]),
        (
            "elsewhere",
            &[&["commit", "--quiet", "--amend", "--message", "other words"], &["tag", "--delete", "v1"]],
        ),
        // Git would write what tags lead to first.
        (
            "by other names",
            &[&["tag", "a", "main~1"], &["tag", "b", "main~3"], &["tag", "--delete", "light"]],
        ),
        ("away", &[&["checkout", "--quiet", "--detach"], &["branch", "--delete", "--force", "main"]]),
    ];
    for (name, change) in moves {
        let source = Source::small();
        source.commit("app.yaml", "replicas: 4\n");
        source.commit("dir/app.yaml", "replicas: 5\n");
        let repository = source.repository("main");
        let pinned = source.pin("main");
        for arguments in change {
            source.git(arguments);
        }
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
