//! A real release crosses a real gap: from a vendor's registry into one file, and out of it again to containerd,
//! skopeo and git on a machine that reaches nobody.
//!
//! Every byte is compared with what the vendor had, and every packet that tries to leave the appliance is counted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::containerd::write_hosts_toml;
use sealift_tests::process::{self, Daemon};
use sealift_tests::registry::skopeo;
use sealift_tests::{
    Containerd, Layout, Namespace, Registry, Side, binaries, fixture, layout, peers, scratch,
};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery staple";
/// The platform that the release asks for, and the other one that the fixture's index has.
const ARCHITECTURE: &str = "amd64";
const OTHER_ARCHITECTURE: &str = "arm64";

/// The registry that the images are known by. Nobody answers for it, on either side of the gap.
const HOST: &str = "registry.example.com";
/// The images of the release: the fixture's tag, and the repository and tag at [`HOST`].
const IMAGES: [(&str, &str); 3] =
    [("app", "acme/app:1.0"), ("worker", "acme/worker:1.0"), ("tools", "acme/tools:1.0")];

/// Where the appliance serves; free for sure, because the namespace is new.
const SHIM: &str = "127.0.0.1:5443";

#[test]
fn a_release_crosses_the_gap_unchanged() {
    let images = fixture::images();
    let appliance = Namespace::new();

    let vendor = Vendor::with_registry(&images);
    let bundle = vendor.bundle();
    let content = unpack_with_stock_tools(&bundle);
    bundle_holds_what_was_asked_for(content.path(), &images);
    let stick = Stick::carry(&bundle, &vendor);
    // From here on there is no vendor any more.
    drop(vendor);

    let store = scratch();
    import(&stick, store.path(), &appliance);
    let work = scratch();
    let _shim = serve(store.path(), work.path(), &appliance);
    containerd_pulls_and_runs(&images, &appliance);
    skopeo_copies(&images, &appliance);
    git_clones_by_every_protocol(&appliance);

    assert_eq!(appliance.escaped_packets(), 0, "something on the appliance tried to leave");
    // The same counter, in the same namespace, does see an attempt.
    process::attempt(appliance.command("timeout").args([
        "1",
        "bash",
        "-c",
        "echo > /dev/tcp/198.51.100.7/443",
    ]));
    assert!(appliance.escaped_packets() > 0, "the counter is blind");
}

/// A vendor's workplace: keys, a release definition, and a registry with what it names.
struct Vendor {
    registry: Registry<'static>,
    dir: TempDir,
}

impl Vendor {
    /// A vendor whose registry has `app` and `worker`; `tools` lies in a layout.
    fn with_registry(images: &Layout) -> Self {
        let registry = Registry::start(Side::Vendor);
        registry.push(images, "app", "acme/app:1.0");
        registry.push(images, "worker", "acme/worker:1.0");
        let vendor = Self { registry, dir: scratch() };
        fixture::write_git_folder(&vendor.path("gitops"));
        fs_err::write(vendor.path("RELEASE.yaml"), vendor.definition(images))
            .expect("the release definition");
        vendor
    }

    /// Makes keys, pins what the release names, packs it and checks it; returns the bundle.
    fn bundle(&self) -> PathBuf {
        process::run(self.sealift().args(["trust", "init", "trust"]));
        process::run(self.sealift().args(["lock", "RELEASE.yaml"]));
        assert!(self.path("RELEASE.lock.json").is_file(), "the lock lies beside the definition");
        process::run(self.sealift().args([
            "bundle",
            "RELEASE.yaml",
            "--trust=trust/root.json",
            "--release-key=trust/release.key",
            "--pack-key=trust/pack.key",
            "-o",
            "out/",
        ]));
        let bundle = self.path("out/acme-appliance-1.0.0.tar.zst");
        process::run(self.sealift().arg("verify").arg(&bundle).arg("--trust=trust/root.json"));
        let facts = process::run(self.sealift().args(["inspect", "--json"]).arg(&bundle));
        let facts: serde_json::Value = serde_json::from_slice(&facts).expect("`inspect --json` prints JSON");
        assert!(facts.to_string().contains("acme-appliance"), "{facts}");
        bundle
    }

    fn definition(&self, images: &Layout) -> String {
        let registry = self.registry.authority();
        let layout = images.dir().display();
        format!(
            "apiVersion: sealift/v1\n\
             kind: Release\n\
             product: acme-appliance\n\
             version: 1.0.0\n\
             sequence: 1\n\
             platforms: [linux/{ARCHITECTURE}]\n\
             images:\n\
             - {{reference: '{registry}/acme/app:1.0', name: '{HOST}/acme/app:1.0'}}\n\
             - {{reference: '{registry}/acme/worker:1.0', name: '{HOST}/acme/worker:1.0'}}\n\
             - {{ociLayout: '{layout}', reference: tools, name: '{HOST}/acme/tools:1.0'}}\n\
             git:\n\
             - {{name: fleet, path: gitops, branch: main}}\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sealift(&self) -> Command {
        let mut command = Command::new(binaries::path("sealift"));
        command.env("COSIGN_PASSWORD", PASSWORD).current_dir(self.dir.path());
        command
    }
}

/// What the courier carries: the bundle, and the root of trust for an appliance that has none yet.
struct Stick {
    bundle: PathBuf,
    root: PathBuf,
    _dir: TempDir,
}

impl Stick {
    fn carry(bundle: &Path, vendor: &Vendor) -> Self {
        let dir = scratch();
        let carry = |from: &Path| {
            let to = dir.path().join(from.file_name().expect("a file has a name"));
            fs_err::copy(from, &to).expect("room on the stick");
            to
        };
        Self { bundle: carry(bundle), root: carry(&vendor.path("trust/root.json")), _dir: dir }
    }
}

/// The content of `bundle` as a directory: nobody needs our programs to get at it.
fn unpack_with_stock_tools(bundle: &Path) -> TempDir {
    process::run(Command::new(peers::tool("zstd")).arg("--test").arg(bundle));
    let content = scratch();
    let script = "set -o pipefail; zstd --decompress --stdout \"$1\" | tar --extract --directory \"$2\"";
    process::run(Command::new("bash").args(["-c", script, "unpack"]).arg(bundle).arg(content.path()));
    content
}

fn bundle_holds_what_was_asked_for(content: &Path, images: &Layout) {
    for name in ["pack.json", "releases/1/release.json", "root/1.json"] {
        assert!(content.join(name).is_file(), "the bundle has no `{name}`");
    }
    let blob = |digest| content.join("blobs/sha256").join(layout::hex_of(digest));
    let wanted = wanted(images);
    for digest in &wanted {
        let carried = fs_err::read(blob(digest)).expect("the bundle has the blob");
        assert!(carried == images.blob(digest), "`{digest}` is another in the bundle");
    }
    // The index names the other platform's manifest too, which stays behind.
    let other_platform = images.closure(&images.digest("app"), OTHER_ARCHITECTURE);
    for digest in other_platform.difference(&wanted) {
        assert!(!blob(digest).exists(), "`{digest}` was not asked for");
    }
}

/// The appliance takes the release from the stick and makes it the active one.
fn import(stick: &Stick, store: &Path, appliance: &Namespace) {
    let sealiftctl = || {
        let mut command = appliance.command(binaries::path("sealiftctl"));
        command.arg("--store").arg(store);
        command
    };
    process::run(sealiftctl().args(["trust", "pin"]).arg(&stick.root));
    process::run(sealiftctl().arg("import").arg(&stick.bundle).arg("--activate"));
    process::run(sealiftctl().arg("verify"));
    let status = process::text(sealiftctl().args(["status", "--json"]));
    assert!(status.contains("1.0.0"), "{status}");
}

fn serve(store: &Path, log_dir: &Path, appliance: &Namespace) -> Daemon {
    let mut command = appliance.command(binaries::path("sealift-registry"));
    command.arg("--store").arg(store).args(["--listen", SHIM]);
    let mut shim = Daemon::start("sealift-registry", &command, log_dir);
    let health = format!("http://{SHIM}/healthz");
    shim.await_ready(|_| {
        let curl = ["--fail", "--silent", "--noproxy", "*", &health];
        process::attempt(appliance.command(peers::tool("curl")).args(curl))
    });
    shim
}

/// By their own names, as Kubernetes would.
fn containerd_pulls_and_runs(images: &Layout, appliance: &Namespace) {
    let containerd = Containerd::start(appliance);
    let hosts = scratch();
    write_hosts_toml(hosts.path(), HOST, &format!("http://{SHIM}"));
    for (tag, name) in IMAGES {
        let name = format!("{HOST}/{name}");
        containerd.pull(&name, hosts.path());
        assert_eq!(containerd.digest(&name), images.digest(tag), "{name}");
        for digest in images.closure(&images.digest(tag), ARCHITECTURE) {
            assert!(containerd.blob(&digest) == images.blob(&digest), "{name}: `{digest}` arrived changed");
        }
    }
    assert_eq!(containerd.run(&format!("{HOST}/acme/app:1.0")), fixture::GREETING);
}

/// From the appliance's registry by its address, with the original host as the first part of the path.
fn skopeo_copies(images: &Layout, appliance: &Namespace) {
    let dir = scratch();
    for (tag, name) in IMAGES {
        let source = format!("docker://{SHIM}/{HOST}/{name}");
        let manifest = process::run(skopeo(Side::Appliance(appliance)).args([
            "inspect",
            "--raw",
            "--tls-verify=false",
            &source,
        ]));
        assert!(manifest == images.blob(&images.digest(tag)), "{name}: the manifest is another");

        let copy = Layout::new(dir.path().join(tag));
        process::run(
            skopeo(Side::Appliance(appliance))
                .args(["copy", "--preserve-digests", "--src-tls-verify=false", &source])
                .arg(format!("oci:{}:{tag}", copy.dir().display())),
        );
        // Of an index, skopeo copies the manifest of its own platform.
        let copied = copy.closure(&copy.digest(tag), ARCHITECTURE);
        assert!(copied.is_subset(&images.closure(&images.digest(tag), ARCHITECTURE)), "{name}: {copied:?}");
        for digest in copied {
            assert!(copy.blob(&digest) == images.blob(&digest), "{name}: `{digest}` arrived changed");
        }
    }
}

fn git_clones_by_every_protocol(appliance: &Namespace) {
    let dir = scratch();
    let git = |arguments: &[&str]| {
        let mut command = appliance.command(peers::tool("git"));
        command.args(arguments).current_dir(dir.path());
        // Neither this machine's configuration nor this user's.
        command.env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command
    };
    let url = format!("http://{SHIM}/git/fleet.git");
    let mut commits = BTreeSet::new();
    for (version, speaks_v2) in [("0", false), ("2", true)] {
        let trace = dir.path().join(format!("trace-{version}"));
        let protocol = format!("protocol.version={version}");
        process::run(git(&["-c", &protocol, "clone", &url, version]).env("GIT_TRACE_PACKET", &trace));
        let said_v2 = fs_err::read_to_string(&trace).expect("git traces").contains("clone< version 2");
        assert_eq!(said_v2, speaks_v2, "protocol version {version}");

        process::run(&mut git(&["-C", version, "fsck", "--strict"]));
        assert_eq!(process::text(&mut git(&["-C", version, "branch", "--show-current"])), "main\n");
        let files = process::text(&mut git(&["-C", version, "ls-files", "-z"]));
        let files: BTreeSet<_> = files.split_terminator('\0').collect();
        assert_eq!(files, fixture::GIT_FILES.iter().map(|(name, _)| *name).collect());
        for (name, content) in fixture::GIT_FILES {
            let cloned = fs_err::read(dir.path().join(version).join(name)).expect("a cloned file");
            assert!(cloned == content, "`{name}` arrived changed");
        }
        commits.insert(process::text(&mut git(&["-C", version, "rev-list", "HEAD"])));
    }
    assert_eq!(commits.len(), 1, "both protocols give the same history: {commits:?}");
    assert!(commits.iter().all(|history| history.lines().count() == 1), "one parentless commit: {commits:?}");
}

/// All that the release needs of the images, each once.
fn wanted(images: &Layout) -> BTreeSet<String> {
    IMAGES.iter().flat_map(|(tag, _)| images.closure(&images.digest(tag), ARCHITECTURE)).collect()
}
