//! Sticks that announce themselves: what they offer is told, and nothing is loaded that was not confirmed.

use std::path::PathBuf;

use fs_err as fs;
use sealift_store::{Offer as Announced, OfferState, State};
use serde_json::Value;

use crate::sealiftctl::Appliance;
use crate::vendor::{ACME, OTHER, Offer, Vendor, contents, pack};
use crate::volumes::split;

/// A stick, as it is mounted, with `acme 1.N`.
fn stick(appliance: &Appliance, name: &str, vendor: &Vendor, sequence: u64) -> PathBuf {
    let stick = appliance.path(name);
    fs::create_dir_all(&stick).unwrap();
    Offer::new(vendor, sequence, contents(sequence..sequence + 3, 100_000)).pack(vendor, &stick);
    stick
}

/// What a run says that ends so: standard output, standard error.
fn expect(appliance: &Appliance, args: &[&str], status: i32) -> (String, String) {
    let output = appliance.run(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (told, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{args:?}: {told}{said}");
    for text in [&told, &said] {
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
    }
    (told, said)
}

fn json(appliance: &Appliance, args: &[&str]) -> Value {
    serde_json::from_slice(&appliance.run(&[&["--json"], args].concat()).stdout).unwrap()
}

/// Plugs a stick in that is taken, and says by which digest its release is confirmed.
fn plug(appliance: &Appliance, name: &str) -> String {
    expect(appliance, &["media", "offer", name, "--label", "SEALIFT"], 0);
    let offer = offer(appliance, name);
    offer.digest().unwrap().short()
}

fn offer(appliance: &Appliance, device: &str) -> Announced {
    let offers = appliance.store().offers().unwrap();
    offers.into_iter().find(|offer| offer.device.to_string() == device).unwrap()
}

fn states(appliance: &Appliance) -> Vec<(u64, State)> {
    let releases = appliance.store().releases().unwrap();
    releases.iter().map(|release| (release.sequence().into(), release.state().clone())).collect()
}

fn with_policy(appliance: &Appliance, policy: &str) -> String {
    let text = format!("apiVersion: sealift/v1\nkind: Appliance\nmedia: {{policy: {policy}}}\n");
    fs::write(appliance.path("appliance.yaml"), text).unwrap();
    appliance.path("appliance.yaml").to_str().unwrap().to_owned()
}

#[test]
fn a_stick_waits_until_its_release_is_confirmed() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    let (told, said) = expect(&appliance, &["media", "offer", "sda1", "--label", "SEALIFT-7"], 0);
    let digest = offer(&appliance, "sda1").digest().unwrap();
    let next = format!("next: sealiftctl media confirm {}\n", digest.short());
    assert!(
        told.starts_with("acme 1.2 (sequence 2)\n") && told.ends_with(&next) && said.is_empty(),
        "{told}"
    );
    for expected in ["stick       SEALIFT-7 (sda1)\n", "1 blob, 100", "needed", "to do       import\n"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert_eq!(states(&appliance), [(1, State::Active)], "and nothing is loaded");
    assert_eq!(fs::read_dir(appliance.path("store/incoming")).unwrap().count(), 0);
    expect(&appliance, &["verify"], 0);

    let (told, _) = expect(&appliance, &["status"], 0);
    assert!(told.contains("stick       sda1 offers acme 1.2 (sequence 2); waiting\n"), "{told}");
    assert!(told.contains(&next), "{told}");
    let (told, _) = expect(&appliance, &["media", "list"], 0);
    assert!(told.starts_with("SEALIFT-7 (sda1)\n") && told.ends_with(&next), "{told}");
    let listed = json(&appliance, &["media", "list"]);
    assert_eq!(listed["offers"][0]["brings"]["release"]["digest"], digest.to_string());
    assert_eq!(listed["offers"][0]["state"], "waiting");

    let (told, _) = expect(&appliance, &["media", "confirm", &digest.to_string()], 0);
    assert!(told.contains("acme 1.2 (sequence 2) is staged"), "{told}");
    assert_eq!(states(&appliance), [(1, State::Active), (2, State::Staged)]);
    assert_eq!(offer(&appliance, "sda1").state, OfferState::Done);
    assert!(!expect(&appliance, &["status"], 0).0.contains("media confirm"));
    let (_, said) = expect(&appliance, &["media", "confirm", &digest.short()], 2);
    assert!(said.contains("SL0575") && said.contains("SEALIFT-7 (sda1)"), "{said}");
    expect(&appliance, &["verify"], 0);
}

#[test]
fn a_release_is_confirmed_and_activated_at_once() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    let digest = plug(&appliance, "sda1");
    expect(&appliance, &["media", "confirm", &digest.to_uppercase(), "--activate"], 0);
    assert_eq!(states(&appliance), [(1, State::Retained), (2, State::Active)]);
}

#[test]
fn only_the_digest_of_one_waiting_release_confirms() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    let digest = plug(&appliance, "sda1");
    for (wrong, code) in [
        ("", "SL0571"),
        (&digest[..11], "SL0571"),
        ("0123456789ag", "SL0571"),
        ("\u{1b}[2J", "SL0571"),
        ("sda1", "SL0571"),
        ("000000000000", "SL0570"),
        (&format!("{digest}0000"), "SL0570"),
    ] {
        let (_, said) = expect(&appliance, &["media", "confirm", wrong], 2);
        assert!(said.contains(code) && said.contains("media list"), "{wrong:?}: {said}");
    }
    assert_eq!(states(&appliance).len(), 1);
    assert_eq!(offer(&appliance, "sda1").state, OfferState::Waiting, "and it still can be");
}

#[test]
fn a_stick_that_was_changed_after_it_was_looked_at_is_refused() {
    let appliance = Appliance::with_releases(1..=1);
    let place = stick(&appliance, "sda1", &ACME, 2);
    let digest = plug(&appliance, "sda1");
    // Signed as well, and it could follow too: but it is not what somebody has seen.
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir(&place).unwrap();
    Offer::new(&ACME, 2, contents(70..73, 1_000)).pack(&ACME, &place);
    let (_, said) = expect(&appliance, &["media", "confirm", &digest, "--activate"], 3);
    assert!(said.contains("SL0573") && said.contains(&digest) && said.contains("acme 1.2"), "{said}");
    assert_eq!(states(&appliance), [(1, State::Active)]);
    assert!(matches!(offer(&appliance, "sda1").state, OfferState::Refused(_)));
    assert!(expect(&appliance, &["history"], 0).0.contains("SL0573"));
    let (told, _) = expect(&appliance, &["status", "--all"], 0);
    assert!(told.contains("wrong: the stick SEALIFT (sda1) was refused: "), "{told}");
    // Looked at again, it is another offer.
    let other = plug(&appliance, "sda1");
    assert_ne!(other, digest);
    expect(&appliance, &["media", "confirm", &other], 0);
}

#[test]
fn two_sticks_with_one_release_are_not_mixed_up() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    stick(&appliance, "sdb1", &ACME, 2);
    let digest = plug(&appliance, "sda1");
    assert_eq!(plug(&appliance, "sdb1"), digest);
    let (_, said) = expect(&appliance, &["media", "confirm", &digest], 2);
    assert!(said.contains("SL0572") && said.contains("SEALIFT (sda1), SEALIFT (sdb1)"), "{said}");
    assert_eq!(states(&appliance).len(), 1);
    expect(&appliance, &["media", "gone", "sdb1"], 0);
    stick(&appliance, "sdc1", &ACME, 3);
    expect(&appliance, &["media", "confirm", &digest], 0);
    assert_eq!(states(&appliance).len(), 2);

    // With another release on the second stick there is no question.
    let third = plug(&appliance, "sdc1");
    expect(&appliance, &["media", "confirm", &third], 0);
    assert_eq!(states(&appliance).len(), 3);
}

#[test]
fn volumes_are_confirmed_stick_after_stick() {
    let appliance = Appliance::with_releases(1..=1);
    let release = Offer::new(&ACME, 2, contents(2..32, 40_000));
    let volumes = split(&release, &ACME, appliance.dir.path(), 300 << 10);
    for (device, volumes) in [("sda1", &volumes[..2]), ("sdb1", &volumes[2..])] {
        fs::create_dir(appliance.path(device)).unwrap();
        for volume in volumes {
            fs::copy(volume, appliance.path(device).join(volume.file_name().unwrap())).unwrap();
        }
    }
    let digest = plug(&appliance, "sda1");
    let (_, said) = expect(&appliance, &["media", "confirm", &digest], 7);
    assert!(said.contains("SL0513"), "{said}");
    assert_eq!(offer(&appliance, "sda1").state, OfferState::Done, "what it has is loaded");
    assert_eq!(plug(&appliance, "sdb1"), digest);
    expect(&appliance, &["media", "confirm", &digest], 0);
    assert_eq!(states(&appliance)[1], (2, State::Staged));
    expect(&appliance, &["verify"], 0);
}

#[test]
fn a_stick_with_what_is_here_offers_nothing_to_do() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    stick(&appliance, "sdb1", &ACME, 2);
    appliance.done(&["import", "sda1"]);
    let (told, _) = expect(&appliance, &["media", "offer", "sdb1"], 0);
    assert!(told.contains("nothing: it is here already") && !told.contains("next:"), "{told}");
    assert_eq!(offer(&appliance, "sdb1").state, OfferState::Done);
}

#[test]
fn a_policy_acts_without_anybody() {
    for (policy, wanted) in [("stage", State::Staged), ("activate", State::Active)] {
        let appliance = Appliance::with_releases(1..=1);
        stick(&appliance, "sda1", &ACME, 2);
        let config = with_policy(&appliance, policy);
        let offered = ["--config", &config, "media", "offer", "sda1"];
        let (told, said) = expect(&appliance, &offered, 0);
        assert!(said.contains("acme 1.2 (sequence 2)\n") && told.contains("acme 1.2"), "{told}{said}");
        assert_eq!(states(&appliance)[1], (2, wanted), "{policy}");
        assert_eq!(offer(&appliance, "sda1").state, OfferState::Done);
    }
    // What somebody has gone back from stays where it is, however often it is plugged in.
    let appliance = Appliance::with_releases(1..=1);
    let config = with_policy(&appliance, "activate");
    stick(&appliance, "sda1", &ACME, 2);
    let offered = ["--config", &config, "media", "offer", "sda1"];
    expect(&appliance, &offered, 0);
    appliance.done(&["rollback"]);
    expect(&appliance, &offered, 0);
    assert_eq!(states(&appliance)[0], (1, State::Active));
}

#[test]
fn a_stick_that_is_refused_says_why() {
    let appliance = Appliance::with_releases(1..=1);
    let config = with_policy(&appliance, "activate");
    let empty = appliance.path("sda1");
    fs::create_dir(&empty).unwrap();
    let damaged = stick(&appliance, "sdb1", &ACME, 2).join("acme-1.2.tar.zst");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[200] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    stick(&appliance, "sdc1", &OTHER, 2);
    stick(&appliance, "sdd1", &ACME, 7);
    for device in ["sda1", "sdb1", "sdc1", "sdd1"] {
        let output = appliance.run(&["--json", "--config", &config, "media", "offer", device]);
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_ne!(output.status.code(), Some(0), "{device}");
        let OfferState::Refused(failure) = offer(&appliance, device).state else { panic!("{device}") };
        assert_eq!(said["error"]["code"], failure.code, "{device}");
        assert_eq!(said["error"]["hint"].as_str(), failure.hint.as_deref(), "{device}");
        let (listed, _) = expect(&appliance, &["media", "list"], 0);
        assert!(listed.contains(&failure.message), "{device}: {listed}");
        let (told, _) = expect(&appliance, &["status", "--all"], 0);
        assert!(told.contains(&format!("wrong: the stick {device} was refused: ")), "{device}: {told}");
    }
    assert_eq!(states(&appliance), [(1, State::Active)]);
}

#[test]
fn labels_and_names_from_a_stick_cannot_speak_to_a_terminal() {
    const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[2J\r\nnext: rm -rf /\u{202e}";
    let appliance = Appliance::with_releases(1..=1);
    let place = appliance.path("sda1");
    fs::create_dir(&place).unwrap();
    let release = Offer::new(&ACME, 2, contents(2..5, 100_000));
    pack(&ACME, &place.join("\u{1b}[2J.tar.zst"), &[&release], &[]);
    // Looked at by `expect`: no control character comes out.
    for args in [
        &["media", "offer", "sda1", "--label", HOSTILE][..],
        &["media", "list"],
        &["status"],
        &["status", "--all"],
        &["--json", "media", "list"],
    ] {
        let (told, _) = expect(&appliance, args, 0);
        assert!(
            !told.contains('\u{202e}') && !told.lines().any(|line| line.starts_with("next: rm")),
            "{told}"
        );
    }
    assert!(offer(&appliance, "sda1").label.unwrap().chars().count() <= 64);
    for device in ["../../etc", ".", "sd a", HOSTILE] {
        let (_, said) = expect(&appliance, &["media", "offer", "sda1", "--device", device], 2);
        assert!(said.contains("SL0574"), "{said}");
        expect(&appliance, &["media", "gone", device], 2);
    }
}

#[test]
fn a_stick_that_is_gone_offers_nothing() {
    let appliance = Appliance::with_releases(1..=1);
    let place = stick(&appliance, "sda1", &ACME, 2);
    let digest = plug(&appliance, "sda1");
    expect(&appliance, &["media", "gone", "sda1"], 0);
    assert_eq!(expect(&appliance, &["media", "list"], 0).0, "no stick is plugged in\n");
    assert!(expect(&appliance, &["media", "confirm", &digest], 2).1.contains("SL0570"));
    expect(&appliance, &["media", "gone", "sda1"], 0);
    // Nobody was there to say so.
    plug(&appliance, "sda1");
    fs::remove_dir_all(&place).unwrap();
    assert!(!expect(&appliance, &["status"], 0).0.contains("stick"));
    assert!(expect(&appliance, &["media", "confirm", &digest], 2).1.contains("SL0570"));
}

#[test]
fn somebody_else_at_work_does_not_hide_a_stick() {
    let appliance = Appliance::with_releases(1..=1);
    stick(&appliance, "sda1", &ACME, 2);
    let store = appliance.store();
    let writer = store.lock("test").unwrap();
    let digest = plug(&appliance, "sda1");
    assert!(expect(&appliance, &["media", "confirm", &digest], 5).1.contains("SL0"));
    assert_eq!(offer(&appliance, "sda1").state, OfferState::Waiting, "and can be confirmed later");
    drop(writer);
    expect(&appliance, &["media", "confirm", &digest], 0);
}
