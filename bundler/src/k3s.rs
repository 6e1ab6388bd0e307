//! The files of a k3s release: binary, install script, checksums and image list, as k3s publishes them.
//!
//! What vouches for them is the file `sha256sum-<arch>.txt` of the same release (k3s signs nothing): lines of
//! `<64 hex><two spaces><name>`, which cover the binary of an architecture under its own name. The image list and the
//! install script are covered by none; the definition may pin them, and the lock pins them in any case.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use sealift_archive::release::FileName;
use sealift_archive::{Blob, Digest, Reference};

use crate::Error;
use crate::definition::{Asset, KubernetesFiles, Location};
use crate::files::Finder;

/// Folder of k3s's files in a release.
const FOLDER: &str = "k3s";
/// What the install script is called, whatever it was called where it came from.
const INSTALL_SCRIPT: &str = "install.sh";
/// Largest list of checksums or images, in bytes; k3s's are below 2 KB.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Everything that a k3s release brings.
#[derive(Debug, Default)]
pub(crate) struct K3s {
    /// The files, under the names that they have in the release.
    pub(crate) files: Vec<(FileName, Location, Blob)>,
    /// Its system images.
    pub(crate) images: Vec<Reference>,
}

/// Finds and checks the files.
///
/// # Errors
/// All that is wrong with them, beside what is right: a file that is not what the checksums say, checksums that lack a file, lists that
/// cannot be read, what servers answer, or I/O.
pub(crate) async fn resolve(files: &KubernetesFiles, finder: Finder<'_>) -> (K3s, Vec<Error>) {
    let mut found = K3s::default();
    let mut errors = Vec::new();
    let mut sums = Checksums::default();
    for asset in &files.checksums.0 {
        match read_list(asset, finder).await {
            Ok(bytes) => {
                errors.extend(sums.add(&asset.location, &bytes).err());
                found.add(&asset.location, None, Blob::of(&bytes)).unwrap_or_else(|e| errors.push(e));
            }
            Err(error) => errors.push(error),
        }
    }
    match read_list(&files.images, finder).await {
        Ok(bytes) => {
            match parse_images(&files.images.location, &bytes) {
                Ok(images) => found.images = images,
                Err(error) => errors.push(error),
            }
            let blob = Blob::of(&bytes);
            let checked = sums.check_if_listed(&files.images.location, blob.digest);
            let added = checked.and_then(|()| found.add(&files.images.location, None, blob));
            errors.extend(added.err());
        }
        Err(error) => errors.push(error),
    }
    let assets: Vec<&Asset> = files.binary.0.iter().chain([&files.install_script]).collect();
    let measured = join_all(assets.iter().map(|asset| finder.measure(asset))).await;
    for (index, (asset, blob)) in assets.into_iter().zip(measured).enumerate() {
        let is_binary = index < files.binary.0.len();
        let added = blob.and_then(|blob| {
            if is_binary {
                sums.check(&asset.location, blob.digest)?;
                found.add(&asset.location, None, blob)
            } else {
                sums.check_if_listed(&asset.location, blob.digest)?;
                found.add(&asset.location, Some(INSTALL_SCRIPT), blob)
            }
        });
        errors.extend(added.err());
    }
    (found, errors)
}

async fn read_list(asset: &Asset, finder: Finder<'_>) -> Result<Vec<u8>, Error> {
    finder.read(asset, MAX_LIST_BYTES).await
}

impl K3s {
    fn add(&mut self, location: &Location, name: Option<&str>, blob: Blob) -> Result<(), Error> {
        let own = location.file_name().unwrap_or_default();
        let name: FileName = format!("{FOLDER}/{}", name.unwrap_or(&own)).parse()?;
        self.files.push((name, location.clone(), blob));
        Ok(())
    }
}

/// Digests by file name, from one or several lists.
#[derive(Debug, Default)]
struct Checksums {
    files: Vec<String>,
    by_name: BTreeMap<String, Digest>,
}

impl Checksums {
    fn add(&mut self, file: &Location, bytes: &[u8]) -> Result<(), Error> {
        let refuse =
            |line: usize, why: &str| Error::BadList { file: file.to_string(), line, why: why.to_owned() };
        self.files.push(file.to_string());
        for (line, text) in lines(bytes).map_err(|line| refuse(line, "it is not text"))? {
            // A `*` marks what was read in binary mode (sha256sum's other form).
            let entry = text.split_once(' ').and_then(|(hex, name)| {
                let name = name.trim_start_matches([' ', '*']);
                Some((Digest::from_hex(hex)?, name)).filter(|_| !name.is_empty())
            });
            let (digest, name) = entry.ok_or_else(|| refuse(line, "it is not a checksum and a file name"))?;
            match self.by_name.insert(name.to_owned(), digest) {
                Some(before) if before != digest => {
                    return Err(refuse(line, &format!("`{name}` has another checksum above")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self, location: &Location, found: Digest) -> Result<(), Error> {
        let name = location.file_name().unwrap_or_default();
        if !self.by_name.contains_key(&name) {
            return Err(Error::NotListed {
                file: location.to_string(),
                name,
                lists: self.files.join("`, `"),
            });
        }
        self.check_if_listed(location, found)
    }

    fn check_if_listed(&self, location: &Location, found: Digest) -> Result<(), Error> {
        let name = location.file_name().unwrap_or_default();
        crate::files::expect(location, self.by_name.get(&name).copied(), found)
    }
}

/// The images of `k3s-images.txt`: one complete reference a line.
fn parse_images(file: &Location, bytes: &[u8]) -> Result<Vec<Reference>, Error> {
    let refuse = |line: usize, why: String| Error::BadList { file: file.to_string(), line, why };
    let lines = lines(bytes).map_err(|line| refuse(line, "it is not text".to_owned()))?;
    let parse = |(line, text): (usize, &str)| {
        text.parse().map_err(|error: sealift_archive::Error| refuse(line, error.to_string()))
    };
    let images = lines.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(refuse(1, "it names no image".to_owned()));
    }
    Ok(images)
}

/// Lines with their numbers, from 1; without empty ones and `#` comments. The error is the number of a line that is no
/// text.
fn lines(bytes: &[u8]) -> Result<Vec<(usize, &str)>, usize> {
    let numbered = bytes.split(|&b| b == b'\n').enumerate();
    let texts = numbered.map(|(index, line)| {
        std::str::from_utf8(line).map(|text| (index + 1, text.trim())).map_err(|_| index + 1)
    });
    texts.filter(|line| !matches!(line, Ok((_, text)) if text.is_empty() || text.starts_with('#'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn at(path: &str) -> Location {
        path.parse().unwrap()
    }

    #[test]
    fn checksums_are_read_as_sha256sum_writes_them() {
        let mut sums = Checksums::default();
        sums.add(&at("sums.txt"), format!("{HEX}  k3s\n\n{HEX} *k3s-arm64\r\n").as_bytes()).unwrap();
        let (hello, other) = (Digest::of(b"hello"), Digest::of(b"other"));
        sums.check(&at("build/k3s"), hello).unwrap();
        sums.check(&at("https://example.com/v1.36.4%2Bk3s1/k3s-arm64?x=1"), hello).unwrap();
        let said = sums.check(&at("build/k3s"), other).unwrap_err().to_string();
        assert!(said.contains("`build/k3s`") && said.contains(&other.hex()), "{said}");
        let said = sums.check(&at("build/k3s-armhf"), hello).unwrap_err().to_string();
        assert!(said.contains("`k3s-armhf`") && said.contains("`sums.txt`"), "{said}");
        sums.check_if_listed(&at("install.sh"), other).unwrap();
    }

    #[test]
    fn lists_that_are_none_are_refused_with_the_line() {
        let cases: [(&str, String); 5] = [
            ("line 1", "no checksum".to_owned()),
            ("line 2", format!("{HEX}  k3s\n{HEX}\n")),
            ("line 1", format!("{}  k3s\n", HEX.to_uppercase())),
            ("another checksum above", format!("{HEX}  k3s\n{}  k3s\n", HEX.replace('2', "3"))),
            ("line 1", format!("{HEX} \n")),
        ];
        for (expected, text) in cases {
            let said = Checksums::default().add(&at("sums.txt"), text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
        let said = Checksums::default().add(&at("s"), b"a\n\xff").unwrap_err().to_string();
        assert!(said.contains("line 2"), "{said}");
    }

    #[test]
    fn images_are_named_one_a_line() {
        let list = b"docker.io/rancher/klipper-helm:v0.9.14\n# more\nrancher/mirrored-pause:3.10.2\n";
        let images = parse_images(&at("images.txt"), list).unwrap();
        let names: Vec<String> = images.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["docker.io/rancher/klipper-helm:v0.9.14", "docker.io/rancher/mirrored-pause:3.10.2"]
        );
        for (wrong, expected) in [("a b\n", "line 1"), ("\n", "names no image"), ("x:1\nNo:2:3\n", "line 2")]
        {
            let said = parse_images(&at("images.txt"), wrong.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected), "{wrong}: {said}");
        }
    }
}
