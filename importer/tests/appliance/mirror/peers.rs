//! Releases from other nodes: by digest, from whoever has them, and past whoever lies.

use std::net::TcpListener;
use std::time::Instant;

use sealift_archive::Digest;
use sealift_archive::release::published::Published;
use sealift_archive::trust::Signatures;
use sealift_lab::vendor::{Fault, Registry, Target};
use sealift_store::Event;
use serde_json::Value;

use super::{DEADLINE, Kind, Scene, four_and_five, sent};
use crate::published::Tree;
use crate::vendor::{ACME, OTHER, Offer, contents};

/// Where a node's registry has what other nodes fetch.
const PLACE: &str = "peer";

/// A node that has what is in this tree.
fn peer(tree: &Tree) -> Registry {
    let peer = Registry::start().unwrap();
    tree.serve_below(&peer, PLACE);
    peer
}

fn url(peer: &Registry) -> String {
    format!("http://{}", peer.addr())
}

/// What a node has of these releases. It has no channel.
fn tree(offers: &[&Offer]) -> Tree {
    let mut tree = Tree::default();
    for offer in offers {
        tree.add(offer);
    }
    tree
}

/// An appliance on which 1.4 runs.
fn appliance(four: &Offer) -> Scene {
    Scene::new(Kind::Web, Some(four))
}

fn arguments<'a>(urls: &'a [String], release: &'a str) -> Vec<&'a str> {
    let peers = urls.iter().flat_map(|url| ["--peer", url]);
    ["mirror", "--json", "--release", release].into_iter().chain(peers).collect()
}

fn takes(scene: &Scene, urls: &[String], release: Digest) -> Value {
    serde_json::from_str(&scene.done(&arguments(urls, &release.to_string()))).unwrap()
}

/// A run that fails: all that it says, code of the error and exit status.
fn fails(scene: &Scene, urls: &[String], release: Digest) -> (String, String, i32) {
    let output = scene.run(&arguments(urls, &release.to_string()));
    let said = String::from_utf8(output.stderr).unwrap();
    // What went wrong with each peer stands before it.
    let last: Value = serde_json::from_str(&said[said.rfind("\n{").map_or(0, |at| at + 1)..]).expect(&said);
    (said, last["error"]["code"].as_str().unwrap().to_owned(), output.status.code().unwrap())
}

#[test]
fn a_release_is_staged_by_its_digest() {
    let (four, five) = four_and_five();
    let (scene, peer) = (appliance(&four), peer(&tree(&[&four, &five])));
    let urls = [url(&peer)];
    let release = five.release.digest();

    let planned: Value = serde_json::from_str(
        &scene.done(&[&arguments(&urls, &release.to_string())[..], &["--plan"]].concat()),
    )
    .unwrap();
    assert_eq!(planned["plan"]["need"]["missingBlobs"], 3);
    assert_eq!(scene.releases(), "1.4 active");
    peer.forget();

    let done = takes(&scene, &urls, release);
    assert_eq!(done["outcome"], "done");
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    let seen = peer.seen();
    assert!(sent(&seen) < 3 * 50_000 + 20_000, "only what was missing: {}", sent(&seen));
    assert!(seen.iter().all(|seen| !seen.path.contains("channel")), "{seen:?}");
    let staged = scene.store().audit().unwrap().into_iter().rev().find_map(|record| match record.event {
        Event::Staged { source, .. } => Some(source),
        _ => None,
    });
    assert_eq!(staged.unwrap(), format!("{}/{PLACE}", urls[0]));

    peer.forget();
    let here = takes(&scene, &urls, release);
    assert_eq!((&here["outcome"], &here["state"]), (&"here".into(), &"staged".into()));
    assert!(peer.seen().is_empty(), "nobody is asked for what is here");
}

#[test]
fn a_node_with_an_empty_store_takes_what_runs_elsewhere() {
    let (four, five) = four_and_five();
    let scene = Scene::new(Kind::Web, None);
    let peer = peer(&tree(&[&four, &five]));
    takes(&scene, &[url(&peer)], five.release.digest());
    assert_eq!(scene.releases(), "1.5 staged");
}

#[test]
fn blobs_come_from_whoever_has_them() {
    let (four, five) = four_and_five();
    let new: Vec<Digest> =
        five.blobs.keys().filter(|digest| !four.blobs.contains_key(digest)).copied().collect();
    let (mut one, mut other) = (tree(&[&five]), tree(&[&five]));
    one.remove(Published::Blob(new[0]));
    other.remove(Published::Blob(new[1]));
    other.remove(Published::Blob(new[2]));
    let (scene, one, other) = (appliance(&four), peer(&one), peer(&other));
    takes(&scene, &[url(&one), url(&other)], five.release.digest());
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
}

type Lie = fn(&mut Tree, &Registry, &Offer, &Offer);

/// How a peer lies or fails, and the code by which that is told.
fn lies() -> Vec<(&'static str, Lie, &'static str)> {
    fn blob(five: &Offer) -> Published {
        let (four, _) = four_and_five();
        Published::Blob(*five.blobs.keys().find(|digest| !four.blobs.contains_key(digest)).unwrap())
    }
    fn at(part: Published) -> Target {
        Target::Path(format!("/{PLACE}/{}", part.path()))
    }
    fn statement(five: &Offer) -> Published {
        Published::Release(five.release.digest())
    }
    vec![
        ("other bytes", |tree, _, _, five| tree.put_bytes(blob(five), vec![0; 50_000]), "SL0215"),
        ("shorter content", |tree, _, _, five| tree.put_bytes(blob(five), vec![0; 49_999]), "SL0213"),
        ("longer content", |tree, _, _, five| tree.put_bytes(blob(five), vec![0; 50_001]), "SL0213"),
        (
            "truncated content",
            |_, peer, _, five| peer.faults().always(at(blob(five)), Fault::Cut(1000)),
            "SL0205",
        ),
        (
            "short content",
            |_, peer, _, five| peer.faults().always(at(blob(five)), Fault::Short(1000)),
            "SL0205",
        ),
        (
            "endless content",
            |_, peer, _, five| peer.faults().always(at(blob(five)), Fault::Extra(1 << 30)),
            "SL0214",
        ),
        (
            "500 for content",
            |_, peer, _, five| peer.faults().always(at(blob(five)), Fault::Status(500, None)),
            "SL0209",
        ),
        (
            "500 for all",
            |_, peer, _, _| peer.faults().always(Target::Any, Fault::Status(500, None)),
            "SL0209",
        ),
        (
            "sends us away",
            |_, peer, _, five| {
                peer.faults().always(at(blob(five)), Fault::Redirect("http://192.0.2.1/x".to_owned()));
            },
            "SL0208",
        ),
        ("no release", |tree, _, _, five| tree.remove(statement(five)), "SL0558"),
        (
            "an older release in its place",
            |tree, _, four, five| {
                let bytes = tree.bytes(Published::Release(four.release.digest())).to_vec();
                tree.put_bytes(statement(five), bytes);
            },
            "SL0559",
        ),
        (
            "a statement that nobody signed",
            |tree, _, _, five| {
                tree.put(statement(five), &five.release.statement_bytes, &Signatures::default());
            },
            "SL0114",
        ),
        (
            "a statement that another vendor signed",
            |tree, _, _, five| {
                let bytes = &five.release.statement_bytes;
                tree.put(statement(five), bytes, &OTHER.signature(bytes));
            },
            "SL0114",
        ),
        ("no envelope", |tree, _, _, five| tree.put_bytes(statement(five), b"<html>".to_vec()), "SL0106"),
        (
            "an endless envelope",
            |_, peer, _, five| peer.faults().always(at(statement(five)), Fault::Extra(1 << 30)),
            "SL0214",
        ),
        (
            "other refs",
            |tree, _, _, five| {
                tree.put_bytes(Published::Blob(five.release.statement.refs.digest), b"{}".to_vec());
            },
            "SL0215",
        ),
        (
            "an endless blob list",
            |_, peer, _, five| {
                let list = Published::Blob(five.release.statement.blob_list.digest);
                peer.faults().always(at(list), Fault::Extra(1 << 30));
            },
            "SL0214",
        ),
        (
            "a trust root that does not follow",
            |tree, _, _, _| tree.put(Published::Root(2), OTHER.root.bytes(), &OTHER.root_signatures()),
            "SL0107",
        ),
    ]
}

#[test]
fn whoever_lies_is_caught_and_the_next_one_is_asked() {
    let (four, five) = four_and_five();
    let release = five.release.digest();
    for (name, lie, code) in lies() {
        let scene = appliance(&four);
        let stood = scene.store().stamp().unwrap();
        let (mut lying, liar) = (tree(&[&four, &five]), Registry::start().unwrap());
        lie(&mut lying, &liar, &four, &five);
        lying.serve_below(&liar, PLACE);
        let honest = peer(&tree(&[&five]));

        let (said, found, _) = fails(&scene, &[url(&liar)], release);
        assert!(found == "SL0582" && said.contains(code) && said.contains(&url(&liar)), "{name}: {said}");
        assert_eq!(scene.store().stamp().unwrap(), stood, "{name}");

        let done = takes(&scene, &[url(&liar), url(&honest)], release);
        assert_eq!(done["done"]["plan"]["source"], format!("{}/{PLACE}", url(&honest)), "{name}");
        assert_eq!(scene.releases(), "1.4 active, 1.5 staged", "{name}");
        scene.done(&["verify"]);
    }
}

#[test]
fn a_peer_that_is_away_does_not_hold_up_the_others() {
    let (four, five) = four_and_five();
    let (scene, peer) = (appliance(&four), peer(&tree(&[&five])));
    // Nobody listens there any more, and there somebody listens who never answers.
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}", mute.local_addr().unwrap());
    let begun = Instant::now();
    takes(&scene, &[gone.clone(), mute, url(&peer)], five.release.digest());
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    let (_, code, status) = fails(&Scene::new(Kind::Web, Some(&four)), &[gone], five.release.digest());
    assert_eq!((code.as_str(), status), ("SL0582", 6));
}

#[test]
fn what_the_policy_forbids_is_not_taken_from_anybody() {
    let (four, five) = four_and_five();
    let seven = Offer::new(&ACME, 7, contents(7..8, 100));
    let three = Offer::new(&ACME, 3, contents(3..4, 100));
    let all = tree(&[&three, &four, &five, &seven]);
    let scene = appliance(&four);
    for (offer, code) in [(&three, "SL0310"), (&seven, "SL0312")] {
        let (one, other) = (peer(&all), peer(&all));
        let (said, found, status) = fails(&scene, &[url(&one), url(&other)], offer.release.digest());
        assert_eq!((found.as_str(), status), (code, 3), "{said}");
        assert!(other.seen().is_empty(), "it is the same everywhere");
        assert_eq!(scene.releases(), "1.4 active");
    }
}

#[test]
fn newer_trust_roots_are_followed() {
    let (four, _) = four_and_five();
    let rotated = ACME.with_another_key();
    let five = Offer::new(&rotated, 5, contents(3..23, 50_000));
    let mut all = tree(&[&five]);
    all.put(Published::Root(2), rotated.root.bytes(), &rotated.root_signatures());
    let (scene, peer) = (appliance(&four), peer(&all));
    takes(&scene, &[url(&peer)], five.release.digest());
    assert_eq!(scene.releases(), "1.4 active, 1.5 staged");
    assert_eq!(scene.status()["trust"]["version"], 2);
}

#[test]
fn a_release_and_a_peer_belong_together() {
    let (four, five) = four_and_five();
    let scene = appliance(&four);
    let release = five.release.digest().to_string();
    for arguments in [
        vec!["--peer", "http://127.0.0.1:1"],
        vec!["--release", &release],
        vec!["--peer", "/srv/peer", "--release", &release],
        vec!["--peer", "http://127.0.0.1:1", "--release", "1.5"],
        vec!["--peer", "http://127.0.0.1:1", "--release", &release, "--client-cert", "crt"],
        vec!["--peer", "http://127.0.0.1:1", "--release", &release, "--once"],
    ] {
        let output = scene.run(&[&["mirror"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
