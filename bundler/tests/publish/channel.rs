//! Channels: moved, renewed, drafted, shown.

use fs_err as fs;
use sealift_archive::release::published::Envelope;
use sealift_archive::{Channel, Digest};
use serde_json::Value;

use crate::vendor::Vendor;

/// What is published as a channel.
fn published(vendor: &Vendor, name: &str) -> Channel {
    let bytes = fs::read(vendor.path(&format!("www/channels/{name}.json"))).unwrap();
    Channel::parse(name, &Envelope::parse(name, &bytes).unwrap().document).unwrap()
}

fn versions(channel: &Channel) -> Vec<&str> {
    channel.earlier.iter().chain([&channel.release]).map(|release| release.version.as_str()).collect()
}

/// A vendor whose releases are all published.
fn with_releases() -> Vendor {
    let vendor = Vendor::new();
    for archive in vendor.releases() {
        vendor.publish(&archive, "www");
    }
    vendor
}

#[test]
fn a_channel_moves_forward_and_names_the_steps() {
    let vendor = with_releases();
    let told = vendor.promote("1.1.0 --to stable", "www").expect(0, &[]).json();
    assert_eq!((&told["changed"], &told["channel"]["version"]), (&true.into(), &1.into()));
    assert_eq!(versions(&published(&vendor, "stable")), ["1.0.0", "1.1.0"]);
    let said = vendor.promote("1.1.0 --to stable", "www").expect(0, &[]).json();
    assert_eq!((&said["changed"], &said["channel"]["version"]), (&false.into(), &1.into()));

    vendor.promote("1.2.0 --to stable --floor 2 --expires 36h", "www").expect(0, &[]);
    let stable = published(&vendor, "stable");
    assert_eq!((stable.version, stable.floor.get()), (2, 2));
    assert_eq!(versions(&stable), ["1.1.0", "1.2.0"], "what is withdrawn is no step");

    let before = vendor.tree("www");
    for (what, code) in [
        ("1.1.0 --to stable", "SL0428"),
        ("1.2.0 --to stable --floor 1", "SL0429"),
        ("1.2.0 --to stable --floor 4", "SL0429"),
        ("1.3.0 --to stable", "SL0426"),
        ("--refresh --to candidate", "SL0445"),
    ] {
        let said = vendor.run(&format!("promote {what} www --trust trust --key alice.key"));
        assert!(said.text.contains(code), "{what}: {}", said.text);
    }
    assert_eq!(vendor.tree("www"), before, "what is refused changes nothing");

    vendor.promote("--refresh --to stable --expires 2w", "www").expect(0, &[]);
    let renewed = published(&vendor, "stable");
    assert_eq!((renewed.version, &renewed.release, renewed.floor), (3, &stable.release, stable.floor));
    assert!(renewed.expires > stable.expires);
    vendor.promote("1.1.0 --to candidate", "www").expect(0, &[]);
    let shown = vendor.run("channel show www --trust trust").expect(0, &["stable", "candidate", "1.2.0"]);
    assert!(shown.text.lines().skip(1).all(|line| line.chars().count() <= 80), "{}", shown.text);
}

#[test]
fn only_those_who_have_the_role_move_a_channel() {
    let vendor = with_releases();
    let by = |keys: &str| vendor.run(&format!("promote 1.1.0 --to stable www --trust trust {keys}"));
    by("--key mallory.key").expect(2, &["SL0118"]);
    by("--key release.key").expect(2, &["SL0118"]);
    assert!(!vendor.path("www/channels/stable.json").exists());
    by("--key bob.key").expect(0, &[]);

    // Somebody else's channel is nothing to count on from.
    let other = Vendor::new();
    other.publish(&other.release("1.0.0", 1, ""), "www");
    other.promote("1.0.0 --to stable", "www").expect(0, &[]);
    fs::copy(other.path("www/channels/stable.json"), vendor.path("www/channels/stable.json")).unwrap();
    by("--key bob.key").expect(3, &["SL0114"]);
    vendor.run("channel show www --trust trust").expect(3, &["SL0114"]);
    vendor.run("channel show www").expect(3, &["SL0114", "without --trust"]);

    let nobody = Vendor::with("");
    nobody.publish(&nobody.release("1.0.0", 1, ""), "www");
    let said = nobody.run("promote 1.0.0 --to stable www --trust trust");
    said.expect(3, &["SL0114", "the trust root gives nobody this role"]);
}

#[test]
fn a_channel_names_only_what_is_whole() {
    let vendor = with_releases();
    // What 1.1.0 and 1.2.0 consist of: three files, list and refs each, one of which they share. 1.0.0 is withdrawn.
    let promote = "promote 1.2.0 --floor 2 --to stable www --trust trust --key alice.key";
    let mut refused = 0;
    for entry in fs::read_dir(vendor.path("www/blobs/sha256")).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        let mut changed = bytes.clone();
        changed[0] ^= 1;
        for damage in [Some(changed), None] {
            match damage {
                Some(changed) => fs::write(&file, changed).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let name = file.file_name().unwrap().to_str().unwrap();
            let said = vendor.run(promote);
            if said.text.contains("SL0427") {
                said.expect(3, &[name]);
                refused += 1;
            } else {
                said.expect(0, &[]);
                fs::remove_file(vendor.path("www/channels/stable.json")).unwrap();
            }
            fs::write(&file, &bytes).unwrap();
        }
    }
    assert_eq!(refused, 2 * 9);
    fs::remove_dir_all(vendor.path("www/releases")).unwrap();
    vendor.promote("1.2.0 --to stable", "www").expect(2, &["SL0426"]);
}

#[test]
fn the_steps_that_a_channel_names_are_whole_too() {
    let vendor = with_releases();
    let own = Digest::of(&fs::read(vendor.path("1.0.0.img")).unwrap());
    fs::remove_file(vendor.path("www").join(own.blob_path())).unwrap();
    let said = vendor.promote("1.2.0 --to stable", "www");
    said.expect(3, &["SL0427", "1.0.0", own.hex().as_str(), "--floor"]);
    vendor.promote("1.2.0 --to stable --floor 2", "www").expect(0, &[]);
}

#[test]
fn a_place_that_has_gone_back_is_not_believed() {
    let vendor = with_releases();
    let file = vendor.path("www/channels/stable.json");
    vendor.promote("1.1.0 --to stable", "www").expect(0, &[]);
    let old = fs::read(&file).unwrap();
    vendor.promote("1.2.0 --to stable --floor 2", "www").expect(0, &[]);
    let kept = fs::read(vendor.path("trust/channels/acme-stable.json")).unwrap();
    assert_eq!(kept, fs::read(&file).unwrap());

    fs::write(&file, &old).unwrap();
    vendor.promote("1.1.0 --to stable", "www").expect(3, &["SL0428"]);
    vendor.promote("1.2.0 --to stable --floor 1", "www").expect(2, &["SL0429"]);
    assert_eq!(fs::read(&file).unwrap(), old, "what is refused changes nothing");
    let said = vendor.run("promote --refresh --to stable www --trust trust --key alice.key");
    said.expect(0, &["www has version 1 of channel `stable`, though version 2 was published last"]);
    let stable = published(&vendor, "stable");
    assert_eq!((stable.version, stable.release.version.as_str(), stable.floor.get()), (3, "1.2.0", 2));

    fs::remove_file(&file).unwrap();
    vendor.promote("--refresh --to stable", "www").expect(2, &["SL0445"]);
    vendor.promote("1.1.0 --to stable", "www").expect(3, &["SL0428"]);
    let told = vendor.promote("1.2.0 --to stable", "www").expect(0, &["has no channel `stable`"]).json();
    assert_eq!((&told["changed"], &told["channel"]["version"]), (&true.into(), &4.into()));
    assert_eq!(published(&vendor, "stable").floor.get(), 2);

    // Another place is told the same story, and what another machine has published counts as much.
    fs::rename(vendor.path("www"), vendor.path("elsewhere")).unwrap();
    for version in ["1.1.0", "1.2.0"] {
        vendor.publish(&format!("out/acme-{version}.tar.zst"), "www");
    }
    vendor.promote("1.2.0 --to stable", "www").expect(0, &["has no channel"]);
    assert_eq!(published(&vendor, "stable").version, 5);
    fs::remove_dir_all(vendor.path("trust/channels")).unwrap();
    vendor.promote("--refresh --to stable", "www").expect(0, &[]);
    assert_eq!(published(&vendor, "stable").version, 6);

    fs::write(vendor.path("trust/channels/acme-stable.json"), "{").unwrap();
    vendor.promote("--refresh --to stable", "www").expect(3, &["SL0106", "trust/channels/acme-stable.json"]);
}

#[test]
fn two_people_sign_a_draft() {
    let vendor = Vendor::with(
        "--channel-key alice.pub --channel-key bob.pub --channel-key carol.pub --threshold channel=2",
    );
    for archive in vendor.releases() {
        vendor.publish(&archive, "www");
    }
    let draft = "channel-stable-1.draft.json";
    vendor.run("promote 1.1.0 --to stable www --trust trust --key alice.key").expect(
        0,
        &["Drafted version 1 of channel stable: nothing is published yet", "1 of 2 channel keys", draft],
    );
    assert!(!vendor.path("www/channels/stable.json").exists());
    vendor.run("promote 1.1.0 --to stable www --trust trust --key bob.key").expect(2, &["SL0411"]);
    let publish = format!("promote --draft {draft} www --trust trust");
    vendor.run(&publish).expect(0, &["1 of 2 channel keys"]);
    vendor.run(&format!("sign {draft} --key mallory.key --trust trust")).expect(2, &["SL0118"]);
    vendor.run(&format!("sign {draft} --key alice.key --trust trust")).expect(0, &[]);
    vendor.run(&publish).expect(0, &["1 of 2 channel keys"]);
    vendor.run(&format!("sign {draft}")).expect(2, &["SL0481"]);
    vendor.run(&format!("sign {draft} --key carol.key --trust trust")).expect(0, &["by key"]);
    fs::copy(vendor.path(draft), vendor.path("again.json")).unwrap();
    vendor.run(&publish).expect(0, &["Channel stable is at version 1"]);
    assert_eq!(versions(&published(&vendor, "stable")), ["1.0.0", "1.1.0"]);
    // The same once more is no news, and after the next one it is stale.
    vendor.run(&publish).expect(0, &["says so already"]);
    let both = "--key alice.key --key bob.key";
    vendor.run(&format!("promote 1.2.0 --to stable www --trust trust {both}")).expect(0, &[]);
    vendor
        .run("promote --draft again.json www --trust trust")
        .expect(2, &["SL0447", "version 2 is published"]);

    // What somebody has changed in it counts for nothing.
    vendor.run("promote --refresh --to stable www --trust trust --key alice.key -o next.json").expect(0, &[]);
    let mut value: Value = serde_json::from_slice(&fs::read(vendor.path("next.json")).unwrap()).unwrap();
    let other = Envelope::parse("next.json", &fs::read(vendor.path("again.json")).unwrap()).unwrap();
    let mut channel: Value = serde_json::from_slice(&other.document).unwrap();
    channel["version"] = 3.into();
    channel["release"]["sequence"] = 9.into();
    let document =
        Envelope::new(serde_json::to_vec(&channel).unwrap(), &std::iter::empty().collect()).unwrap();
    let changed: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
    value["document"] = changed["document"].clone();
    fs::write(vendor.path("next.json"), serde_json::to_vec(&value).unwrap()).unwrap();
    vendor
        .run("promote --draft next.json www --trust trust --key bob.key")
        .expect(0, &["1 of 2 channel keys"]);
    assert_eq!(published(&vendor, "stable").version, 2);
    fs::write(vendor.path("next.json"), "{").unwrap();
    vendor.run("promote --draft next.json www --trust trust").expect(3, &["SL0106"]);
}

#[test]
fn after_a_rotation_the_new_trust_root_is_published_first() {
    let vendor = with_releases();
    vendor.promote("1.1.0 --to stable", "www").expect(0, &[]);
    let rotate = "trust rotate trust --remove channel=alice.pub --add channel=carol.pub --root-key root.key";
    vendor.run(rotate).expect(0, &[]);
    vendor.promote("1.2.0 --to stable", "www").expect(2, &["SL0118"]);
    vendor.run("channel show www --trust trust").expect(0, &["nobody", "have lost the role"]);
    vendor.run("promote --refresh --to stable www --trust trust --key carol.key").expect(0, &["version 2"]);
    assert!(vendor.path("www/roots/2.json").is_file());
    assert_eq!(published(&vendor, "stable").version, 2);
    // Without a trust root of one's own, the chain that is published leads to the newest.
    vendor.run("channel show www").expect(0, &["without --trust", "stable"]);
}

#[test]
fn what_a_command_needs_is_asked_for() {
    let vendor = Vendor::new();
    for wrong in [
        "promote www --trust trust --to stable",
        "promote 1.0.0 www --trust trust",
        "promote 1.0.0 --refresh --to stable www --trust trust",
        "promote 1.0.0 --draft file www --trust trust",
        "promote 1.0.0 --to nightly www --trust trust",
        "promote 1.0.0 --to stable --expires 3y www --trust trust",
    ] {
        vendor.run(wrong).expect(2, &["error"]);
    }
}

#[test]
fn a_channel_that_has_expired_is_told_and_renewed() {
    let vendor = with_releases();
    vendor.promote("1.1.0 --to stable", "www").expect(0, &[]);
    let file = vendor.path("www/channels/stable.json");
    // The same as it would have been signed long ago.
    let mut channel = published(&vendor, "stable");
    channel.expires = time::macros::datetime!(2020-01-01 0:00 UTC);
    let old = |name: &str, channel: &Channel| {
        let envelope = Envelope::new(channel.to_bytes(), &std::iter::empty().collect()).unwrap();
        fs::write(vendor.path(name), envelope.to_bytes()).unwrap();
        vendor.run(&format!("sign {name} --key alice.key")).expect(0, &["2020-01-01"]);
    };
    old("old.json", &channel);
    fs::copy(vendor.path("old.json"), &file).unwrap();
    vendor.run("channel show www --trust trust").expect(0, &["stable has EXPIRED"]);
    let told = vendor.promote("1.1.0 --to stable", "www").expect(0, &[]).json();
    assert_eq!((&told["changed"], &told["channel"]["version"]), (&true.into(), &2.into()));

    channel.version = 3;
    old("late.json", &channel);
    vendor
        .run("promote --draft late.json www --trust trust")
        .expect(2, &["SL0447", "it expired at 2020-01-01"]);
    assert_eq!(published(&vendor, "stable").version, 2);
}

#[test]
fn a_draft_that_is_signed_once_more_is_published_again() {
    let vendor = Vendor::with("--channel-key alice.pub --channel-key bob.pub --threshold channel=2");
    vendor.publish(&vendor.release("1.0.0", 1, ""), "www");
    let draft = "channel-stable-1.draft.json";
    vendor.run("promote 1.0.0 --to stable www --trust trust --key alice.key").expect(0, &[draft]);
    let publish = |key: &str| vendor.run(&format!("promote --draft {draft} www --trust trust {key}"));
    publish("--key bob.key").expect(0, &["is at version 1"]);
    publish("--key bob.key").expect(0, &["says so already"]);

    let rotate = "trust rotate trust --remove channel=alice.pub --add channel=carol.pub --root-key root.key";
    vendor.run(rotate).expect(0, &[]);
    vendor.run("channel show www --trust trust").expect(0, &["have lost the role"]);
    vendor.run(&format!("sign {draft} --key carol.key --trust trust")).expect(0, &[]);
    publish("--key bob.key").expect(0, &["is at version 1"]);
    assert!(vendor.path("www/roots/2.json").is_file());
    let shown = vendor.run("channel show www --trust trust").expect(0, &["stable"]);
    assert!(!shown.text.contains("have lost the role"), "{}", shown.text);
}
