//! The files of a chart, from a folder or a `.tgz`, subcharts unpacked.
//!
//! An archive is somebody else's: names may not leave it, and size, number of files and nesting are bounded (the first two as Helm bounds them).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use fs_err as fs;

use super::ignore::{self, Ignore};
use crate::Error;

/// Largest chart with all subcharts, unpacked, in bytes.
const MAX_CHART_BYTES: usize = 100 << 20;
/// Most bytes that come out of all its archives.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// Largest file of a chart, in bytes.
const MAX_FILE_BYTES: u64 = 5 << 20;
/// Largest `.tgz`, in bytes.
const MAX_ARCHIVE_BYTES: u64 = 64 << 20;
/// Most files.
const MAX_FILES: usize = 20_000;
/// Deepest folder, and most archives inside one another.
const MAX_DEPTH: usize = 32;
/// The mark that some editors put before UTF-8; Helm takes it off too.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The files of a chart by their path in it. A subchart's archive is there as a folder of its name: `charts/redis-1.0.0.tgz/values.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartFiles(BTreeMap<String, Vec<u8>>);

impl ChartFiles {
    /// Reads a chart from a folder or a `.tgz`.
    ///
    /// # Errors
    /// [`Error::UnreadableChart`] for what is no chart, is too large, or has names that leave it; I/O.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let mut reader = Reader::new(&shown);
        if fs::metadata(path)?.is_dir() {
            let rules = path.join(ignore::FILE);
            let rules = if rules.is_file() { fs::read_to_string(rules)? } else { String::new() };
            reader.folder(path, "", 0, &Ignore::parse(&rules))?;
        } else {
            let mut archive = Vec::new();
            fs::File::open(path)?.take(MAX_ARCHIVE_BYTES + 1).read_to_end(&mut archive)?;
            reader.archive(&archive, "", 0)?;
        }
        reader.finish()
    }

    /// Reads a chart from the bytes of a `.tgz`; `chart` names it in errors.
    ///
    /// # Errors
    /// As [`ChartFiles::read`].
    pub fn from_archive(chart: &str, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(chart);
        reader.archive(bytes, "", 0)?;
        reader.finish()
    }

    /// The files: path and content, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }
}

struct Reader<'a> {
    chart: &'a str,
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    /// What all archives together may still unpack to: headers and padding are no files, but cost time.
    left: u64,
}

impl<'a> Reader<'a> {
    fn new(chart: &'a str) -> Self {
        Self { chart, files: BTreeMap::new(), bytes: 0, left: MAX_UNPACKED_BYTES }
    }
}

impl Reader<'_> {
    fn finish(self) -> Result<ChartFiles, Error> {
        if !self.files.contains_key("Chart.yaml") {
            return Err(self.refuse("it has no `Chart.yaml`"));
        }
        Ok(ChartFiles(self.files))
    }

    fn refuse(&self, why: impl Into<String>) -> Error {
        Error::UnreadableChart { chart: self.chart.to_owned(), why: why.into() }
    }

    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize, ignore: &Ignore) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(format!(
                "its folders are nested deeper than {MAX_DEPTH}; is there a link to itself?"
            )));
        }
        let mut entries: Vec<PathBuf> =
            fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Error>>()?;
        entries.sort();
        for path in entries {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(self.refuse(format!("the name of `{}` is not UTF-8", path.display())));
            };
            let inside = format!("{prefix}{name}");
            // Links are followed, as Helm follows them.
            let metadata = fs::metadata(&path)?;
            if ignore.takes_out(&inside, metadata.is_dir()) {
                continue;
            }
            if metadata.is_dir() {
                if name != ".git" {
                    self.folder(&path, &format!("{inside}/"), depth + 1, ignore)?;
                }
            } else if metadata.is_file() && (metadata.len() <= MAX_FILE_BYTES || is_needed(&inside)) {
                let mut content = Vec::new();
                fs::File::open(&path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
                self.add(inside, content, depth)?;
            }
        }
        Ok(())
    }

    /// Unpacks an archive below a prefix. Its first folder is the chart, whatever it is called.
    fn archive(&mut self, bytes: &[u8], prefix: &str, depth: usize) -> Result<(), Error> {
        let shown =
            if prefix.is_empty() { "it".to_owned() } else { format!("`{}`", prefix.trim_end_matches('/')) };
        if depth > MAX_DEPTH {
            return Err(self.refuse(format!("archives are nested deeper than {MAX_DEPTH}")));
        }
        if bytes.len() as u64 > MAX_ARCHIVE_BYTES {
            return Err(self.refuse(format!("{shown} is larger than {MAX_ARCHIVE_BYTES} bytes")));
        }
        let before = self.left;
        let mut archive = tar::Archive::new(MultiGzDecoder::new(bytes).take(before));
        let broken = |e: io::Error| format!("{shown} is no chart archive (gzip and tar): {e}");
        for entry in archive.entries().map_err(|e| self.refuse(broken(e)))? {
            let mut entry = entry.map_err(|e| self.refuse(broken(e)))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let raw = entry.path().map_err(|e| self.refuse(broken(e)))?.to_string_lossy().replace('\\', "/");
            let inside = name_inside(&raw)
                .ok_or_else(|| self.refuse(format!("{shown} holds `{raw}`, a name that leaves the chart")))?;
            let mut content = Vec::new();
            entry
                .by_ref()
                .take(MAX_FILE_BYTES + 1)
                .read_to_end(&mut content)
                .map_err(|e| self.refuse(broken(e)))?;
            self.add(format!("{prefix}{inside}"), content, depth)?;
        }
        // The checksum stands at the very end.
        let mut rest = archive.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(|e| self.refuse(broken(e)))?;
        self.left = self.left.saturating_sub(before - rest.limit());
        Ok(())
    }

    fn add(&mut self, path: String, mut content: Vec<u8>, depth: usize) -> Result<(), Error> {
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(self.refuse(format!("`{path}` is larger than {MAX_FILE_BYTES} bytes")));
        }
        self.bytes += content.len();
        if self.bytes > MAX_CHART_BYTES || self.files.len() >= MAX_FILES {
            return Err(self.refuse(format!("it has more than {MAX_CHART_BYTES} bytes or {MAX_FILES} files")));
        }
        if is_subchart_archive(&path) {
            return self.archive(&content, &format!("{path}/"), depth + 1);
        }
        if content.starts_with(BYTE_ORDER_MARK) {
            content.drain(..BYTE_ORDER_MARK.len());
        }
        self.files.insert(path, content);
        Ok(())
    }
}

/// Whether a file can have a say in what is rendered. Others are left out if they are large: a folder may hold anything.
fn is_needed(path: &str) -> bool {
    ["templates/", "crds/", "charts/"].iter().any(|folder| path.contains(folder)) || !path.contains('/')
}

/// The path below the chart's own folder; `None` if it would leave it.
fn name_inside(raw: &str) -> Option<String> {
    let mut parts = Path::new(raw).components().filter(|part| *part != Component::CurDir);
    let Some(Component::Normal(_)) = parts.next() else { return None };
    let inside: Option<Vec<&str>> =
        parts.map(|part| if let Component::Normal(name) = part { name.to_str() } else { None }).collect();
    inside.filter(|inside| !inside.is_empty()).map(|inside| inside.join("/"))
}

/// `charts/redis-1.0.0.tgz`, at any depth.
fn is_subchart_archive(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    (folder == "charts" || folder.ends_with("/charts"))
        && Path::new(name).extension().is_some_and(|ending| ending == "tgz")
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// An archive with names as they are, `..` too.
    fn tgz(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn names(files: &ChartFiles) -> Vec<&str> {
        files.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn archives_inside_archives_become_folders() {
        let inner = tgz(&[("redis/Chart.yaml", b"name: redis"), ("redis/values.yaml", b"a: 1")]);
        let middle = tgz(&[("cache/Chart.yaml", b"name: cache"), ("cache/charts/redis-1.tgz", &inner)]);
        let outer = tgz(&[("./app/Chart.yaml", b"\xef\xbb\xbfname: app"), ("app/charts/cache.tgz", &middle)]);
        let files = ChartFiles::from_archive("app.tgz", &outer).unwrap();
        let expected = [
            "Chart.yaml",
            "charts/cache.tgz/Chart.yaml",
            "charts/cache.tgz/charts/redis-1.tgz/Chart.yaml",
            "charts/cache.tgz/charts/redis-1.tgz/values.yaml",
        ];
        assert_eq!(names(&files), expected);
        assert_eq!(files.iter().next().unwrap().1, b"name: app");
    }

    #[test]
    fn a_hostile_archive_is_refused() {
        let large = vec![0; usize::try_from(MAX_FILE_BYTES).unwrap() + 1];
        let many: Vec<(String, Vec<u8>)> = (0..24).map(|n| (format!("a/{n}"), vec![0; 5 << 20])).collect();
        let many: Vec<(&str, &[u8])> =
            many.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let cases: [(&str, Vec<u8>, &str); 7] = [
            ("leaves by ..", tgz(&[("a/../../etc/passwd", b"x")]), "leaves the chart"),
            ("leaves from the root", tgz(&[("/etc/passwd", b"x")]), "leaves the chart"),
            ("leaves by \\", tgz(&[("a\\..\\..\\x", b"x")]), "leaves the chart"),
            ("one large file", tgz(&[("a/Chart.yaml", b""), ("a/b", &large)]), "`b` is larger"),
            ("many files", tgz(&many), "more than"),
            ("no chart", tgz(&[("a/values.yaml", b"")]), "no `Chart.yaml`"),
            ("no archive", b"PK\x03\x04".to_vec(), "no chart archive"),
        ];
        for (name, bytes, expected) in cases {
            let said = ChartFiles::from_archive("a.tgz", &bytes).unwrap_err().to_string();
            assert!(said.contains(expected), "{name}: {said}");
        }
    }

    #[test]
    fn a_cut_archive_is_refused() {
        let whole = tgz(&[("a/Chart.yaml", b"name: a"), ("a/values.yaml", &[b'#'; 4000])]);
        for length in [0, 1, 10, whole.len() / 2, whole.len() - 9] {
            let read = ChartFiles::from_archive("a.tgz", &whole[..length]);
            assert!(read.is_err(), "{length} of {} bytes were taken", whole.len());
        }
    }

    #[test]
    fn a_folder_is_read_without_what_is_no_part_of_the_chart() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("Chart.yaml", "name: a"),
            ("templates/a.yaml", "x: 1"),
            (".git/HEAD", "ref: x"),
            ("ci/a", ""),
            (".helmignore", "ci/"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(
            names(&ChartFiles::read(dir.path()).unwrap()),
            [".helmignore", "Chart.yaml", "templates/a.yaml"]
        );
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        assert!(ChartFiles::read(dir.path()).unwrap_err().to_string().contains("nested deeper"));
    }
}
