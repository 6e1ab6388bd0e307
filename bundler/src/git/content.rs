//! What a commit names and its repository does not hold: submodules, and content that Git LFS keeps elsewhere.
//!
//! A `.gitattributes` alone is no sign of it: a file that `filter=lfs` applies to and that was committed whole is
//! whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use tempfile::tempfile_in;

use sealift_archive::release::ObjectId;

use super::command::{Git, Input};
use crate::Error;

/// Pointers are shorter than this, in bytes (git-lfs's docs/spec.md).
pub(super) const MAX_POINTER_BYTES: u64 = 1024;
/// What pointers begin with; the other two are what Git LFS was called before its release, and still reads.
const POINTERS: [&str; 3] = [
    "version https://git-lfs.github.com/spec/v1\n",
    "version https://hawser.github.com/spec/v1\n",
    "version http://git-media.io/v/2\n",
];
/// The mode of a submodule in a tree; Git calls the entry a gitlink.
const GITLINK: &[u8] = b"160000";
/// Bytes of an object's name in a tree.
const RAW_ID_BYTES: usize = 20;

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elsewhere {
    /// A commit of another repository.
    Submodule,
    /// A file on a Git LFS server.
    Lfs,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Submodule => "a submodule",
            Self::Lfs => "a Git LFS pointer",
        })
    }
}

impl Elsewhere {
    /// What can be done about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Submodule => {
                "carry the submodule as a repository of its own and let GitOps take both, or commit its files \
                 (`git subtree add`) in its place"
            }
            Self::Lfs => "commit the file itself (`git lfs migrate export`), or carry it under `files:`",
        }
    }
}

/// A path whose content is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) path: String,
    pub(super) what: Elsewhere,
}

/// Whether a file is a pointer, told by its first bytes.
pub(super) fn is_pointer(start: &[u8]) -> bool {
    POINTERS.iter().any(|pointer| start.starts_with(pointer.as_bytes()))
}

/// The first gap in each of these commits or tags that has one.
pub(super) fn gaps(git: &Git<'_>, tips: &[ObjectId]) -> Result<BTreeMap<ObjectId, Gap>, Error> {
    // All trees at once, each object once: a repository of a thousand tags is looked through in seconds. Only if
    // something is found is it worth asking where.
    let found = Found::in_trees(git, tips)?;
    let mut gaps = BTreeMap::new();
    if found.gitlinks || !found.pointers.is_empty() {
        for tip in tips {
            if let Some(gap) = found.first_in(git, tip)? {
                gaps.insert(tip.clone(), gap);
            }
        }
    }
    Ok(gaps)
}

/// What there is somewhere in the trees of all tips.
#[derive(Default)]
struct Found {
    gitlinks: bool,
    pointers: BTreeSet<String>,
}

impl Found {
    fn in_trees(git: &Git<'_>, tips: &[ObjectId]) -> Result<Self, Error> {
        let mut names = String::new();
        for tip in tips {
            writeln!(names, "{tip}").expect("a string takes all text");
        }
        let walk = ["rev-list", "--objects", "--no-object-names", "--no-walk=unsorted", "--stdin"];
        let objects = git.run(&walk, Input::Text(&names))?;
        // With `%(rest)`, or it would take a line for one name.
        let format = "--batch-check=%(objectname) %(objecttype) %(objectsize) %(rest)";
        let sizes = git.run(&["cat-file", "--buffer", format], Input::File(objects.into_inner()))?;
        let candidates = Input::File(candidates(git, sizes)?);
        Self::read(git.run(&["cat-file", "--buffer", "--batch"], candidates)?)
    }

    /// Reads `<id> <type> <size>`, a line break, the content and another line break, again and again.
    fn read(mut objects: impl BufRead) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut header = String::new();
        while objects.read_line(&mut header)? > 0 {
            let (id, kind, size) = parts(&header)?;
            let mut content = objects.by_ref().take(size);
            if kind == "tree" {
                found.gitlinks |= has_gitlink(&mut content)?;
            } else {
                let mut pointer = Vec::new();
                content.read_to_end(&mut pointer)?;
                if is_pointer(&pointer) {
                    found.pointers.insert(id.to_owned());
                }
            }
            io::copy(&mut content, &mut io::sink())?;
            objects.read_exact(&mut [0])?;
            header.clear();
        }
        Ok(found)
    }

    /// Where in one commit or tag.
    fn first_in(&self, git: &Git<'_>, tip: &ObjectId) -> Result<Option<Gap>, Error> {
        // Git sorts the entries. Each is `<mode> <type> <id>`, a tab, the path.
        let entries = git.run(&["ls-tree", "-r", "-z", "--full-tree", tip.as_str()], Input::Nothing)?;
        for entry in entries.split(0) {
            let entry = String::from_utf8_lossy(&entry?).into_owned();
            let Some((facts, path)) = entry.split_once('\t') else { continue };
            let is_pointer = facts.rsplit_once(' ').is_some_and(|(_, id)| self.pointers.contains(id));
            let what = match () {
                () if facts.as_bytes().starts_with(GITLINK) => Elsewhere::Submodule,
                () if is_pointer => Elsewhere::Lfs,
                () => continue,
            };
            let path = path.chars().filter(|c| !c.is_control()).collect();
            return Ok(Some(Gap { path, what }));
        }
        Ok(None)
    }
}

/// The names of what has to be read: trees, and blobs that are short enough for pointers.
fn candidates(git: &Git<'_>, sizes: BufReader<File>) -> Result<File, Error> {
    let mut names = BufWriter::new(tempfile_in(git.dir)?);
    for line in sizes.lines() {
        let line = line?;
        let (id, kind, size) = parts(&line)?;
        if kind == "tree" || (kind == "blob" && (1..=MAX_POINTER_BYTES).contains(&size)) {
            writeln!(names, "{id}")?;
        }
    }
    let mut names = names.into_inner().map_err(io::IntoInnerError::into_error)?;
    names.rewind()?;
    Ok(names)
}

/// `<id> <type> <size>`
fn parts(line: &str) -> Result<(&str, &str, u64), Error> {
    let mut words = line.split_whitespace();
    let parts = (words.next(), words.next(), words.next().and_then(|size| size.parse().ok()));
    let (Some(id), Some(kind), Some(size)) = parts else {
        return Err(io::Error::other(format!("`git cat-file` answered `{}`", line.trim_end())).into());
    };
    Ok((id, kind, size))
}

/// Looks through the entries of a tree: `<mode> <name>`, a zero byte, the raw id (gitformat of tree objects).
fn has_gitlink(tree: &mut impl BufRead) -> Result<bool, Error> {
    let mut mode = Vec::new();
    loop {
        mode.clear();
        tree.by_ref().take(GITLINK.len() as u64 + 1).read_until(b' ', &mut mode)?;
        if mode.is_empty() {
            return Ok(false);
        }
        if mode.strip_suffix(b" ") == Some(GITLINK) {
            return Ok(true);
        }
        tree.skip_until(0)?;
        tree.read_exact(&mut [0; RAW_ID_BYTES])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(mode, name)| [format!("{mode} {name}\0").as_bytes(), &[b' '; RAW_ID_BYTES]].concat())
            .collect()
    }

    #[test]
    fn gitlinks_are_seen_in_trees() {
        let cases: [(&[(&str, &str)], bool); 5] = [
            (&[], false),
            (&[("100644", "160000 x"), ("40000", "dir")], false),
            (&[("100644", "a"), ("160000", "sub"), ("40000", "z")], true),
            (&[("160000", "sub")], true),
            (&[("1600000", "too long")], false),
        ];
        for (entries, expected) in cases {
            assert_eq!(has_gitlink(&mut &tree(entries)[..]).unwrap(), expected, "{entries:?}");
        }
        let cut = tree(&[("100644", "a")]);
        assert!(has_gitlink(&mut &cut[..cut.len() - 1]).is_err());
    }

    #[test]
    fn pointers_are_told_by_their_first_line() {
        for pointer in POINTERS {
            assert!(is_pointer(format!("{pointer}oid sha256:00\nsize 1\n").as_bytes()));
        }
        for other in [
            "",
            "version https://git-lfs.github.com/spec/v1",
            "# version https://git-lfs.github.com/spec/v1\n",
        ] {
            assert!(!is_pointer(other.as_bytes()), "{other}");
        }
    }
}
