//! A repository of a registry: the lab's, which can be told to fail.

use std::time::Duration;

use sealift_archive::release::published::{CONTENT_TYPE, ENVELOPE_TYPE, Envelope};
use sealift_archive::{Channel, Digest};
use sealift_lab::vendor::{Access, Config, Fault, Registry, Target};
use serde_json::Value;

use crate::vendor::Vendor;

const UPLOADS: &str = "/v2/acme/appliance/blobs/uploads/";

/// A repository, and requests to it.
struct Place(Registry);

impl Place {
    fn new() -> Self {
        Self(Registry::start().unwrap())
    }

    fn name(&self) -> String {
        format!("oci://{}", self.0.name("acme/appliance"))
    }

    /// The paths of all requests with this method since the last time.
    fn requests(&self, method: &str) -> Vec<String> {
        let seen = self.0.seen().into_iter().filter(|seen| seen.method == method);
        seen.map(|seen| seen.path).collect()
    }

    /// How many uploads were begun, and which tags were written since the last time.
    fn written(&self) -> (usize, Vec<String>) {
        let begun = self.requests("POST").len();
        let tags = self.requests("PUT").into_iter().filter_map(|path| {
            let (_, tag) = path.rsplit_once("/manifests/")?;
            Some(tag.to_owned())
        });
        let written = (begun, tags.collect());
        self.0.forget();
        written
    }
}

#[test]
fn a_release_is_published_behind_its_content() {
    let vendor = Vendor::new();
    let [first, second, _] = vendor.releases();
    let place = Place::new();
    let done = vendor.publish(&first, &place.name());
    let hex = done["statements"][0].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let (begun, tags) = place.written();
    let release = format!("release-{hex}");
    assert_eq!(tags, ["root-1", &format!("content-{hex}-0"), &release]);
    // Five blobs, two envelopes, and the empty configuration.
    assert_eq!(begun, 8);
    let again = vendor.publish(&first, &place.name());
    assert_eq!(again["toBring"]["blobs"], 0);
    assert_eq!(place.written().0, 0);
    assert_eq!(vendor.publish(&second, &place.name())["toBring"]["blobs"], 4);

    vendor.promote("1.1.0 --to stable", &place.name()).expect(0, &[]);
    place.0.forget();
    vendor.promote("--refresh --to stable", &place.name()).expect(0, &[]);
    assert_eq!(place.written().1, ["channel-stable"], "the pointer alone");
    vendor.promote("1.0.0 --to stable", &place.name()).expect(3, &["SL0428"]);
    let shown =
        vendor.run(&format!("channel show {} --trust trust --json", place.name())).expect(0, &[]).json();
    assert_eq!(shown["channels"][0]["release"]["version"], "1.1.0");
    assert_eq!(shown["channels"][0]["earlier"][0]["version"], "1.0.0");
    assert_eq!(shown["channels"][0]["version"], 2);
}

#[test]
fn the_statement_is_not_there_before_its_content() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    let place = Place::new();
    let publish = format!("publish {first} {} --trust trust", place.name());
    // Each upload in turn is refused, until all get through.
    let mut refused = 0;
    loop {
        // The last begun is the one that fails: a number goes with each.
        let begun = place.requests("POST").len();
        let path = format!("{UPLOADS}{}", begun + 3);
        place.0.faults().always(Target::Path(path), Fault::Status(400, None));
        let said = vendor.run(&publish);
        place.0.faults().clear();
        if said.text.contains("SL0209") {
            said.expect(6, &[]);
            refused += 1;
            let tags = place.requests("PUT").into_iter().filter(|path| path.contains("/manifests/release-"));
            assert_eq!(tags.count(), 0);
        } else {
            said.expect(0, &[]);
            break;
        }
    }
    assert!(refused > 0);
    vendor.promote("1.0.0 --to stable", &place.name()).expect(0, &[]);
}

#[test]
fn who_may_not_write_is_told_so() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    let place = Place::new();
    place.0.faults().always(Target::Path(UPLOADS.to_owned()), Fault::Status(403, None));
    vendor
        .run(&format!("publish {first} {} --trust trust", place.name()))
        .expect(6, &["SL0220", "docker login"]);
    vendor.promote("1.0.0 --to stable", &place.name()).expect(2, &["SL0426"]);
    drop(place);
    let away = "oci://127.0.0.1:9/acme/appliance";
    vendor.run(&format!("publish {first} {away} --trust trust --plan")).expect(6, &["SL0204"]);
}

#[test]
fn a_plan_asks_only_to_read() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    let access = Access::Token { login: None, refresh_token: None, lifetime: Duration::from_secs(300) };
    let place = Place(Registry::start_with(Config { access, ..Config::default() }).unwrap());
    let publish = format!("publish {first} {} --trust trust", place.name());
    let may_write = || {
        let seen = place.0.seen();
        let mut tokens = seen.iter().filter(|seen| seen.path == "/token").peekable();
        assert!(tokens.peek().is_some());
        tokens.any(|seen| seen.query.as_deref().unwrap_or_default().contains("push"))
    };
    vendor.run(&format!("{publish} --plan")).expect(0, &[]);
    assert!(!may_write());
    vendor.run(&publish).expect(0, &[]);
    assert!(may_write());
}

#[test]
fn the_tag_of_a_channel_holds_its_envelope() {
    let vendor = Vendor::new();
    let place = Place::new();
    vendor.publish(&vendor.release("1.0.0", 1, ""), &place.name());
    vendor.promote("1.0.0 --to candidate", &place.name()).expect(0, &[]);
    let manifest = |tag: &str| -> Value {
        let url = place.0.url(&format!("/v2/acme/appliance/manifests/{tag}"));
        let output = std::process::Command::new("curl").args(["-sf", &url]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let channel = manifest("channel-candidate");
    assert_eq!(channel["artifactType"], ENVELOPE_TYPE);
    let data = channel["layers"][0]["data"].as_str().unwrap();
    let envelope = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
    assert_eq!(channel["layers"][0]["digest"], Digest::of(&envelope).to_string());
    let document = Envelope::parse("channel", &envelope).unwrap().document;
    let read = Channel::parse("channel", &document).unwrap();
    let content = manifest(&format!("content-{}-0", read.release.statement.hex()));
    assert_eq!(content["artifactType"], CONTENT_TYPE);
    assert_eq!(content["layers"].as_array().unwrap().len(), 5);
}

#[test]
fn two_at_once_do_no_harm() {
    let vendor = Vendor::new();
    let first = vendor.release("1.0.0", 1, "");
    let place = Place::new();
    let publish = format!("publish {first} {} --trust trust", place.name());
    std::thread::scope(|scope| {
        let runs = [(); 3].map(|()| scope.spawn(|| vendor.run(&publish)));
        for run in runs {
            run.join().unwrap().expect(0, &[]);
        }
    });
    vendor.promote("1.0.0 --to stable", &place.name()).expect(0, &[]);
}
