//! `verify --repair SOURCE`: what was lost comes back, and nothing else changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_store::Store;
use serde_json::Value;

use crate::sealiftctl::{Appliance, flip_a_byte};
use crate::vendor::{ACME, OTHER, Offer, contents, pack};

/// An appliance where 1.1 and 1.2 ran, and the archive of both with one more that it never took.
fn appliance() -> (Appliance, [Offer; 3]) {
    let appliance = Appliance::pinned();
    let offers = [1, 2, 3].map(|number| Offer::new(&ACME, number, contents(number..number + 3, 100_000)));
    let [one, two, three] = &offers;
    for offer in [one, two] {
        let bundle = offer.pack(&ACME, appliance.dir.path());
        appliance.done(&["import", bundle.to_str().unwrap(), "--activate"]);
    }
    pack(&ACME, &appliance.path("all.tar.zst"), &[one, two, three], &[]);
    (appliance, offers)
}

fn status_of(appliance: &Appliance, args: &[&str]) -> i32 {
    appliance.run(args).status.code().unwrap()
}

/// All files of a store with their content, apart from what every command writes.
fn files(store: &Store) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(&path, files);
            } else if !path.ends_with("audit.jsonl") && !path.ends_with("state") {
                files.insert(path.clone(), fs::read(&path).unwrap_or_default());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(store.root(), &mut found);
    found
}

fn states(store: &Store) -> Vec<String> {
    let releases = store.releases().unwrap();
    releases.iter().map(|release| format!("{} {}", release.sequence(), release.state())).collect()
}

#[test]
fn whatever_was_lost_comes_back_and_nothing_else_changes() {
    type Damage = fn(&Store, &Offer);
    let damages: [(&str, Damage); 8] = [
        ("a blob is gone", |store, offer| fs::remove_file(blob(store, offer)).unwrap()),
        ("a blob has changed", |store, offer| flip_a_byte(&blob(store, offer))),
        ("all blobs are gone", |store, offer| {
            offer.blobs.keys().for_each(|digest| fs::remove_file(store.blob_path(digest)).unwrap());
        }),
        ("names have changed", |store, _| flip_a_byte(&store.root().join("releases/2/refs.json"))),
        ("the statement is gone", |store, _| {
            fs::remove_file(store.root().join("releases/2/release.json")).unwrap();
        }),
        ("signatures are gone", |store, _| {
            fs::remove_dir_all(store.root().join("releases/2/signatures")).unwrap();
        }),
        ("the state of the active one is damaged", |store, _| {
            fs::write(store.root().join("releases/2/state"), "").unwrap();
        }),
        ("the state of the one before is damaged", |store, _| {
            fs::write(store.root().join("releases/1/state"), "").unwrap();
        }),
    ];
    let (appliance, offers) = appliance();
    let store = appliance.store();
    for (name, damage) in damages {
        let before = (files(&store), states(&store));
        damage(&store, &offers[1]);
        assert_eq!(status_of(&appliance, &["verify"]), 3, "{name}");
        let output = appliance.run(&["verify", "--repair", "all.tar.zst"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.starts_with("Mended: "), "{name}: {said}");
        assert_eq!(states(&store), before.1, "{name}");
        let after = files(&store);
        let changed: Vec<_> =
            before.0.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).collect();
        assert!(changed.is_empty() && after.len() == before.0.len(), "{name}: {changed:?}");
        assert_eq!(status_of(&appliance, &["verify"]), 0, "{name}");
    }
    let nothing = appliance.run(&["verify", "--repair", "all.tar.zst"]);
    assert!(String::from_utf8_lossy(&nothing.stdout).starts_with("Good: "));
    // The way back is as it was.
    appliance.done(&["rollback"]);
    assert_eq!(states(&store), ["1 active", "2 retained"]);
}

fn blob(store: &Store, offer: &Offer) -> PathBuf {
    store.blob_path(offer.blobs.keys().next().unwrap())
}

#[test]
fn what_a_source_lacks_stays_missing_and_the_next_one_brings_it() {
    let (appliance, [one, two, _]) = appliance();
    let store = appliance.store();
    let delta = pack(&ACME, &appliance.path("delta.tar.zst"), &[&two], &[&one]);
    two.blobs.keys().for_each(|digest| fs::remove_file(store.blob_path(digest)).unwrap());
    let output = appliance.run(&["--json", "verify", "--repair", delta.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lengths = |key: &str| told[key].as_array().map(Vec::len);
    assert_eq!(
        (lengths("findings"), lengths("left"), &told["broughtBack"]["missingBlobs"]),
        (Some(3), Some(2), &1.into())
    );
    assert_eq!(status_of(&appliance, &["verify", "--repair", "acme-1.2.tar.zst"]), 0);
    assert_eq!(fs::read_dir(appliance.path("store/incoming")).unwrap().count(), 0);
}

#[test]
fn a_source_that_is_not_the_vendors_changes_nothing() {
    let (appliance, offers) = appliance();
    let store = appliance.store();
    fs::remove_file(blob(&store, &offers[1])).unwrap();
    let before = files(&store);
    let foreign = Offer::new(&OTHER, 2, contents(2..5, 100_000)).pack(&OTHER, &appliance.path("store/.."));
    assert_eq!(status_of(&appliance, &["verify", "--repair", foreign.to_str().unwrap()]), 3);
    fs::write(appliance.path("notes.txt"), "hello").unwrap();
    assert_eq!(status_of(&appliance, &["verify", "--repair", "notes.txt"]), 3);
    assert!(files(&store) == before);
}
