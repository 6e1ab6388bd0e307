//! Flux artifacts: a folder as `flux push artifact --reproducible` would push it.
//!
//! What is in one was learned from Flux 2.9 (`fluxcd/pkg`, `oci` and `tar`): all folders and files in their order, owned
//! by nobody and dated 1970, less what Git keeps for itself and what is not for Kubernetes ([`IGNORED`]). A
//! `.sourceignore` is packed like any other file: Flux obeys it when it unpacks. Two things are done otherwise. Flux
//! leaves links out without a word, and here they are refused. And modes are only plain or executable, since those on
//! disk depend on the umask of whoever cloned the folder.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::Digest;

use crate::Error;
use crate::artifact::{Artifact, Part};
use crate::files::read_capped;
use crate::tarball::{self, EXECUTABLE, PLAIN, Tarball};

/// The media type of the configuration.
pub const CONFIG_TYPE: &str = "application/vnd.cncf.flux.config.v1+json";
/// The media type of the one layer.
pub const CONTENT_TYPE: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
/// What Flux leaves out unless told otherwise, in the form of a `.gitignore`: a name that ends in `/` is a folder's.
pub const IGNORED: [&str; 12] = [
    ".git/",
    ".gitignore",
    ".gitmodules",
    ".gitattributes",
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
];

/// Largest content of a folder, in bytes: it is held in memory, and Flux's own library unpacks no more unless told to.
pub const MAX_CONTENT_BYTES: u64 = 100 << 20;
/// Most files and folders in a folder.
pub const MAX_ENTRIES: usize = 100_000;
/// Folders in folders; deeper is somebody's mistake.
const MAX_DEPTH: usize = 128;
/// When a reproducible artifact was made, as far as it tells.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// The zero of Go's times, which stands in the history of every image that is made from nothing.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A folder as an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The artifact.
    pub artifact: Artifact,
    /// What Flux's own rules leave out, relative to the folder, except what Git keeps for itself. Worth telling.
    pub left_out: Vec<PathBuf>,
}

/// Packs a folder. `source` and `revision` say where it comes from, and Flux shows them: an address, and
/// `main@sha1:<commit>` or whatever else tells one state from another.
///
/// # Errors
/// [`Error::BadFluxFolder`] for links and the like, that it is too large, or I/O.
pub fn pack(folder: &Path, source: &str, revision: &str) -> Result<Packed, Error> {
    let mut packing =
        Packing { folder, tarball: Tarball::new(0), left_out: Vec::new(), entries: 0, bytes: 0 };
    packing.tarball.folder(".")?;
    packing.enter(Path::new(""), 0)?;
    let tar = packing.tarball.finish()?;
    let config = Part { media_type: CONFIG_TYPE, bytes: config(Digest::of(&tar)) };
    let content = Part { media_type: CONTENT_TYPE, bytes: tarball::gzip(&tar)? };
    let annotations = [("created", CREATED), ("source", source), ("revision", revision)]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()));
    let artifact = Artifact::new(config, vec![content], BTreeMap::from(annotations), true);
    Ok(Packed { artifact, left_out: packing.left_out })
}

/// The configuration is that of an image without anything in it but its one layer.
fn config(tar: Digest) -> Vec<u8> {
    format!(
        r#"{{"architecture":"","created":"{CREATED}","history":[{{"created":"{NEVER}"}}],"os":"","rootfs":{{"type":"layers","diff_ids":["{tar}"]}},"config":{{}}}}"#
    )
    .into_bytes()
}

struct Packing<'a> {
    folder: &'a Path,
    tarball: Tarball,
    left_out: Vec<PathBuf>,
    entries: usize,
    bytes: u64,
}

impl Packing<'_> {
    /// Packs what is in the folder at `path`, which is relative, in the order of the names.
    fn enter(&mut self, path: &Path, depth: usize) -> Result<(), Error> {
        let full = self.folder.join(path);
        if depth > MAX_DEPTH {
            return Err(Error::BadFluxFolder {
                path: full,
                why: "it is more folders deep than anybody means",
            });
        }
        let mut names = fs::read_dir(&full)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<Vec<_>, std::io::Error>>()?;
        names.sort();
        for name in names {
            self.take(&path.join(name), depth)?;
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, depth: usize) -> Result<(), Error> {
        let full = self.folder.join(path);
        let refuse = |why| Error::BadFluxFolder { path: full.clone(), why };
        let found = fs::symlink_metadata(&full)?;
        let name = path.to_str().ok_or_else(|| refuse("its name is not UTF-8"))?;
        match ignored_by(name, found.is_dir()) {
            Some(rule) => {
                if !rule.starts_with(".git") {
                    self.left_out.push(path.to_owned());
                }
                return Ok(());
            }
            None if found.is_symlink() => return Err(refuse("it is a link")),
            None if !found.is_dir() && !found.is_file() => {
                return Err(refuse("it is neither a file nor a folder"));
            }
            None => {}
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(refuse("there are too many files and folders"));
        }
        if found.is_dir() {
            self.tarball.folder(name)?;
            return self.enter(path, depth + 1);
        }
        let expect_room = |size| match size {
            size if size > MAX_CONTENT_BYTES => {
                let what = format!("folder `{}`", self.folder.display());
                Err(sealift_archive::Error::TooLarge { what, size, limit: MAX_CONTENT_BYTES })
            }
            size => Ok(size),
        };
        expect_room(self.bytes + found.len())?;
        let content = read_capped(&full, MAX_CONTENT_BYTES)?;
        self.bytes = expect_room(self.bytes + content.len() as u64)?;
        let mode = if found.permissions().mode() & 0o100 == 0 { PLAIN } else { EXECUTABLE };
        Ok(self.tarball.file(name, mode, &content)?)
    }
}

/// The rule by which Flux leaves a path out. Whatever is below has been left out with its folder.
fn ignored_by(path: &str, is_folder: bool) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    IGNORED.into_iter().find(|rule| match (rule.strip_prefix('*'), rule.strip_suffix('/')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(folder)) => is_folder && name == folder,
        (None, None) => name == *rule,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::folder;

    fn packed(dir: &TempDir) -> Packed {
        pack(dir.path(), "https://git.acme.example/fleet.git", "main@sha1:abc").unwrap()
    }

    /// Names, modes and times of what is in the layer.
    fn entries(packed: &Packed) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(GzDecoder::new(&packed.artifact.blobs[1].bytes[..]));
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                (name, entry.header().mode().unwrap(), entry.header().mtime().unwrap())
            })
            .collect()
    }

    #[test]
    fn the_layer_holds_what_fluxs_would() {
        let long = format!("{0}/{0}/file.yaml", "d".repeat(90));
        let dir =
            folder(&["b.yaml", "a/x.yaml", "a-b.yaml", ".github/w.yml", ".sourceignore", "A/x.yaml", &long]);
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::set_permissions(dir.path().join("b.yaml"), std::fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(dir.path().join("a-b.yaml"), std::fs::Permissions::from_mode(0o664)).unwrap();
        let deep = "d".repeat(90);
        let expected: Vec<(String, u32, u64)> = [
            (".", EXECUTABLE),
            (".github", EXECUTABLE),
            (".github/w.yml", PLAIN),
            (".sourceignore", PLAIN),
            ("A", EXECUTABLE),
            ("A/x.yaml", PLAIN),
            ("a", EXECUTABLE),
            ("a/x.yaml", PLAIN),
            ("a-b.yaml", PLAIN),
            ("b.yaml", EXECUTABLE),
            (&deep, EXECUTABLE),
            (&format!("{deep}/{deep}"), EXECUTABLE),
            (&long, PLAIN),
            ("empty", EXECUTABLE),
        ]
        .map(|(name, mode)| (name.to_owned(), mode, 0))
        .to_vec();
        assert_eq!(entries(&packed(&dir)), expected);
    }

    #[test]
    fn what_flux_ignores_is_left_out_and_told() {
        let files = [
            ".git/HEAD",
            ".gitignore",
            "sub/.gitattributes",
            "a.png",
            "sub/x.zip/in.txt",
            "b.tar.gz",
            "c.yaml",
        ];
        let dir = folder(&files);
        fs::write(dir.path().join("sub/.git"), "gitdir: ..").unwrap();
        let packed = packed(&dir);
        let names: Vec<String> = entries(&packed).into_iter().map(|(name, _, _)| name).collect();
        assert_eq!(names, [".", "c.yaml", "sub", "sub/.git"]);
        assert_eq!(packed.left_out, ["a.png", "b.tar.gz", "sub/x.zip"].map(PathBuf::from));
    }

    #[test]
    fn the_manifest_is_the_one_that_flux_makes() {
        let artifact = packed(&folder(&["a.yaml"])).artifact;
        let mut tar = Vec::new();
        GzDecoder::new(&artifact.blobs[1].bytes[..]).read_to_end(&mut tar).unwrap();
        let config = format!(
            concat!(
                r#"{{"architecture":"","created":"1970-01-01T00:00:00Z","#,
                r#""history":[{{"created":"0001-01-01T00:00:00Z"}}],"os":"","#,
                r#""rootfs":{{"type":"layers","diff_ids":["{}"]}},"config":{{}}}}"#
            ),
            Digest::of(&tar)
        );
        assert_eq!(String::from_utf8(artifact.blobs[0].bytes.clone()).unwrap(), config);
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest.bytes).unwrap();
        let layer = artifact.blobs[1].blob();
        let expected = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.cncf.flux.config.v1+json",
                "digest": Digest::of(config.as_bytes()),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.cncf.flux.content.v1.tar+gzip",
                "digest": layer.digest,
                "size": layer.size,
            }],
            "annotations": {
                "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
                "org.opencontainers.image.revision": "main@sha1:abc",
                "org.opencontainers.image.source": "https://git.acme.example/fleet.git",
            },
        });
        assert_eq!(manifest, expected);
    }

    #[test]
    fn the_same_folder_makes_the_same_artifact() {
        let (one, two) = (folder(&["b", "a/c"]), folder(&["a/c", "b"]));
        assert_eq!(packed(&one), packed(&two));
        fs::write(two.path().join("b"), "changed").unwrap();
        assert_ne!(packed(&one), packed(&two));
    }

    #[test]
    fn what_flux_would_drop_without_a_word_is_refused() {
        let dir = folder(&["a.yaml", ".git/x"]);
        let said = || pack(dir.path(), "s", "r").unwrap_err().to_string();
        fs_err::os::unix::fs::symlink("x", dir.path().join(".git/link")).unwrap();
        packed(&dir);
        for target in ["a.yaml", "/etc/passwd", ".", "nowhere"] {
            fs_err::os::unix::fs::symlink(target, dir.path().join("link")).unwrap();
            assert!(said().contains("link` cannot be in a Flux artifact: it is a link"), "{}", said());
            fs::remove_file(dir.path().join("link")).unwrap();
        }
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert!(said().contains("socket` cannot be in a Flux artifact: it is neither"), "{}", said());
        drop(socket);
        fs::remove_file(dir.path().join("socket")).unwrap();

        fs::File::create(dir.path().join("large")).unwrap().set_len(MAX_CONTENT_BYTES).unwrap();
        assert!(said().contains("104857606, the limit is 104857600"), "{}", said());
        assert!(pack(&dir.path().join("none"), "s", "r").is_err());
        assert!(pack(&dir.path().join("a.yaml"), "s", "r").is_err());
    }
}
