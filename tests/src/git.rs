//! Git, without this machine's or this user's configuration, and a repository whose commits and tags are signed.

use std::path::Path;
use std::process::Command;

use crate::gap::Side;
use crate::gpg::{Gpg, SIGNER};
use crate::{peers, process, scratch};

/// The tag of [`write_signed_repository`] that is a release.
pub const SIGNED_TAG: &str = "v3";
/// Where its history has gone on since.
pub const LATER_TAG: &str = "v4";

/// A `git` command on `side` whose home is `home`, a keyring.
#[must_use]
pub fn git(side: Side<'_>, home: &Path) -> Command {
    let mut command = side.command(peers::tool("git"));
    command.env("HOME", home).env("GNUPGHOME", home);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_DIR");
    command
}

/// The same in the work tree `dir`, for whoever makes commits there and signs them.
#[must_use]
pub fn signing_git(signer: &Gpg, dir: &Path) -> Command {
    let mut command = git(Side::Vendor, signer.home());
    command.current_dir(dir).args(["-c", "user.name=Release Engineer"]);
    command.args(["-c", "user.email=release@acme.example", "-c", &format!("user.signingKey={SIGNER}")]);
    command
}

/// Makes `dir` a bare repository with a history: branches that were merged, and on top of it the tag [`SIGNED_TAG`],
/// an annotated one that is signed like its commit; then [`LATER_TAG`], which is none of the release's business.
pub fn write_signed_repository(dir: &Path, signer: &Gpg) {
    let work = scratch();
    let git = |arguments: &[&str]| {
        process::run(signing_git(signer, work.path()).args(arguments));
    };
    let commit = |name: &str, content: &str, options: &[&str]| {
        fs_err::write(work.path().join(name), content).expect("a file of the repository");
        git(&["add", name]);
        git(&[&["commit", "--quiet", "--message", name], options].concat());
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    commit("policy.yaml", "allow: []\n", &[]);
    git(&["tag", "v1"]);
    git(&["switch", "--quiet", "--create=stricter"]);
    commit("stricter.yaml", "deny: [all]\n", &[]);
    git(&["switch", "--quiet", "main"]);
    commit("policy.yaml", "allow: [registry]\n", &["--gpg-sign"]);
    git(&["merge", "--quiet", "--no-ff", "--message=merge", "stricter"]);
    commit("release.yaml", "policies: 3\n", &["--gpg-sign"]);
    git(&["tag", "--sign", "--message=release 3", SIGNED_TAG]);
    commit("release.yaml", "policies: 4\n", &["--gpg-sign"]);
    git(&["tag", "--sign", "--message=release 4", LATER_TAG]);
    git(&["clone", "--quiet", "--bare", ".", &dir.to_string_lossy()]);
}

/// All objects of a repository, as id, kind, size and content, sorted by id.
#[must_use]
pub fn objects(side: Side<'_>, home: &Path, repository: &Path) -> Vec<u8> {
    let mut command = git(side, home);
    process::run(command.arg("-C").arg(repository).args(["cat-file", "--batch-all-objects", "--batch"]))
}
