//! Everything that a release can carry crosses the gap on a FAT32 stick, and is what it was: signed images in both forms
//! of signatures, a part of an index, charts from three kinds of places, a Git history with signatures, a Flux artifact,
//! k3s's files and plain ones. Whoever will use it there takes it out again: crane, cosign, Helm, git, oras and Flux's
//! own code, on a machine that reaches nobody.
//!
//! The checks are first put to the vendor's own servers, so that it is known of each that it can pass.

mod checks;
mod sources;

use std::io::ErrorKind;
use std::path::PathBuf;

use sealift_tests::cosign::Form;
use sealift_tests::layout::Layout;
use sealift_tests::registry::skopeo;
use sealift_tests::repository::tag_beside;
use sealift_tests::{Appliance, Cosign, Namespace, Repository, Side, Stick, fixture, process, scratch};
use serde_json::Value;

use checks::Git;
use sources::{
    ARCHITECTURES, CHARTS_FROM_PACKAGES, FILES, LEFT_BEHIND, SYSTEM_IMAGE, Sources, VERSION,
    WEB_CHART_VERSION,
};

#[test]
fn the_vendors_own_servers_pass_the_checks() {
    let sources = Sources::new();
    let side = Side::Vendor;
    let (registry, plain) = (sources.registry.authority(), sources.plain.authority());

    for image in
        [format!("{registry}/acme/api@{}", sources.api()), format!("{plain}/acme/web@{}", sources.web())]
    {
        checks::signatures_are_good(side, &sources.key, &image);
        checks::image_is_valid(side, &image, None);
    }
    for chart in CHARTS_FROM_PACKAGES {
        sources.helm.push(&sources.package(chart), &format!("oci://{registry}/charts"));
        checks::chart_is_pulled(side, &sources, &format!("oci://{registry}/charts"), chart);
    }
    let artifact = format!("oci://{registry}/flux/fleet:{VERSION}");
    let names = checks::flux_pulls(side, &artifact).names();
    assert!(names.iter().any(|name| name == "clusters/appliance/app.yaml"), "{names:?}");
    assert!(!names.iter().any(|name| name == "topology.png"), "Flux leaves pictures out: {names:?}");
    sources.reference_clone().expect_signed(side, &sources);
    let api = sources.registry.repository("acme/api");
    let compared = api.compared_with(&api, VERSION, &ARCHITECTURES);
    assert_eq!((compared.manifests.len(), compared.referrers.len()), (8, 5), "{compared:?}");
}

#[test]
fn everything_a_release_carries_is_served_as_it_was() {
    let sources = Sources::new();
    let bundle = sources.bundle();
    let stick = Stick::with(&[&bundle, &sources.path("trust/root.json")]);

    let namespace = Namespace::new();
    let appliance = Appliance::behind(&namespace, stick.mount());
    appliance.activate(&stick.path(bundle.file_name().expect("a file has a name")));
    appliance.expect_whole();
    // From here on nobody needs the stick.
    drop(stick);
    let shim = appliance.serve();

    let gap = Gap { sources: &sources, side: Side::Appliance(&namespace), shim: shim.authority() };
    gap.index_is_carried_in_part();
    gap.images_are_the_same();
    gap.signatures_are_good();
    gap.charts_are_pulled();
    gap.flux_artifact_is_pulled();
    gap.history_is_cloned();
    gap.files_are_the_same();
    assert_eq!(namespace.escaped_packets(), 0, "something on the appliance tried to leave");
}

#[test]
fn a_stick_is_read_only_and_holds_what_was_copied() {
    let dir = scratch();
    let files = [("small", 1), ("A long name with blanks.tar.zst", 3_000_001), ("empty", 0)];
    let paths = files.map(|(name, size)| {
        let content: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        fixture::write(&dir.path().join(name), &content);
        dir.path().join(name)
    });
    let stick = Stick::with(&paths.each_ref().map(PathBuf::as_path));
    for (path, (name, _)) in paths.iter().zip(files) {
        let carried = fs_err::read(stick.path(name)).expect("a file of the stick");
        assert!(carried == fs_err::read(path).expect("a file"), "{name}");
    }
    let refused = fs_err::write(stick.path("more"), "x").expect_err("it is read-only");
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    let mount = stick.mount().to_owned();
    drop(stick);
    assert!(!mount.exists(), "it is still mounted");
}

/// What is served behind the gap, and what it must be the same as.
struct Gap<'a> {
    sources: &'a Sources,
    side: Side<'a>,
    shim: &'a str,
}

impl<'a> Gap<'a> {
    fn repository(&self, name: &str) -> Repository<'a> {
        Repository::new(self.side, self.shim, name)
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.shim)
    }

    /// Two platforms of three, with all that refers to them, and nothing of the third but its line in the index.
    fn index_is_carried_in_part(&self) {
        let (ours, theirs) =
            (self.repository("ghcr.io/acme/api"), self.sources.registry.repository("acme/api"));
        let compared = ours.compared_with(&theirs, VERSION, &ARCHITECTURES);
        // The index and two children, a bundle for each, the index's attestation, a child's attached SBOM.
        assert_eq!((compared.manifests.len(), compared.referrers.len()), (8, 5), "{compared:?}");
        for digest in compared.manifests.difference(&compared.referrers) {
            ours.compared_with(&theirs, &tag_beside(digest, "sig"), &[]);
        }
        ours.compared_with(&theirs, &tag_beside(&self.sources.api(), "att"), &[]);

        let left = self.sources.digest_of_platform(LEFT_BEHIND);
        assert!(!ours.has(&left), "`{left}` was not asked for");
        assert!(!ours.has(&tag_beside(&left, "sig")), "nor was its signature");
        assert_eq!(ours.referrers(&left), Vec::<Value>::new(), "nor what refers to it");
        // As containerd asks.
        let by_host = self.repository("acme/api").of_host("ghcr.io");
        assert!(by_host.manifest(VERSION) == theirs.manifest(VERSION), "the index is another for `?ns=`");

        let image = self.image(&format!("ghcr.io/acme/api:{VERSION}"));
        for architecture in ARCHITECTURES {
            checks::image_is_valid(self.side, &image, Some(architecture));
        }
        let refused = checks::image_is_refused(self.side, &image);
        assert!(refused.contains(&left), "only the child that was left behind is missed: {refused}");
    }

    fn images_are_the_same(&self) {
        let (web, plain) = (self.sources.web(), &self.sources.plain);
        let ours = self.repository("ghcr.io/acme/web");
        let compared = ours.compared_with(&plain.repository("acme/web"), &web, &ARCHITECTURES);
        // One for the signature, one for the attestation: the registry has a tag in place of the API.
        assert_eq!(compared.referrers.len(), 2, "{compared:?}");
        for suffix in ["sig", "att", "sbom"] {
            ours.compared_with(&plain.repository("acme/web"), &tag_beside(&web, suffix), &[]);
        }
        checks::image_is_valid(self.side, &self.image(&format!("ghcr.io/acme/web@{web}")), None);

        let (repository, tag) = SYSTEM_IMAGE.split_once(':').expect("a tag");
        let theirs = plain.repository("rancher/mirrored-pause");
        self.repository(repository).compared_with(&theirs, tag, &ARCHITECTURES);

        let images = fixture::images();
        let (worker, digest) = (self.repository("ghcr.io/acme/worker"), images.digest("worker"));
        assert!(worker.manifest(VERSION) == images.blob(&digest), "`worker` is another");
        for blob in images.closure(&digest, "amd64").into_iter().filter(|blob| *blob != digest) {
            assert!(worker.blob(&blob) == images.blob(&blob), "`{blob}` of `worker` is another");
        }
        checks::image_is_valid(self.side, &self.image(&format!("ghcr.io/acme/worker:{VERSION}")), None);

        // What `docker save` wrote had no manifest, but a configuration, which names the layers.
        let tools = self.repository("ghcr.io/acme/tools");
        let manifest: Value = serde_json::from_slice(&tools.manifest(VERSION)).expect("a manifest");
        let configuration = manifest["config"]["digest"].as_str().expect("a digest");
        assert!(
            tools.blob(configuration) == self.sources.saved_configuration(),
            "`tools` is configured otherwise"
        );
        // crane reads no layers that are not compressed; skopeo copies them and compares every digest.
        let (saved, unpacked) = (self.image(&format!("ghcr.io/acme/tools:{VERSION}")), scratch());
        let copying = ["copy", "--src-tls-verify=false", &format!("docker://{saved}")];
        process::run(skopeo(self.side).args(copying).arg(format!("dir:{}", unpacked.path().display())));
        let layers = manifest["layers"].as_array().expect("layers").iter().map(|layer| &layer["digest"]);
        let configured: Value = serde_json::from_slice(&tools.blob(configuration)).expect("a configuration");
        let expected = configured["rootfs"]["diff_ids"].as_array().expect("layers");
        assert!(layers.eq(expected), "`tools` has other layers than it was saved with");
    }

    fn signatures_are_good(&self) {
        let (cosign, at_home) = (Cosign::new(self.side), Cosign::new(Side::Vendor));
        let registry = self.sources.registry.authority();
        for digest in self.sources.carried() {
            let image = self.image(&format!("ghcr.io/acme/api@{digest}"));
            checks::signatures_are_good(self.side, &self.sources.key, &image);
        }
        let web = format!("acme/web@{}", self.sources.web());
        checks::signatures_are_good(self.side, &self.sources.key, &self.image(&format!("ghcr.io/{web}")));

        let api = format!("acme/api@{}", self.sources.api());
        for form in Form::ALL {
            let image = self.image(&format!("ghcr.io/{api}"));
            let stated = cosign.verify_attestation(&self.sources.key, &image, form);
            let original = at_home.verify_attestation(&self.sources.key, &format!("{registry}/{api}"), form);
            assert_eq!(stated, original, "{form:?}");
        }
    }

    fn charts_are_pulled(&self) {
        let ours = format!("oci://{}/charts", self.shim);
        for chart in CHARTS_FROM_PACKAGES {
            checks::chart_is_pulled(self.side, self.sources, &ours, chart);
        }
        // Under its own reference too.
        let plain = &self.sources.plain;
        let original = self.repository("charts/api").of_host(plain.authority());
        let compared = original.compared_with(&plain.repository("charts/api"), VERSION, &[]);
        assert_eq!(compared.blobs.len(), 3, "configuration, chart and provenance: {compared:?}");

        // A folder is packed by us, so what it is rendered to is what counts.
        let values = self.sources.path("gitops/overlays/single-node/web.yaml");
        let values = ["--values", &values.to_string_lossy()];
        let behind = checks::chart_is_rendered(self.side, &format!("{ours}/web"), WEB_CHART_VERSION, &values);
        let folder = self.sources.path("charts/web");
        assert_eq!(behind, self.sources.helm.template(&folder.to_string_lossy(), &values));
        let tags = self.repository("sealift.internal/charts/web").tags();
        assert!(tags.contains(&WEB_CHART_VERSION.replace('+', "_")), "{tags:?}");
    }

    /// By Flux's code and by oras, and it is such an artifact as Flux makes of the folder.
    fn flux_artifact_is_pulled(&self) {
        let name = format!("sealift.internal/flux/fleet:{VERSION}");
        let behind = checks::flux_pulls(self.side, &format!("oci://{}", self.image(&name)));
        assert_eq!(behind.changes(&self.sources.flux_tree()), Vec::<String>::new());

        let copy = scratch();
        let copied = Layout::new(copy.path());
        let mut oras = checks::client(self.side, "oras");
        oras.args(["copy", "--from-plain-http", &self.image(&name), "--to-oci-layout"]);
        process::run(oras.arg(format!("{}:fleet", copied.dir().display())));
        let manifest = copied.blob(&copied.digest("fleet"));
        assert!(manifest == self.repository("sealift.internal/flux/fleet").manifest(VERSION));

        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest");
        let by_flux: Value =
            serde_json::from_slice(&self.sources.registry.repository("flux/fleet").manifest(VERSION))
                .expect("a manifest");
        for place in ["/mediaType", "/config/mediaType", "/layers/0/mediaType", "/annotations"] {
            assert_eq!(manifest.pointer(place), by_flux.pointer(place), "{place}");
        }
    }

    /// The tag's history, all of it and nothing else, with signatures that are good.
    fn history_is_cloned(&self) {
        let url = format!("http://{}/git/policies.git", self.shim);
        let clone = Git::clone(self.side, self.sources, &url, &[]);
        clone.expect_signed(self.side, self.sources);
        assert_eq!(clone.branch(self.side, self.sources), "main\n");
        let original = self.sources.reference_clone();
        assert!(
            clone.objects(self.side, self.sources) == original.objects(Side::Vendor, self.sources),
            "the objects are others"
        );
    }

    fn files_are_the_same(&self) {
        for (name, source) in FILES {
            let content = fs_err::read(self.sources.path(source)).expect("a file");
            checks::file_is_served(self.side, &format!("http://{}/files/{name}", self.shim), &content);
        }
    }
}
