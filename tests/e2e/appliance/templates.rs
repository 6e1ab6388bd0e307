//! The templates, by Debian's Packer.

use std::process::Command;

use sealift_tests::{peers, process, scratch};
use tempfile::TempDir;

use crate::repository;

/// What each build begins with.
const BUILDS: [&str; 3] = ["qemu.ubuntu", "qemu.disk", "vsphere-iso.ubuntu"];

/// A folder as `packer/prepare` makes one, as far as the templates look at it.
fn work() -> TempDir {
    let dir = scratch();
    fs_err::create_dir(dir.path().join("seed")).expect("a folder");
    for name in ["payload.tar", "seed/user-data", "seed/meta-data", "medium"] {
        fs_err::write(dir.path().join(name), "").expect("a file");
    }
    let key = dir.path().join("build.key");
    process::run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key));
    dir
}

/// Packer, which asks nobody whether it is too old.
fn packer(work: &TempDir) -> Command {
    let mut command = Command::new(peers::tool("packer"));
    command.env("CHECKPOINT_DISABLE", "1").env("HOME", work.path()).env("PACKER_CACHE_DIR", work.path());
    command.current_dir(repository("."));
    command
}

fn validate(work: &TempDir, build: &str) -> Command {
    let path = work.path().display();
    let mut command = packer(work);
    command.args(["validate", &format!("-only={build}"), "-var", &format!("work={path}")]);
    let none = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for variable in [
        format!("output={path}/{build}"),
        format!("iso_url={path}/medium"),
        format!("iso_checksum={none}"),
        format!("disk_url={path}/medium"),
        format!("disk_checksum={none}"),
        "vcenter=vcenter.example".into(),
        "vcenter_username=builder".into(),
        "vcenter_password=not-a-word-of-the-templates".into(),
        "datacenter=main".into(),
        "cluster=main".into(),
        "datastore=images".into(),
    ] {
        command.args(["-var", &variable]);
    }
    command
}

#[test]
fn packer_takes_each_build() {
    let work = work();
    for build in BUILDS {
        process::run(validate(&work, build).arg("packer"));
    }
    process::run(packer(&work).args(["fmt", "-check", "packer"]));
}

/// Packer passes over what `-only` does not name, so a slip there would validate nothing.
#[test]
fn packer_finds_what_is_wrong() {
    let work = work();
    let copy = work.path().join("packer");
    process::run(Command::new("cp").arg("-R").arg(repository("packer")).arg(&copy));
    for (build, file) in BUILDS.iter().zip(["qemu", "qemu", "vsphere"]) {
        let template = copy.join(format!("{file}.pkr.hcl"));
        let text = fs_err::read_to_string(&template).expect("a template");
        let wrong = text.replace("shutdown_command ", "shutdown_commands ");
        assert_ne!(text, wrong, "{file}");
        fs_err::write(&template, wrong).expect("a file");
        let ended = process::finish(validate(&work, build).arg(&copy)).expect(1);
        assert!(format!("{ended}").contains("shutdown_commands"), "{ended}");
        fs_err::write(&template, text).expect("a file");
    }
}

#[test]
fn every_step_runs_and_the_last_one_cleans() {
    let template = fs_err::read_to_string(repository("packer/image.pkr.hcl")).expect("the template");
    let parts = template.split("/provision/").skip(1);
    let named: Vec<&str> = parts.filter_map(|part| part.split('"').next()).collect();
    let entries = fs_err::read_dir(repository("packer/provision")).expect("the steps");
    let mut there: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    there.sort();
    assert_eq!(named, there);
    let last = template.rfind("provisioner \"").expect("provisioners");
    assert!(template[last..].contains("90-clean.sh"), "the last provisioner is another");
}
