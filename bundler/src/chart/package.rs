//! A chart's folder becomes the archive that `helm package` makes of it, and each time the same one.
//!
//! Which files are in it, and which are not, is as with Helm. `Chart.yaml` and `Chart.lock` stay as they are written,
//! where Helm writes them anew with the same meaning; and a packed dependency stays packed, where Helm unpacks it (and
//! mixes up two versions of one). Helm reads the one like the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::IgnoredAny;

use super::archive::{self, File, MAX_TGZ_BYTES, expect_size};
use super::metadata::Metadata;
use super::{ChartName, folder, yaml};
use crate::tarball::{self, Tarball};
use crate::{Error, chart};

/// Where a chart has the charts that it builds on.
const CHARTS: &str = "charts/";
const PACKED: &str = ".tgz";
const PROVENANCE: &str = ".prov";

/// Packs a folder; `seconds` since 1970 is when everything in it was changed.
///
/// # Errors
/// [`chart::Error::BadChart`], [`chart::Error::File`], [`chart::Error::MissingDependencies`], that it is too large, or I/O.
pub(super) fn package(folder: &Path, seconds: u64) -> Result<(Metadata, Vec<u8>), Error> {
    let name = folder.display().to_string();
    let contents = Contents::of(&name, folder::read(folder)?)?;
    let metadata = contents.check()?;
    let mut tarball = Tarball::new(seconds);
    for File { path, content } in &contents.files {
        tarball.file(&format!("{}/{path}", metadata.name), tarball::PLAIN, content)?;
    }
    let tgz = tarball::gzip(&tarball.finish()?)?;
    expect_size(&format!("{name}, packed,"), tgz.len() as u64, MAX_TGZ_BYTES)?;
    Ok((metadata, tgz))
}

/// What of a folder goes into the archive.
struct Contents<'a> {
    name: &'a str,
    files: Vec<File>,
    /// The folders of the chart itself (empty) and of the charts in it, with a `/` at the end.
    folders: BTreeSet<String>,
    /// The packed charts in it.
    packed: BTreeSet<String>,
}

impl<'a> Contents<'a> {
    fn of(name: &'a str, files: Vec<File>) -> Result<Self, Error> {
        let folders = BTreeSet::from([String::new()]);
        let mut contents = Self { name, files: Vec::new(), folders, packed: BTreeSet::new() };
        for file in files {
            if contents.wants(&file.path)? {
                contents.files.push(file);
            }
        }
        contents.expect_one_spelling()?;
        Ok(contents)
    }

    /// Whether a file is carried, as Helm decides it; on the way, the charts within the chart are noted.
    fn wants(&mut self, path: &str) -> Result<bool, Error> {
        let mut at = 0;
        while let Some(inner) = path[at..].strip_prefix(CHARTS) {
            if path.ends_with(PROVENANCE) {
                return Ok(true);
            }
            let chart = inner.split('/').next().unwrap_or(inner);
            let end = at + CHARTS.len() + chart.len();
            if chart.starts_with(['_', '.']) {
                return Ok(false);
            }
            match (chart.ends_with(PACKED), end < path.len()) {
                (true, false) => {
                    self.packed.insert(path.to_owned());
                    return Ok(true);
                }
                (false, true) => {
                    at = end + 1;
                    self.folders.insert(path[..at].to_owned());
                }
                _ => {
                    return Err(
                        self.refuse(format!("`{}` is no chart, and only charts may lie there", &path[..end]))
                    );
                }
            }
        }
        Ok(true)
    }

    /// Refuses names that become one where upper and lower case are the same.
    fn expect_one_spelling(&self) -> Result<(), Error> {
        let mut spellings = BTreeMap::new();
        for File { path, .. } in &self.files {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            for spelling in ends.map(|end| &path[..end]) {
                let other = *spellings.entry(spelling.to_lowercase()).or_insert(spelling);
                if other != spelling {
                    return Err(self.refuse(format!("`{other}` and `{spelling}` differ only in case")));
                }
            }
        }
        Ok(())
    }

    /// Reads what Helm will read, so that it fails here and not on the appliance, and gives what the chart itself says.
    fn check(&self) -> Result<Metadata, Error> {
        let mut found = BTreeMap::new();
        for folder in &self.folders {
            found.insert(folder.as_str(), self.check_folder(folder)?);
        }
        for path in &self.packed {
            let name = format!("{}/{path}", self.name);
            let files = archive::read(&name, archive::find(&self.files, path).unwrap_or_default())?;
            found.insert(path, super::metadata_of(&name, &files)?);
        }
        let inside: BTreeSet<&ChartName> = found
            .iter()
            .filter(|(path, _)| is_directly_inside(path))
            .map(|(_, metadata)| &metadata.name)
            .collect();
        let is_missing = |name: &str| !inside.iter().any(|inside| inside.as_str() == name);
        let missing: Vec<String> = found
            .get("")
            .into_iter()
            .flat_map(|metadata| &metadata.dependencies)
            .map(|dependency| dependency.name.clone())
            .filter(|name| is_missing(name))
            .collect();
        if !missing.is_empty() {
            return Err(chart::Error::MissingDependencies { chart: self.name.to_owned(), missing }.into());
        }
        // Every chart has its own folder, the empty one.
        found.remove("").ok_or_else(|| self.refuse("there is no Chart.yaml in it".to_owned()))
    }

    fn check_folder(&self, folder: &str) -> Result<Metadata, Error> {
        let find = |name: &str| archive::find(&self.files, &format!("{folder}{name}"));
        let place = format!("{}/{folder}", self.name);
        let place = place.trim_end_matches('/');
        let chart = find("Chart.yaml").ok_or_else(|| match folder {
            "" => self.refuse("there is no Chart.yaml in it".to_owned()),
            folder => self.refuse(format!("there is no Chart.yaml in `{folder}`")),
        })?;
        if let Some(values) = find("values.yaml") {
            yaml::parse::<yaml::AnyMapping>(&format!("{place}/values.yaml"), values)?;
        }
        if let Some(schema) = find("values.schema.json") {
            serde_json::from_slice::<IgnoredAny>(schema).map_err(|error| chart::Error::File {
                file: format!("{place}/values.schema.json"),
                place: format!(" line {}, column {}", error.line(), error.column()),
                why: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
            })?;
        }
        Metadata::parse(place, chart, find("requirements.yaml"))
    }

    fn refuse(&self, why: String) -> Error {
        chart::Error::BadChart { chart: self.name.to_owned(), why }.into()
    }
}

/// Whether a chart's folder or archive is in the chart itself, and not in one of the charts in it.
fn is_directly_inside(path: &str) -> bool {
    path.strip_prefix(CHARTS).is_some_and(|inner| !inner.trim_end_matches('/').contains('/'))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use tempfile::TempDir;

    use super::*;

    const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    fn chart(files: &[(&str, &str)]) -> TempDir {
        let dir = TempDir::new().unwrap();
        write(dir.path(), &[("Chart.yaml", CHART), ("values.yaml", "a: 1\n")]);
        write(dir.path(), files);
        dir
    }

    fn paths(tgz: &[u8]) -> Vec<String> {
        archive::read("x", tgz).unwrap().into_iter().map(|file| file.path).collect()
    }

    fn said(dir: &TempDir) -> String {
        package(dir.path(), 0).unwrap_err().to_string()
    }

    fn sub(name: &str) -> String {
        format!("name: {name}\nversion: 0.1.0\n")
    }

    #[test]
    fn the_archive_holds_what_helms_would() {
        let dir = chart(&[
            ("Chart.lock", "dependencies: []\n"),
            ("values.schema.json", "{}"),
            ("templates/a.yaml", "a"),
            ("templates/.swp", "dropped"),
            ("crds/c.yaml", "c"),
            ("README.md", "kept"),
            (".helmignore", "*.tmp\n"),
            ("x.tmp", "dropped"),
            ("charts/one/Chart.yaml", &sub("one")),
            ("charts/one/charts/two/Chart.yaml", &sub("two")),
            ("charts/one/charts/_off/x", "dropped"),
            ("charts/_off/Chart.yaml", "dropped"),
            ("charts/.gitkeep", "dropped"),
            ("charts/one.tgz.prov", "kept"),
        ]);
        let (metadata, tgz) = package(dir.path(), 1_700_000_000).unwrap();
        assert_eq!(metadata.name.as_str(), "web");
        let expected = [
            ".helmignore",
            "Chart.lock",
            "Chart.yaml",
            "README.md",
            "charts/one.tgz.prov",
            "charts/one/Chart.yaml",
            "charts/one/charts/two/Chart.yaml",
            "crds/c.yaml",
            "templates/a.yaml",
            "values.schema.json",
            "values.yaml",
        ];
        assert_eq!(paths(&tgz), expected);
    }

    #[test]
    fn the_same_folder_makes_the_same_archive_wherever_and_whenever() {
        use std::os::unix::fs::PermissionsExt as _;

        let (one, two) = (chart(&[("b", "b"), ("a/c", "c")]), chart(&[("a/c", "c"), ("b", "b")]));
        fs::set_permissions(two.path().join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let first = package(one.path(), 7).unwrap().1;
        assert_eq!(first, package(two.path(), 7).unwrap().1);
        assert_ne!(first, package(one.path(), 8).unwrap().1);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&first[..]));
        for entry in archive.entries().unwrap() {
            let header = entry.unwrap().header().clone();
            let facts = (header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap());
            assert_eq!(facts, (0o644, 7, 0));
        }
    }

    #[test]
    fn declared_dependencies_have_to_be_there() {
        let declared =
            format!("{CHART}dependencies:\n- {{name: db, version: 1}}\n- {{name: cache, alias: c}}\n");
        let dir = chart(&[("Chart.yaml", &declared), ("charts/x/Chart.yaml", &sub("x"))]);
        assert!(said(&dir).contains("db, cache"), "{}", said(&dir));
        // What counts is the name that a chart has, not that of its folder; a packed one is a dependency too.
        let packed = chart(&[("Chart.yaml", &sub("cache"))]);
        fs::write(dir.path().join("charts/y.tgz"), package(packed.path(), 0).unwrap().1).unwrap();
        write(dir.path(), &[("charts/anything/Chart.yaml", &sub("db"))]);
        assert_eq!(
            paths(&package(dir.path(), 0).unwrap().1)[1..4],
            ["charts/anything/Chart.yaml", "charts/x/Chart.yaml", "charts/y.tgz"]
        );
        // Not those of the charts inside.
        write(
            dir.path(),
            &[("charts/x/Chart.yaml", &format!("{}dependencies: [{{name: far}}]\n", sub("x")))],
        );
        package(dir.path(), 0).unwrap();

        let old =
            chart(&[("Chart.yaml", &sub("old")), ("requirements.yaml", "dependencies: [{name: db}]\n")]);
        assert!(said(&old).contains("db"), "{}", said(&old));
    }

    #[test]
    fn what_helm_would_stumble_over_is_named() {
        type Files<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Files<'_>, &[&str]); 11] = [
            (&[("charts/one/values.yaml", "")], &["no Chart.yaml in `charts/one/`"]),
            (&[("charts/README.md", "")], &["`charts/README.md` is no chart"]),
            (&[("charts/one.tgz/x", "")], &["`charts/one.tgz` is no chart"]),
            (&[("charts/one.tgz", "text")], &["charts/one.tgz", "is not a gzip file"]),
            (&[("values.yaml", "a: [\n")], &["values.yaml` line"]),
            (&[("values.yaml", "- a\n")], &["values.yaml`: invalid type: sequence, expected a mapping"]),
            (&[("values.schema.json", "{\n,}")], &["values.schema.json` line 2, column 1: key must"]),
            (
                &[("charts/a/Chart.yaml", "name: a\n")],
                &["charts/a/Chart.yaml` line 1", "missing field `version`"],
            ),
            (&[("README.md", ""), ("readme.md", "")], &["`README.md` and `readme.md` differ only in case"]),
            (&[("Files/a", ""), ("files/b", "")], &["`Files` and `files` differ only in case"]),
            (&[(".helmignore", "Chart.yaml\n")], &["there is no Chart.yaml in it"]),
        ];
        for (files, expected) in cases {
            let dir = chart(files);
            for part in expected {
                assert!(said(&dir).contains(part), "{part}: {}", said(&dir));
            }
            assert!(said(&dir).contains(dir.path().to_str().unwrap()), "{}", said(&dir));
        }
    }
}
