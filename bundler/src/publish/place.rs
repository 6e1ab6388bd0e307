//! Places that appliances fetch from: what a folder and a repository have in common.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::trust::Signatures;
use sealift_archive::{Blob, Bundle, Digest, Progress, Reference, reference};
use sealift_fetch::{Client, Outgoing, Reach};

use super::directory::Directory;
use super::repository::Repository;
use super::{Documents, Error as PublishError};
use crate::Error;

/// What addresses of repositories begin with.
const OCI: &str = "oci://";

/// Somewhere that appliances fetch releases from. Whatever is written there has been read back when it returns.
pub trait Place {
    /// As people write it.
    fn name(&self) -> &str;

    /// The envelope that is published as this part; `None` if there is none.
    ///
    /// # Errors
    /// I/O, or what a registry says.
    fn read(&self, part: Published) -> Result<Option<Vec<u8>>, Error>;

    /// Publishes an envelope, in the place of the one that may be there, at once and for good.
    ///
    /// # Errors
    /// I/O, or what a registry says.
    fn write(&self, part: Published, envelope: &[u8]) -> Result<(), Error>;

    /// The digests of the statements that are published. Nothing is believed of them yet.
    ///
    /// # Errors
    /// I/O, or what a registry says.
    fn releases(&self) -> Result<Vec<Digest>, Error>;

    /// A small blob that is published, not checked; `None` if it is missing, or larger than `most` bytes.
    ///
    /// # Errors
    /// I/O, or what a registry says.
    fn blob(&self, digest: Digest, most: u64) -> Result<Option<Vec<u8>>, Error>;

    /// Which of these blobs are not there as they should be.
    ///
    /// # Errors
    /// I/O, or what a registry says.
    fn missing(&self, blobs: &[Blob], progress: &dyn Progress) -> Result<BTreeSet<Digest>, Error>;

    /// How often each byte that is brought is told to the progress: twice where it is read back.
    fn passes(&self) -> u64;

    /// Brings these blobs there, and checks that they are.
    ///
    /// # Errors
    /// Damage of the bundle, I/O, or what a registry says. What has come stays.
    fn bring(
        &self,
        blobs: &[Blob],
        content: &Arc<Content>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error>;

    /// Sees to it that content which is there stays as long as the release with this statement does.
    ///
    /// # Errors
    /// What a registry says.
    fn keep(&self, statement: Digest, blobs: &[Blob]) -> Result<(), Error>;
}

/// What a place is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Looking: it has to be there, and stays as it is.
    Read,
    /// Planning: it stays as it is, also if it is not there.
    Plan,
    /// Publishing: a folder is made, and locked.
    Write,
}

/// Opens the place that somebody named: a folder, or a repository by its `oci://` address.
///
/// # Errors
/// [`PublishError::BadPlace`]; the archive's `Busy` if another process is at work in the same folder.
pub fn open(
    text: &str,
    purpose: Purpose,
    client: impl FnOnce() -> Result<Client, Error>,
    interrupt: Arc<dyn Progress>,
) -> Result<Box<dyn Place>, Error> {
    let refuse = |why: &str| PublishError::BadPlace { place: text.to_owned(), why: why.to_owned() };
    if let Some(rest) = text.strip_prefix(OCI) {
        let repository = repository(rest).map_err(|why| refuse(&why))?;
        // An account that may only read can look and plan.
        let reach = if purpose == Purpose::Write { Reach::Write } else { Reach::Read };
        return Ok(Box::new(Repository::new(text, repository, client()?, reach, interrupt)?));
    }
    if text.contains("://") {
        return Err(refuse("it is neither a folder nor an `oci://` address").into());
    }
    Ok(Box::new(Directory::open(text, purpose)?))
}

/// Reads `registry/repository`.
fn repository(text: &str) -> Result<Reference, String> {
    let (host, name) = text.split_once('/').ok_or("there is no repository in it")?;
    if !reference::is_host(host) || !reference::looks_like_host(host) {
        return Err(format!("`{host}` is not the name of a registry"));
    }
    if !reference::is_repository(name) {
        return Err(format!("`{name}` is not a repository; tags are chosen by what is published"));
    }
    text.parse().map_err(|error: sealift_archive::Error| error.to_string())
}

/// What is to be published: a bundle, and documents that are no blobs in it.
#[derive(Debug)]
pub struct Content {
    /// The bundle.
    pub bundle: Bundle,
    /// Blob lists and `refs.json`.
    pub documents: Documents,
}

impl Outgoing for Content {
    fn write_to(&self, blob: Blob, out: &mut dyn Write) -> Result<(), sealift_archive::Error> {
        match self.documents.get(&blob.digest) {
            Some(document) => Ok(out.write_all(document)?),
            None => self.bundle.read_blob(&blob.digest, out),
        }
    }
}

/// Publishes a document in an envelope, unless it is there with these signatures already. Says whether it was written.
///
/// Signatures that are there stay: somebody may have signed it again since.
///
/// # Errors
/// An envelope that would be too large, or what the place says.
pub(super) fn settle(
    place: &dyn Place,
    part: Published,
    document: &[u8],
    signatures: &Signatures,
) -> Result<bool, Error> {
    let ours = Envelope::new(document.to_vec(), signatures)?;
    let there = place.read(part)?;
    let known = there.as_deref().and_then(|bytes| Envelope::parse(&part.path(), bytes).ok());
    let both = known.filter(|known| known.document == document).map(|known| {
        let mut both = ours.signatures.clone();
        both.extend(known.signatures);
        Envelope::new(document.to_vec(), &both)
    });
    // Where others have left so many that both do not fit, ours are the ones that count.
    let envelope = both.and_then(Result::ok).unwrap_or(ours).to_bytes();
    let is_new = there.as_ref() != Some(&envelope);
    if is_new {
        place.write(part, &envelope)?;
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_in_full_and_without_a_tag() {
        let cases = [
            ("registry.example.com/acme/appliance", "ok"),
            ("127.0.0.1:5000/acme", "ok"),
            ("localhost/acme", "ok"),
            ("acme/appliance", "`acme` is not the name of a registry"),
            ("registry.example.com", "no repository"),
            ("registry.example.com/", "`` is not a repository"),
            ("registry.example.com/acme:1.0", "`acme:1.0` is not a repository"),
            ("registry.example.com/Acme", "`Acme` is not a repository"),
            ("user@registry.example.com/acme", "is not the name of a registry"),
        ];
        for (text, expected) in cases {
            let said = repository(text).map_or_else(|why| why, |_| "ok".to_owned());
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
