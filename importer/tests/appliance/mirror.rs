//! `sealiftctl mirror` against a vendor's endpoint: what it asks for, what it takes, and what it refuses.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use sealift_archive::release::published::Published;
use sealift_archive::trust::Signatures;
use sealift_archive::{ChannelName, Digest};
use sealift_lab::vendor::{Fault, Registry, Seen, Target};
use sealift_store::{Event, State, Store};
use serde_json::Value;
use tempfile::TempDir;
use time::macros::datetime;

use crate::published::{PLACE, Tree, channel};
use crate::vendor::{ACME, OTHER, Offer, contents};

/// The most that asking for news may cost (the issue's bars).
const MAX_QUIET_REQUESTS: usize = 3;
const MAX_QUIET_BYTES: u64 = 20_000;
/// Large enough that it is worth keeping in part.
const LARGE: usize = 4 << 20;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the vendor publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    Web,
    Registry,
    /// A registry that has no `data` in its manifests.
    Older,
}
const KINDS: [Kind; 4] = [Kind::Directory, Kind::Web, Kind::Registry, Kind::Older];

/// An appliance and its vendor's endpoint.
struct Scene {
    dir: TempDir,
    server: Registry,
    kind: Kind,
}

impl Scene {
    /// An appliance on which the first of these is active, if there is one.
    fn new(kind: Kind, active: Option<&Offer>) -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap(), server: Registry::start().unwrap(), kind };
        let root = ACME.write_root(scene.dir.path());
        scene.done(&["trust", "pin", root.to_str().unwrap()]);
        if let Some(offer) = active {
            let bundle = offer.pack(&ACME, scene.dir.path());
            scene.done(&["import", bundle.to_str().unwrap(), "--activate"]);
        }
        scene.configure("");
        scene
    }

    fn configure(&self, more: &str) {
        let addr = self.server.addr();
        let source = match self.kind {
            Kind::Directory => self.published().display().to_string(),
            Kind::Web => format!("http://{addr}/{PLACE}"),
            Kind::Registry | Kind::Older => format!("oci://{addr}/{PLACE}"),
        };
        let text = format!("apiVersion: sealift/v1\nkind: Appliance\nmirror:\n  source: {source}\n{more}");
        fs::write(self.dir.path().join("appliance.yaml"), text).unwrap();
    }

    fn published(&self) -> PathBuf {
        self.dir.path().join("published")
    }

    fn publish(&self, tree: &Tree) {
        match self.kind {
            Kind::Directory => tree.write_to(&self.published()),
            Kind::Web => tree.serve_by(&self.server),
            Kind::Registry => tree.push_to(&self.server, true),
            Kind::Older => tree.push_to(&self.server, false),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.current_dir(self.dir.path()).args(["--store", "store", "--config", "appliance.yaml"]);
        // Neither this user's accounts nor a proxy.
        command.args(args).env("DOCKER_CONFIG", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}{}", said(&output.stdout), said(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A run, as JSON.
    fn mirror(&self) -> Value {
        serde_json::from_str(&self.done(&["mirror", "--once", "--json"])).unwrap()
    }

    /// A run that fails: its code and exit status.
    fn fails(&self) -> (String, i32) {
        let output = self.run(&["mirror", "--once", "--json"]);
        let said: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (said["error"]["code"].as_str().unwrap().to_owned(), output.status.code().unwrap())
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("store")).unwrap()
    }

    /// `1.4 active, 1.5 staged`
    fn releases(&self) -> String {
        let mut text = String::new();
        for release in self.store().releases().unwrap() {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}1.{} {}", release.sequence(), release.state()).unwrap();
        }
        text
    }

    /// What the server was asked since the last time.
    fn asked(&self) -> Vec<Seen> {
        let seen = self.server.seen();
        self.server.forget();
        seen
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }
}

fn sent(seen: &[Seen]) -> u64 {
    seen.iter().map(|seen| seen.sent).sum()
}

/// Two releases that share most of their content.
fn four_and_five() -> (Offer, Offer) {
    let size = 50_000;
    (Offer::new(&ACME, 4, contents(0..20, size)), Offer::new(&ACME, 5, contents(3..23, size)))
}

#[test]
fn what_is_new_comes_and_nothing_else() {
    let (four, five) = four_and_five();
    for kind in KINDS {
        let scene = Scene::new(kind, Some(&four));
        let mut tree = Tree::of(&ACME, &[&four]);
        scene.publish(&tree);
        assert_eq!(scene.mirror()["outcome"], "here", "{kind:?}");
        let quiet = scene.asked();
        assert!(quiet.len() <= MAX_QUIET_REQUESTS + usize::from(kind == Kind::Older), "{quiet:#?}");
        assert!(sent(&quiet) <= MAX_QUIET_BYTES, "{quiet:#?}");

        tree.add(&five);
        tree.name(&ACME, &channel(2, &[&four, &five]));
        scene.publish(&tree);
        let planned: Value = serde_json::from_str(&scene.done(&["mirror", "--plan", "--json"])).unwrap();
        assert_eq!(
            (&planned["outcome"], &planned["plan"]["need"]["missingBlobs"]),
            (&"planned".into(), &3.into())
        );
        assert_eq!(scene.releases(), "1.4 active", "{kind:?}: a plan changes nothing");
        scene.asked();
        let told = scene.mirror();
        assert_eq!((&told["outcome"], &told["done"]["state"]), (&"done".into(), &"staged".into()), "{told}");
        assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
        let seen = scene.asked();
        if kind == Kind::Web {
            let release = &five.release;
            let documents = [
                tree.bytes(Published::Channel(ChannelName::Stable)).len(),
                tree.bytes(Published::Release(release.digest())).len(),
                release.blob_list.to_text().len(),
                release.refs_bytes.len(),
            ];
            let not_found = seen.iter().filter(|seen| seen.status == 404).map(|seen| seen.sent).sum::<u64>();
            let expected = 3 * 50_000 + documents.iter().sum::<usize>() as u64;
            assert_eq!(sent(&seen) - not_found, expected, "{seen:#?}");
        }
        assert_eq!(scene.mirror()["outcome"], "here");
        let quiet = scene.asked();
        assert!(quiet.len() <= MAX_QUIET_REQUESTS + usize::from(kind == Kind::Older), "{quiet:#?}");
        scene.done(&["activate", "1.5"]);
        scene.done(&["verify"]);
    }
}

#[test]
fn a_stick_brings_most_and_the_network_the_rest() {
    let (four, _) = four_and_five();
    let five = Offer::new(&ACME, 5, [contents(30..34, LARGE), contents(0..1, 50_000)].concat());
    let scene = Scene::new(Kind::Web, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    // The stick is damaged behind its middle.
    let bundle = five.pack(&ACME, scene.dir.path());
    let mut bytes = fs::read(&bundle).unwrap();
    let at = bytes.len() - LARGE / 2;
    bytes[at] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    assert_eq!(scene.run(&["import", bundle.to_str().unwrap()]).status.code(), Some(3));
    scene.asked();
    scene.mirror();
    let fetched = sent(&scene.asked());
    assert!(fetched < LARGE as u64 + 20_000, "one blob of four: {fetched}");
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    assert!(scene.store().unfinished().unwrap().is_empty());
}

#[test]
fn a_run_goes_on_in_the_middle_of_a_blob() {
    let (four, _) = four_and_five();
    let five = Offer::new(&ACME, 5, contents(30..31, LARGE));
    let scene = Scene::new(Kind::Web, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    let digest = *five.blobs.keys().next().unwrap();
    let path = format!("/{PLACE}/{}", digest.blob_path());
    let cut = LARGE as u64 / 2;
    scene.server.faults().once(Target::Path(path.clone()), Fault::Cut(cut));
    scene.server.faults().always(Target::Path(path.clone()), Fault::Stall(cut));
    let mut run = scene.command(&["mirror", "--once"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = scene.dir.path().join("store/parts").join(format!("{}.0", digest.hex()));
    let deadline = Instant::now() + DEADLINE;
    while fs::metadata(&begun).map_or(0, |meta| meta.len()) < cut {
        assert!(Instant::now() < deadline && run.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let next = scene.status()["next"].to_string();
    assert_eq!(next, r#"["sealiftctl mirror"]"#);
    scene.server.faults().clear();
    scene.asked();
    scene.mirror();
    let asked = scene.asked();
    let ranges: Vec<_> = asked.iter().filter(|seen| seen.path == path).map(|seen| &seen.range).collect();
    assert_eq!(ranges, [&Some(format!("bytes={cut}-"))]);
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
}

#[test]
fn who_is_behind_takes_one_step_after_the_other() {
    let offers: Vec<Offer> = (4..=7).map(|n| Offer::new(&ACME, n, contents(n..n + 3, 10_000))).collect();
    let all: Vec<&Offer> = offers.iter().collect();
    let scene = Scene::new(Kind::Web, Some(&offers[0]));
    scene.publish(&Tree::of(&ACME, &all));
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged, 1.6 staged, 1.7 staged");

    let scene = Scene::new(Kind::Web, Some(&offers[0]));
    scene.configure("  activate: true\n");
    scene.publish(&Tree::of(&ACME, &all));
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 retained, 1.5 retained, 1.6 retained, 1.7 active");

    // What a stick has brought already is a step as well, and is not asked for.
    let scene = Scene::new(Kind::Web, Some(&offers[0]));
    let bundle = offers[1].pack(&ACME, scene.dir.path());
    scene.done(&["import", bundle.to_str().unwrap()]);
    scene.publish(&Tree::of(&ACME, &all[1..3]));
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged, 1.6 staged");
    let of_five = Published::Release(offers[1].release.digest()).path();
    assert!(scene.asked().iter().all(|seen| !seen.path.ends_with(&of_five)));

    // A fresh one takes the newest alone.
    let scene = Scene::new(Kind::Web, None);
    scene.publish(&Tree::of(&ACME, &all));
    scene.mirror();
    assert_eq!(scene.releases(), "1.7 staged");
}

#[test]
fn a_release_is_activated_once_without_a_person() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    scene.configure("  activate: true\n");
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 retained, 1.5 active");
    scene.done(&["rollback"]);
    assert_eq!(scene.mirror()["outcome"], "here");
    assert_eq!(scene.releases(), "1.4 active, 1.5 retained");
}

#[test]
fn a_channel_that_is_behind_what_runs_is_no_error() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Web, Some(&five));
    scene.publish(&Tree::of(&ACME, &[&four]));
    let told = scene.done(&["mirror", "--once"]);
    assert!(told.contains("nothing: it is below acme 1.5 (sequence 5), which is active"), "{told}");
}

#[test]
fn newer_trust_roots_come_first() {
    let (four, _) = four_and_five();
    let scene = Scene::new(Kind::Web, Some(&four));
    let rotated = ACME.with_another_key();
    let five = Offer::new(&rotated, 5, contents(3..23, 50_000));
    let mut tree = Tree::of(&rotated, &[&five]);
    tree.put(Published::Root(2), rotated.root.bytes(), &rotated.root_signatures());
    scene.publish(&tree);
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    assert_eq!(scene.status()["trust"]["version"], 2);
    // What the revoked key signs counts no longer, whoever serves it.
    tree.name(&ACME, &channel(2, &[&five]));
    scene.publish(&tree);
    assert_eq!(scene.fails(), ("SL0124".to_owned(), 3));
}

type Change = fn(&mut Tree, &Offer, &Offer);

/// What is wrong, how it came about, and the code and exit status that tell of it.
fn mistakes() -> Vec<(&'static str, Change, &'static str, i32)> {
    let stable = Published::Channel(ChannelName::Stable);
    assert_eq!(stable.path(), "channels/stable.json");
    vec![
        ("no channel", |tree, _, _| tree.remove(Published::Channel(ChannelName::Stable)), "SL0556", 6),
        (
            "another channel in its place",
            |tree, _, five| {
                let mut other = channel(2, &[five]);
                other.name = ChannelName::Candidate;
                let bytes = other.to_bytes();
                tree.put(Published::Channel(ChannelName::Stable), &bytes, &ACME.signature(&bytes));
            },
            "SL0557",
            3,
        ),
        (
            "a channel that nobody signed",
            |tree, _, five| {
                let bytes = channel(2, &[five]).to_bytes();
                tree.put(Published::Channel(ChannelName::Stable), &bytes, &Signatures::default());
            },
            "SL0114",
            3,
        ),
        (
            "a channel that another vendor signed",
            |tree, _, five| tree.name(&OTHER, &channel(2, &[five])),
            "SL0114",
            3,
        ),
        (
            "a channel that has expired",
            |tree, _, five| {
                let mut expired = channel(2, &[five]);
                expired.expires = datetime!(2026-01-01 0:00 UTC);
                tree.name(&ACME, &expired);
            },
            "SL0324",
            3,
        ),
        (
            "a channel that says something else",
            |tree, four, five| {
                let mut forked = channel(1, &[four, five]);
                forked.expires = datetime!(2100-01-01 0:00 UTC);
                tree.name(&ACME, &forked);
            },
            "SL0323",
            3,
        ),
        (
            "a channel of another product",
            |tree, _, five| {
                let mut other = channel(2, &[five]);
                other.product = "other".parse().unwrap();
                tree.name(&ACME, &other);
            },
            "SL0321",
            3,
        ),
        (
            "no envelope",
            |tree, _, _| {
                tree.put_bytes(
                    Published::Channel(ChannelName::Stable),
                    b"<html>Please log in</html>".to_vec(),
                )
            },
            "SL0106",
            3,
        ),
        (
            "an endless envelope",
            |tree, _, _| tree.put_bytes(Published::Channel(ChannelName::Stable), vec![b' '; 2 << 20]),
            "SL0214",
            3,
        ),
        (
            "a trust root that does not follow",
            |tree, _, _| tree.put(Published::Root(2), OTHER.root.bytes(), &OTHER.root_signatures()),
            "SL0107",
            3,
        ),
        ("no statement", |tree, _, five| tree.remove(Published::Release(five.release.digest())), "SL0558", 6),
        (
            "another's statement",
            |tree, four, five| {
                let bytes = tree.bytes(Published::Release(four.release.digest())).to_vec();
                tree.put_bytes(Published::Release(five.release.digest()), bytes);
            },
            "SL0559",
            3,
        ),
        (
            "a statement that nobody signed",
            |tree, _, five| {
                let part = Published::Release(five.release.digest());
                tree.put(part, &five.release.statement_bytes, &Signatures::default());
            },
            "SL0114",
            3,
        ),
        (
            "a release under another name",
            |tree, four, five| {
                let mut wrong = channel(2, &[four, five]);
                wrong.release.version = "1.6".parse().unwrap();
                tree.name(&ACME, &wrong);
            },
            "SL0560",
            3,
        ),
        (
            "no blob list",
            |tree, _, five| tree.remove(Published::Blob(five.release.statement.blob_list.digest)),
            "SL0558",
            6,
        ),
        (
            "no refs",
            |tree, _, five| tree.remove(Published::Blob(five.release.statement.refs.digest)),
            "SL0558",
            6,
        ),
        (
            "other refs",
            |tree, _, five| {
                tree.put_bytes(Published::Blob(five.release.statement.refs.digest), b"{}".to_vec())
            },
            "SL0215",
            3,
        ),
        ("no content", |tree, _, five| tree.remove(Published::Blob(only_of(five))), "SL0558", 6),
        (
            "other content",
            |tree, _, five| tree.put_bytes(Published::Blob(only_of(five)), vec![0; 50_000]),
            "SL0215",
            3,
        ),
        (
            "shorter content",
            |tree, _, five| tree.put_bytes(Published::Blob(only_of(five)), vec![0; 49_999]),
            "SL0213",
            3,
        ),
        (
            "endless content",
            |tree, _, five| tree.put_bytes(Published::Blob(only_of(five)), vec![0; 1 << 20]),
            "SL0213",
            3,
        ),
        (
            "a gap in the way",
            |tree, _, _| {
                let seven = Offer::new(&ACME, 7, contents(7..8, 100));
                tree.add(&seven);
                tree.name(&ACME, &channel(2, &[&seven]));
            },
            "SL0312",
            3,
        ),
        (
            "an earlier release that is not there",
            |tree, _, five| {
                let six = Offer::new(&ACME, 6, contents(6..7, 100));
                tree.add(&six);
                tree.name(&ACME, &channel(2, &[five, &six]));
                tree.remove(Published::Release(five.release.digest()));
            },
            "SL0558",
            6,
        ),
    ]
}

/// Content of 1.5 that 1.4 does not have.
fn only_of(five: &Offer) -> Digest {
    let (four, _) = four_and_five();
    *five.blobs.keys().find(|digest| !four.blobs.contains_key(digest)).unwrap()
}

#[test]
fn what_is_wrong_at_the_endpoint_changes_nothing_and_the_next_run_goes_on() {
    let (four, five) = four_and_five();
    let before = Tree::of(&ACME, &[&four]);
    let mut right = before.clone();
    right.add(&five);
    right.name(&ACME, &channel(9, &[&four, &five]));
    for (name, change, code, status) in mistakes() {
        let scene = Scene::new(Kind::Web, Some(&four));
        scene.publish(&before);
        scene.mirror();
        let stood = (scene.store().stamp().unwrap(), scene.store().counters().unwrap().floor);
        let mut wrong = before.clone();
        wrong.add(&five);
        wrong.name(&ACME, &channel(2, &[&four, &five]));
        change(&mut wrong, &four, &five);
        // What is not in the tree must not be left from before.
        let scene = Scene { server: Registry::start().unwrap(), ..scene };
        scene.configure("");
        scene.publish(&wrong);
        assert_eq!(scene.fails(), (code.to_owned(), status), "{name}");
        assert_eq!(
            (scene.store().stamp().unwrap(), scene.store().counters().unwrap().floor),
            stood,
            "{name}"
        );
        let told = scene.status();
        let problems = told["problems"].to_string();
        assert!(problems.contains("was not mirrored"), "{name}: {problems}");
        assert_eq!(told["online"]["failure"]["code"], code, "{name}");

        let scene = Scene { server: Registry::start().unwrap(), ..scene };
        scene.configure("");
        scene.publish(&right);
        scene.mirror();
        assert_eq!(scene.releases(), "1.4 active, 1.5 staged", "{name}");
        assert!(!scene.status()["problems"].to_string().contains("was not mirrored"), "{name}");
    }
}

#[test]
fn a_server_that_misbehaves_is_told_by_name() {
    let (four, five) = four_and_five();
    let tree = Tree::of(&ACME, &[&four, &five]);
    let path = |part: Published| Target::Path(format!("/{PLACE}/{}", part.path()));
    let stable = path(Published::Channel(ChannelName::Stable));
    let release = path(Published::Release(five.release.digest()));
    let content = path(Published::Blob(only_of(&five)));
    let away = "http://192.0.2.1/x".to_owned();
    let cases = [
        (stable.clone(), Fault::Extra(2 << 20), "SL0214", 3),
        (stable.clone(), Fault::Status(503, Some("7200".to_owned())), "SL0210", 6),
        (stable.clone(), Fault::Status(403, None), "SL0209", 6),
        (stable, Fault::Redirect(away.clone()), "SL0208", 6),
        (release.clone(), Fault::Extra(2 << 20), "SL0214", 3),
        (release, Fault::Redirect(away), "SL0208", 6),
        (content.clone(), Fault::Extra(1 << 30), "SL0214", 3),
        (content.clone(), Fault::AnnouncedExtra(1), "SL0213", 3),
        (content, Fault::OtherBytes, "SL0215", 3),
        // Storage services say so where there is nothing, and a root that is kept back is told by a channel that expires.
        (path(Published::Root(2)), Fault::Status(403, None), "here", 0),
    ];
    for (target, fault, code, status) in cases {
        let scene = Scene::new(Kind::Web, Some(&four));
        scene.publish(&tree);
        scene.server.faults().always(target, fault.clone());
        if status == 0 {
            assert_eq!(scene.mirror()["outcome"], "done", "{fault:?}");
            continue;
        }
        assert_eq!(scene.fails(), (code.to_owned(), status), "{fault:?}");
        assert_eq!(scene.releases(), "1.4 active", "{fault:?}");
        scene.server.faults().clear();
        scene.mirror();
        assert_eq!(scene.releases(), "1.4 active, 1.5 staged", "{fault:?}");
    }
}

#[test]
fn a_storm_of_errors_ends_with_a_code_and_passes() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Registry, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    scene.server.faults().always(Target::Manifest("root-2".to_owned()), Fault::Status(500, None));
    assert_eq!(scene.fails(), ("SL0209".to_owned(), 6));
    scene.server.faults().clear();
    scene.server.faults().times(4, Target::Any, Fault::Status(502, None));
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
}

#[test]
fn a_tag_that_leads_elsewhere_is_no_document() {
    let (four, _) = four_and_five();
    let scene = Scene::new(Kind::Registry, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four]));
    let manifest =
        r#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}"#;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    scene.server.add_manifest(PLACE, Some("channel-stable"), kind, manifest);
    assert_eq!(scene.fails(), ("SL0561".to_owned(), 3));
}

#[test]
fn a_refusal_is_recorded_once_and_told_until_it_is_over() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Web, Some(&four));
    let mut tree = Tree::of(&ACME, &[&four]);
    tree.name(&ACME, &channel(3, &[&four]));
    scene.publish(&tree);
    scene.mirror();
    // A server that is behind.
    tree.name(&ACME, &channel(2, &[&four]));
    scene.publish(&tree);
    let refusals = || {
        let refused = |event: &Event| matches!(event, Event::Refused { code, .. } if code == "SL0322");
        scene.store().audit().unwrap().iter().filter(|record| refused(&record.event)).count()
    };
    for _ in 0..3 {
        assert_eq!(scene.fails(), ("SL0322".to_owned(), 3));
        assert_eq!(refusals(), 1);
    }
    let told = scene.done(&["status"]);
    assert!(told.contains("wrong: ") && told.contains("version 2 of channel `stable`"), "{told}");
    assert!(told.contains("try again later, then ask the vendor"), "what to do: {told}");
    tree.add(&five);
    tree.name(&ACME, &channel(4, &[&four, &five]));
    scene.publish(&tree);
    scene.mirror();
    assert!(!scene.done(&["status"]).contains("was not mirrored"));
    assert_eq!(*scene.store().release(5.try_into().unwrap()).unwrap().state(), State::Staged);
}

#[test]
fn an_appliance_without_a_source_is_offline() {
    let scene = Scene::new(Kind::Web, None);
    fs::write(scene.dir.path().join("appliance.yaml"), "apiVersion: sealift/v1\nkind: Appliance\n").unwrap();
    assert_eq!(scene.fails(), ("SL0555".to_owned(), 2));
    assert_eq!(scene.status()["online"], Value::Null);
}

#[test]
fn only_missing_blobs_are_asked_for_by_name() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Registry, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    scene.mirror();
    let seen = scene.asked();
    let asked: BTreeSet<&str> =
        seen.iter().filter_map(|seen| seen.path.split_once("/blobs/").map(|(_, digest)| digest)).collect();
    let release = &five.release.statement;
    let new = five.blobs.keys().filter(|digest| !four.blobs.contains_key(digest)).map(ToString::to_string);
    let expected: BTreeSet<String> =
        new.chain([release.refs.digest.to_string(), release.blob_list.digest.to_string()]).collect();
    assert_eq!(asked, expected.iter().map(String::as_str).collect());
}
