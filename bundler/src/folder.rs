//! A folder becomes a Git repository: one parentless commit in one pack, the same bytes for the same content.
//!
//! Every file and link in the folder is carried (Git knows no empty folders), whatever a `.gitignore` says, and byte for byte, whatever a `.gitattributes`
//! says: both are for people at work, not for what is shipped. The pack has no deltas and fixed compression.

use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::Blob;
use sealift_archive::release::ObjectId;

use crate::Error;
use crate::local::Local;

const AUTHOR: &str = "Sealift <sealift@sealift.internal>";
const MESSAGE: &str = "Content of a release";
/// zlib's level for the objects of a pack: small files, packed once.
const COMPRESSION: &str = "--compression=9";

/// A pack in a temporary directory.
#[derive(Debug)]
pub struct PackedFolder {
    /// The commit.
    pub commit: ObjectId,
    blob: Blob,
    file: PathBuf,
    dir: TempDir,
}

impl PackedFolder {
    /// Digest and size of the pack.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Hands the pack over, to be copied when it is needed.
    pub(crate) fn move_to(self, local: &mut Local) {
        local.add_file(self.blob, self.file, 0);
        local.keep(self.dir);
    }
}

/// Packs a folder. `date` is the commit's, in seconds since 1970.
///
/// # Errors
/// [`Error::BadFolder`] for what Git cannot carry, [`Error::Git`], or I/O.
pub fn pack(folder: &Path, branch: &str, date: u64) -> Result<PackedFolder, Error> {
    let dir = TempDir::with_prefix("sealift-git-")?;
    let git = Git { folder, repository: dir.path() };
    git.run(&["init", "--quiet", "--bare", "--template=", "--object-format=sha1", "."])?;
    let reference = format!("refs/heads/{branch}");
    git.import(&reference, date, &entries(folder)?)?;
    let commit = git.run(&["rev-parse", "--verify", &reference])?;
    let commit: ObjectId = commit.trim().parse()?;
    let file = dir.path().join("release.pack");
    git.pack(&commit, &file)?;
    let blob = Blob::of_reader(fs::File::open(&file)?)?;
    Ok(PackedFolder { commit, blob, file, dir })
}

/// A file or link of the folder.
struct Entry {
    path: PathBuf,
    name: Vec<u8>,
    kind: Kind,
}

enum Kind {
    File { mode: &'static str, size: u64 },
    Link(Vec<u8>),
}

/// Everything below a folder, sorted by name.
fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let refuse = |why| Error::BadFolder { path: path.clone(), why };
            if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git")) {
                return Err(refuse("a Git repository inside the folder would be lost"));
            }
            let metadata = fs::symlink_metadata(&path)?;
            let kind = if metadata.is_dir() {
                open.push(path);
                continue;
            } else if metadata.is_symlink() {
                Kind::Link(fs::read_link(&path)?.as_os_str().as_bytes().to_owned())
            } else if metadata.is_file() {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                Kind::File { mode: if executable { "100755" } else { "100644" }, size: metadata.len() }
            } else {
                return Err(refuse("it is neither a file nor a folder nor a link"));
            };
            let name = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_bytes().to_owned();
            if name.contains(&b'\n') || name.starts_with(b"\"") {
                return Err(refuse("its name holds a line break or begins with a quote"));
            }
            found.push(Entry { path, name, kind });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Git, working in a repository of its own with no configuration but ours.
struct Git<'a> {
    folder: &'a Path,
    repository: &'a Path,
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.repository).env_clear();
        for (key, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("HOME", "/nonexistent"),
            ("LC_ALL", "C"),
        ] {
            command.env(key, value);
        }
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = self.command(arguments).output().map_err(|e| self.failed(arguments, e.to_string()))?;
        self.expect_success(arguments, &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn expect_success(&self, arguments: &[&str], output: &std::process::Output) -> Result<(), Error> {
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed(arguments, String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    fn failed(&self, arguments: &[&str], said: String) -> Error {
        let command = arguments.first().copied().unwrap_or_default().to_owned();
        Error::Git { folder: self.folder.to_owned(), command, said }
    }

    /// Makes blobs, trees and the commit from one stream (gitformat of `git fast-import`).
    fn import(&self, reference: &str, date: u64, entries: &[Entry]) -> Result<(), Error> {
        const IMPORT: [&str; 3] = ["fast-import", "--quiet", "--done"];
        let mut child = self
            .command(&IMPORT)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|e| self.failed(&IMPORT, e.to_string()))?;
        let written = match child.stdin.take() {
            Some(stdin) => write_stream(&mut BufWriter::new(stdin), reference, date, entries),
            None => Ok(()),
        };
        let output = child.wait_with_output()?;
        match written {
            // What git says is the cause; a broken pipe is only how we noticed.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.expect_success(&IMPORT, &output)?;
                Err(error.into())
            }
            Err(error) => Err(error),
            Ok(()) => self.expect_success(&IMPORT, &output),
        }
    }

    fn pack(&self, commit: &ObjectId, file: &Path) -> Result<(), Error> {
        const PACK: [&str; 8] = [
            "pack-objects",
            "--quiet",
            "--revs",
            "--threads=1",
            "--window=0",
            "--no-reuse-delta",
            COMPRESSION,
            "--stdout",
        ];
        let mut child = self
            .command(&PACK)
            .arg("--no-reuse-object")
            .stdin(Stdio::piped())
            .stdout(fs::File::create(file)?.into_file())
            .spawn()
            .map_err(|e| self.failed(&PACK, e.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{commit}")?;
        }
        self.expect_success(&PACK, &child.wait_with_output()?)
    }
}

fn write_stream(out: &mut impl Write, reference: &str, date: u64, entries: &[Entry]) -> Result<(), Error> {
    for (mark, entry) in (1..).zip(entries) {
        writeln!(out, "blob\nmark :{mark}")?;
        match &entry.kind {
            Kind::Link(target) => {
                writeln!(out, "data {}", target.len())?;
                out.write_all(target)?;
            }
            Kind::File { size, .. } => {
                writeln!(out, "data {size}")?;
                let copied = io::copy(&mut BufReader::new(fs::File::open(&entry.path)?).take(*size), out)?;
                if copied != *size {
                    let why = "it changed while it was read";
                    return Err(Error::BadFolder { path: entry.path.clone(), why });
                }
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "commit {reference}\nauthor {AUTHOR} {date} +0000\ncommitter {AUTHOR} {date} +0000")?;
    writeln!(out, "data {}\n{MESSAGE}\n", MESSAGE.len() + 1)?;
    for (mark, entry) in (1..).zip(entries) {
        let mode = match &entry.kind {
            Kind::File { mode, .. } => mode,
            Kind::Link(_) => "120000",
        };
        write!(out, "M {mode} :{mark} ")?;
        out.write_all(&entry.name)?;
        writeln!(out)?;
    }
    writeln!(out, "done")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(dir: &Path) -> PathBuf {
        let folder = dir.join("gitops");
        fs::create_dir_all(folder.join("apps/web")).unwrap();
        fs::write(folder.join(".gitignore"), "secret\n").unwrap();
        fs::write(folder.join(".gitattributes"), "* text=auto\n").unwrap();
        fs::write(folder.join("secret"), "kept all the same\r\n").unwrap();
        fs::write(folder.join("apps/web/name with spaces.yaml"), "kind: List\n").unwrap();
        fs::write(folder.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(folder.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        fs_err::os::unix::fs::symlink("run", folder.join("link")).unwrap();
        folder
    }

    fn git(dir: &Path, arguments: &[&str]) -> String {
        Git { folder: dir, repository: dir }.run(arguments).unwrap()
    }

    #[test]
    fn the_same_content_makes_the_same_pack() {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let first = pack(&folder(one.path()), "main", 1_700_000_000).unwrap();
        let second = pack(&folder(two.path()), "main", 1_700_000_000).unwrap();
        assert_eq!((&first.commit, first.blob), (&second.commit, second.blob));
        fs::write(two.path().join("gitops/more"), "x").unwrap();
        assert_ne!(pack(&two.path().join("gitops"), "main", 1_700_000_000).unwrap().commit, first.commit);
    }

    #[test]
    fn a_clone_has_everything_byte_for_byte() {
        let dir = TempDir::new().unwrap();
        let packed = pack(&folder(dir.path()), "main", 0).unwrap();
        let clone = dir.path().join("clone");
        git(dir.path(), &["init", "--quiet", "clone"]);
        fs::copy(&packed.file, clone.join("release.pack")).unwrap();
        git(&clone, &["index-pack", "-o", ".git/objects/pack/pack-x.idx", "release.pack"]);
        fs::rename(clone.join("release.pack"), clone.join(".git/objects/pack/pack-x.pack")).unwrap();
        let commit = packed.commit.as_str();
        let tree = git(&clone, &["ls-tree", "-r", commit]);
        let modes: Vec<&str> = tree.lines().map(|line| &line[..6]).collect();
        assert_eq!(modes, ["100644", "100644", "100644", "120000", "100755", "100644"], "{tree}");
        assert_eq!(git(&clone, &["cat-file", "blob", &format!("{commit}:secret")]), "kept all the same\r\n");
        assert_eq!(git(&clone, &["rev-list", "--count", commit]).trim(), "1");
    }

    #[test]
    fn what_git_would_drop_is_refused() {
        let dir = TempDir::new().unwrap();
        let folder = folder(dir.path());
        fs::create_dir_all(folder.join("vendored/.git")).unwrap();
        let error = pack(&folder, "main", 0).unwrap_err().to_string();
        assert!(error.contains("vendored/.git"), "{error}");
        assert!(matches!(pack(&dir.path().join("nothing"), "main", 0), Err(Error::Io(_))));
        fs::remove_dir_all(folder.join("vendored")).unwrap();
        assert!(matches!(pack(&folder, "no..good", 0), Err(Error::Git { .. })));
    }
}
