//! Nobody needs our programs to get at a release: stock tools list and unpack an archive, cosign checks its signatures, and
//! what is exported is read by skopeo, crane and oras, with equal digests.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sealift_tests::registry::skopeo;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{
    Layout, Namespace, Registry, Side, Tree, Vendor, fixture, layout, peers, process, scratch,
};
use serde_json::Value;

/// The images of the release: the fixture's tag, and the name at [`HOST`]. The first is an index.
const IMAGES: [(&str, &str); 2] = [("app", "acme/app:1.0"), ("tools", "acme/tools:1.0")];
/// The platforms of the index.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const SBOM: &str = "application/spdx+json";

/// What lists the members of the archive `$1`, a name a line.
const LISTING: [(&str, &str); 5] = [
    ("GNU tar behind zstd", "zstd -dc \"$1\" | tar -tf -"),
    ("GNU tar", "tar -tf \"$1\""),
    ("bsdtar behind zstd", "zstd -dc \"$1\" | bsdtar -tf -"),
    ("bsdtar", "bsdtar -tf \"$1\""),
    (
        "Python",
        "zstd -dc \"$1\" | python3 -c 'import sys, tarfile\n\
         for member in tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\"): print(member.name)'",
    ),
];

/// What unpacks the archive `$1` into the folder `$2`.
const UNPACKING: [(&str, &str); 3] = [
    ("GNU tar", "zstd -dc \"$1\" | tar -xf - -C \"$2\""),
    ("bsdtar", "bsdtar -xf \"$1\" -C \"$2\""),
    (
        "Python",
        "zstd -dc \"$1\" | python3 -c 'import sys, tarfile\n\
         tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\").extractall(sys.argv[1])' \"$2\"",
    ),
];

#[test]
fn stock_tools_list_and_unpack_an_archive() {
    let (_vendor, archive) = packed();
    process::run(Command::new(peers::tool("zstd")).arg("--test").arg(&archive));
    let trees = UNPACKING.map(|(tool, script)| {
        let dir = scratch();
        quietly(script, &[&archive, dir.path()]);
        let tree = Tree::read(dir.path());
        for blob in tree.names().iter().filter_map(|name| name.strip_prefix("blobs/sha256/")) {
            let content = fs_err::read(dir.path().join("blobs/sha256").join(blob)).expect("a blob");
            assert_eq!(layout::hex_of(&layout::digest(&content)), blob, "{tool}");
        }
        tree
    });
    for (tree, (tool, _)) in trees.iter().zip(UNPACKING) {
        assert!(tree.changes(&trees[0]).is_empty(), "{tool}: {:?}", tree.changes(&trees[0]));
    }
    let names = trees[0].names();
    for (tool, script) in LISTING {
        let listed = quietly(script, &[&archive]);
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, names, "{tool}");
    }
    let images = fixture::images();
    for digest in IMAGES.iter().flat_map(|(tag, _)| images.closure(&images.digest(tag), ARCHITECTURES[0])) {
        let blob = format!("blobs/sha256/{}", layout::hex_of(&digest));
        assert!(names.contains(&blob), "`{blob}` is not in the archive");
    }
}

#[test]
fn stock_tools_read_volumes_one_behind_the_other() {
    let (vendor, archive) = packed();
    process::run(vendor.sealift().args(["split", "-o", "volumes", "--volume-size", "8MiB"]).arg(&archive));
    let volumes = vendor.path("volumes");
    let count = quietly("cd \"$1\"; for v in *.[0-9]*.tar.zst; do zstd -qt \"$v\"; echo; done", &[&volumes]);
    assert!(count.lines().count() > 1, "one volume is none");
    for (tar, whole) in [("tar", LISTING[0].1), ("bsdtar", LISTING[2].1)] {
        let script = format!("cat \"$1\"/*.[0-9]*.tar.zst | zstd -dc | {tar} -tf -");
        assert_eq!(quietly(&script, &[&volumes]), quietly(whole, &[&archive]), "{tar}");
    }
}

/// With the public keys and cosign alone, by someone who reaches nobody.
#[test]
fn cosign_verifies_all_that_is_signed() {
    let (vendor, archive) = packed();
    let content = scratch();
    let (_, unpack) = UNPACKING[0];
    quietly(unpack, &[&archive, content.path()]);
    let gap = Namespace::new();
    let key = |role: &str| vendor.path(format!("trust/{role}.pub"));
    for (document, role, another) in [
        ("releases/1/release.json", "release", "pack"),
        ("pack.json", "pack", "release"),
        ("root/1.json", "root", "pack"),
    ] {
        let document = content.path().join(document);
        let digest = layout::digest(&fs_err::read(&document).expect("the document"));
        let name = format!("signatures/{}/{}.sigstore.json", layout::hex_of(&digest), key_id(&key(role)));
        let signature = content.path().join(name);
        let verifying = |key: &Path| {
            let mut cosign = gap.command(peers::tool("cosign"));
            cosign.args(["verify-blob", "--insecure-ignore-tlog=true", "--key"]).arg(key);
            cosign.arg("--bundle").arg(&signature).arg(&document);
            cosign
        };
        process::run(&mut verifying(&key(role)));
        process::refusal(&mut verifying(&key(another)));
        fs_err::write(&document, "{}").expect("another document");
        process::refusal(&mut verifying(&key(role)));
    }
    assert_eq!(gap.escaped_packets(), 0, "cosign asked somebody");
}

/// The hexadecimal SHA-256 of a public key's DER form, which names the key's signatures.
fn key_id(public_key: &Path) -> String {
    let pem = fs_err::read_to_string(public_key).expect("the public key");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64_STANDARD.decode(body).expect("PEM holds base64");
    layout::hex_of(&layout::digest(&der)).to_owned()
}

#[test]
fn skopeo_crane_and_oras_read_what_is_exported() {
    let images = fixture::images();
    let (registry, vendor) = (Registry::with_referrers(Side::Vendor), Vendor::new(&ACME));
    for (tag, name) in IMAGES {
        registry.push(&images, tag, name);
    }
    let index = images.digest("app");
    attach_sbom(&vendor, &format!("{}/acme/app@{index}", registry.authority()));
    let archive = bundle(&vendor, |_, name| format!("reference: '{}/{name}'", registry.authority()));
    process::run(vendor.sealift().args(["export", "--format", "oci-layout", "-o", "layout"]).arg(&archive));
    let exported = Exported(vendor.path("layout"));

    for (tag, name) in IMAGES {
        exported.is_read_by_skopeo(&format!("{HOST}/{name}"), &images, tag);
        exported.is_read_by_oras(&format!("{HOST}/{name}"), &images, tag);
    }
    let names = process::text(exported.oras(&["repo", "tags", "--oci-layout"]).arg(&exported.0));
    assert_eq!(names.lines().collect::<Vec<_>>(), IMAGES.map(|(_, name)| format!("{HOST}/{name}")));
    let discovering = ["discover", "--format=json", "--oci-layout"];
    let found = process::json(exported.oras(&discovering).arg(exported.by_digest(&index)));
    let referrers = found["referrers"].as_array().map(|list| list.iter().map(|r| &r["artifactType"]));
    assert_eq!(referrers.into_iter().flatten().collect::<Vec<&Value>>(), [SBOM], "{found}");

    // What crane and oras make of it elsewhere is what the vendor had, with what was attached.
    for repository in ["copy/crane", "copy/oras"] {
        let target = format!("{}/{repository}", registry.authority());
        match repository {
            "copy/crane" => exported.is_pushed_by_crane(&target, &IMAGES.map(|(tag, _)| images.digest(tag))),
            _ => exported.is_copied_by_oras(&index, &target),
        }
        let compared = registry.repository(repository).compared_with(
            &registry.repository("acme/app"),
            &index,
            &ARCHITECTURES,
        );
        assert_eq!((compared.manifests.len(), compared.referrers.len()), (4, 1), "{compared:?}");
    }
}

/// An exported layout, for the tools of others.
struct Exported(PathBuf);

impl Exported {
    /// By its name, with all platforms.
    fn is_read_by_skopeo(&self, name: &str, images: &Layout, tag: &str) {
        let dir = scratch();
        let copy = Layout::new(dir.path());
        let source = format!("oci:{}:{name}", self.0.display());
        let raw = process::run(skopeo(Side::Vendor).args(["inspect", "--raw", &source]));
        assert!(raw == images.blob(&images.digest(tag)), "skopeo reads another {name}");
        let target = format!("oci:{}:copy", copy.dir().display());
        let copying = ["copy", "--all", "--preserve-digests", &source, &target];
        process::run(skopeo(Side::Vendor).args(copying));
        for architecture in ARCHITECTURES {
            let blobs = copy.closure(&copy.digest("copy"), architecture);
            assert_eq!(blobs, images.closure(&images.digest(tag), architecture), "{name}");
            for digest in blobs {
                assert!(
                    copy.blob(&digest) == images.blob(&digest),
                    "skopeo reads another {digest} of {name}"
                );
            }
        }
    }

    /// By its name, and by its digest.
    fn is_read_by_oras(&self, name: &str, images: &Layout, tag: &str) {
        let digest = images.digest(tag);
        let resolved = process::text(self.oras(&["resolve", "--oci-layout-path"]).arg(&self.0).arg(name));
        assert_eq!(resolved.trim(), digest, "oras finds another {name}");
        let fetching = ["manifest", "fetch", "--oci-layout"];
        let manifest = process::run(self.oras(&fetching).arg(self.by_digest(&digest)));
        assert!(manifest == images.blob(&digest), "oras reads another {name}");
    }

    /// As a whole, for crane can only push a layout; then it looks at the images that it pushed.
    fn is_pushed_by_crane(&self, repository: &str, images: &[String]) {
        let crane = || Command::new(peers::tool("crane"));
        process::run(crane().args(["push", "--insecure", "--index"]).arg(&self.0).arg(repository));
        for digest in images {
            let image = format!("{repository}@{digest}");
            process::run(crane().args(["validate", "--insecure", "--remote", &image]));
        }
    }

    /// One image with all that refers to it.
    fn is_copied_by_oras(&self, digest: &str, target: &str) {
        let copying = ["cp", "--recursive", "--to-plain-http", "--from-oci-layout"];
        process::run(self.oras(&copying).arg(self.by_digest(digest)).arg(target));
    }

    fn oras(&self, arguments: &[&str]) -> Command {
        let mut oras = Command::new(peers::tool("oras"));
        oras.args(arguments).env("DOCKER_CONFIG", &self.0);
        oras
    }

    fn by_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.0.display())
    }
}

fn attach_sbom(vendor: &Vendor, image: &str) {
    fixture::write(&vendor.path("sbom.json"), br#"{"spdxVersion":"SPDX-2.3"}"#);
    let mut oras = Command::new(peers::tool("oras"));
    oras.current_dir(vendor.path("")).args(["attach", "--plain-http", "--artifact-type", SBOM, image]);
    process::run(oras.arg(format!("sbom.json:{SBOM}")));
}

/// A vendor and the archive of a release whose images lie in a layout.
fn packed() -> (Vendor, PathBuf) {
    let vendor = Vendor::new(&ACME);
    let dir = fixture::images().dir().display().to_string();
    let archive = bundle(&vendor, |tag, _| format!("ociLayout: '{dir}', reference: {tag}"));
    (vendor, archive)
}

/// Bundles the images, a file and a folder for Git; `source` says where an image comes from, by its tag and name.
fn bundle(vendor: &Vendor, source: impl Fn(&str, &str) -> String) -> PathBuf {
    fixture::write_git_folder(&vendor.path("gitops"));
    fixture::write(&vendor.path("README.txt"), &b"words ".repeat(1000));
    let image = |(tag, name)| format!("- {{{}, name: '{HOST}/{name}'}}\n", source(tag, name));
    let images = IMAGES.map(image).concat();
    let rest = format!(
        "images:\n{images}git:\n- {{name: fleet, path: gitops}}\nfiles:\n- {{name: docs/README.txt, path: README.txt}}\n"
    );
    let platforms = ARCHITECTURES.map(|name| format!("linux/{name}")).join(", ");
    vendor.define_for(&format!("[{platforms}]"), "1.0.0", 1, &rest);
    vendor.lock();
    vendor.bundle()
}

/// Runs a script that has nothing to complain about; returns what it prints.
fn quietly(script: &str, arguments: &[&Path]) -> String {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script, "stock-tool"]).args(arguments);
    let ended = process::finish(&bash).expect(0);
    assert_eq!(ended.stderr(), "", "{ended}");
    ended.stdout()
}
