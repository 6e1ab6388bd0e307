//! Helm charts: from a folder, a file or a chart repository to what a registry holds.
//!
//! A [`Chart`] is always a packed one. A folder is packed here, the same way every time; what is packed already, in a
//! file or a [`Repository`], is carried byte for byte, with its provenance file if it has one. [`Chart::artifact`] makes of it what `helm push` does.
//! A chart that lies in a registry is ordinary content of one: [`ChartManifest`] tells that it is a chart.
//!
//! PGP signatures are not checked here, only that a provenance file is about the chart beside it.

mod archive;
mod artifact;
mod error;
mod folder;
mod ignore;
mod index;
mod metadata;
mod package;
mod provenance;
mod repository;
mod version;
mod yaml;

use std::io;
use std::path::Path;

pub use archive::{File, MAX_CHART_BYTES, MAX_FILE_BYTES, MAX_FILES, MAX_TGZ_BYTES, read as read_archive};
pub use artifact::{CONFIG_TYPE, CONTENT_TYPE, ChartManifest, LEGACY_CONTENT_TYPE, PROVENANCE_TYPE};
pub use error::Error;
pub use metadata::{ApiVersion, ChartType, Dependency, Maintainer, Metadata};
pub use repository::{Found, Repository};
pub use version::{ChartName, ChartVersion};

use sealift_archive::making;

use crate::files::read_capped;

/// A packed chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it says of itself.
    pub metadata: Metadata,
    /// The archive.
    pub tgz: Vec<u8>,
    /// The provenance file that belongs to it.
    pub provenance: Option<Vec<u8>>,
}

impl Chart {
    /// Packs a folder; `seconds` since 1970 is when everything in it was changed.
    ///
    /// # Errors
    /// [`Error::BadChart`], [`Error::File`], [`Error::MissingDependencies`], that it is too large, or I/O.
    pub fn from_directory(folder: &Path, seconds: u64) -> Result<Self, crate::Error> {
        let (metadata, tgz) = package::package(folder, seconds)?;
        Ok(Self { metadata, tgz, provenance: None })
    }

    /// Reads a `.tgz`, and the `.tgz.prov` beside it if there is one.
    ///
    /// # Errors
    /// As [`Chart::from_bytes`], or I/O.
    pub fn from_file(file: &Path) -> Result<Self, crate::Error> {
        let tgz = read_capped(file, MAX_TGZ_BYTES)?;
        let provenance = match read_capped(&making::beside(file, ".prov"), provenance::MAX_PROVENANCE_BYTES) {
            Err(crate::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read?),
        };
        Self::from_bytes(&file.display().to_string(), tgz, provenance)
    }

    /// Takes a `.tgz`, and the provenance file that belongs to it; `name` names the chart in errors.
    ///
    /// # Errors
    /// [`Error::BadChart`], [`Error::File`], [`Error::Provenance`] if they do not belong together, or that something
    /// is too large.
    pub fn from_bytes(name: &str, tgz: Vec<u8>, provenance: Option<Vec<u8>>) -> Result<Self, crate::Error> {
        let metadata = metadata_of(name, &archive::read(name, &tgz)?)?;
        if let Some(bytes) = &provenance {
            let name = format!("{name}.prov");
            archive::expect_size(&name, bytes.len() as u64, provenance::MAX_PROVENANCE_BYTES)?;
            provenance::check(&name, bytes, &tgz)?;
        }
        Ok(Self { metadata, tgz, provenance })
    }
}

/// What the chart with these files says of itself.
fn metadata_of(name: &str, files: &[File]) -> Result<Metadata, crate::Error> {
    let Some(chart) = archive::find(files, "Chart.yaml") else {
        let why = "there is no Chart.yaml in its folder".to_owned();
        return Err(Error::BadChart { chart: name.to_owned(), why }.into());
    };
    Metadata::parse(name, chart, archive::find(files, "requirements.yaml"))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_archive::Digest;
    use tempfile::TempDir;

    use super::*;

    /// A packed chart in a file, and the file's path.
    fn packed() -> (TempDir, std::path::PathBuf) {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("web")).unwrap();
        fs::write(dir.path().join("web/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n").unwrap();
        let file = dir.path().join("web-1.0.0.tgz");
        fs::write(&file, Chart::from_directory(&dir.path().join("web"), 0).unwrap().tgz).unwrap();
        (dir, file)
    }

    fn provenance(digest: Digest) -> String {
        let body = format!("name: web\n\n...\nfiles:\n  web-1.0.0.tgz: {digest}\n");
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{body}-----BEGIN PGP SIGNATURE-----\n")
    }

    #[test]
    fn a_file_is_carried_byte_for_byte_with_its_provenance() {
        let (dir, file) = packed();
        let bytes = fs::read(&file).unwrap();
        let chart = Chart::from_file(&file).unwrap();
        assert_eq!((chart.metadata.name.as_str(), &chart.tgz, &chart.provenance), ("web", &bytes, &None));

        let beside = dir.path().join("web-1.0.0.tgz.prov");
        fs::write(&beside, provenance(Digest::of(&bytes))).unwrap();
        let signed = Chart::from_file(&file).unwrap();
        assert_eq!(signed.provenance.unwrap(), fs::read(&beside).unwrap());

        fs::write(&beside, provenance(Digest::of(b"other"))).unwrap();
        let error = Chart::from_file(&file).unwrap_err().to_string();
        assert!(
            error.contains("web-1.0.0.tgz.prov") && error.contains(&Digest::of(&bytes).to_string()),
            "{error}"
        );
        fs::write(&beside, vec![b' '; (2 << 20) + 1]).unwrap();
        assert!(Chart::from_file(&file).unwrap_err().to_string().contains("the limit is 2097152"));
    }

    #[test]
    fn files_that_are_no_charts_are_named() {
        let (dir, file) = packed();
        let endless = Chart::from_file(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(endless, crate::Error::NotAFile { .. }), "{endless}");
        let missing = dir.path().join("missing.tgz");
        assert!(Chart::from_file(&missing).unwrap_err().to_string().contains("missing.tgz"));
        fs::write(&file, "text").unwrap();
        assert!(Chart::from_file(&file).unwrap_err().to_string().contains("web-1.0.0.tgz"));
        fs::File::create(&file).unwrap().set_len(MAX_TGZ_BYTES + 1).unwrap();
        assert!(Chart::from_file(&file).unwrap_err().to_string().contains("33554433, the limit is 33554432"));
        let mut tarball = crate::tarball::Tarball::new(0);
        tarball.file("web/sub/Chart.yaml", 0o644, b"name: web\nversion: 1.0.0\n").unwrap();
        fs::write(&file, crate::tarball::gzip(&tarball.finish().unwrap()).unwrap()).unwrap();
        assert!(Chart::from_file(&file).unwrap_err().to_string().contains("no Chart.yaml in its folder"));
    }
}
