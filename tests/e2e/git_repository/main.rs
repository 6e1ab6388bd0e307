//! Git repositories over HTTP on both sides: from a server that wants a password, across the gap, out of the appliance's
//! mirror, with signatures that verify.

mod crossing;
mod server;
mod signer;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealift_archive::{Class, Explain as _, Unwatched, report};
use sealift_bundler::Error;
use sealift_bundler::git::{Packs, Pinned, Repository};
use sealift_lab::vendor::image::noise;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, process, scratch};

use crate::crossing::bring;
use crate::server::{Door, Server};
use crate::signer::Signer;

const USER: &str = "alice";
const PASSWORD: &str = "secret-of-alice";
const REPOSITORY: &str = "policies.git";

/// Git without this user's configuration.
fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_TERMINAL_PROMPT", "0").env("no_proxy", "*");
    command
}

/// The vendor's repository, with a signed commit and a signed tag.
fn policies(dir: &Path, signer: &Signer) {
    process::run(git(dir).args(["init", "--quiet", "--initial-branch=main", REPOSITORY]));
    let repository = dir.join(REPOSITORY);
    // Its own objects only: nothing that a reflog alone leads to.
    process::run(git(&repository).args(["config", "core.logAllRefUpdates", "false"]));
    // So that what a release adds is small.
    fs_err::write(repository.join("noise.bin"), noise(1, 50_000)).expect("a file");
    release(&repository, signer, "v1");
}

/// A signed commit and a signed tag.
fn release(repository: &Path, signer: &Signer, tag: &str) {
    fs_err::write(repository.join("policy.yaml"), format!("allow: {tag}\n")).expect("a file");
    process::run(git(repository).args(["add", "."]));
    process::run(signer.sign(git(repository)).args(["commit", "--quiet", "-S", "--message", tag]));
    process::run(signer.sign(git(repository)).args(["tag", "--sign", "--message", tag, tag]));
}

fn objects(dir: &Path) -> Vec<u8> {
    process::run(git(dir).args(["cat-file", "--batch-all-objects", "--batch"]))
}

fn repository(url: &str, config: &Path) -> Repository {
    Repository::new(url, "main", Path::new("/"))
        .expect("an address")
        .with_variable("GIT_CONFIG_GLOBAL", config)
        .with_variable("GIT_CONFIG_NOSYSTEM", "1")
        .with_variable("no_proxy", "*")
}

/// What a vendor writes to have Git find this password.
fn configuration(dir: &Path, password: &str) -> std::path::PathBuf {
    let file = dir.join("gitconfig");
    let helper = format!("!f() {{ echo username={USER}; echo password={password}; }}; f");
    let text = format!("[credential]\nhelper = \"{helper}\"\n");
    fs_err::write(&file, text).expect("a configuration");
    file
}

fn resolve(repository: &Repository, previous: Option<&Pinned>) -> Result<(Pinned, Packs), Error> {
    repository.resolve(None, previous, &std::env::temp_dir(), &Unwatched)
}

#[test]
fn signed_commits_and_tags_verify_behind_the_gap() {
    let dir = scratch();
    let signer = Signer::new();
    policies(dir.path(), &signer);
    let source = dir.path().join(REPOSITORY);
    let server = Server::start(dir.path(), Door::Locked(USER, PASSWORD));
    let repository = repository(&server.url("", REPOSITORY), &configuration(dir.path(), PASSWORD));
    let (first, first_packs) = resolve(&repository, None).expect("a repository that can be carried");

    let appliance = Appliance::new(&ACME);
    bring(&appliance, 1, "policies", &first, &[&first_packs]);
    let shim = appliance.serve();
    let url = format!("http://{}/git/policies.git", shim.authority());
    let verify = |clone: &str, tag: &str| {
        process::run(git(dir.path()).args(["clone", "--quiet", &url, clone]));
        let clone = dir.path().join(clone);
        process::run(signer.sign(git(&clone)).args(["verify-tag", tag]));
        process::run(signer.sign(git(&clone)).args(["verify-commit", "HEAD"]));
        assert!(objects(&clone) == objects(&source), "every object is as it was at its source");
        assert_eq!(
            fs_err::read_to_string(clone.join("policy.yaml")).expect("a file"),
            format!("allow: {tag}\n")
        );
    };
    verify("first", "v1");

    release(&source, &signer, "v2");
    let (second, second_packs) = resolve(&repository, Some(&first)).expect("what is new");
    let brought = bring(&appliance, 2, "policies", &second, &[&second_packs]);
    assert_eq!(brought, [second.packs[1].blob.digest].into(), "the small pack only");
    verify("second", "v2");

    // A new appliance takes in both packs, made again from a clone.
    let wanted = second.packs.iter().map(|pack| pack.blob.digest).collect();
    let rebuilt = repository.rebuild(&second, &wanted, dir.path(), &Unwatched).expect("the same packs");
    let appliance = Appliance::new(&ACME);
    bring(&appliance, 2, "policies", &second, &[&rebuilt]);
    appliance.expect_whole();
}

#[test]
fn a_repository_that_needs_credentials_is_refused_with_what_to_do() {
    let dir = scratch();
    policies(dir.path(), &Signer::new());
    let server = Server::start(dir.path(), Door::Locked(USER, PASSWORD));
    // A window that asks, as desktops have one.
    let (none, window, asked) =
        (dir.path().join("none"), dir.path().join("window"), dir.path().join("asked"));
    fs_err::write(&none, format!("[core]\naskPass = {}\n", window.display())).expect("a configuration");
    fs_err::write(&window, format!("#!/bin/sh\ntouch {}\necho x\n", asked.display())).expect("a program");
    fs_err::set_permissions(&window, PermissionsExt::from_mode(0o755)).expect("a program that can be run");
    let wrong = configuration(dir.path(), "wrong-password");
    for (what, user, config) in
        [("no password", "", &none), ("a user alone", "alice@", &none), ("a wrong one", "", &wrong)]
    {
        let repository = repository(&server.url(user, REPOSITORY), config);
        let repository = ["GIT_ASKPASS", "SSH_ASKPASS"]
            .into_iter()
            .fold(repository, |repository, name| repository.with_variable(name, &window));
        let error = resolve(&repository, None).expect_err(what);
        assert!(!asked.exists(), "{what}: somebody was asked");
        let said = report(&error);
        assert_eq!(error.class(), Class::Unreachable, "{what}: {said}");
        for part in ["SL0452", REPOSITORY, "hint: give Git the credentials, by a credential helper"] {
            assert!(said.contains(part), "{what}: `{part}` is not said: {said}");
        }
        for secret in ["wrong-password", "alice"] {
            assert!(!said.contains(secret), "{what}: {said}");
        }
    }
}

#[test]
fn a_server_without_the_repository_or_without_a_word_is_given_up() {
    let dir = scratch();
    let none = dir.path().join("none");
    fs_err::write(&none, "").expect("a configuration");
    let (open, silent) = (Server::start(dir.path(), Door::Open), Server::start(dir.path(), Door::Silent));
    for (server, expected) in [(&open, "not found"), (&silent, "Operation too slow")] {
        // A minute is what Sealift grants; its user may grant less.
        let repository =
            repository(&server.url("", REPOSITORY), &none).with_variable("GIT_HTTP_LOW_SPEED_TIME", "1");
        let error = resolve(&repository, None).expect_err(expected);
        let said = report(&error);
        assert!(said.contains("SL0451") && said.contains(expected), "{said}");
        assert_eq!(error.class(), Class::Unreachable);
    }
}
