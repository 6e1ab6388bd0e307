//! A vendor with everything that a release can carry, in places as real ones have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::cosign::Form;
use sealift_tests::git::{SIGNED_TAG, write_signed_repository};
use sealift_tests::registry::skopeo;
use sealift_tests::repository::tag_beside;
use sealift_tests::{
    Cosign, Gpg, Helm, Layout, Registry, Side, Tree, Website, binaries, fixture, layout, process, scratch,
    trust,
};
use tempfile::TempDir;

use crate::checks::{self, Git};

/// The release, its images and most of its charts.
pub(crate) const VERSION: &str = "1.5.0";
/// The chart that is a folder; a `+` cannot be in a tag.
pub(crate) const WEB_CHART_VERSION: &str = "1.5.0+acme.7";
/// Charts that were packed by Helm, as name and version: one in a registry, one in an HTTP repository.
pub(crate) const CHARTS_FROM_PACKAGES: [(&str, &str); 2] = [("api", VERSION), ("redis", "19.6.4")];

/// The platforms of `acme/api` that are carried.
pub(crate) const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// The one that is not.
pub(crate) const LEFT_BEHIND: &str = "s390x";

/// The one image in our `k3s-images.txt`, a stand-in that has only its name from k3s.
pub(crate) const SYSTEM_IMAGE: &str = "docker.io/rancher/mirrored-pause:3.10.2";

/// What is served below `/files/`, and the files that they come from.
pub(crate) const FILES: [(&str, &str); 6] = [
    ("docs/operator.pdf", "docs/operator.pdf"),
    ("os/acme-appliance.qcow2", "dist/acme-appliance.qcow2"),
    ("k3s/k3s", "k3s/k3s"),
    ("k3s/k3s-images.txt", "k3s/k3s-images.txt"),
    ("k3s/sha256sum-amd64.txt", "k3s/sha256sum-amd64.txt"),
    ("k3s/install.sh", "k3s/install.sh"),
];

/// What a Flux artifact says about where it comes from.
const FLUX_SOURCE: &str = "https://git.acme.example/fleet.git";
const FLUX_REVISION: &str = "main@sha1:0123456789abcdef0123456789abcdef01234567";

const SPDX: &str = r#"{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "api",
"documentNamespace": "https://acme.example/api", "packages": [],
"creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Organization: Acme"]}}
"#;

pub(crate) struct Sources {
    /// Has the referrers API.
    pub(crate) registry: Registry<'static>,
    /// Has not.
    pub(crate) plain: Registry<'static>,
    website: Website,
    /// The public key of the images' signatures.
    pub(crate) key: PathBuf,
    cosign: Cosign<'static>,
    pub(crate) helm: Helm<'static>,
    /// Signs charts, commits and tags.
    pub(crate) gpg: Gpg,
    /// Who checks these has no more than the public key.
    pub(crate) knows_key: Gpg,
    dir: TempDir,
}

impl Sources {
    pub(crate) fn new() -> Self {
        let dir = scratch();
        let repository = dir.path().join("repository");
        fs_err::create_dir(&repository).expect("a folder");
        let (cosign, gpg) = (Cosign::new(Side::Vendor), Gpg::with_key());
        let sources = Self {
            registry: Registry::with_referrers(Side::Vendor),
            plain: Registry::start(Side::Vendor),
            website: Website::of(Side::Vendor, &repository),
            key: cosign.make_keys(),
            cosign,
            helm: Helm::new(Side::Vendor),
            knows_key: Gpg::knowing(&gpg.public_key()),
            gpg,
            dir,
        };
        sources.write_files();
        sources.push_images(&fixture::images());
        sources.attach();
        sources.publish_charts();
        sources.push_flux_artifact();
        fs_err::write(sources.path("RELEASE.yaml"), sources.definition()).expect("the release definition");
        sources
    }

    fn write_files(&self) {
        fixture::write_git_folder(&self.path("gitops"));
        fixture::write_k3s_stand_ins(&self.path("k3s"), SYSTEM_IMAGE);
        write_signed_repository(&self.path("policies.git"), &self.gpg);
        let files: [(&str, &[u8]); 5] = [
            ("gitops/overlays/single-node/web.yaml", b"replicas: 1\n"),
            // Flux leaves pictures out, Git does not.
            ("gitops/topology.png", b"\x89PNG\r\n"),
            ("docs/operator.pdf", b"%PDF-1.7 a stand-in\n"),
            ("dist/acme-appliance.qcow2", b"QFI\xfb a stand-in\n"),
            ("sbom.spdx.json", SPDX.as_bytes()),
        ];
        for (name, content) in files {
            fixture::write(&self.path(name), content);
        }
    }

    /// `acme/api` is an index of three platforms; of the others each has one manifest.
    fn push_images(&self, images: &Layout) {
        let crane = |arguments: &[&str]| process::run(checks::client(Side::Vendor, "crane").args(arguments));
        for architecture in ARCHITECTURES {
            self.registry.push(images, &format!("app-{architecture}"), &format!("acme/api:{architecture}"));
        }
        let api = |tag: &str| format!("{}/acme/api:{tag}", self.registry.authority());
        let platform = format!("linux/{LEFT_BEHIND}");
        crane(&["mutate", &api("arm64"), "--set-platform", &platform, "--tag", &api(LEFT_BEHIND)]);
        let [amd64, arm64, third] = ["amd64", "arm64", LEFT_BEHIND].map(api);
        crane(&["index", "append", "-m", &amd64, "-m", &arm64, "-m", &third, "-t", &api(VERSION)]);

        self.plain.push(images, "worker", &format!("acme/web:{VERSION}"));
        self.plain.push(images, "tools", "rancher/mirrored-pause:3.10.2");

        fs_err::create_dir(self.path("build")).expect("a folder");
        process::run(
            skopeo(Side::Vendor).arg("copy").arg(format!("oci:{}:tools", images.dir().display())).arg(
                format!(
                    "docker-archive:{}:ghcr.io/acme/tools:{VERSION}",
                    self.path("build/tools.tar").display()
                ),
            ),
        );
    }

    /// Signatures and attestations in both forms, and SBOMs as oras attaches them and as older clients did.
    fn attach(&self) {
        let api = |digest: &str| format!("{}/acme/api@{digest}", self.registry.authority());
        let web = |reference: &str| format!("{}/acme/web{reference}", self.plain.authority());
        let spdx = self.path("sbom.spdx.json");
        for image in [api(&self.api()), web(&format!("@{}", self.web()))] {
            for form in Form::ALL {
                self.cosign.sign(&image, form);
                self.cosign.attest(&image, form, &spdx);
            }
        }
        let oras = |arguments: &[&str]| {
            let mut oras = checks::client(Side::Vendor, "oras");
            let file = "sbom.spdx.json:text/spdx+json";
            process::run(oras.current_dir(self.dir.path()).args(arguments).arg(file));
        };
        // To a child that is carried, and to one that is not.
        for architecture in ["arm64", LEFT_BEHIND] {
            let child = api(&self.digest_of_platform(architecture));
            oras(&["attach", "--plain-http", "--artifact-type", "application/spdx+json", &child]);
        }
        oras(&["push", "--plain-http", &web(&format!(":{}", tag_beside(&self.web(), "sbom")))]);
    }

    fn publish_charts(&self) {
        let images = [format!("ghcr.io/acme/api:{VERSION}"), format!("ghcr.io/acme/tools:{VERSION}")];
        for ((name, version), image) in CHARTS_FROM_PACKAGES.into_iter().zip(images) {
            let chart = self.path("build").join(name);
            fixture::write_chart(&chart, name, version, &image);
            let package = self.helm.package(&chart, &self.path("repository"), &self.gpg);
            assert_eq!(package, self.package((name, version)));
        }
        self.helm.index(&self.path("repository"));
        let plain = format!("oci://{}/charts", self.plain.authority());
        self.helm.push(&self.package(CHARTS_FROM_PACKAGES[0]), &plain);

        let web = format!("ghcr.io/acme/web@{}", self.web());
        fixture::write_chart(&self.path("charts/web"), "web", WEB_CHART_VERSION, &web);
    }

    /// What Flux itself makes of the folder, to compare with.
    fn push_flux_artifact(&self) {
        let artifact = format!("oci://{}/flux/fleet:{VERSION}", self.registry.authority());
        let mut fluxoci = checks::client(Side::Vendor, "fluxoci");
        fluxoci.args(["push", &artifact]).arg(self.path("gitops")).args([FLUX_SOURCE, FLUX_REVISION]);
        process::run(&mut fluxoci);
    }

    fn definition(&self) -> String {
        let (registry, plain) = (self.registry.authority(), self.plain.authority());
        let (web, website) = (self.web(), self.website.url());
        let layout = fixture::images().dir().display().to_string();
        let script = fs_err::read(self.path("k3s/install.sh")).expect("a file");
        let script = layout::digest(&script);
        let script = layout::hex_of(&script);
        let [(_, api), (redis_name, redis)] = CHARTS_FROM_PACKAGES;
        format!(
            "\
apiVersion: sealift/v1
kind: Release
product: acme-appliance
version: {VERSION}
sequence: 15
platforms: [linux/amd64, linux/arm64]
upgradeFrom: [1.4.0]
os:
  base: ubuntu-24.04
  artifacts:
  - {{name: acme-appliance.qcow2, path: dist/acme-appliance.qcow2, carry: true}}
kubernetes:
  distribution: k3s
  version: v1.36.4+k3s1
  files:
    checksums: k3s/sha256sum-amd64.txt
    binary: k3s/k3s
    images: k3s/k3s-images.txt
    installScript: {{path: k3s/install.sh, sha256: '{script}'}}
images:
- {{reference: '{registry}/acme/api:{VERSION}', name: 'ghcr.io/acme/api:{VERSION}'}}
- {{reference: '{plain}/acme/web@{web}', name: 'ghcr.io/acme/web@{web}'}}
- {{ociLayout: '{layout}', reference: worker, name: 'ghcr.io/acme/worker:{VERSION}'}}
- {{dockerArchive: build/tools.tar, name: 'ghcr.io/acme/tools:{VERSION}'}}
- {{reference: '{plain}/rancher/mirrored-pause:3.10.2', name: '{SYSTEM_IMAGE}'}}
charts:
- oci://{plain}/charts/api:{api}
- {{repository: '{website}', name: {redis_name}, version: {redis}}}
- {{path: charts/web, values: [gitops/overlays/single-node/web.yaml]}}
git:
- {{name: fleet, path: gitops, branch: main}}
- {{name: policies, url: policies.git, ref: {SIGNED_TAG}}}
flux:
- {{name: fleet, path: gitops, source: '{FLUX_SOURCE}', revision: '{FLUX_REVISION}'}}
files:
- {{name: docs/operator.pdf, path: docs/operator.pdf}}
"
        )
    }

    /// Pins what the release names, checks and packs it; returns the bundle.
    pub(crate) fn bundle(&self) -> PathBuf {
        trust::ACME.write(&self.path("trust"));
        process::run(self.sealift().args(["lock", "RELEASE.yaml"]));
        process::run(self.sealift().args(["check", "RELEASE.yaml"]));
        let told = process::json(self.sealift().args([
            "bundle",
            "RELEASE.yaml",
            "--trust=trust/root.json",
            "--release-key=trust/release.key",
            "--pack-key=trust/pack.key",
            "--json",
            "-o",
            "out",
        ]));
        self.path(told["archive"]["path"].as_str().expect("the path of the archive"))
    }

    fn sealift(&self) -> Command {
        let mut command = Command::new(binaries::path("sealift"));
        command.current_dir(self.dir.path()).env("COSIGN_PASSWORD", trust::PASSWORD);
        command.env("DOCKER_CONFIG", self.dir.path()).env_remove("RUST_LOG").env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// The digest of the index of `acme/api`.
    pub(crate) fn api(&self) -> String {
        layout::digest(&self.registry.repository("acme/api").manifest(VERSION))
    }

    /// The digest of its child for an architecture.
    pub(crate) fn digest_of_platform(&self, architecture: &str) -> String {
        layout::digest(&self.registry.repository("acme/api").manifest(architecture))
    }

    /// What is carried of it: the index and the children that were asked for.
    pub(crate) fn carried(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.api()).chain(ARCHITECTURES.map(|name| self.digest_of_platform(name)))
    }

    /// The digest of `acme/web`.
    pub(crate) fn web(&self) -> String {
        layout::digest(&self.plain.repository("acme/web").manifest(VERSION))
    }

    /// The configuration that is in the archive of `acme/tools`.
    pub(crate) fn saved_configuration(&self) -> Vec<u8> {
        let member = |name: &str| {
            let archive = self.path("build/tools.tar");
            process::run(Command::new("tar").arg("-xOf").arg(archive).arg(name))
        };
        let index: serde_json::Value = serde_json::from_slice(&member("manifest.json")).expect("JSON");
        member(index[0]["Config"].as_str().expect("a name"))
    }

    /// Where the package of a chart is.
    pub(crate) fn package(&self, (name, version): (&str, &str)) -> PathBuf {
        self.path(format!("repository/{name}-{version}.tgz"))
    }

    /// What Flux unpacks of what it made itself.
    pub(crate) fn flux_tree(&self) -> Tree {
        checks::flux_pulls(Side::Vendor, &format!("oci://{}/flux/fleet:{VERSION}", self.registry.authority()))
    }

    /// What git itself takes of the repository for the signed tag.
    pub(crate) fn reference_clone(&self) -> Git {
        let url = format!("file://{}", self.path("policies.git").display());
        Git::clone(Side::Vendor, self, &url, &["--single-branch", "--branch", SIGNED_TAG])
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }
}
