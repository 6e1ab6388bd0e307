//! Images with rpm, its database in each of its three forms.

use std::path::PathBuf;
use std::process::Command;

use sealift_tests::{Gpg, peers, process, scratch};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Asking, GZIP, Listing, TAR, ZSTD, lines, tar, word, write};

/// rpm at work on a root directory with its database where it is today.
struct Rpm {
    dir: TempDir,
}

const RPM_DATABASE: &str = "usr/lib/sysimage/rpm";
/// Name, epoch, version and release, architecture, licence, source package.
const RPM_FORMAT: &str = "%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%{LICENSE}\t%{SOURCERPM}\n";

impl Rpm {
    fn new() -> Self {
        let rpm = Self { dir: scratch() };
        fs_err::create_dir_all(rpm.root().join(RPM_DATABASE)).expect("a folder");
        rpm
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(peers::tool(program));
        command.arg("--root").arg(self.root()).args(["--define", &format!("_dbpath /{RPM_DATABASE}")]);
        command.args(arguments);
        command
    }

    /// Builds packages; of each the name of the package, what follows in its specification, and its files.
    fn build(&self, name: &str, specification: &str, files: usize) -> Vec<PathBuf> {
        let top = self.dir.path().join("build").join(name);
        let text = format!(
            "Name: {name}\nSummary: a package\nBuildArch: noarch\n{specification}\n%description\nA package.\n\
             %install\nmkdir -p %{{buildroot}}/usr/share/{name}\n\
             for i in $(seq {files}); do : > %{{buildroot}}/usr/share/{name}/a-file-with-a-long-name-$i; done\n\
             %files\n/usr/share/{name}\n"
        );
        let file = top.join("package.spec");
        write(&file, &text);
        let define = format!("_topdir {}", top.display());
        process::run(Command::new(peers::tool("rpmbuild")).args(["-bb", "--define", &define]).arg(file));
        let built = fs_err::read_dir(top.join("RPMS/noarch")).expect("packages");
        built.map(|entry| entry.expect("a package").path()).collect()
    }

    fn install(&self, packages: &[PathBuf]) {
        let options = ["--install", "--justdb", "--nodeps", "--noscripts", "--nosignature"];
        process::run(self.run("rpm", &options).args(packages));
    }

    fn lists(&self, backend: &str) -> Listing {
        let define = format!("_db_backend {backend}");
        let arguments = ["--define", &define, "--query", "--all", "--queryformat", RPM_FORMAT];
        lines(&process::text(&mut self.run("rpm", &arguments)))
    }
}

/// As rpm spells it.
fn as_rpm(package: &Value) -> String {
    assert_eq!(package["type"], "rpm");
    let or_none = |value: &Value| value.as_str().unwrap_or("(none)").to_owned();
    let epoch = package["epoch"].as_u64().map_or_else(|| "(none)".to_owned(), |epoch| epoch.to_string());
    let (name, version) = (word(package, "name"), word(package, "version"));
    let source = &package["source"];
    // A package of a source of its own name and version says no more.
    let source = match (source["name"].as_str(), source["version"].as_str()) {
        (Some(name), Some(version)) => format!("{name}-{version}.src.rpm"),
        _ if name == "gpg-pubkey" => "(none)".to_owned(),
        _ => format!("{name}-{version}.src.rpm"),
    };
    [name, &epoch, version, &or_none(&package["architecture"]), &or_none(&package["license"]), &source]
        .join("\t")
}

#[test]
fn images_with_rpm_hold_what_rpm_lists() {
    let rpm = Rpm::new();
    let plain = rpm.build("plain", "Version: 1.0\nRelease: 1\nLicense: MIT", 1);
    let family = rpm.build(
        "many",
        "Version: 2.5~rc1\nRelease: 3.fc40\nEpoch: 2\nLicense: GPLv2+ and MIT\n\
         %package -n libmany\nSummary: a part\nLicense: MIT\n%description -n libmany\nA part.\n%files -n libmany\n",
        500,
    );
    // Enough rows that the table becomes a tree.
    let part = |i| {
        format!("%package -n more{i}\nSummary: a part\n%description -n more{i}\nA part.\n%files -n more{i}\n")
    };
    let parts = (0..12).map(part).collect::<Vec<_>>().concat();
    let more = rpm.build("more", &format!("Version: 7\nRelease: 1\nLicense: MIT\n{parts}"), 60);
    rpm.install(&plain);
    rpm.install(&more);
    let first = tar(&rpm.root());
    rpm.install(&family);
    process::run(&mut rpm.run("rpm", &["--erase", "--justdb", "--nodeps", "more3"]));
    let gpg = Gpg::with_key();
    let key = process::text(
        Command::new(peers::tool("gpg")).args(["--homedir"]).arg(gpg.home()).args(["--armor", "--export"]),
    );
    let key_file = rpm.dir.path().join("key.asc");
    write(&key_file, &key);
    process::run(rpm.run("rpm", &["--import"]).arg(key_file));
    let expected = rpm.lists("sqlite");
    assert_eq!(expected.len(), 16, "{expected:?}");
    assert!(expected.iter().any(|line| line.starts_with("gpg-pubkey\t")), "{expected:?}");

    let mut asking = Asking::new();
    // The old place is a link to the new one in all images of today.
    fs_err::create_dir_all(rpm.root().join("var/lib")).expect("a folder");
    std::os::unix::fs::symlink("../../usr/lib/sysimage/rpm", rpm.root().join("var/lib/rpm")).expect("a link");
    asking.offer("sqlite", &[(ZSTD, first), (ZSTD, tar(&rpm.root()))]);
    let old = berkeley(&rpm);
    assert_eq!(old.lists("bdb_ro"), expected, "the same packages");
    asking.offer("berkeley", &[(TAR, tar(&old.root()))]);
    let answer = asking.ask();
    assert_eq!(answer.packages("sqlite", as_rpm), expected);
    assert_eq!(answer.packages("berkeley", as_rpm), expected);
}

/// The same packages in a database of Berkeley DB, in a root directory of its own. rpm reads them and writes none any more:
/// the headers that it exports are put under their numbers, and a counter under 0, as it did.
fn berkeley(rpm: &Rpm) -> Rpm {
    const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];

    let exported = process::run(&mut rpm.run("rpmdb", &["--exportdb"]));
    let mut headers = Vec::new();
    let mut rest = exported.as_slice();
    while let Some(header) = rest.strip_prefix(&MAGIC) {
        let number = |at: usize| {
            let bytes = header[at..at + 4].try_into().expect("four bytes");
            usize::try_from(u32::from_be_bytes(bytes)).expect("a length")
        };
        let (header, behind) = header.split_at(8 + 16 * number(0) + number(4));
        headers.push(header);
        rest = behind;
    }
    assert!(rest.is_empty() && headers.len() > 10, "{} headers", headers.len());
    let key = |number: usize| hex::encode(u32::try_from(number).expect("few packages").to_le_bytes());
    let pairs = (1..).zip(&headers).map(|(number, header)| (key(number), hex::encode(header)));
    let pairs = std::iter::once((key(0), key(headers.len()))).chain(pairs);
    let pairs: Vec<String> = pairs.map(|(key, data)| format!(" {key}\n {data}\n")).collect();
    let dump = format!(
        "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n{}DATA=END\n",
        pairs.concat()
    );
    let old = Rpm::new();
    let file = old.dir.path().join("dump");
    write(&file, &dump);
    let database = old.root().join(RPM_DATABASE).join("Packages");
    process::run(Command::new(peers::tool("db5.3_load")).arg("-f").arg(file).arg(database));
    old
}

#[test]
fn images_of_real_systems_with_rpm_hold_what_rpm_lists() {
    let mut asking = Asking::new();
    let systems = ["fedora35", "centos7-plain", "ubi8-s390x", "sle15-bci"];
    let roots = systems.map(|system| {
        let rpm = Rpm::new();
        for file in fs_err::read_dir(peers::rpm().join(system)).expect("a database") {
            let file = file.expect("a file");
            let place = rpm.root().join(RPM_DATABASE).join(file.file_name());
            fs_err::copy(file.path(), place).expect("a copy");
        }
        asking.offer(system, &[(GZIP, tar(&rpm.root()))]);
        rpm
    });
    let answer = asking.ask();
    for (system, rpm) in systems.iter().zip(&roots) {
        if *system == "sle15-bci" {
            // ndb, which Debian's rpm does not know.
            let database = rpm.root().join(RPM_DATABASE).join("Packages.db");
            let listed = lines(&process::text(Command::new(peers::tool("rpmlist")).arg(database)));
            assert_eq!(listed.len(), 35);
            let spell = |package: &Value| {
                let epoch = package["epoch"].as_u64().unwrap_or_default().to_string();
                let keys = ["version", "architecture", "license"].map(|key| word(package, key));
                format!("{}\t{epoch}\t{}", word(package, "name"), keys.join("\t"))
            };
            assert_eq!(answer.packages(system, spell), listed, "{system}");
        } else {
            let expected = rpm.lists(if *system == "fedora35" { "sqlite" } else { "bdb_ro" });
            assert!(expected.len() > 100, "a real system: {expected:?}");
            assert_eq!(answer.packages(system, as_rpm), expected, "{system}");
        }
    }
}
