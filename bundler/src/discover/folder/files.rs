//! The files of a folder: listed at once, read when they are asked for, so that what is large and no manifest costs nothing.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::flux::relative;
use crate::{Error, git};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most bytes that are read in all; kustomizations may take in the same base again and again.
const MAX_READ_BYTES: u64 = 1 << 30;
/// Most files.
const MAX_FILES: usize = 500_000;
/// Deepest folder.
const MAX_DEPTH: usize = 64;

/// The files of a folder, charts apart.
pub(super) struct Files {
    root: PathBuf,
    names: BTreeSet<String>,
    /// Folders with a `Chart.yaml`.
    pub(super) charts: Vec<String>,
    left: u64,
}

impl Files {
    pub(super) fn list(root: &Path) -> Result<Self, Error> {
        let mut files =
            Self { root: root.to_owned(), names: BTreeSet::new(), charts: Vec::new(), left: MAX_READ_BYTES };
        files.list_below(root, "", 0)?;
        Ok(files)
    }

    fn list_below(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        let refuse = |why| Error::from(git::Error::BadFolder { path: dir.to_owned(), why });
        if depth > MAX_DEPTH {
            return Err(refuse("folders are nested too deeply"));
        }
        let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        if depth > 0 && entries.iter().any(|entry| entry.file_name() == "Chart.yaml") {
            self.charts.push(prefix.trim_end_matches('/').to_owned());
            return Ok(());
        }
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            // Flux leaves out `.git`, `.github` and their like; so do we.
            if kind.is_dir() && !name.starts_with('.') {
                self.list_below(&entry.path(), &format!("{prefix}{name}/"), depth + 1)?;
            } else if kind.is_file() {
                self.names.insert(format!("{prefix}{name}"));
            }
        }
        if self.names.len() > MAX_FILES {
            return Err(refuse("it has too many files to be searched for images"));
        }
        Ok(())
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    pub(super) fn has_folder(&self, dir: &str) -> bool {
        self.below(dir).next().is_some()
    }

    /// The files below a folder, sorted.
    pub(super) fn below(&self, dir: &str) -> impl Iterator<Item = &String> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        self.names.range(prefix.clone()..).take_while(move |name| name.starts_with(&prefix))
    }

    /// What Flux would take for objects.
    pub(super) fn manifests(&self, dir: &str) -> Vec<String> {
        self.below(dir).filter(|name| is_manifest(name)).cloned().collect()
    }

    /// Reads a file. The error is for a warning.
    pub(super) fn read(&mut self, path: &str) -> Result<String, String> {
        let mut content = Vec::new();
        let file = fs::File::open(self.root.join(path)).map_err(|e| e.to_string())?;
        file.take(MAX_FILE_BYTES.min(self.left) + 1).read_to_end(&mut content).map_err(|e| e.to_string())?;
        let length = content.len() as u64;
        if length > MAX_FILE_BYTES || length > self.left {
            return Err(format!(
                "it is larger than {MAX_FILE_BYTES} bytes, or all files together are too large, and was not searched"
            ));
        }
        self.left -= length;
        String::from_utf8(content).map_err(|_| "it is not UTF-8, and was not searched".to_owned())
    }

    /// The folder of a chart.
    pub(super) fn path(&self, chart: &str) -> PathBuf {
        self.root.join(chart)
    }
}

/// Whether a file is one that Flux deploys. What begins with a dot is for other programs.
fn is_manifest(path: &str) -> bool {
    let path = Path::new(path);
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    !is_hidden && (is_yaml || path.ends_with("Kustomization"))
}

/// Whether a file or folder is below a folder.
pub(super) fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// The folder of a file with a name.
pub(super) fn folder_of(path: &str, name: &str) -> Option<String> {
    if path == name {
        Some(String::new())
    } else {
        path.strip_suffix(name)?.strip_suffix('/').map(str::to_owned)
    }
}

/// A name in a folder.
pub(super) fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// A path as it is written in a file of a folder; `None` if it leads out of the repository.
pub(super) fn inside(dir: &str, path: &str) -> Option<String> {
    if path.starts_with('/') { None } else { relative(&format!("{dir}/{path}")) }
}
