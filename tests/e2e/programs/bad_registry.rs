//! Registries that misbehave. Whatever they do, nobody gets wrong bytes, the message says who did what, and once the
//! registry is well again the same command fetches what is missing and nothing else.

use std::time::Duration;

use sealift_archive::Digest;
use sealift_lab::vendor::{Fault, Image, Target};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::behind_head;
use sealift_tests::{Line, Tree, Vendor, process};

use crate::scene::{ARCHIVE, HALF, LAYERS, UNTROUBLED, defined, locked, offer, victim};
use crate::told::assert_told;

/// A piece that is not worth beginning anew for.
const QUARTER: u64 = 200_000;
/// More than anybody would take by mistake.
const HUGE: u64 = 256 << 20;
/// The largest manifest that is taken.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most that can be under way on a connection: what both ends of a socket hold.
const ON_THE_WAY: u64 = 32 << 20;

/// The registry is well again: the same command makes the archive that it would have made at once.
///
/// What is under way when something fails is finished, so all that can be missing is the victim.
fn expect_recovery(vendor: &Vendor, case: &str) {
    vendor.registry().faults().clear();
    vendor.registry().forget();
    let archive = vendor.bundle();
    assert!(behind_head(&archive) == *UNTROUBLED, "{case}: another archive came out");
    let fetched = vendor.fetched();
    assert!(fetched.is_subset(&[victim().to_string()].into()), "{case}: fetched again were {fetched:?}");
    assert_eq!(Tree::read(&vendor.path("out")).names(), [ARCHIVE], "{case}");
}

#[test]
fn a_tag_that_does_not_exist() {
    let vendor = defined();
    let lock = || process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"]));
    assert_told!("no_such_tag", lock().expect(6));
    assert!(!vendor.path("RELEASE.lock.json").exists());

    offer(&vendor);
    lock().expect(0);
    assert!(behind_head(&vendor.bundle()) == *UNTROUBLED);
}

#[test]
fn manifests_that_are_not_what_they_are_said_to_be() {
    let image = Image::index(&[Image::new("linux/amd64", &[], &["/app"])]);
    let child = image.children()[0].digest();
    let tag = Target::Manifest("1.0".to_owned());
    let by_digest = Target::Manifest(child.to_string());
    let wanted = |digest: Digest| format!("instead of `{digest}`");
    let cases = [
        ("changed, by tag", &tag, Fault::OtherBytes, wanted(image.digest())),
        ("changed, by digest", &by_digest, Fault::OtherBytes, wanted(child)),
        (
            "larger than a manifest may be",
            &tag,
            Fault::Extra(HUGE),
            "sends more than 4194304 bytes".to_owned(),
        ),
    ];
    for (case, target, fault, said) in cases {
        let vendor = defined();
        vendor.registry().add_image("acme/app", "1.0", &image).expect("room in memory");
        vendor.registry().faults().always(target.clone(), fault);
        let lock = process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"]));
        let name = vendor.registry().name("acme/app");
        lock.expect(3).expect_said(&[&said, &name]);
        let taken: u64 = vendor.registry().seen().iter().map(|seen| seen.sent).sum();
        assert!(taken < MANIFEST_LIMIT + ON_THE_WAY, "{case}: took {taken} bytes");
        assert!(!vendor.path("RELEASE.lock.json").exists(), "{case}");
    }
}

#[test]
fn trouble_that_passes() {
    let part = |from: u64| Some(format!("bytes={from}-"));
    let cases = [
        ("cut", 1, Fault::Cut(HALF), vec![(200, None), (206, part(HALF))]),
        (
            "cut again and again",
            3,
            Fault::Cut(QUARTER),
            vec![(200, None), (206, part(QUARTER)), (206, part(2 * QUARTER)), (206, part(3 * QUARTER))],
        ),
        ("ended as if it were complete", 1, Fault::Short(HALF), vec![(200, None), (206, part(HALF))]),
        ("unwell", 3, Fault::Status(503, None), vec![(503, None), (503, None), (503, None), (200, None)]),
        ("busy", 1, Fault::Status(429, None), vec![(429, None), (200, None)]),
    ];
    for (case, times, fault, requests) in cases {
        let vendor = locked();
        vendor.registry().faults().times(times, Target::Blob(victim()), fault);
        assert!(behind_head(&vendor.bundle()) == *UNTROUBLED, "{case}: another archive came out");
        let seen = vendor.requests_for(&victim().to_string());
        let asked: Vec<_> = seen.iter().map(|seen| (seen.status, seen.range.clone())).collect();
        assert_eq!(asked, requests, "{case}");
        let sent: u64 = seen.iter().filter(|seen| seen.status < 300).map(|seen| seen.sent).sum();
        assert_eq!(sent, LAYERS[0].len() as u64, "{case}: each byte is sent once");
    }
}

#[test]
fn a_registry_that_says_when_to_come_back_is_left_alone_until_then() {
    const TOLD: Duration = Duration::from_secs(2);
    let vendor = locked();
    let told = Some(TOLD.as_secs().to_string());
    vendor.registry().faults().once(Target::Blob(victim()), Fault::Status(429, told));
    let bundled = process::json(vendor.bundling().arg("--json"));
    let took = bundled["seconds"]["content"].as_f64().expect("a number of seconds");
    assert!(took >= TOLD.as_secs_f64(), "came back after {took} s");
    assert_eq!(vendor.requests_for(&victim().to_string()).len(), 2);

    // Nobody waits for an hour without saying so.
    let vendor = locked();
    let hour = Some("3600".to_owned());
    vendor.registry().faults().always(Target::Blob(victim()), Fault::Status(429, hour));
    assert_told!("come_back_in_an_hour", process::finish(&vendor.bundling()).expect(6));
    assert_eq!(vendor.requests_for(&victim().to_string()).len(), 1);
    expect_recovery(&vendor, "busy for an hour");
}

#[test]
fn other_content_and_too_much_of_it_are_refused() {
    let other = Digest::of(b"other");
    let changed = {
        let mut changed = LAYERS[0].clone();
        changed[0] ^= 1;
        Digest::of(&changed)
    };
    let size = LAYERS[0].len() as u64;
    let named = |found: Digest| format!("has content `{found}` instead of `{}`", victim());
    let cases = [
        ("too much", Fault::Extra(HUGE), format!("sends more than {size} bytes")),
        (
            "too much, announced",
            Fault::AnnouncedExtra(5),
            format!("announced {} bytes instead of {size}", size + 5),
        ),
        ("changed", Fault::OtherBytes, named(changed)),
        ("another digest announced", Fault::OtherDigest(other), named(other)),
    ];
    for (case, fault, said) in cases {
        let vendor = locked();
        vendor.registry().faults().always(Target::Blob(victim()), fault);
        let place = format!("/v2/acme/app/blobs/{}", victim());
        process::finish(&vendor.bundling()).expect(3).expect_said(&[&said, &place]);
        let requests = vendor.requests_for(&victim().to_string());
        assert_eq!(requests.len(), 1, "{case}: asked again for what was refused");
        // What was on the way when it was stopped counts too.
        assert!(requests[0].sent < size + ON_THE_WAY, "{case}: took {} bytes", requests[0].sent);
        assert!(!vendor.path("out").join(ARCHIVE).exists(), "{case}");
        expect_recovery(&vendor, case);
    }
}

#[test]
fn content_that_is_gone() {
    let vendor = locked();
    vendor.registry().faults().always(Target::Blob(victim()), Fault::Status(404, None));
    let place = format!("/v2/acme/app/blobs/{}", victim());
    process::finish(&vendor.bundling()).expect(6).expect_said(&["answered 404 Not Found", &place]);
    expect_recovery(&vendor, "gone");
}

#[test]
fn a_registry_that_breaks_off_again_and_again() {
    const SENT: u64 = 1000;
    let vendor = locked();
    vendor.registry().faults().always(Target::Blob(victim()), Fault::Cut(SENT));
    assert_told!("breaks_off", process::finish(&vendor.bundling()).expect(6));
    let tries = vendor.requests_for(&victim().to_string()).len() as u64;
    expect_recovery(&vendor, "breaks off");
    let resumed = &vendor.requests_for(&victim().to_string())[0];
    assert_eq!(resumed.range, Some(format!("bytes={}-", tries * SENT)), "what came before is kept");
}

#[test]
fn a_registry_that_is_not_there() {
    let vendor = Vendor::new(&ACME);
    let mut line = Line::to(vendor.registry().addr());
    let vendor = vendor.reached_by(line.address());
    vendor.define("1.0.0", 1, &format!("images:\n{}", vendor.image("acme/app:1.0")));
    let all = offer(&vendor);

    line.take_down();
    assert_told!(
        "down_when_locking",
        process::finish(vendor.sealift().args(["lock", "RELEASE.yaml"])).expect(6)
    );
    line.bring_up();
    vendor.lock();
    vendor.registry().forget();

    line.take_down();
    process::finish(&vendor.bundling()).expect(6).expect_said(&["cannot reach", &line.address().to_string()]);
    assert!(vendor.fetched().is_empty());
    line.bring_up();
    assert!(behind_head(&vendor.bundle()) == *UNTROUBLED);
    assert_eq!(vendor.fetched(), all.into_iter().collect());
}
