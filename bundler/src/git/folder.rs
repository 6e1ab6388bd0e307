//! A folder becomes a Git repository: one parentless commit in one pack, the same bytes for the same content.
//!
//! Every file and link in the folder is carried (Git knows no empty folders), whatever a `.gitignore` says, and byte
//! for byte, whatever a `.gitattributes` says: both are for people at work, not for what is shipped. The pack has no
//! deltas and fixed compression.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::release::ObjectId;
use sealift_archive::{Blob, Progress};

use super::command::{Git, Input};
use super::content::{MAX_POINTER_BYTES, is_pointer};
use super::{Pinned, PinnedPack};
use crate::local::Local;
use crate::{Error, git};

/// Where Git looks for submodules: only at the top.
const SUBMODULES: &str = ".gitmodules";
const AUTHOR: &str = "Sealift <sealift@sealift.internal>";
const MESSAGE: &str = "Content of a release";
const PACK: [&str; 9] = [
    "pack-objects",
    "--quiet",
    "--revs",
    "--stdout",
    "--threads=1",
    "--window=0",
    "--no-reuse-delta",
    "--no-reuse-object",
    // zlib's level: small files, packed once.
    "--compression=9",
];

/// A pack in a temporary directory.
#[derive(Debug)]
pub struct PackedFolder {
    /// The ref that leads to the commit.
    head: String,
    commit: ObjectId,
    blob: Blob,
    file: PathBuf,
    dir: TempDir,
}

impl PackedFolder {
    /// The commit under its ref, and the pack.
    #[must_use]
    pub fn pinned(&self) -> Pinned {
        Pinned {
            from: self.head.clone(),
            head: self.head.clone(),
            refs: [(self.head.clone(), self.commit.clone())].into(),
            left_out: BTreeMap::new(),
            packs: vec![PinnedPack { blob: self.blob, wants: vec![self.commit.clone()] }],
        }
    }

    /// Hands the pack over, to be copied when it is needed.
    pub(crate) fn move_to(self, local: &mut Local) {
        local.add_file(self.blob, self.file, 0);
        local.keep(self.dir);
    }
}

/// Packs a folder as the commit that `head`, a full ref name, leads to. `date` is the commit's, in seconds since 1970.
///
/// # Errors
/// [`git::Error::BadFolder`] for what Git cannot carry, [`git::Error::BadObject`] for what the appliance would refuse,
/// [`git::Error::Failed`], `Interrupted`, or I/O.
pub fn pack(folder: &Path, head: &str, date: u64, progress: &dyn Progress) -> Result<PackedFolder, Error> {
    let dir = TempDir::with_prefix("sealift-git-")?;
    let about = folder.display().to_string();
    let git = Git { dir: dir.path(), about: &about, progress };
    git.init()?;
    import(&git, head, date, &entries(folder)?)?;
    let commit: ObjectId = git.text(&["rev-parse", "--verify", head], Input::Nothing)?.parse()?;
    let file = dir.path().join("release.pack");
    git.run_into(&PACK, Input::Text(&format!("{commit}\n")), fs::File::create(&file)?.into_file())?;
    git.check_pack(&file)?;
    let blob = Blob::of_reader(fs::File::open(&file)?)?;
    Ok(PackedFolder { head: head.to_owned(), commit, blob, file, dir })
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
///
/// # Errors
/// All that Git cannot carry, or I/O.
fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            match look_at(folder, entry?.path()) {
                Ok(Found::Folder(path)) => open.push(path),
                Ok(Found::Entry(entry)) => found.push(entry),
                Err(error) => errors.push(error),
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    errors.sort_by_cached_key(ToString::to_string);
    Error::all(errors).map_or(Ok(found), Err)
}

enum Found {
    Folder(PathBuf),
    Entry(Entry),
}

fn look_at(folder: &Path, path: PathBuf) -> Result<Found, Error> {
    let refuse = |why| Err(git::Error::BadFolder { path: path.clone(), why }.into());
    if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git")) {
        return refuse("a Git repository inside the folder would be lost");
    }
    let name = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_bytes().to_owned();
    if name == SUBMODULES.as_bytes() {
        return refuse("it names submodules, which would be missing; take it out, and their files in");
    }
    let metadata = fs::symlink_metadata(&path)?;
    let kind = if metadata.is_dir() {
        return Ok(Found::Folder(path));
    } else if metadata.is_symlink() {
        Kind::Link(fs::read_link(&path)?.as_os_str().as_bytes().to_owned())
    } else if metadata.is_file() {
        if metadata.len() <= MAX_POINTER_BYTES && is_pointer(&fs::read(&path)?) {
            return refuse("it is a Git LFS pointer, not the file itself (`git lfs pull` gets that)");
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Kind::File { mode: if executable { "100755" } else { "100644" }, size: metadata.len() }
    } else {
        return refuse("it is neither a file nor a folder nor a link");
    };
    if name.contains(&b'\n') || name.starts_with(b"\"") {
        return refuse("its name holds a line break or begins with a quote");
    }
    Ok(Found::Entry(Entry { path, name, kind }))
}

/// Makes blobs, trees and the commit from one stream (git-fast-import(1)).
fn import(git: &Git<'_>, reference: &str, date: u64, entries: &[Entry]) -> Result<(), Error> {
    const IMPORT: [&str; 3] = ["fast-import", "--quiet", "--done"];
    let (reader, writer) = io::pipe()?;
    let mut command = git.plain();
    command.args(IMPORT).stdout(Stdio::null());
    let (ended, written) = thread::scope(|scope| {
        let writing = scope.spawn(|| write_stream(&mut BufWriter::new(writer), reference, date, entries));
        // However it ends, nobody reads any more, and the writer cannot but end too.
        let ended = git.finish(command, Input::Pipe(reader));
        (ended, writing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let result = git.expect_success(&IMPORT, &ended?);
    match written {
        // What git says is the cause; a broken pipe is only how we noticed.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => result.and(Err(error.into())),
        Err(error) => Err(error),
        Ok(()) => result,
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
                    return Err(git::Error::BadFolder { path: entry.path.clone(), why }.into());
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
    use sealift_archive::Unwatched;

    use super::super::command::read_text;
    use super::*;

    fn pack(folder: &Path, head: &str, date: u64) -> Result<PackedFolder, Error> {
        super::pack(folder, head, date, &Unwatched)
    }

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
        let git = Git { dir, about: "test", progress: &Unwatched };
        read_text(git.run(arguments, Input::Nothing).unwrap()).unwrap()
    }

    #[test]
    fn the_same_content_makes_the_same_pack() {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let first = pack(&folder(one.path()), "refs/heads/main", 1_700_000_000).unwrap();
        let second = pack(&folder(two.path()), "refs/heads/main", 1_700_000_000).unwrap();
        assert_eq!((&first.commit, first.blob), (&second.commit, second.blob));
        fs::write(two.path().join("gitops/more"), "x").unwrap();
        assert_ne!(
            pack(&two.path().join("gitops"), "refs/heads/main", 1_700_000_000).unwrap().commit,
            first.commit
        );
    }

    #[test]
    fn a_clone_has_everything_byte_for_byte() {
        let dir = TempDir::new().unwrap();
        let packed = pack(&folder(dir.path()), "refs/heads/main", 0).unwrap();
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
        let error = pack(&folder, "refs/heads/main", 0).unwrap_err().to_string();
        assert!(error.contains("vendored/.git"), "{error}");
        assert!(matches!(pack(&dir.path().join("nothing"), "refs/heads/main", 0), Err(Error::Io(_))));
        fs::remove_dir_all(folder.join("vendored")).unwrap();
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
        for (file, content, expected) in
            [(".gitmodules", "", "submodules"), ("apps/disk.img", pointer, "Git LFS pointer")]
        {
            fs::write(folder.join(file), content).unwrap();
            let error = pack(&folder, "refs/heads/main", 0).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(expected), "{error}");
            fs::remove_file(folder.join(file)).unwrap();
        }
        // All of them are told together.
        fs::create_dir(folder.join(".git")).unwrap();
        fs::write(folder.join("apps/disk.img"), pointer).unwrap();
        let Err(Error::Several(errors)) = pack(&folder, "refs/heads/main", 0) else {
            panic!("two are wrong")
        };
        assert_eq!(errors.len(), 2, "{errors:?}");
        fs::remove_dir(folder.join(".git")).unwrap();
        fs::remove_file(folder.join("apps/disk.img")).unwrap();
        // Where Git looks for no submodules, it is a file like any other.
        fs::write(folder.join("apps/.gitmodules"), "").unwrap();
        pack(&folder, "refs/heads/main", 0).unwrap();
        assert!(matches!(pack(&folder, "no..good", 0), Err(Error::Git(git::Error::Failed { .. }))));
    }

    #[test]
    fn what_an_appliance_would_refuse_is_refused_here() {
        let long = format!("* {}\n", "a".repeat(3000));
        let cases = [
            ("apps/.gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -evil\n", "gitmodulesUrl"),
            ("apps/.gitattributes", &long, "gitattributesLineLength"),
            ("apps/git~1", "x", "hasDotgit"),
        ];
        for (file, content, rule) in cases {
            let dir = TempDir::new().unwrap();
            let folder = folder(dir.path());
            fs::write(folder.join(file), content).unwrap();
            let error = pack(&folder, "refs/heads/main", 0).unwrap_err();
            let is_expected = matches!(
                &error,
                Error::Git(git::Error::BadObject { repository, said })
                    if repository.ends_with("gitops") && said.contains(rule)
            );
            assert!(is_expected, "{file}: {error}");
        }
    }

    #[test]
    fn an_import_ends_when_somebody_asks_for_it() {
        /// Somebody who asks when Git has begun to read.
        struct Impatient;

        impl Progress for Impatient {
            fn advance(&self, _: u64) {}

            fn is_interrupted(&self) -> bool {
                true
            }
        }

        let dir = TempDir::new().unwrap();
        let large = dir.path().join("large");
        // Holes: it costs no disk to have and minutes to read and squeeze.
        fs::File::create(&large).unwrap().set_len(64 << 30).unwrap();
        let repository = TempDir::new().unwrap();
        let git = |progress| Git { dir: repository.path(), about: "test", progress };
        git(&Unwatched).init().unwrap();
        let error =
            import(&git(&Impatient), "refs/heads/main", 0, &entries(dir.path()).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Archive(sealift_archive::Error::Interrupted)), "{error}");
    }
}
