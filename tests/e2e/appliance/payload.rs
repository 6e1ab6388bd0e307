//! What goes into the image, as `packer/prepare` gathers it; and the units in it, as systemd reads them.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::{Tree, peers, process, scratch};
use serde_json::Value;
use tempfile::TempDir;

use crate::repository;

/// A number that stays the same for ever: data disks carry it.
const SEALIFT_UID: &str = "800";

struct Payload {
    dir: TempDir,
}

impl Payload {
    fn new() -> Self {
        let dir = scratch();
        let path = |name: &str| dir.path().join(name);
        fs_err::create_dir(path("programs")).expect("a folder");
        for program in ["sealiftctl", "sealift-registry"] {
            let text = format!("#!/bin/sh\necho '{program} 1.2.3'\n");
            fs_err::write(path("programs").join(program), text).expect("a file");
            process::run(Command::new("chmod").arg("755").arg(path("programs").join(program)));
        }
        // As `sealift trust init` leaves it: keys beside what is public.
        fs_err::create_dir_all(path("trust/signatures")).expect("a folder");
        for name in ["trust/root.json", "trust/signatures/1.json"] {
            fs_err::write(path(name), "{}").expect("a file");
        }
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-f"];
        process::run(Command::new("ssh-keygen").args(keygen).arg(path("trust/release.key")));
        fs_err::write(path("acme-1.0.0.tar.zst"), "a release").expect("a file");
        let payload = Self { dir };
        payload.prepare("work");
        fs_err::create_dir(payload.path("unpacked")).expect("a folder");
        let mut unpack = Command::new("tar");
        unpack.arg("-C").arg(payload.path("unpacked")).arg("-xf").arg(payload.path("work/payload.tar"));
        process::run(&mut unpack);
        payload
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("unpacked/root")
    }

    fn prepare(&self, out: &str) {
        let mut prepare = Command::new(repository("packer/prepare"));
        prepare.arg("--binaries").arg(self.path("programs")).arg("--trust").arg(self.path("trust"));
        prepare.arg("--release").arg(self.path("acme-1.0.0.tar.zst")).arg(self.path(out));
        process::run(&mut prepare);
    }

    /// The units of the image and those that its fstab becomes, with programs that this machine has.
    fn units(&self) -> PathBuf {
        let units = self.path("units");
        let made = [units.clone(), self.path("early"), self.path("late")];
        for dir in &made {
            fs_err::create_dir(dir).expect("a folder");
        }
        let generator = Path::new("/usr/lib/systemd/system-generators/systemd-fstab-generator");
        process::run(
            Command::new(generator)
                .args(&made)
                .env("SYSTEMD_FSTAB", self.root().join("usr/share/sealift/fstab")),
        );
        for entry in fs_err::read_dir(self.root().join("usr/lib/systemd/system")).expect("units") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // Additions to units of the distribution.
                continue;
            }
            let text = fs_err::read_to_string(&path).expect("a unit");
            let programs = self.path("programs").display().to_string();
            let text = text.replace("/usr/bin/sealift", &format!("{programs}/sealift"));
            let text =
                text.replace("/usr/lib/sealift/", &format!("{}/usr/lib/sealift/", self.root().display()));
            fs_err::write(units.join(path.file_name().expect("a name")), text).expect("a file");
        }
        units
    }
}

#[test]
fn a_payload_has_what_the_image_needs_and_no_key() {
    let payload = Payload::new();
    let names = Tree::read(&payload.root()).names();
    for name in [
        "usr/bin/sealiftctl",
        "usr/bin/sealift-registry",
        "usr/lib/systemd/system/sealift-registry.socket",
        "usr/lib/systemd/system/sealift-mirror.timer",
        "usr/lib/systemd/system/sealift-media@.service",
        "usr/lib/systemd/system/sealift-first-boot.service",
        "usr/lib/udev/rules.d/90-sealift-media.rules",
        "usr/lib/tmpfiles.d/sealift.conf",
        "usr/share/sealift/trust/root.json",
        "usr/share/sealift/trust/signatures/1.json",
        "usr/share/sealift/releases/acme-1.0.0.tar.zst",
    ] {
        assert!(names.iter().any(|there| there == name), "{name}: {names:?}");
    }
    let keys: Vec<&String> = names.iter().filter(|name| name.contains(".key")).collect();
    assert!(keys.is_empty(), "{keys:?}");
    process::finish(Command::new(repository("packer/scan")).arg(payload.root())).expect(0);
    // The release's keys lie right beside what is taken.
    process::finish(Command::new(repository("packer/scan")).arg(payload.path("trust"))).expect(1);
}

#[test]
fn the_same_content_makes_the_same_payload() {
    let payload = Payload::new();
    payload.prepare("again");
    let [first, second] =
        ["work", "again"].map(|out| fs_err::read(payload.path(out).join("payload.tar")).expect("a payload"));
    assert!(first == second, "two payloads differ");
    let [first, second] =
        ["work", "again"].map(|out| fs_err::read(payload.path(out).join("build.key")).expect("a key"));
    assert!(first != second, "a key that lives for one build is used twice");
}

#[test]
fn what_is_there_already_is_not_added_to() {
    let payload = Payload::new();
    let mut prepare = Command::new(repository("packer/prepare"));
    prepare
        .arg("--binaries")
        .arg(payload.path("programs"))
        .arg("--trust")
        .arg(payload.path("trust"))
        .arg(payload.path("work"));
    assert!(process::refusal(&mut prepare).contains("is there already"));
    let mut prepare = Command::new(repository("packer/prepare"));
    prepare
        .arg("--binaries")
        .arg(payload.path("trust"))
        .arg("--trust")
        .arg(payload.path("trust"))
        .arg(payload.path("new"));
    assert!(process::refusal(&mut prepare).contains("make build"));
    assert!(!payload.path("new").exists(), "half a payload stays");
}

#[test]
fn systemd_understands_the_units_and_the_mounts() {
    let payload = Payload::new();
    let units = payload.units();
    let mut verify = Command::new(peers::tool("systemd-analyze"));
    verify.args(["--no-pager", "--man=no", "verify"]);
    for name in [
        "sealift-data.service",
        "sealift-firewall.service",
        "sealift-first-boot.service",
        "data.mount",
        "etc-sealift.mount",
        "etc-rancher.mount",
        "var-lib-sealift.mount",
        "var-lib-sealift\\x2dregistry.mount",
        "var-lib-rancher.mount",
    ] {
        verify.arg(units.join(name));
    }
    let ended = process::finish(&verify).expect(0);
    let ours: Vec<String> =
        ended.stderr().lines().filter(|line| line.contains("sealift")).map(Into::into).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    let data = fs_err::read_to_string(units.join("data.mount")).expect("the unit");
    assert!(
        data.contains("\nRequires=sealift-data.service\n") && data.contains("\nAfter=sealift-data.service\n"),
        "{data}"
    );
    assert!(
        units.join("systemd-growfs@data.service").symlink_metadata().is_ok(),
        "the data disk does not grow"
    );
}

/// Without it, an image would boot and wait for ever.
#[test]
fn the_first_boot_is_switched_on_and_asks_at_the_console() {
    let steps = fs_err::read_to_string(repository("packer/provision/60-network.sh")).expect("a step");
    let enables =
        |line: &str| line.starts_with("systemctl enable ") && line.contains(" sealift-first-boot.service");
    assert!(steps.lines().any(enables), "{steps}");
    let unit = repository("cloud-init/image/usr/lib/systemd/system/sealift-first-boot.service");
    let unit = fs_err::read_to_string(unit).expect("the unit");
    for line in ["StandardInput=tty", "ExecStart=/usr/bin/sealiftctl setup", "WantedBy=multi-user.target"] {
        assert!(unit.lines().any(|known| known == line), "{line}: {unit}");
    }
    assert!(unit.lines().any(|line| line.starts_with("Before=getty@tty1.service")), "{unit}");
}

#[test]
fn the_user_has_the_number_that_data_disks_carry() {
    let payload = Payload::new();
    let root = format!("--root={}", payload.root().display());
    let said = process::finish(Command::new(peers::tool("systemd-sysusers")).arg(root)).expect(0).stderr();
    assert!(!said.contains("onflict"), "{said}");
    let accounts = fs_err::read_to_string(payload.root().join("etc/passwd")).expect("accounts");
    assert!(accounts.contains(&format!("sealift:x:{SEALIFT_UID}:{SEALIFT_UID}:")), "{accounts}");
    let rules =
        fs_err::read_to_string(payload.root().join("usr/share/sealift/nftables/online.nft")).expect("rules");
    assert!(rules.contains(&format!("skuid {SEALIFT_UID} ")), "{rules}");
}

/// On this machine, whose packages are Debian's too.
#[test]
fn the_record_names_every_package() {
    let payload = Payload::new();
    let out = payload.path("record");
    let mut record = Command::new("sh");
    record.arg(repository("packer/provision/80-record.sh"));
    let path = std::env::var("PATH").unwrap_or_default();
    record.env("PATH", format!("{}:{path}", payload.path("programs").display()));
    record.env("SEALIFT_WORK", payload.path("unpacked")).env("SEALIFT_RECORD", &out);
    record.env("SEALIFT_FROM", "ubuntu \"24.04\".iso").env("SEALIFT_FROM_CHECKSUM", "sha256:00");
    process::run(&mut record);
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs_err::read(out.join(name)).expect("a record")).expect("JSON")
    };

    let build = read("build.json");
    assert_eq!(build["from"]["url"], "ubuntu \"24.04\".iso");
    assert_eq!(build["programs"][0]["version"], "sealiftctl 1.2.3");
    assert!(build["commit"].as_str().is_some_and(|commit| commit.len() >= 7), "{build}");

    let packages = read("packages.cdx.json");
    let listed = packages["components"].as_array().expect("packages");
    let query = ["--show", "--showformat", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"];
    let installed = process::text(Command::new("dpkg-query").args(query));
    let installed: Vec<&str> = installed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    assert_eq!(listed.len(), installed.len());
    assert_eq!(build["packages"]["count"], installed.len());
    for package in listed {
        let [name, version, purl] = ["name", "version", "purl"]
            .map(|key| package[key].as_str().unwrap_or_else(|| panic!("{package}")));
        assert!(installed.iter().any(|line| line.starts_with(&format!("{name} {version} "))), "{package}");
        let encoded = version.replace('+', "%2B").replace(':', "%3A");
        assert!(purl.contains(&format!("@{encoded}?arch=")), "{purl}");
    }
}
