//! What a registry has under one name, read as plainly as possible (distribution-spec), and compared byte for byte.
//!
//! This is a second pair of eyes, so it shares no code with the crates under test.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::gap::Side;
use crate::http::{self, Answer};
use crate::layout::{self, hex_of};

/// All kinds of manifests that there are.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// One repository of a registry.
#[derive(Debug)]
pub struct Repository<'a> {
    side: Side<'a>,
    base: String,
    query: String,
}

impl<'a> Repository<'a> {
    /// What the registry at `authority` has as `name`.
    #[must_use]
    pub fn new(side: Side<'a>, authority: &str, name: &str) -> Self {
        Self { side, base: format!("http://{authority}/v2/{name}"), query: String::new() }
    }

    /// The same, asked for as containerd asks a mirror: for what `host` has.
    #[must_use]
    pub fn of_host(self, host: &str) -> Self {
        Self { query: format!("?ns={host}"), ..self }
    }

    /// The bytes of a manifest, by tag or digest.
    #[must_use]
    pub fn manifest(&self, reference: &str) -> Vec<u8> {
        self.ask("manifests", reference).expect(200)
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        self.ask("blobs", digest).expect(200)
    }

    /// Whether there is such a manifest. Anything but a clear answer fails the test.
    #[must_use]
    pub fn has(&self, reference: &str) -> bool {
        let answer = self.ask("manifests", reference);
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        answer.status == 200
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<String> {
        let list = parse(&self.ask("tags", "list").expect(200));
        list["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tag| Some(tag.as_str()?.to_owned()))
            .collect()
    }

    /// The descriptors of what refers to a manifest, by their digests.
    ///
    /// Where there is no referrers API, a tag stands in for it. Clients leave annotations out of that list, which the
    /// API must not (distribution-spec, listing referrers), so they are taken from where they are.
    #[must_use]
    pub fn referrers(&self, digest: &str) -> Vec<Value> {
        let answer = self.ask("referrers", digest);
        let mut referrers = if answer.status == 404 { self.tagged_referrers(digest) } else { list(answer) };
        referrers.sort_by_key(digest_of);
        referrers
    }

    fn tagged_referrers(&self, digest: &str) -> Vec<Value> {
        let answer = self.ask("manifests", &digest.replace(':', "-"));
        if answer.status == 404 {
            return Vec::new();
        }
        let mut referrers = list(answer);
        for referrer in &mut referrers {
            if let Some(annotations) = parse(&self.manifest(&digest_of(referrer))).get("annotations") {
                referrer["annotations"] = annotations.clone();
            }
        }
        referrers
    }

    fn ask(&self, kind: &str, what: &str) -> Answer {
        let Self { base, query, .. } = self;
        http::get(self.side, &format!("{base}/{kind}/{what}{query}"), &[ACCEPT])
    }

    /// The test fails unless this repository has, under `reference`, what `source` has: each manifest and blob byte for
    /// byte, and whatever refers to the manifests. Of an index, only the children for these architectures count.
    ///
    /// Tells what was compared.
    #[expect(clippy::must_use_candidate, reason = "some callers know what there is to compare")]
    pub fn compared_with(
        &self,
        source: &Repository<'_>,
        reference: &str,
        architectures: &[&str],
    ) -> Compared {
        let mut compared = Compared::default();
        self.compare(source, reference, architectures, &mut compared);
        compared
    }

    fn compare(
        &self,
        source: &Repository<'_>,
        reference: &str,
        architectures: &[&str],
        compared: &mut Compared,
    ) {
        let manifest = self.manifest(reference);
        assert!(manifest == source.manifest(reference), "`{reference}` of {} is another", self.base);
        let digest = layout::digest(&manifest);
        if !compared.manifests.insert(digest.clone()) {
            return;
        }
        let referrers = self.referrers(&digest);
        assert_eq!(referrers, source.referrers(&digest), "what refers to `{digest}` of {}", self.base);
        for referrer in referrers.iter().map(digest_of) {
            self.compare(source, &referrer, architectures, compared);
            compared.referrers.insert(referrer);
        }
        let document = parse(&manifest);
        for child in descriptors(&document["manifests"]) {
            if child["platform"]["architecture"].as_str().is_some_and(|name| architectures.contains(&name)) {
                self.compare(source, &digest_of(&child), architectures, compared);
            }
        }
        let blobs = descriptors(&document["layers"]).into_iter().chain(document.get("config").cloned());
        for blob in blobs.map(|blob| digest_of(&blob)) {
            if compared.blobs.insert(blob.clone()) {
                let bytes = self.blob(&blob);
                assert_eq!(layout::digest(&bytes), blob, "a blob of {}", self.base);
                assert!(bytes == source.blob(&blob), "`{blob}` of {} is another", self.base);
            }
        }
    }
}

/// What was compared and found the same, by digest.
#[derive(Debug, Default)]
pub struct Compared {
    /// Manifests and indexes, those that refer to others among them.
    pub manifests: BTreeSet<String>,
    /// Blobs.
    pub blobs: BTreeSet<String>,
    /// Manifests that refer to others.
    pub referrers: BTreeSet<String>,
}

/// The tag under which older clients keep what belongs to a manifest, such as its `sig`.
#[must_use]
pub fn tag_beside(digest: &str, suffix: &str) -> String {
    format!("sha256-{}.{suffix}", hex_of(digest))
}

fn list(answer: Answer) -> Vec<Value> {
    descriptors(&parse(&answer.expect(200))["manifests"])
}

fn parse(document: &[u8]) -> Value {
    serde_json::from_slice(document).expect("manifests and lists are JSON")
}

fn descriptors(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a descriptor has a digest").to_owned()
}
