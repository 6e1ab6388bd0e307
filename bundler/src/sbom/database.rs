//! Which files of an image say what is installed, and what they say. Each is read once, as its layer passes.

use std::fmt;
use std::io::{self, Read, Seek as _, Write as _};
use std::ops::Deref;

use tempfile::SpooledTempFile;

use super::layers::Selection;
use super::package::{Distribution, Package};
use super::{apk, dpkg, rpm};

/// Largest `os-release`, in bytes.
const MAX_OS_RELEASE_BYTES: u64 = 64 << 10;
/// Largest database of dpkg or apk, in bytes; a desktop's is 10 MB.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Largest database of rpm, in bytes; a desktop's is 300 MB.
const MAX_RPM_BYTES: u64 = 1 << 30;
/// How much of an rpm database is held in memory; a larger one lies in a temporary file while it is read.
const SPOOL_BYTES: usize = 16 << 20;
/// How much is copied into it at a time.
const COPY_BYTES: usize = 256 << 10;
/// Most packages of one database, and of all databases of one layer. All of Debian is 65 000.
const MAX_PACKAGES: usize = 200_000;
/// Most memory that the packages of one layer may take, in bytes. Those of a large image take half a megabyte.
const MAX_LAYER_BYTES: u64 = 64 << 20;
/// Longest name of a file that may count, in bytes, as Linux has it.
const MAX_FILE_NAME: usize = 255;

/// Where distributions say who they are. The first that is there counts.
pub(super) const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// dpkg's database.
pub(super) const DPKG: &str = "var/lib/dpkg/status";
/// A database in parts, one file a package, of images that are put together without dpkg (distroless).
pub(super) const DPKG_PARTS: &str = "var/lib/dpkg/status.d";
/// apk's database; distributions that have merged `/usr` moved it.
pub(super) const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
/// Folders of rpm's database: the old one, the one of today, that of OSTree's systems.
pub(super) const RPM: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];
/// Its files: of SQLite, of ndb, of Berkeley DB.
pub(super) const RPM_FILES: [(&str, Kind); 3] =
    [("rpmdb.sqlite", Kind::RpmSqlite), ("Packages.db", Kind::RpmNdb), ("Packages", Kind::RpmHash)];
/// What was written to an SQLite database and not put into it. rpm leaves none when it ends as it should.
pub(super) const RPM_LOG: &str = "rpmdb.sqlite-wal";

/// What a file counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    OsRelease,
    Dpkg,
    Apk,
    RpmSqlite,
    RpmLog,
    RpmNdb,
    RpmHash,
}

/// What a file says.
#[derive(Debug)]
pub(super) enum Content {
    Distribution(Option<Distribution>),
    Packages(Packages),
    /// A log that holds more than its database.
    Log {
        is_empty: bool,
    },
    Unreadable(Unreadable),
}

/// Why a database, or an attached document, could not be read, as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(String);

impl Unreadable {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Packages of one database, not more than there can be.
#[derive(Debug, Default)]
pub(super) struct Packages(Vec<Package>);

impl Packages {
    pub(super) fn extend(&mut self, package: Option<Package>) -> Result<(), Unreadable> {
        if self.0.len() == MAX_PACKAGES {
            return Err(Unreadable::new(format!("it names more than {MAX_PACKAGES} packages")));
        }
        self.0.extend(package);
        Ok(())
    }
}

impl Deref for Packages {
    type Target = [Package];

    fn deref(&self) -> &[Package] {
        &self.0
    }
}

impl IntoIterator for Packages {
    type Item = Package;
    type IntoIter = std::vec::IntoIter<Package>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Reads the databases of one layer.
#[derive(Debug)]
pub(super) struct Reader {
    /// How many packages the layer may still name: a tar may hold a database any number of times.
    room: usize,
    /// How much memory they may still take, in bytes.
    bytes: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self { room: MAX_PACKAGES, bytes: MAX_LAYER_BYTES }
    }
}

impl Reader {
    /// The memory that what was read takes, in bytes.
    pub(super) fn weight(&self) -> u64 {
        MAX_LAYER_BYTES - self.bytes
    }

    /// Takes packages, if the layer has room for them.
    fn keep(&mut self, packages: Packages) -> Content {
        let Some(room) = self.room.checked_sub(packages.len()) else {
            let why = format!("its layer names more than {MAX_PACKAGES} packages");
            return Content::Unreadable(Unreadable::new(why));
        };
        let Some(bytes) = self.bytes.checked_sub(packages.iter().map(Package::weight).sum()) else {
            let limit = MAX_LAYER_BYTES >> 20;
            let why = format!("its layer says more than {limit} MiB of its packages");
            return Content::Unreadable(Unreadable::new(why));
        };
        (self.room, self.bytes) = (room, bytes);
        Content::Packages(packages)
    }
}

impl Selection for Reader {
    type Kind = Kind;
    type File = Content;

    fn kind(&self, path: &str) -> Option<Kind> {
        let (dir, name) = path.rsplit_once('/')?;
        match path {
            _ if OS_RELEASE.contains(&path) => Some(Kind::OsRelease),
            _ if APK.contains(&path) => Some(Kind::Apk),
            DPKG => Some(Kind::Dpkg),
            // Beside each part lies a list of its files.
            _ if dir == DPKG_PARTS => {
                (name.len() <= MAX_FILE_NAME && !name.ends_with(".md5sums")).then_some(Kind::Dpkg)
            }
            _ if RPM.contains(&dir) && name == RPM_LOG => Some(Kind::RpmLog),
            _ if RPM.contains(&dir) => {
                RPM_FILES.iter().find(|(file, _)| *file == name).map(|&(_, kind)| kind)
            }
            _ => None,
        }
    }

    fn leads_to(&self, path: &str) -> bool {
        let folders = RPM.iter().copied().chain([DPKG_PARTS]);
        let above = OS_RELEASE.iter().chain(&APK).copied().filter_map(|file| Some(file.rsplit_once('/')?.0));
        let is_below =
            |dir: &str| dir.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        path.is_empty() || folders.chain(above).any(is_below)
    }

    fn take(&mut self, kind: Kind, size: u64, content: &mut dyn Read) -> io::Result<Content> {
        if size > kind.max_bytes() {
            let why = format!("it is {size} bytes long, and no more than {} are read", kind.max_bytes());
            return Ok(Content::Unreadable(Unreadable::new(why)));
        }
        let packages = match kind {
            Kind::OsRelease => return Ok(Content::Distribution(Distribution::parse(&all(content)?))),
            Kind::RpmLog => return Ok(Content::Log { is_empty: size == 0 }),
            Kind::Dpkg => dpkg::parse(&all(content)?),
            Kind::Apk => apk::parse(&all(content)?),
            Kind::RpmSqlite | Kind::RpmNdb | Kind::RpmHash => {
                spool(content)?.and_then(|mut file| match kind {
                    Kind::RpmSqlite => rpm::read_sqlite(&mut file),
                    Kind::RpmNdb => rpm::read_ndb(&mut file),
                    _ => rpm::read_hash(&mut file),
                })
            }
        };
        Ok(match packages {
            Ok(packages) => self.keep(packages),
            Err(why) => Content::Unreadable(why),
        })
    }
}

impl Kind {
    fn max_bytes(self) -> u64 {
        match self {
            Self::OsRelease => MAX_OS_RELEASE_BYTES,
            Self::Dpkg | Self::Apk => MAX_TEXT_BYTES,
            // Only whether it is empty is asked.
            Self::RpmLog => u64::MAX,
            Self::RpmSqlite | Self::RpmNdb | Self::RpmHash => MAX_RPM_BYTES,
        }
    }
}

/// Holds content so that it can be read in any order. The outer error is the layer's, the inner one this machine's.
fn spool(content: &mut dyn Read) -> io::Result<Result<SpooledTempFile, Unreadable>> {
    let mut file = SpooledTempFile::new(SPOOL_BYTES);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let written = match content.read(&mut buffer)? {
            0 => return Ok(file.rewind().map(|()| file).map_err(Unreadable::from)),
            n => file.write_all(&buffer[..n]),
        };
        if let Err(error) = written {
            return Ok(Err(Unreadable::new(format!("it does not fit into a temporary file: {error}"))));
        }
    }
}

fn all(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::package::PackageType;
    use super::*;

    #[test]
    fn the_files_that_count_and_the_way_to_them() {
        let reader = Reader::default();
        for (path, kind) in [
            ("etc/os-release", Some(Kind::OsRelease)),
            ("var/lib/dpkg/status", Some(Kind::Dpkg)),
            ("var/lib/dpkg/status.d/tzdata", Some(Kind::Dpkg)),
            ("var/lib/dpkg/status.d/tzdata.md5sums", None),
            ("var/lib/dpkg/status-old", None),
            ("var/lib/dpkg/info/tzdata.list", None),
            ("usr/lib/apk/db/installed", Some(Kind::Apk)),
            ("lib/apk/db/scripts.tar", None),
            ("usr/lib/sysimage/rpm/rpmdb.sqlite", Some(Kind::RpmSqlite)),
            ("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", Some(Kind::RpmLog)),
            ("var/lib/rpm/Packages", Some(Kind::RpmHash)),
            ("usr/share/rpm/Packages.db", Some(Kind::RpmNdb)),
            ("var/lib/rpm/Name", None),
            ("opt/var/lib/rpm/Packages", None),
        ] {
            assert_eq!(reader.kind(path), kind, "{path}");
        }
        for (path, leads) in [
            ("", true),
            ("var", true),
            ("var/lib", true),
            ("var/lib/dpkg", true),
            ("var/lib/dpkg/status.d", true),
            ("var/lib/dpkg/info", false),
            ("usr/lib/apk/db", true),
            ("usr/li", false),
            ("etc", true),
            ("etc/apt", false),
            ("lib", true),
        ] {
            assert_eq!(reader.leads_to(path), leads, "{path}");
        }
    }

    #[test]
    fn a_layer_has_room_for_so_many_bytes_of_packages() {
        let mut reader = Reader::default();
        let mut keep = |name: &str| {
            let package = Package {
                name: name.to_owned(),
                version: "1".to_owned(),
                epoch: None,
                kind: PackageType::Deb,
                architecture: None,
                source: None,
                license: None,
            };
            reader.keep(Packages(vec![package]))
        };
        let large = "x".repeat(30 << 20);
        assert!(matches!(keep(&large), Content::Packages(_)));
        assert!(matches!(keep(&large), Content::Packages(_)));
        let Content::Unreadable(why) = keep(&large) else { panic!("90 MiB are kept") };
        assert!(why.to_string().contains("more than 64 MiB"), "{why}");
        assert!(matches!(keep("small"), Content::Packages(_)), "what still fits is kept");
        assert!(reader.weight() > 60 << 20 && reader.weight() < 61 << 20, "{}", reader.weight());
    }
}
