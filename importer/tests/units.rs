//! The units are what systemd takes, and hold the programs in narrow bounds.
//!
//! Debian's package `systemd` has `systemd-analyze`; on a machine without it: `apt-get install systemd`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The highest exposure that a sandboxed service may have, in tenths of systemd's points (0 is none, 100 is `UNSAFE`).
const MAX_EXPOSURE: u32 = 25;

/// The services that are sandboxed.
const SANDBOXED: [&str; 3] =
    ["sealift-mirror.service", "sealift-media@sda1.service", "sealift-cluster.service"];

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("units").join(name)).unwrap()
}

/// All units, with the program that was built in place of the one that will be installed; templates as one of what they make.
fn units(dir: &Path) -> Vec<PathBuf> {
    let program = assert_cmd::cargo::cargo_bin!("sealiftctl").display().to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let copy = |name: String| {
        let copy = dir.join(name.replace("media@", "media@sda1"));
        fs::write(&copy, unit(&name).replace("/usr/bin/sealiftctl", &program)).unwrap();
        copy
    };
    names.filter(|name| Path::new(name).extension() != Some("rules".as_ref())).map(copy).collect()
}

/// Runs `systemd-analyze`, which has to be content and to say nothing.
fn analyze(args: &[&str], units: &[PathBuf]) -> String {
    let output = Command::new("systemd-analyze").args(args).args(units).output();
    let output = output.expect("`systemd-analyze` is missing; run: apt-get install systemd");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

#[test]
fn systemd_takes_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = units(dir.path());
    let said = analyze(&["verify", "--man=no", "--recursive-errors=no"], &units);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("sealift")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    // It does find what is wrong.
    let mirror = dir.path().join(SANDBOXED[0]);
    let text = fs::read_to_string(&mirror).unwrap();
    fs::write(&mirror, text.replace("ProtectHome=true", "ProtectHouse=true")).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&mirror).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectHouse"));
}

#[test]
fn the_services_can_do_little_else() {
    let dir = tempfile::tempdir().unwrap();
    units(dir.path());
    let threshold = format!("--threshold={MAX_EXPOSURE}");
    for service in SANDBOXED {
        let service = dir.path().join(service);
        analyze(&["security", "--offline=true", "--no-pager", &threshold], &[service]);
    }
}

/// Without this section `systemctl enable` does nothing, and after the next start the program is not there.
#[test]
fn what_the_documentation_enables_is_there_after_a_start() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_to_string(workspace.join("docs/operator.md")).unwrap();
    let commands = docs.split("systemctl enable --now ").skip(1);
    let names = commands.flat_map(|rest| {
        let command = rest.split(['\n', '`', '#', '&']).next().unwrap_or_default();
        command.split_whitespace()
    });
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&"sealift-cluster.service"), "{names:?}");
    for name in names {
        let folders =
            ["importer/units", "registry-shim/units"].map(|folder| workspace.join(folder).join(name));
        let path = folders.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no unit `{name}`"));
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("\n[Install]\nWantedBy="), "{name}");
    }
}

#[test]
fn a_stick_is_mounted_so_that_it_can_do_no_harm() {
    let text = unit("sealift-media@.service");
    let lines = |with: &str| text.lines().filter(|line| line.contains(with)).collect::<Vec<_>>();
    let mounts = lines("/usr/bin/mount");
    let [mount] = mounts.as_slice() else { panic!("one mount: {mounts:?}") };
    let words: Vec<&str> = mount.split(' ').collect();
    let after = |option: &str| words[words.iter().position(|word| *word == option).unwrap() + 1];
    let options: Vec<&str> = after("-o").split(',').collect();
    assert_eq!(options, ["ro", "nosuid", "nodev", "noexec", "X-mount.mkdir"]);
    // A journalling file system is written to even when it is mounted to be read.
    assert_eq!(after("-t"), "vfat,exfat,iso9660");
    assert_eq!(words[words.len() - 2..], ["/dev/%i", "/run/sealift/media/%i"]);
    // The unit ends with the device, and takes the mount and the offer with it, also after a failure.
    assert_eq!(lines("BindsTo="), ["BindsTo=dev-%i.device"]);
    assert_eq!(lines("/usr/bin/umount"), ["ExecStopPost=-+/usr/bin/umount --lazy /run/sealift/media/%i"]);
    assert_eq!(lines("media gone"), ["ExecStopPost=-/usr/bin/sealiftctl media gone %i"]);
    // What reads the stick is not root, and a refusal does not end the unit.
    let offer = "ExecStart=-/usr/bin/sealiftctl media offer /run/sealift/media/%i --device=%i";
    assert!(lines("media offer")[0].starts_with(offer));
    assert_eq!(lines("User="), ["User=sealift"]);
}

#[test]
fn only_what_a_person_plugs_in_with_the_label_starts_the_unit() {
    let rules = unit("90-sealift-media.rules");
    let started = |action, subsystem, kernel, label, kind, disc| {
        let device = [
            ("ENV{ID_CDROM_MEDIA}", disc),
            ("ACTION", action),
            ("SUBSYSTEM", subsystem),
            ("KERNEL", kernel),
            ("ENV{ID_FS_LABEL}", label),
            ("ENV{ID_FS_TYPE}", kind),
        ];
        udev::wants(&rules, &device.into())
    };
    let cases = [
        ("add", "block", "sda1", "SEALIFT", "vfat", true),
        ("add", "block", "sdb", "SEALIFT-7", "exfat", true),
        ("change", "block", "sr0", "SEALIFT_1_6", "iso9660", true),
        ("add", "block", "mmcblk0p1", "SEALIFT", "vfat", true),
        ("remove", "block", "sda1", "SEALIFT", "vfat", false),
        ("add", "usb", "sda1", "SEALIFT", "vfat", false),
        ("add", "block", "dm-0", "SEALIFT", "vfat", false),
        ("add", "block", "loop0", "SEALIFT", "vfat", false),
        ("add", "block", "sda1", "EFI", "vfat", false),
        ("add", "block", "sda1", "MYSEALIFT", "vfat", false),
        ("add", "block", "sda1", "", "vfat", false),
        ("add", "block", "sda1", "SEALIFT", "ext4", false),
        ("add", "block", "sda1", "SEALIFT", "xfs", false),
        ("add", "block", "sda1", "SEALIFT", "btrfs", false),
        ("add", "block", "sda1", "SEALIFT", "ntfs", false),
        ("add", "block", "sda1", "SEALIFT", "", false),
    ];
    for (action, subsystem, kernel, label, kind, wanted) in cases {
        let disc = if kernel.starts_with("sr") { "1" } else { "" };
        let found = started(action, subsystem, kernel, label, kind, disc);
        let unit = wanted.then(|| format!("sealift-media@{kernel}.service"));
        assert_eq!(found, unit, "{action} {subsystem} {kernel} {label} {kind}");
    }
    assert_eq!(started("change", "block", "sr0", "SEALIFT", "iso9660", ""), None, "the disc is out");
}

/// The store may lie on a disk that comes late, and a condition is looked at once.
#[test]
fn what_looks_into_the_store_waits_for_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<String> = units(dir.path()).iter().map(|unit| fs::read_to_string(unit).unwrap()).collect();
    let looking = texts.iter().filter(|text| text.contains("=/var/lib/sealift"));
    let waiting = looking.clone().filter(|text| text.contains("RequiresMountsFor=/var/lib/sealift\n"));
    assert_eq!((looking.count(), waiting.count()), (4, 4));
}

/// As much of udev's language (udev(7)) as our rules use; anything else ends the test. Debian 12's udev cannot check rules.
mod udev {
    use std::collections::BTreeMap;

    /// The unit that a device wants, after these rules.
    pub(crate) fn wants(rules: &str, device: &BTreeMap<&str, &str>) -> Option<String> {
        let (mut wanted, mut is_tagged, mut is_ready, mut skip_to) = (None, false, true, None);
        for line in rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let tokens: Vec<(&str, &str, &str)> = line.split(", ").map(token).collect();
            if skip_to.is_some_and(|label| tokens != [("LABEL", "=", label)]) {
                continue;
            }
            skip_to = None;
            let is_met = |(key, operator, value): &(&str, &str, &str)| {
                let of_device = || device.get(key).unwrap_or_else(|| panic!("{line}: `{key}` is not known"));
                match *operator {
                    "==" => fits(value, of_device()),
                    "!=" => !fits(value, of_device()),
                    _ => true,
                }
            };
            if !tokens.iter().all(is_met) {
                continue;
            }
            for (key, operator, value) in tokens {
                match (key, operator) {
                    (_, "==" | "!=") | ("LABEL", "=") => {}
                    ("GOTO", "=") => skip_to = Some(value),
                    ("ENV{SYSTEMD_READY}", "=") => is_ready = value == "1",
                    ("TAG", "+=") => is_tagged |= value == "systemd",
                    ("ENV{SYSTEMD_WANTS}", "+=") => wanted = Some(value.replace("%k", device["KERNEL"])),
                    _ => panic!("{line}: nobody knows `{key}{operator}`"),
                }
            }
        }
        assert_eq!(skip_to, None, "a GOTO without its LABEL");
        // Without the tag, systemd does not hear of the device.
        wanted.filter(|_| is_tagged && is_ready)
    }

    /// `KEY`, operator and value of `KEY=="value"`.
    fn token(text: &str) -> (&str, &str, &str) {
        let end = text.find(['=', '!', '+']).unwrap_or_else(|| panic!("`{text}` is no token"));
        let (key, rest) = text.split_at(end);
        let (operator, value) = rest.split_once('"').unwrap_or_else(|| panic!("`{text}` has no value"));
        (key, operator, value.strip_suffix('"').unwrap_or_else(|| panic!("`{text}` has no end")))
    }

    /// Whether one of the patterns fits, of which each may end with `*`.
    fn fits(patterns: &str, value: &str) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => value.starts_with(beginning),
            None => value == pattern,
        };
        patterns.split('|').any(fits)
    }
}
