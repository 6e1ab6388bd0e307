//! The machine: versions, memory, the disk that the store is on, our units and their logs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use super::ask::{PATIENCE, ask};
use super::scrub::Scrubber;

const REGISTRY: &str = "sealift-registry";
/// Names of our own units, as systemd matches them.
const UNITS: &str = "sealift-*";
/// What is told of a unit (systemd.unit(5), systemd.service(5)).
const UNIT_PROPERTIES: [&str; 11] = [
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "ExecMainStatus",
    "NRestarts",
    "ActiveEnterTimestamp",
    "InactiveEnterTimestamp",
    "LastTriggerUSec",
];
/// What is told of the operating system (os-release(5)).
const OS_FIELDS: [&str; 5] = ["ID", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME", "BUILD_ID"];
/// What is told of memory (`proc_meminfo(5)`).
const MEMORY_FIELDS: [&str; 4] = ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"];
/// Options of a mount that are told; others may be credentials.
const MOUNT_OPTIONS: [&str; 16] = [
    "ro",
    "rw",
    "nosuid",
    "nodev",
    "noexec",
    "noatime",
    "relatime",
    "nodiratime",
    "lazytime",
    "sync",
    "dirsync",
    "discard",
    "errors=remount-ro",
    "errors=continue",
    "errors=panic",
    "data=ordered",
];
/// Largest of these files that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most that another program may say, in bytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// How many lines of our units' logs are taken.
const LOG_LINES: &str = "--lines=2000";

/// Versions of our programs and of what they run on.
pub(super) fn versions() -> Value {
    let registry = match std::env::current_exe().map(|exe| exe.with_file_name(REGISTRY)) {
        Ok(program) => ask(&program, &["--version"], MAX_ANSWER_BYTES, PATIENCE),
        Err(error) => Err(error.to_string()),
    };
    let registry = registry.map_or_else(|why| why, |said| said.lines().next().unwrap_or_default().to_owned());
    json!({
        "sealiftctl": env!("CARGO_PKG_VERSION"),
        "sealift-registry": Scrubber::text(&registry),
        "architecture": std::env::consts::ARCH,
        "kernel": Scrubber::text(read("/proc/sys/kernel/osrelease").trim()),
        "system": pairs(&read("/etc/os-release"), '=', &OS_FIELDS),
        "memory": pairs(&read("/proc/meminfo"), ':', &MEMORY_FIELDS),
    })
}

/// The file system that the store is on: how full it is, and how it is mounted.
pub(super) fn disk(store: &Path) -> Result<Value, String> {
    let store = fs::canonicalize(store).map_err(|error| error.to_string())?;
    let stat = rustix::fs::statvfs(&store).map_err(|error| error.to_string())?;
    Ok(json!({
        "freeBytes": stat.f_bavail.saturating_mul(stat.f_frsize),
        "totalBytes": stat.f_blocks.saturating_mul(stat.f_frsize),
        "freeFiles": stat.f_favail,
        "totalFiles": stat.f_files,
        "mount": mount_of(&read("/proc/self/mountinfo"), &store),
    }))
}

/// The mount that a path is on, from `proc_pid_mountinfo(5)`: the last one of the longest place above it.
fn mount_of(mounts: &str, path: &Path) -> Value {
    let above = mounts.lines().filter_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let place: Vec<&str> = place.split(' ').collect();
        let system: Vec<&str> = system.split(' ').collect();
        let (point, options) = (PathBuf::from(unescaped(place.get(4)?)), place.get(5)?);
        path.starts_with(&point).then_some((
            point,
            *options,
            *system.first()?,
            *system.get(1)?,
            *system.get(2)?,
        ))
    });
    let Some((point, options, kind, device, more)) = above.max_by_key(|mount| mount.0.as_os_str().len())
    else {
        return Value::Null;
    };
    let told = |options: &str| {
        let options = options.split(',').filter(|option| MOUNT_OPTIONS.contains(option));
        options.map(str::to_owned).collect::<Vec<_>>()
    };
    // A share's name may hold an account.
    let device = device.starts_with("/dev/").then(|| Scrubber::text(device));
    json!({"point": point, "kind": Scrubber::text(kind), "device": device, "options": told(options), "system": told(more)})
}

/// What the kernel writes as `\040`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Our units and their states.
pub(super) fn units() -> Result<Value, String> {
    let properties = format!("--property={}", UNIT_PROPERTIES.join(","));
    let args = ["show", "--no-pager", "--all", &properties, UNITS];
    let said = ask(Path::new("systemctl"), &args, MAX_ANSWER_BYTES, PATIENCE)?;
    let units = said.split("\n\n").map(|unit| pairs(unit, '=', &UNIT_PROPERTIES));
    Ok(units.filter(|unit| !unit.is_empty()).map(|unit| json!(unit)).collect())
}

/// The last lines that our units have logged.
pub(super) fn journal() -> Result<String, String> {
    let unit = format!("--unit={UNITS}");
    let args = ["--no-pager", "--quiet", "--utc", "--no-hostname", "--output=short-iso", LOG_LINES, &unit];
    let said = ask(Path::new("journalctl"), &args, MAX_ANSWER_BYTES, PATIENCE)?;
    let mut scrubber = Scrubber::default();
    Ok(said.lines().map(|line| scrubber.line(line) + "\n").collect())
}

/// The fields that are named, of lines such as `KEY="value"`.
fn pairs(text: &str, separator: char, names: &[&str]) -> BTreeMap<String, String> {
    let all = text.lines().filter_map(|line| line.split_once(separator));
    let known = all.filter(|(name, _)| names.contains(name));
    known.map(|(name, value)| (name.to_owned(), Scrubber::text(value.trim().trim_matches('"')))).collect()
}

/// A small file of the system; empty if it cannot be read.
fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // What was read until then is as good as it gets.
        let _ = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_told_without_its_credentials() {
        let mounts = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
                      2 1 0:40 / /data\\040disk rw,noexec - cifs //bob:hunter2@nas/x rw,username=bob,password=hunter2\n\
                      broken - line\n";
        let mount = mount_of(mounts, Path::new("/data disk/sealift"));
        assert!(!mount.to_string().contains("hunter2"), "{mount}");
        assert_eq!((&mount["kind"], &mount["options"]), (&json!("cifs"), &json!(["rw", "noexec"])));
        let mount = mount_of(mounts, Path::new("/data/sealift"));
        assert_eq!(
            (&mount["device"], &mount["system"]),
            (&json!("/dev/sda1"), &json!(["rw", "errors=remount-ro"]))
        );
        assert_eq!(mount_of("", Path::new("/")), Value::Null);
    }

    #[test]
    fn only_fields_that_are_named_are_taken() {
        let text = "ID=debian\nPRETTY_NAME=\"Debian 12\"\nHOME_URL=\"https://x\"\nbroken\nID_LIKE=x\n";
        let pairs = pairs(text, '=', &OS_FIELDS);
        assert_eq!(
            pairs.into_iter().collect::<Vec<_>>(),
            [("ID".to_owned(), "debian".to_owned()), ("PRETTY_NAME".to_owned(), "Debian 12".to_owned())]
        );
        assert_eq!(versions()["sealiftctl"], env!("CARGO_PKG_VERSION"));
        assert!(disk(Path::new("/")).unwrap()["totalBytes"].as_u64().unwrap() > 0);
    }
}
