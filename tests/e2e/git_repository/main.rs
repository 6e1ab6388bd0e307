//! A Git repository that a release takes commits from, over HTTP: with a password, when it moves on, and when it
//! cannot be had. (That its signatures verify across the gap is seen with all else that a release carries.)

mod server;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::git::{LATER_TAG, SIGNED_TAG, git, objects, write_signed_repository};
use sealift_tests::gpg::Gpg;
use sealift_tests::process::finish;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::behind_head;
use sealift_tests::{Appliance, Side, Vendor, process, scratch};
use serde_json::Value;

use crate::server::{Door, Server};

const USER: &str = "alice";
const PASSWORD: &str = "secret-of-alice";
const REPOSITORY: &str = "policies.git";

/// A vendor whose policies lie on a Git server.
struct Place {
    vendor: Vendor,
    gpg: Gpg,
    server: Server,
    config: PathBuf,
}

impl Place {
    fn with(door: Door) -> Self {
        let (vendor, gpg) = (Vendor::new(&ACME), Gpg::with_key());
        write_signed_repository(&vendor.path(REPOSITORY), &gpg);
        let server = Server::start(&vendor.path(""), door);
        let config = vendor.path("gitconfig");
        let place = Self { vendor, gpg, server, config };
        place.configure("");
        place
    }

    /// How the vendor has set Git up.
    fn configure(&self, text: &str) {
        fs_err::write(&self.config, text).expect("a configuration");
    }

    /// With a helper that knows this password.
    fn know(&self, password: &str) {
        let helper = format!("!f() {{ echo username={USER}; echo password={password}; }}; f");
        self.configure(&format!("[credential]\nhelper = \"{helper}\"\n"));
    }

    /// Defines a release with what `reference` leads to.
    fn define(&self, version: &str, sequence: u64, reference: &str) {
        let url = self.server.url(REPOSITORY);
        let git = format!("git:\n- {{name: policies, url: '{url}', ref: {reference}}}\n");
        self.vendor.define(version, sequence, &format!("upgradeFrom: [1.0.0]\n{git}"));
    }

    /// A command of the vendor's, with this configuration.
    fn set_up(&self, mut command: Command) -> Command {
        command.env("GIT_CONFIG_GLOBAL", &self.config).env("GIT_CONFIG_NOSYSTEM", "1").env("no_proxy", "*");
        command
    }

    fn locking(&self) -> Command {
        let mut command = self.set_up(self.vendor.sealift());
        command.args(["lock", "RELEASE.yaml"]);
        command
    }

    fn bundle(&self, out: &str, more: &[&Path]) -> PathBuf {
        let mut bundling = self.set_up(self.vendor.bundling_into(Path::new(out)));
        self.vendor.bundle_by(bundling.args(more))
    }

    fn locked_packs(&self) -> usize {
        let lock = fs_err::read(self.vendor.path("RELEASE.lock.json")).expect("the lock");
        let lock: Value = serde_json::from_slice(&lock).expect("JSON");
        lock["git"][0]["pinned"]["packs"].as_array().expect("packs").len()
    }

    /// What the history of a tag has, taken from here, with the tags that lead to it.
    fn objects(&self, url: &str, tag: &str) -> Vec<u8> {
        let dir = scratch();
        let git = |arguments: &[&str]| {
            let mut command = git(Side::Vendor, self.gpg.home());
            process::run(command.current_dir(dir.path()).env("no_proxy", "*").args(arguments));
        };
        git(&["init", "--quiet"]);
        git(&["fetch", "--quiet", url, &format!("refs/tags/{tag}:refs/tags/{tag}")]);
        git(&["verify-tag", tag]);
        git(&["fsck", "--full", "--no-dangling", "--no-progress"]);
        objects(Side::Vendor, self.gpg.home(), dir.path())
    }

    /// The test fails unless the appliance serves the history of this tag.
    fn expect_served(&self, appliance: &Appliance<'_>, tag: &str) {
        let shim = appliance.serve();
        let served = self.objects(&format!("http://{}/git/policies.git", shim.authority()), tag);
        let source = self.objects(&format!("file://{}", self.vendor.path(REPOSITORY).display()), tag);
        assert!(served == source, "{tag}: every object is as it was at its source");
    }
}

#[test]
fn the_next_release_brings_a_small_pack() {
    let place = Place::with(Door::Locked(USER, PASSWORD));
    place.know(PASSWORD);
    place.define("1.0.0", 1, SIGNED_TAG);
    process::run(&mut place.locking());
    let first = place.bundle("out", &[]);
    let appliance = Appliance::new(&ACME);
    appliance.activate(&first);
    place.expect_served(&appliance, SIGNED_TAG);
    let had = appliance.blobs();

    fs_err::rename(place.vendor.path("RELEASE.lock.json"), place.vendor.path("first.json"))
        .expect("the lock");
    place.define("1.1.0", 2, LATER_TAG);
    process::run(place.locking().args(["--previous", "first.json"]));
    assert_eq!(place.locked_packs(), 2);
    let second = place.bundle("out", &[Path::new("--previous"), &first]);
    appliance.activate(&second);
    assert_eq!(appliance.blobs(), had + 1, "the small pack only");
    place.expect_served(&appliance, LATER_TAG);

    // Without the earlier bundle both packs are made again. A new appliance takes them in at once.
    let alone = place.bundle("alone", &[]);
    assert!(behind_head(&alone) == behind_head(&second), "the same bytes");
    let new = Appliance::new(&ACME);
    new.activate(&alone);
    process::run(new.sealiftctl().arg("verify"));
    place.expect_served(&new, LATER_TAG);
}

#[test]
fn what_was_locked_is_what_is_bundled_until_the_repository_has_lost_it() {
    let place = Place::with(Door::Open);
    place.define("1.0.0", 1, "main");
    process::run(&mut place.locking());
    let locked = place.bundle("locked", &[]);

    let repository = place.vendor.path(REPOSITORY);
    let git = |arguments: &[&str]| {
        process::run(git(Side::Vendor, place.gpg.home()).current_dir(&repository).args(arguments));
    };
    // The branch goes back, and the tag that still led to what it was goes too; the commit itself is still there.
    git(&["update-ref", "refs/heads/main", "main~1"]);
    git(&["tag", "--delete", LATER_TAG]);
    let later = place.bundle("later", &[]);
    assert!(behind_head(&locked) == behind_head(&later), "the same bytes");

    git(&["reflog", "expire", "--expire=now", "--all"]);
    git(&["gc", "--quiet", "--prune=now"]);
    let bundling = place.set_up(place.vendor.bundling_into(Path::new("lost")));
    finish(&bundling).expect(2).expect_said(&["SL0458", REPOSITORY, "hint: its history was rewritten"]);
}

#[test]
fn a_repository_that_needs_credentials_is_refused_with_what_to_do() {
    let place = Place::with(Door::Locked(USER, PASSWORD));
    // A window that asks, as desktops have one.
    let (window, asked) = (place.vendor.path("window"), place.vendor.path("asked"));
    fs_err::write(&window, format!("#!/bin/sh\ntouch {}\necho x\n", asked.display())).expect("a program");
    let may_run = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(&window, may_run).expect("a program that can be run");
    let knows_nothing = || place.configure(&format!("[core]\naskPass = {}\n", window.display()));
    let cases: [(&str, &dyn Fn()); 2] =
        [("no password", &knows_nothing), ("a wrong password", &|| place.know("wrong-password"))];
    for (what, configure) in cases {
        place.define("1.0.0", 1, "main");
        configure();
        let mut locking = place.locking();
        let ended = finish(locking.env("GIT_ASKPASS", &window).env("SSH_ASKPASS", &window)).expect(6);
        ended.expect_said(&["SL0452", REPOSITORY, "hint: give Git the credentials, by a credential helper"]);
        let said = ended.stderr();
        assert!(!["wrong-password", USER].iter().any(|secret| said.contains(secret)), "{what}: {said}");
        assert!(!asked.exists(), "{what}: somebody was asked");
        assert!(!place.vendor.path("RELEASE.lock.json").exists(), "{what}: a lock was written");
    }
}

#[test]
fn a_server_without_the_repository_or_without_a_word_is_given_up() {
    for (door, expected) in [(Door::Open, "not found"), (Door::Silent, "Operation too slow")] {
        let place = Place::with(door);
        fs_err::rename(place.vendor.path(REPOSITORY), place.vendor.path("elsewhere.git"))
            .expect("a repository");
        place.define("1.0.0", 1, "main");
        // A minute is what Sealift grants; its user may grant less.
        let ended = finish(place.locking().env("GIT_HTTP_LOW_SPEED_TIME", "1")).expect(6);
        ended.expect_said(&["SL0451", REPOSITORY, expected]);
    }
}
