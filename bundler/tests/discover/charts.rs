//! The charts written for these tests, and what images each has, written by hand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Charts below `pack/` are packed into `charts/` when the test runs.
const TO_PACK: &str = "pack";

/// A chart in a temporary folder.
pub(crate) struct TestChart {
    /// `01-string`
    pub(crate) name: String,
    /// The images that have to be found, and nothing else.
    pub(crate) images: Vec<TestImage>,
    dir: tempfile::TempDir,
}

/// A line of a chart's list.
pub(crate) struct TestImage {
    pub(crate) reference: String,
    /// Why the reference does not stand in one piece in what Helm renders: its parts are `apart`, it is `encoded`, or it stands in an `annotation`
    /// of the chart only.
    pub(crate) hidden: Option<String>,
}

impl TestChart {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn references(&self) -> BTreeSet<&str> {
        self.images.iter().map(|image| image.reference.as_str()).collect()
    }
}

/// Every chart. `charts` is their folder.
pub(crate) fn all(charts: &Path) -> Vec<TestChart> {
    let mut names: Vec<PathBuf> = entries(charts).into_iter().filter(|path| path.is_dir()).collect();
    names.sort();
    assert!(names.len() >= 20, "there are only {} charts", names.len());
    names.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> TestChart {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let list = fs_err::read_to_string(path.with_file_name(format!("{name}.images"))).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let images = lines.map(|line| match line.split_once("  # ") {
        Some((reference, hidden)) => {
            TestImage { reference: reference.to_owned(), hidden: Some(hidden.to_owned()) }
        }
        None => TestImage { reference: line.to_owned(), hidden: None },
    });
    let dir = tempfile::tempdir().unwrap();
    copy(path, dir.path());
    TestChart { images: images.collect(), name, dir }
}

/// Copies a chart, subcharts to be packed as archives.
fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for path in entries(from) {
        let name = path.file_name().unwrap();
        if name == TO_PACK {
            for subchart in entries(&path) {
                let archive = to
                    .join("charts")
                    .join(format!("{}-1.0.0.tgz", subchart.file_name().unwrap().to_str().unwrap()));
                fs_err::create_dir_all(archive.parent().unwrap()).unwrap();
                fs_err::write(archive, packed(&subchart)).unwrap();
            }
        } else if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs_err::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A chart as `helm package` packs it: a folder of the chart's name in a gzipped tar.
pub(crate) fn packed(chart: &Path) -> Vec<u8> {
    let whole = tempfile::tempdir().unwrap();
    copy(chart, whole.path());
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append_dir_all(chart.file_name().unwrap(), whole.path()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}
