//! What arrives, by which name it is found, and that it always has the same bytes.

use std::path::Path;

use fs_err as fs;

use sealift_archive::{Class, Explain as _, report};
use sealift_bundler::git::Repository;

use crate::mirror::{Mirror, objects, refs};
use crate::source::{Source, git, rebuild, resolve};

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
        for arguments in way {
            source.git(arguments);
        }
        assert_eq!(source.pin("main"), loose, "{way:?}");
    }
    source.git(&[&repack[..], &["--window=0"]].concat());
    let counted = source.git(&["count-objects", "-v"]);
    let kilobytes = counted.lines().find_map(|line| line.strip_prefix("size-pack: ")).unwrap();
    let without_deltas = kilobytes.parse::<u64>().unwrap() << 10;
    let size = loose.packs[0].blob.size;
    assert!(size * 4 < without_deltas * 3, "{size}, {without_deltas} bytes without deltas");
}

/// `ref`, `branch`, and what comes of them: the full name, the branch, its commit, the tags.
type Found<'a> = (&'a str, Option<&'a str>, &'a str, &'a str, &'a str, &'a [&'a str]);

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
    let cases: [Found<'_>; 9] = [
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
    // All branches are here now, and so are the commits of a release that went further; they are not part of this one.
    let (again, _) = resolve(&old(&commit), None, Some(&source.pin("main"))).unwrap();
    assert_eq!(again, pinned);
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
