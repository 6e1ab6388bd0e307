//! A machine that setup makes an appliance of: system disk, data disk and image are folders.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use sealift_tests::trust::ACME;
use sealift_tests::{Tree, Trust, Vendor, binaries, fixture, layout, process, scratch};
use tempfile::TempDir;

use crate::repository;

const STAND_INS: &str = "tests/e2e/appliance/setup/stand-in";
/// Who the store belongs to.
const SEALIFT_UID: u32 = 800;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const K3S: &str = include_str!("../../../../importer/tests/k3s/stand-in/k3s");
const INSTALL: &str = include_str!("../../../../importer/tests/k3s/stand-in/install.sh");
const K3S_VERSION: &str = "v1.36.4+k3s1";
/// What k3s's stand-in is asked besides.
const APPLY: &str = "\"kubectl apply --server-side --force-conflicts -f -\")\n    \
    [ -f \"$active\" ] || die \"connection refused\"\n    mkdir -p /var/lib/rancher/applied\n    \
    cat >/run/applied\n    cp /run/applied \"/var/lib/rancher/applied/$(sha256sum </run/applied | cut -c1-16)\" ;;\n";
/// What is on the data disk.
const FOLDERS: [&str; 5] = ["sealift", "registry", "rancher", "etc-sealift", "etc-rancher"];

/// Our programs, and the stand-ins, as the image has them below `/usr`.
static PROGRAMS: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = scratch();
    for program in ["sealiftctl", "sealift-registry"] {
        install(&binaries::path(program), &dir.path().join("bin").join(program), 0o755);
    }
    let stand_in = |name: &str| repository(STAND_INS).join(name);
    for name in ["systemctl", "hostname", "networkctl"] {
        install(&stand_in(name), &dir.path().join("bin").join(name), 0o755);
    }
    install(&stand_in("fault"), &dir.path().join("lib/stand-in/fault"), 0o644);
    dir
});

/// A release with k3s, and one with Flux besides.
pub(crate) static RELEASES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    static VENDOR: LazyLock<Vendor> = LazyLock::new(|| Vendor::new(&ACME));
    let vendor = &*VENDOR;
    write_k3s(&vendor.path("k3s"));
    vendor.offer("rancher/mirrored-pause", "3.10.2", LAYER, &[b"pause".to_vec()]);
    let pause =
        vendor.image("rancher/mirrored-pause:3.10.2").replace(sealift_tests::vendor::HOST, "docker.io");
    for name in ["components", "sync-single-node", "sync-ha-3node"] {
        fixture::write(&vendor.path(format!("flux/{name}.yaml")), format!("# {name}\n").as_bytes());
    }
    let script = layout::digest(&fs_err::read(vendor.path("k3s/install.sh")).expect("a file"));
    let k3s = format!(
        "kubernetes:\n  distribution: k3s\n  version: {K3S_VERSION}\n  files:\n    checksums: k3s/sha256sum-amd64.txt\n    \
         binary: k3s/k3s\n    images: k3s/k3s-images.txt\n    installScript: {{path: k3s/install.sh, sha256: '{}'}}\nimages:\n{pause}",
        layout::hex_of(&script)
    );
    let flux = "files:\n- {name: flux/components.yaml, path: flux/components.yaml}\n\
                - {name: flux/sync-single-node.yaml, path: flux/sync-single-node.yaml}\n\
                - {name: flux/sync-ha-3node.yaml, path: flux/sync-ha-3node.yaml}\n";
    [("1.0.0", 1, k3s.clone()), ("1.1.0", 2, format!("upgradeFrom: [1.0.0]\n{k3s}{flux}"))].map(
        |(version, sequence, rest)| {
            vendor.define(version, sequence, &rest);
            vendor.lock();
            vendor.bundle()
        },
    )
});

fn write_k3s(dir: &Path) {
    let faults = ". /usr/lib/stand-in/fault\nroot=\n";
    let program = K3S.replace("@VERSION@", K3S_VERSION).replacen("server=", &format!("{faults}server="), 1);
    let program = program.replace("*) die \"unknown", &format!("{APPLY}*) die \"unknown"));
    fixture::write(&dir.join("k3s"), program.as_bytes());
    fixture::write(&dir.join("install.sh"), INSTALL.replace("@VERSION@", K3S_VERSION).as_bytes());
    let images = b"docker.io/rancher/mirrored-pause:3.10.2\n";
    fixture::write(&dir.join("k3s-images.txt"), images);
    let hex = |bytes: &[u8]| layout::hex_of(&layout::digest(bytes)).to_owned();
    let sums = format!("{}  k3s\n{}  k3s-images.txt\n", hex(program.as_bytes()), hex(images));
    fixture::write(&dir.join("sha256sum-amd64.txt"), sums.as_bytes());
}

fn install(from: &Path, to: &Path, mode: u32) {
    fs_err::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    fs_err::copy(from, to).expect("a file");
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

/// A machine.
pub(crate) struct Machine {
    dir: TempDir,
    data: TempDir,
}

impl Machine {
    /// With a data disk that is empty, and a seed.
    pub(crate) fn new(id: &str, releases: &[&Path], seed: &str) -> Self {
        let machine = Self { dir: scratch(), data: scratch() };
        for folder in FOLDERS {
            fs_err::create_dir(machine.data(folder)).expect("a folder");
        }
        // As systemd-tmpfiles does.
        chown(machine.data("sealift"), Some(SEALIFT_UID), Some(SEALIFT_UID)).expect("a change of owner");
        machine.install_system(id, releases, &ACME);
        machine.seed(seed);
        machine
    }

    /// With a new system disk in place of the one that it had.
    pub(crate) fn with_system(self, id: &str, releases: &[&Path], trust: &Trust) -> Self {
        let machine = Self { dir: scratch(), data: self.data };
        machine.install_system(id, releases, trust);
        machine
    }

    fn install_system(&self, id: &str, releases: &[&Path], trust: &Trust) {
        for folder in [
            "root/usr",
            "root/proc",
            "root/dev",
            "root/run",
            "root/tmp",
            "root/root",
            "root/etc/rancher",
            "root/etc/sealift",
            "root/etc/systemd/system",
            "root/var/lib/sealift",
            "root/var/lib/sealift-registry",
            "root/var/lib/rancher",
            "root/var/lib/cloud/instance",
            "root/sys/class/net/eth0/device",
            "usr-local/bin",
            "image/share/sealift/releases",
            "image/share/sealift/trust",
            "image/local",
            "image/lib/stand-in",
        ] {
            fs_err::create_dir_all(self.path(folder)).expect("a folder");
        }
        for dir in [self.dir.path(), &self.path("root"), self.data.path()] {
            fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), self.root(link)).expect("a link");
        }
        for (name, text) in [
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nsealift:x:800:800::/:/bin/false\n"),
            ("etc/group", "root:x:0:\nsealift:x:800:\n"),
            ("etc/machine-id", &format!("{id:0>32}\n")),
            ("etc/hostname", "localhost\n"),
        ] {
            fs_err::write(self.root(name), text).expect("a file");
        }
        trust.write_root(&self.path("image/share/sealift/trust"));
        let rules = repository("cloud-init/image/usr/share/sealift/nftables/online.nft");
        install(&rules, &self.path("image/share/sealift/nftables/online.nft"), 0o644);
        for release in releases {
            let name = release.file_name().expect("a name");
            install(release, &self.path("image/share/sealift/releases").join(name), 0o644);
        }
    }

    /// Puts a seed where cloud-init leaves it.
    pub(crate) fn seed(&self, text: &str) {
        let path = self.root("var/lib/cloud/instance/cloud-config.txt");
        fs_err::write(
            path,
            format!("#cloud-config\n# from 1 files\n# part-001\n\n---\nsealift: {text}\n...\n"),
        )
        .expect("a seed");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.path("root").join(name)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub(crate) fn read(&self, path: &Path) -> String {
        fs_err::read_to_string(path).unwrap_or_else(|error| panic!("{error}; {:?}", self.calls()))
    }

    /// A program on this machine.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--net", "--propagation", "private", "--"]);
        command.arg(repository(STAND_INS).join("launch")).arg(self.dir.path()).arg(self.data.path());
        command.arg(PROGRAMS.path()).args(words).env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        for name in ["SEALIFT_STORE", "SEALIFT_CONFIG"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn setup(&self, more: &[&str]) -> Command {
        self.command(&[&["/usr/bin/sealiftctl", "setup"], more].concat())
    }

    /// Somebody at the console, who answers each question.
    pub(crate) fn console(&self, script: &[(&str, &str)], more: &[&str]) -> Command {
        let setup = self.setup(more);
        let mut command = Command::new(repository(STAND_INS).join("typist"));
        command
            .arg(serde_json::to_string(script).expect("JSON"))
            .arg(setup.get_program())
            .args(setup.get_args());
        command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// What the stand-ins were asked.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs_err::read_to_string(self.root("run/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Lets the nth call of a stand-in from now on go wrong.
    pub(crate) fn fault(&self, call: usize, mode: &str) {
        for (name, text) in [("count", "0"), ("fault-at", &call.to_string()), ("fault-mode", mode)] {
            fs_err::write(self.root("run").join(name), text).expect("a file");
        }
    }

    /// Forgets what a machine forgets when it is switched off; k3s is started by systemd at the next start.
    pub(crate) fn boot_again(&self) {
        for name in ["count", "calls", "fault-at"] {
            let _ = fs_err::remove_file(self.root("run").join(name));
        }
    }

    /// Everything that has to be the same however often setup was cut off: contents where they are the same each time, else names.
    pub(crate) fn standing(&self) -> (Tree, Vec<String>) {
        let system = Tree::read(&self.path("root")).without("run");
        let local = Tree::read(&self.path("usr-local"));
        let [sealift, rancher] = ["etc-sealift", "etc-rancher"].map(|name| Tree::read(&self.data(name)));
        let mut all = system;
        all.join("usr-local", &local);
        all.join("data/etc-sealift", &sealift);
        all.join("data/etc-rancher", &rancher.without("k3s/token"));
        let mut names = Vec::new();
        for folder in ["sealift", "registry", "rancher"] {
            names.extend(
                Tree::read(&self.data(folder)).names().into_iter().map(|name| format!("{folder}/{name}")),
            );
        }
        (all, names)
    }
}

pub(crate) fn finish(command: &Command) -> process::Ended {
    process::finish(command)
}
