//! What is taken, in which order, and what that costs.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use sealift_archive::ChannelName;
use sealift_archive::release::published::Published;
use sealift_importer::online::record_activation;
use sealift_lab::vendor::{Fault, Target};
use serde_json::Value;

use super::{DEADLINE, KINDS, Kind, Scene, four_and_five, sent};
use crate::published::{PLACE, Tree, channel};
use crate::vendor::{ACME, Offer, contents};

/// The most that asking for news may cost (the issue's bars).
const MAX_QUIET_REQUESTS: usize = 3;
const MAX_QUIET_BYTES: u64 = 20_000;
/// Large enough that it is worth keeping in part.
const LARGE: usize = 4 << 20;

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
fn an_activation_that_was_noted_and_not_begun_is_made_up_for() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    scene.mirror();
    // The power goes now.
    let writer = scene.store().lock("test").unwrap();
    record_activation(&writer, "anywhere", ChannelName::Stable, five.release.digest()).unwrap();
    drop(writer);
    scene.configure("  activate: true\n");
    scene.mirror();
    assert_eq!(scene.releases(), "1.4 retained, 1.5 active");
}

#[test]
fn what_was_not_activated_is_told_until_it_is() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    scene.configure("  activate: true\nactivation:\n  preflight: [{name: no, command: [/bin/false]}]\n");
    let output = scene.run(&["mirror", "--once", "--json"]);
    let told: Value =
        serde_json::from_slice(output.stderr.trim_ascii().rsplit(|&byte| byte == b'\n').next().unwrap())
            .unwrap();
    assert_eq!(told["error"]["code"], "SL0525");
    assert!(told["error"]["hint"].as_str().unwrap().contains("sealiftctl activate 1.5"), "{told}");
    let problems = || scene.status()["problems"].to_string();
    for _ in 0..2 {
        assert!(problems().contains("was not activated"), "{}", problems());
        assert_eq!(scene.mirror()["outcome"], "here");
    }
    scene.configure("  activate: true\n");
    scene.done(&["activate", "1.5"]);
    assert!(!problems().contains("was not activated"), "{}", problems());
    scene.mirror();
    scene.done(&["rollback"]);
    assert!(!problems().contains("was not activated"), "it is forgotten: {}", problems());
}

#[test]
fn only_staged_as_long_as_an_activation_waits_for_somebody() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    let hook = "activation:\n  hooks: [{name: k3s, command: [/bin/false], pointOfNoReturn: true}]\n";
    scene.configure(&format!("  activate: true\n{hook}"));
    assert_eq!(scene.run(&["mirror", "--once"]).status.code(), Some(1));
    let journal = scene.store().activation_journal();
    let stopped = fs::read(&journal).unwrap();
    let six = Offer::new(&ACME, 6, contents(6..26, 50_000));
    let mut tree = Tree::of(&ACME, &[&four, &five, &six]);
    tree.name(&ACME, &channel(2, &[&four, &five, &six]));
    scene.publish(&tree);
    for _ in 0..2 {
        let output = scene.run(&["mirror", "--once"]);
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("only staged"), "{said}");
        assert!(scene.releases().ends_with("1.6 staged"), "{}", scene.releases());
        assert_eq!(fs::read(&journal).unwrap(), stopped);
    }
    // Then it is its turn after all.
    scene.done(&["rollback"]);
    scene.configure("  activate: true\n");
    scene.mirror();
    assert!(scene.releases().ends_with("1.6 active"), "{}", scene.releases());
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
