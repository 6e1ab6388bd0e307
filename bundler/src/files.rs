//! Plain files of a release: found, hashed, and checked against the digest that they must have.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use tokio::task::spawn_blocking;

use sealift_archive::format::MAX_BLOB_BYTES;
use sealift_archive::{Blob, Digest, Progress};
use sealift_fetch::Client;

use crate::Error;
use crate::definition::{Asset, Location};

/// What is told of a file whose name says nothing.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

/// Media types by the end of a file's name: those that vendors ship (IANA, media types).
const MEDIA_TYPES: [(&str, &str); 22] = [
    (".css", "text/css"),
    (".csv", "text/csv"),
    (".gz", "application/gzip"),
    (".htm", "text/html"),
    (".html", "text/html"),
    (".iso", "application/vnd.efi.iso"),
    (".jpg", "image/jpeg"),
    (".js", "text/javascript"),
    (".json", "application/json"),
    (".md", "text/markdown"),
    (".pdf", "application/pdf"),
    (".pem", "application/x-pem-file"),
    (".png", "image/png"),
    (".sh", "text/x-shellscript"),
    (".svg", "image/svg+xml"),
    (".tar", "application/x-tar"),
    (".tgz", "application/gzip"),
    (".txt", "text/plain"),
    (".xml", "application/xml"),
    (".yaml", "application/yaml"),
    (".yml", "application/yaml"),
    (".zst", "application/zstd"),
];

/// The media type that a file's name tells.
#[must_use]
pub(crate) fn media_type_of(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    MEDIA_TYPES.iter().find(|(end, _)| name.ends_with(end)).map_or(OCTET_STREAM, |(_, media_type)| media_type)
}

/// Where files are looked for.
#[derive(Clone, Copy)]
pub(crate) struct Finder<'a> {
    /// Asks web servers.
    pub(crate) client: &'a Client,
    /// The folder of the definition.
    pub(crate) base: &'a Path,
    /// Learns how many bytes have passed, and may stop it.
    pub(crate) progress: &'a Arc<dyn Progress>,
}

impl Finder<'_> {
    /// Digest and size of a file, which is read once and not kept.
    ///
    /// # Errors
    /// [`Error::WrongFile`] if it is not what the definition says; what the server says, or I/O.
    pub(crate) async fn measure(&self, asset: &Asset) -> Result<Blob, Error> {
        let blob = match &asset.location {
            Location::Path(path) => {
                // Whatever waits for a network goes on meanwhile.
                let (path, progress) = (self.base.join(path), Arc::clone(self.progress));
                spawn_blocking(move || measure_file(&path, &*progress)).await.map_err(io::Error::other)??
            }
            Location::Url(url) => self.client.measure(url, MAX_BLOB_BYTES, &**self.progress).await?,
        };
        expect(&asset.location, asset.sha256, blob.digest)?;
        Ok(blob)
    }

    /// A small file, at most `limit` bytes of it.
    ///
    /// # Errors
    /// As [`Finder::measure`]; [`sealift_archive::Error::TooLarge`].
    pub(crate) async fn read(&self, asset: &Asset, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = match &asset.location {
            Location::Path(path) => read_capped(&self.base.join(path), limit)?,
            Location::Url(url) => self.client.get(url, limit).await?,
        };
        expect(&asset.location, asset.sha256, Digest::of(&bytes))?;
        Ok(bytes)
    }
}

/// Refuses a file that is not what it should be.
///
/// # Errors
/// [`Error::WrongFile`].
pub(crate) fn expect(location: &Location, wanted: Option<Digest>, found: Digest) -> Result<(), Error> {
    match wanted {
        Some(wanted) if wanted != found => {
            Err(Error::WrongFile { file: location.to_string(), wanted, found })
        }
        _ => Ok(()),
    }
}

fn measure_file(path: &Path, progress: &dyn Progress) -> Result<Blob, Error> {
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    Ok(Blob::of_reader(Watched { file, progress })?)
}

/// Reads a small file. Devices and pipes, which have no size and may have no end, are refused before they are opened.
///
/// # Errors
/// [`Error::NotAFile`], [`sealift_archive::Error::TooLarge`], or I/O.
pub(crate) fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let too_large = |size| {
        let what = path.display().to_string();
        Error::from(sealift_archive::Error::TooLarge { what, size, limit })
    };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    // It may grow meanwhile, and files of the kernel say that they are empty.
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        size if size > limit => Err(too_large(size)),
        _ => Ok(bytes),
    }
}

/// A file whose reading can be watched and stopped.
struct Watched<'a> {
    file: fs::File,
    progress: &'a dyn Progress,
}

impl io::Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.progress.go_on().map_err(io::Error::other)?;
        let n = self.file.read(buffer)?;
        self.progress.advance(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// Lets nobody read on until it has heard from somebody else, or until it has waited for too long.
    struct Waiting {
        heard: Mutex<Receiver<()>>,
    }

    impl Progress for Waiting {
        fn advance(&self, bytes: u64) {
            if bytes > 0 {
                let heard = self.heard.lock().unwrap().recv_timeout(Duration::from_secs(10));
                heard.expect("nobody else got on while a file was read");
            }
        }
    }

    #[tokio::test]
    async fn others_get_on_while_a_file_is_read() {
        let dir = tempfile::TempDir::new().unwrap();
        fs::write(dir.path().join("a"), "hello").unwrap();
        let (sender, receiver) = channel();
        let progress: Arc<dyn Progress> = Arc::new(Waiting { heard: Mutex::new(receiver) });
        let client = Client::new(sealift_fetch::Options::default()).unwrap();
        let finder = Finder { client: &client, base: dir.path(), progress: &progress };
        let asset = Asset { location: "a".parse().unwrap(), sha256: None };
        let (measured, sent) = tokio::join!(finder.measure(&asset), async { sender.send(()) });
        sent.unwrap();
        assert_eq!(measured.unwrap(), Blob::of(b"hello"));
    }

    #[test]
    fn a_name_tells_what_a_file_is() {
        for (name, expected) in [
            ("docs/Operator.PDF", "application/pdf"),
            ("a.tar.zst", "application/zstd"),
            ("k3s", OCTET_STREAM),
            ("k3s-images.txt", "text/plain"),
            ("", OCTET_STREAM),
        ] {
            assert_eq!(media_type_of(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_read_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_capped(&file, 5).unwrap(), b"12345");
        let said = |path: &Path| read_capped(path, 4).unwrap_err().to_string();
        assert!(said(&file).contains("5, the limit is 4"), "{}", said(&file));
        // Its size is 0, and it holds more.
        assert!(said(Path::new("/proc/self/stat")).contains("the limit is 4"));
        assert!(matches!(read_capped(Path::new("/dev/zero"), 4), Err(Error::NotAFile { .. })));
        assert!(matches!(read_capped(dir.path(), 4), Err(Error::NotAFile { .. })));
    }
}
