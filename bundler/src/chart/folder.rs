//! The files of a chart's folder, less those that `.helmignore` drops.
//!
//! Links are followed, as Helm does it, but not out of the folder: what a chart carries should not depend on the
//! machine that it is packed on.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::archive::{File, MAX_CHART_BYTES, MAX_FILE_BYTES, MAX_FILES, expect_size};
use super::ignore::Rules;
use super::yaml;
use crate::files::read_capped;
use crate::{Error, chart};

const RULES: &str = ".helmignore";
/// Folders in folders; deeper is a mistake, and a link can make it without end.
const MAX_DEPTH: usize = 64;
/// Most entries that are looked at, dropped ones too: a few links to folders that have such links again make billions.
const MAX_ENTRIES: usize = 4 * MAX_FILES;

/// All files of a chart, sorted by path.
///
/// # Errors
/// [`chart::Error::BadChart`] for what cannot be carried, [`chart::Error::File`] for a bad rule, or I/O.
pub(super) fn read(folder: &Path) -> Result<Vec<File>, Error> {
    let root = fs::canonicalize(folder)?;
    let mut walk =
        Walk { folder, root: &root, rules: rules(folder)?, files: Vec::new(), bytes: 0, entries: 0 };
    walk.enter(&root, "", &mut Vec::new())?;
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.files)
}

fn rules(folder: &Path) -> Result<Rules, Error> {
    let file = folder.join(RULES);
    let bytes = match fs::metadata(&file) {
        Ok(found) if found.is_file() => read_capped(&file, MAX_FILE_BYTES)?,
        _ => Vec::new(),
    };
    let text = String::from_utf8_lossy(yaml::without_mark(&bytes));
    let rules = Rules::parse(&text).map_err(|(line, why)| chart::Error::File {
        file: file.display().to_string(),
        place: format!(" line {line}"),
        why: why.to_owned(),
    })?;
    Ok(rules)
}

struct Walk<'a> {
    /// As it was named.
    folder: &'a Path,
    /// Where it really is.
    root: &'a Path,
    rules: Rules,
    files: Vec<File>,
    bytes: u64,
    entries: usize,
}

impl Walk<'_> {
    /// Takes everything in a folder of the chart: `real` is where it is, without links, and `prefix` what its files
    /// are called by. `open` are the folders that it is in.
    fn enter(&mut self, real: &Path, prefix: &str, open: &mut Vec<PathBuf>) -> Result<(), Error> {
        if open.len() >= MAX_DEPTH {
            return Err(self.refuse(prefix, "is more folders deep than anybody means"));
        }
        open.push(real.to_owned());
        for entry in fs::read_dir(real)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(self.refuse(&entry.file_name().to_string_lossy(), "has a name that is not UTF-8"));
            };
            self.take(&entry.path(), &format!("{prefix}{name}"), open)?;
        }
        open.pop();
        Ok(())
    }

    fn take(&mut self, path: &Path, name: &str, open: &mut Vec<PathBuf>) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.refuse(name, &format!("is one entry too many: the limit is {MAX_ENTRIES}")));
        }
        let is_link = fs::symlink_metadata(path)?.is_symlink();
        let real = if is_link {
            fs::canonicalize(path).map_err(|_| self.refuse(name, "is a link that leads nowhere"))?
        } else {
            path.to_owned()
        };
        let found = fs::metadata(&real)?;
        if self.rules.drops(name, found.is_dir()) {
            return Ok(());
        }
        if !real.starts_with(self.root) {
            return Err(self.refuse(name, "is a link that leads out of the chart"));
        }
        if found.is_dir() {
            if open.contains(&real) {
                return Err(self.refuse(name, "is a link to a folder that it is in"));
            }
            return self.enter(&real, &format!("{name}/"), open);
        }
        if !found.is_file() {
            return Err(self.refuse(name, "is neither a file nor a folder"));
        }
        if name.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(self.refuse(name, "has a name that Helm does not read on every system"));
        }
        if self.files.len() >= MAX_FILES {
            return Err(self.refuse(name, &format!("is one file too many: the limit is {MAX_FILES}")));
        }
        let content = read_capped(&real, MAX_FILE_BYTES)?;
        self.bytes += content.len() as u64;
        expect_size(&self.folder.display().to_string(), self.bytes, MAX_CHART_BYTES)?;
        self.files.push(File { path: name.to_owned(), content: yaml::without_mark(&content).to_vec() });
        Ok(())
    }

    fn refuse(&self, name: &str, why: &str) -> Error {
        chart::Error::BadChart {
            chart: self.folder.display().to_string(),
            why: format!("`{}` {why}", yaml::clean(name)),
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use fs_err::os::unix::fs::symlink;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::folder;

    fn names(dir: &TempDir) -> Vec<String> {
        read(dir.path()).unwrap().into_iter().map(|file| file.path).collect()
    }

    fn said(dir: &TempDir) -> String {
        read(dir.path()).unwrap_err().to_string()
    }

    #[test]
    fn files_come_sorted_and_without_what_is_ignored() {
        let dir = folder(&["b", "a/c", "a/.git/HEAD", ".git/HEAD", "templates/.swp", "x.tmp", "a.d/e"]);
        fs::write(dir.path().join(RULES), "\u{feff}.git/\n*.tmp\n").unwrap();
        fs::write(dir.path().join("b"), "\u{feff}text").unwrap();
        assert_eq!(names(&dir), [RULES, "a.d/e", "a/c", "b"]);
        assert_eq!(read(dir.path()).unwrap()[3].content, b"text");
    }

    #[test]
    fn links_are_followed_within_the_chart_only() {
        let dir = folder(&["files/a", "files/sub/b"]);
        symlink("files/a", dir.path().join("link")).unwrap();
        symlink("files/sub", dir.path().join("folder")).unwrap();
        assert_eq!(names(&dir), ["files/a", "files/sub/b", "folder/b", "link"]);
        assert_eq!(read(dir.path()).unwrap()[3].content, b"files/a");
        // A chart that is itself named by a link is no link in a chart.
        let outer = TempDir::new().unwrap();
        symlink(dir.path(), outer.path().join("chart")).unwrap();
        assert_eq!(read(&outer.path().join("chart")).unwrap().len(), 4);

        let cases = [
            ("/etc/passwd", "`odd` is a link that leads out of the chart"),
            ("..", "leads out of the chart"),
            ("nowhere", "`odd` is a link that leads nowhere"),
            ("odd", "leads nowhere"),
            (".", "`odd` is a link to a folder that it is in"),
            ("/dev/null", "leads out of the chart"),
        ];
        let odd = dir.path().join("odd");
        for (target, expected) in cases {
            symlink(target, &odd).unwrap();
            assert!(said(&dir).contains(expected), "{target}: {}", said(&dir));
            // What is dropped is looked at no further, unless nobody can say whether it is a folder.
            if !expected.contains("nowhere") {
                fs::write(dir.path().join(RULES), "odd").unwrap();
                assert!(!names(&dir).contains(&"odd".to_owned()));
                fs::remove_file(dir.path().join(RULES)).unwrap();
            }
            fs::remove_file(&odd).unwrap();
        }
        symlink("../sub", dir.path().join("files/sub/again")).unwrap();
        assert!(
            said(&dir).contains("`files/sub/again` is a link to a folder that it is in"),
            "{}",
            said(&dir)
        );
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        use std::os::unix::ffi::OsStrExt as _;

        let dir = folder(&["good"]);
        fs::write(dir.path().join("large"), vec![b'x'; 5 << 20]).unwrap();
        assert_eq!(names(&dir), ["good", "large"]);
        fs::write(dir.path().join("large"), vec![b'x'; (5 << 20) + 1]).unwrap();
        assert!(said(&dir).contains("large has a size of 5242881, the limit is 5242880"), "{}", said(&dir));
        fs::remove_file(dir.path().join("large")).unwrap();

        for name in [&b"back\\slash"[..], b"new\nline", b"not utf8 \xff"] {
            let path = dir.path().join(std::ffi::OsStr::from_bytes(name));
            fs::write(&path, "").unwrap();
            assert!(said(&dir).contains("has a name that"), "{name:?}: {}", said(&dir));
            fs::remove_file(path).unwrap();
        }
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert!(said(&dir).contains("`socket` is neither"), "{}", said(&dir));
        drop(socket);
        fs::remove_file(dir.path().join("socket")).unwrap();

        fs::create_dir_all(dir.path().join("d/".repeat(MAX_DEPTH))).unwrap();
        assert!(said(&dir).contains("folders deep"), "{}", said(&dir));
        fs::remove_dir_all(dir.path().join("d")).unwrap();

        fs::write(dir.path().join(RULES), "a\n**\n").unwrap();
        assert!(said(&dir).contains(".helmignore` line 2: Helm knows no `**`"), "{}", said(&dir));
        assert!(read(&dir.path().join("none")).is_err());
        assert!(read(&dir.path().join("good")).is_err());
    }

    #[test]
    fn links_to_folders_of_links_come_to_an_end() {
        // Each folder leads to the next in eight ways: 8^10 of them to the last, and no file anywhere.
        let dir = TempDir::new().unwrap();
        for level in 0..10 {
            let folder = dir.path().join(format!("f{level}"));
            fs::create_dir(&folder).unwrap();
            for way in 0..8 {
                symlink(format!("../f{}", level + 1), folder.join(format!("w{way}"))).unwrap();
            }
        }
        fs::create_dir(dir.path().join("f10")).unwrap();
        let said = read(dir.path()).unwrap_err().to_string();
        assert!(said.contains("one entry too many"), "{said}");
    }
}
