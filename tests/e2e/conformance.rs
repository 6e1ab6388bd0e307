//! The conformance program of the OCI distribution specification against `sealift-registry`, on a release that has all
//! kinds of content: as far as it reads, it finds nothing to object to.
//!
//! Its reports stay in `target/tmp/conformance`.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_lab::vendor::Image;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_tests::process::{self, Ended};
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Vendor, layout, peers};
use serde_json::{Value, json};

const REPOSITORY: &str = "acme/everything";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The part of the program's tests that is about content it is told of.
const READ_ONLY: &str = "OCI Conformance Test/read-only";
/// The files that it writes.
const REPORTS: [&str; 3] = ["results.yaml", "junit.xml", "report.html"];
/// The questions that a registry which takes nothing in can be asked, by the name of their test. All but the first two
/// are asked about each thing that is offered.
const QUESTIONS: [&str; 14] = [
    "/ping",
    "/empty/tag list",
    "/empty/referrers",
    "/read-only/tag-list",
    "/read-only/head/manifest-head-by-tag",
    "/read-only/head/manifest-head-by-digest",
    "/read-only/head/blob-head",
    "/read-only/pull/manifest-by-tag",
    "/read-only/pull/manifest-by-digest",
    "/read-only/pull/blob-get",
    "/read-only/referrers",
    "/missing-manifest/by-digest",
    "/missing-manifest/by-tag",
    "/invalid-digest-format/manifest-get",
];

#[test]
fn the_conformance_program_has_no_objection() {
    let vendor = Vendor::new(&ACME);
    let offer = Offer::at(&vendor);
    let images = offer.tags.iter().map(|tag| vendor.image(&format!("{REPOSITORY}:{tag}")));
    vendor.define("1.0.0", 1, &format!("images:\n{}", images.collect::<String>()));
    vendor.lock();
    let appliance = Appliance::running(&ACME, &vendor.bundle());
    // From here on there is no vendor any more.
    drop(vendor);
    let shim = appliance.serve();
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    if results.exists() {
        fs_err::remove_dir_all(&results).expect("the reports of the run before");
    }

    // All its tests. Where nothing may be pushed, it breaks off after its report while it writes that into files
    // (August 2026), so what it says is kept, and what it says counts.
    let whole = offer.examine(shim.authority(), &results, "").stdout();
    fs_err::write(results.join("report.txt"), &whole).expect("the report");
    assert!(whole.contains("OCI Conformance Result: Pass"), "{whole}");
    for none in ["FAIL", "Error"] {
        assert_eq!(count(&whole, none), 0, "{whole}");
    }
    for question in QUESTIONS {
        assert!(whole.contains(&format!("OCI Conformance Test{question}: Pass")), "{question}:\n{whole}");
    }

    // And those about content alone, whose report it can write.
    offer.examine(shim.authority(), &results, READ_ONLY).expect(0);
    for report in REPORTS {
        assert!(results.join(report).is_file(), "there is no `{report}`");
    }
    let junit = fs_err::read_to_string(results.join("junit.xml")).expect("a report");
    assert!(junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
}

/// The number behind a word of the summary: `FAIL.......: 0`.
fn count(report: &str, word: &str) -> usize {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(word)?.strip_prefix('.'));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no `{word}` in the summary:\n{report}"))
}

/// What the vendor offers in one repository, and what of it has to be there on the appliance.
#[derive(Default)]
struct Offer {
    tags: Vec<&'static str>,
    manifests: Vec<String>,
    blobs: Vec<String>,
    subjects: Vec<String>,
}

impl Offer {
    fn at(vendor: &Vendor) -> Self {
        let mut offer = Self::default();
        let layer = |seed| Layer::of(&[File::plain("data", noise(seed, 10_000))]).expect("a layer");
        let image = |platform: &str, seed| Image::new(platform, &[layer(0), layer(seed)], &["/app"]);

        let app = image("linux/amd64", 1);
        offer.add(vendor, "image", &app);
        for kind in [SBOM, SIGNATURE] {
            offer.attach(vendor, &Image::referrer(&app, kind, kind));
        }
        offer.subjects.push(app.digest().to_string());

        // Of the index only one of two images is carried.
        let (here, elsewhere) = (image("linux/amd64", 2), image("linux/arm64", 3));
        let index = Image::index(&[here.clone(), elsewhere]);
        vendor.registry().add_image(REPOSITORY, "sparse", &index).expect("room in memory");
        offer.tags.push("sparse");
        offer.manifests.push(index.digest().to_string());
        offer.manifests.push(here.digest().to_string());
        offer.attach(vendor, &Image::referrer(&index, SIGNATURE, "of the index"));
        offer.subjects.push(index.digest().to_string());

        let odd: [(&str, &[Vec<u8>]); 2] = [("no-layers", &[]), ("empty-layer", &[Vec::new()])];
        for (tag, layers) in odd {
            let mut parts = vendor.offer(REPOSITORY, tag, LAYER, layers).into_iter();
            offer.tags.push(tag);
            offer.manifests.extend(parts.next());
            offer.blobs.extend(parts);
        }
        offer.add_artifact(vendor);
        offer.add_sha512(vendor);
        offer
    }

    fn add(&mut self, vendor: &Vendor, tag: &'static str, image: &Image) {
        vendor.registry().add_image(REPOSITORY, tag, image).expect("room in memory");
        self.tags.push(tag);
        self.manifests.push(image.digest().to_string());
        self.blobs.extend(image.blobs().iter().map(|blob| layout::digest(blob)));
    }

    /// Offers what refers to another image, without a tag.
    fn attach(&mut self, vendor: &Vendor, referrer: &Image) {
        for blob in referrer.blobs() {
            self.blobs.push(layout::digest(blob));
            vendor.registry().add_blob(REPOSITORY, blob.clone()).expect("room in memory");
        }
        let manifest = referrer.manifest().clone();
        vendor.registry().add_manifest(REPOSITORY, None, referrer.media_type(), manifest);
        self.manifests.push(referrer.digest().to_string());
    }

    /// An artifact that is no image, with fields that nobody has specified.
    fn add_artifact(&mut self, vendor: &Vendor) {
        let (config, content) = (b"{}".as_slice(), b"what an artifact holds".as_slice());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.acme.rules.v1",
            "config": self.blob(vendor, EMPTY, config),
            "layers": [self.blob(vendor, "text/plain", content)],
            "org.acme.custom": {"field": true},
        });
        self.put(vendor, "artifact", &manifest);
    }

    /// An image whose parts are named by SHA-512.
    fn add_sha512(&mut self, vendor: &Vendor) {
        let config = br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let mut long = |media_type: &str, bytes: &[u8]| {
            let mut descriptor = self.blob(vendor, media_type, bytes);
            let alias = vendor.registry().add_alias(bytes);
            self.blobs.push(alias.to_string());
            descriptor["digest"] = alias.to_string().into();
            descriptor
        };
        let (config, layer) = (long(CONFIG, config), long(LAYER, b"a layer of another name"));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.put(vendor, "sha512", &manifest);
    }

    fn blob(&mut self, vendor: &Vendor, media_type: &str, bytes: &[u8]) -> Value {
        let blob = vendor.registry().add_blob(REPOSITORY, bytes.to_vec()).expect("room in memory");
        self.blobs.push(blob.digest.to_string());
        json!({"mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size})
    }

    fn put(&mut self, vendor: &Vendor, tag: &'static str, manifest: &Value) {
        let manifest = manifest.to_string();
        let blob = vendor.registry().add_manifest(REPOSITORY, Some(tag), MANIFEST, manifest);
        self.tags.push(tag);
        self.manifests.push(blob.digest.to_string());
    }

    /// Runs the program on a registry that has all of this; `filter` is the beginning of the names of its tests.
    fn examine(&self, registry: &str, results: &Path, filter: &str) -> Ended {
        let program: PathBuf = peers::tool("conformance");
        let mut command = Command::new(program);
        command.current_dir(env!("CARGO_TARGET_TMPDIR"));
        let repository = format!("{HOST}/{REPOSITORY}");
        let settings = [
            ("OCI_REGISTRY", registry.to_owned()),
            ("OCI_TLS", "disabled".to_owned()),
            ("OCI_REPO1", repository.clone()),
            ("OCI_REPO2", repository),
            ("OCI_VERSION", "1.1".to_owned()),
            ("OCI_API_PUSH", "false".to_owned()),
            ("OCI_API_BLOBS_DIGEST_HEADER", "true".to_owned()),
            // That of manifests it cannot require here: of content that it has not pushed it does not look at the header.
            ("OCI_DATA_SPARSE", "true".to_owned()),
            ("OCI_RO_DATA_TAGS", self.tags.join(" ")),
            ("OCI_RO_DATA_MANIFESTS", self.manifests.join(" ")),
            ("OCI_RO_DATA_BLOBS", self.blobs.join(" ")),
            ("OCI_RO_DATA_REFERRERS", self.subjects.join(" ")),
            ("OCI_FILTER_TEST", filter.to_owned()),
        ];
        command.envs(settings).env("OCI_RESULTS_DIR", results);
        process::finish(&command)
    }
}
