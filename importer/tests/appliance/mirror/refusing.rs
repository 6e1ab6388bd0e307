//! What is wrong at the endpoint: it is told, nothing changes, and the next run goes on.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::release::published::{ENVELOPE_TYPE, Published};
use sealift_archive::trust::Signatures;
use sealift_archive::{ChannelName, Digest};
use sealift_lab::vendor::{Fault, Registry, Target};
use sealift_store::{Event, State};
use serde_json::{Value, json};
use time::macros::datetime;

use super::{DEADLINE, Kind, Scene, four_and_five};
use crate::published::{PLACE, Tree, channel};
use crate::vendor::{ACME, OTHER, Offer, contents};

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
#[expect(clippy::too_many_lines, reason = "one table, so that nobody has to look for another")]
fn mistakes() -> Vec<(&'static str, Change, &'static str, i32)> {
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
                );
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
                tree.put_bytes(Published::Blob(five.release.statement.refs.digest), b"{}".to_vec());
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
    let digest = Digest::of(b"envelope");
    let (size, data) = (8, "ZW52ZWxvcGU=");
    let layers = [
        json!([]),
        json!([{"digest": digest, "size": size + 1, "data": data}]),
        json!([{"digest": Digest::of(b""), "size": size, "data": data}]),
        json!([{"digest": digest, "size": size, "data": "e30="}]),
    ];
    let kind = "application/vnd.oci.image.manifest.v1+json";
    for layers in layers {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "artifactType": ENVELOPE_TYPE,
            "layers": layers,
        });
        scene.server.add_manifest(PLACE, Some("channel-stable"), kind, manifest.to_string());
        assert_eq!(scene.fails(), ("SL0561".to_owned(), 3), "{manifest}");
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "layers": []}).to_string();
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
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
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
fn who_forgot_what_was_activated_activates_nothing_again() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    let check = "activation:\n  preflight: [{name: no, command: [/bin/false]}]\n";
    scene.configure(&format!("  activate: true\n{check}"));
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    assert_eq!(scene.fails(), ("SL0525".to_owned(), 3));
    scene.configure("  activate: true\n");
    let recorded = scene.dir.path().join("store/online.json");
    // What a later edition adds is passed over.
    let text = fs::read_to_string(&recorded).unwrap();
    fs::write(&recorded, text.replacen('{', r#"{"mood": "good","#, 1)).unwrap();
    assert!(scene.store().last_try().unwrap().unwrap().activated.is_some());
    fs::write(&recorded, "{").unwrap();
    for _ in 0..2 {
        assert_eq!(scene.mirror()["outcome"], "here");
        assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    }
}

#[test]
fn a_key_that_is_revoked_meanwhile_counts_no_longer() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Directory, Some(&four));
    let rotated = ACME.with_another_key();
    scene.publish(&Tree::of(&ACME, &[&four, &five]));
    // An endpoint that takes its time with the channel.
    let named = scene.published().join(Published::Channel(ChannelName::Stable).path());
    let bytes = fs::read(&named).unwrap();
    fs::remove_file(&named).unwrap();
    assert!(Command::new("mkfifo").arg(&named).status().unwrap().success());
    let mut run = scene.command(&["mirror", "--once", "--json"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut slow = loop {
        // Refused until somebody reads: then it has seen who may sign.
        match OpenOptions::new()
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&named)
        {
            Ok(slow) => break slow,
            Err(_) => assert!(Instant::now() < deadline && run.try_wait().unwrap().is_none()),
        }
        thread::sleep(Duration::from_millis(5));
    };
    let writer = scene.store().lock("test").unwrap();
    let mut trusted = writer.trust().unwrap();
    let signatures = rotated.root_signatures();
    trusted.follow(rotated.root.clone(), &signatures).unwrap();
    writer.remember_roots("a stick", &trusted, &signatures).unwrap();
    drop(writer);
    let beside = scene.dir.path().join("channel");
    fs::write(&beside, &bytes).unwrap();
    fs::rename(&beside, &named).unwrap();
    slow.write_all(&bytes).unwrap();
    drop(slow);
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("SL0124"), "{said}");
    assert_eq!(scene.releases(), "1.4 active");
}
