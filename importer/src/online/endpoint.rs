//! The vendor's endpoint: where the parts of what is published are had, by the names that the format gives them
//! (`archive/FORMAT.md`, 3.7), in a directory, from a web server, or from a registry.
//!
//! Nothing that comes is believed here; but nothing is longer than it may be, and content has its digest.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err as fs;
use sealift_archive::release::published::{
    Envelope, Enveloped, MAX_ENVELOPE_BYTES, Published, find_envelope,
};
use sealift_archive::{Blob, Digest, Error as ArchiveError, Progress, Reference};
use sealift_fetch::{Client, Error as FetchError, Kind, Manifest, Options, Origin, Url, Wanted};
use tokio::runtime::{Builder, Runtime};

use super::Error as OnlineError;
use crate::Error;
use crate::config::{Location, Mirror, PeerAccess};

/// What web servers answer for names that they do not have, if they do not let everybody know which ones they have (storage
/// services do so for those who may not list).
const FORBIDDEN: u16 = 403;

/// Where a node's registry has what other nodes fetch.
const PEER_PATH: &str = "/peer/";

/// An endpoint, and the means to ask it.
#[derive(Debug)]
pub struct Endpoint {
    location: Location,
    name: String,
    pub(super) client: Client,
    pub(super) runtime: Runtime,
}

impl Endpoint {
    /// The endpoint that the configuration names. Nobody is asked yet.
    ///
    /// # Errors
    /// A CA file that cannot be used, or no thread can be had.
    pub fn open(mirror: &Mirror) -> Result<Self, Error> {
        Self::at(mirror.source.clone(), mirror.options())
    }

    /// The endpoint of another node, which has the same tree at this address of its registry. Nobody is asked yet.
    ///
    /// # Errors
    /// As [`Endpoint::open`], or a certificate of our own that cannot be had.
    pub fn of_peer(registry: &Url, access: &PeerAccess) -> Result<Self, Error> {
        let mut base = registry.clone();
        base.set_path(PEER_PATH);
        Self::at(Location::Web(base), access.options()?)
    }

    fn at(location: Location, options: Options) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (client, name) = (Client::new(options)?, location.to_string());
        Ok(Self { location, name, client, runtime })
    }

    /// What to call it: a URL.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory, if it is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.location {
            Location::Directory(dir) => Some(dir),
            Location::Web(_) | Location::Registry(_) => None,
        }
    }

    /// Waits for an answer, or until somebody asks to stop.
    pub(super) fn wait<T>(
        &self,
        progress: &dyn Progress,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(sealift_fetch::unless_interrupted(progress, answer))
    }

    /// A document with its signatures; none if it is not there.
    ///
    /// # Errors
    /// What the endpoint or the network says; something that is no envelope.
    pub(super) async fn envelope(&self, part: Published) -> Result<Option<Envelope>, Error> {
        let path = part.path();
        let (name, bytes) = match (&self.location, part.tag()) {
            (Location::Directory(dir), _) => {
                let file = dir.join(&path);
                (file.display().to_string(), read(dir, &path, MAX_ENVELOPE_BYTES as u64)?)
            }
            (Location::Web(base), _) => {
                let url = base.join(&path).map_err(io::Error::other)?;
                let got = self.client.get(&url, MAX_ENVELOPE_BYTES as u64).await;
                let is_root = matches!(part, Published::Root(_));
                (url.to_string(), if_any(got, |error| is_root && is_forbidden(error))?)
            }
            (Location::Registry(repository), tag) => {
                let tagged = repository.tagged(&tag.unwrap_or_default())?;
                let manifest = if_any(self.client.manifest(&tagged).await, |_| false)?;
                let bytes = match manifest {
                    Some(manifest) => Some(self.enveloped(&tagged, &manifest).await?),
                    None => None,
                };
                (tagged.to_string(), bytes)
            }
        };
        Ok(bytes.map(|bytes| Envelope::parse(&name, &bytes)).transpose()?)
    }

    /// Content of at most `limit` bytes; none if it is not there.
    ///
    /// # Errors
    /// What the endpoint or the network says; other content.
    pub(super) async fn content(&self, digest: Digest, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(origin) = self.origin(digest)? else {
            let dir = self.directory().unwrap_or(Path::new("/"));
            let Some(bytes) = read(dir, &digest.blob_path(), limit)? else { return Ok(None) };
            let found = Digest::of(&bytes);
            if found != digest {
                return Err(ArchiveError::WrongContent { wanted: digest, found }.into());
            }
            return Ok(Some(bytes));
        };
        if_any(self.client.content(&origin, digest, limit).await, |_| false)
    }

    /// How a blob is fetched; none from a directory, where it is read.
    pub(super) fn wanted(&self, blob: Blob) -> Result<Option<Wanted>, Error> {
        Ok(self.origin(blob.digest)?.map(|origin| Wanted::new(blob, origin)))
    }

    fn origin(&self, digest: Digest) -> Result<Option<Origin>, Error> {
        Ok(match &self.location {
            Location::Directory(_) => None,
            Location::Web(base) => {
                Some(Origin::Url(base.join(&digest.blob_path()).map_err(io::Error::other)?))
            }
            Location::Registry(repository) => {
                Some(Origin::Registry { reference: repository.clone(), kind: Kind::Blob })
            }
        })
    }

    /// The envelope that a manifest holds, or leads to.
    async fn enveloped(&self, tagged: &Reference, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let refuse = |why: String| OnlineError::NotPublished { reference: tagged.to_string(), why };
        let blob = match find_envelope(&tagged.to_string(), &manifest.bytes) {
            Ok(Enveloped::Here(envelope)) => return Ok(envelope),
            Ok(Enveloped::There(blob)) => blob,
            Err(ArchiveError::Inconsistent { why, .. }) => return Err(refuse(why).into()),
            Err(error) => return Err(error.into()),
        };
        let origin = Origin::Registry { reference: tagged.clone(), kind: Kind::Blob };
        let bytes = self.client.content(&origin, blob.digest, MAX_ENVELOPE_BYTES as u64).await?;
        match bytes.len() as u64 {
            size if size == blob.size => Ok(bytes),
            size => Err(refuse(format!("its envelope has {size} bytes, not {}", blob.size)).into()),
        }
    }
}

fn is_forbidden(error: &FetchError) -> bool {
    matches!(error, FetchError::Answer { status, .. } if status.0 == FORBIDDEN)
}

/// None for what is not there.
fn if_any<T>(
    got: Result<T, FetchError>,
    is_absent_too: impl Fn(&FetchError) -> bool,
) -> Result<Option<T>, Error> {
    match got {
        Err(error) if error.is_absent() || is_absent_too(&error) => Ok(None),
        got => Ok(got.map(Some)?),
    }
}

/// Reads a small file; none if it is not there. A directory that is not there itself is an error, and not an empty one.
fn read(dir: &Path, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match fs::File::open(dir.join(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::metadata(dir)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let what = file.path().display().to_string();
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        size if size > limit => Err(ArchiveError::TooLarge { what, size, limit }.into()),
        _ => Ok(Some(bytes)),
    }
}
