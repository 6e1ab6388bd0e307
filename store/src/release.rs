//! A release in the store: its documents, as they were signed, and its state.

use std::path::{Path, PathBuf};

use sealift_archive::release::published::Envelope;
use sealift_archive::release::{MAX_REFS_BYTES, MAX_STATEMENT_BYTES};
use sealift_archive::trust::Signatures;
use sealift_archive::{BlobList, Digest, Refs, Sequence, Statement};
use time::OffsetDateTime;

use crate::state::{Recorded, read_or_damaged};
use crate::{Error, State};

pub(crate) const STATEMENT_FILE: &str = "release.json";
pub(crate) const BLOB_LIST_FILE: &str = "blobs";
pub(crate) const REFS_FILE: &str = "refs.json";
/// How much of each is read, in bytes; of a blob list, so much as its statement says.
const STATEMENT_BYTES: u64 = MAX_STATEMENT_BYTES as u64;
const REFS_BYTES: u64 = MAX_REFS_BYTES as u64;

/// A release that is staged or has come further, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct StoredRelease {
    dir: PathBuf,
    sequence: Sequence,
    state: State,
    recorded: State,
    since: OffsetDateTime,
    digest: Digest,
    is_state_known: bool,
}

impl StoredRelease {
    /// Looks at the release in `dir`; whether it is active is for `current` to say.
    pub(crate) fn read(dir: PathBuf, sequence: Sequence, is_current: bool) -> Result<Self, Error> {
        let recorded = Recorded::read(&dir);
        let is_state_known = recorded.is_ok();
        let recorded = match recorded {
            // One damaged file must not stop what does not need it, least of all the import that repairs it.
            Err(error @ (Error::Archive(_) | Error::Damaged { .. })) => Recorded {
                state: State::Failed { reason: format!("its state cannot be read: {error}") },
                since: OffsetDateTime::UNIX_EPOCH,
                release: Digest::of(
                    &read_or_damaged(&dir.join(STATEMENT_FILE), STATEMENT_BYTES).unwrap_or_default(),
                ),
            },
            recorded => recorded?,
        };
        let Recorded { state: recorded, since, release: digest } = recorded;
        Ok(Self {
            dir,
            sequence,
            state: State::derive(recorded.clone(), is_current),
            recorded,
            since,
            digest,
            is_state_known,
        })
    }

    /// Its directory, `releases/<sequence>`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its place in the order, and its directory's name.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Its state when it was looked at.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What its `state` file says, which may be behind what `current` says.
    pub(crate) fn recorded(&self) -> &State {
        &self.recorded
    }

    /// Whether its `state` file says anything.
    pub(crate) fn is_state_known(&self) -> bool {
        self.is_state_known
    }

    /// Whether a switch away from it has moved `current`, and is not finished.
    pub(crate) fn is_being_left(&self) -> bool {
        self.recorded == State::Active && self.state != State::Active
    }

    /// When it entered its state.
    #[must_use]
    pub fn since(&self) -> OffsetDateTime {
        self.since
    }

    /// Digest of the statement: the release's identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The statement, byte for byte as it was signed.
    ///
    /// # Errors
    /// I/O, or a file that has changed since it was staged.
    pub fn statement_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(self.documents().vouched(STATEMENT_FILE, self.digest, STATEMENT_BYTES)?.1)
    }

    /// What the release is.
    ///
    /// # Errors
    /// I/O, or a file that has changed since it was staged.
    pub fn statement(&self) -> Result<Statement, Error> {
        self.documents().statement()
    }

    /// What the names of the release point at.
    ///
    /// # Errors
    /// I/O, or a file that is not the one that the statement vouches for.
    pub fn refs(&self) -> Result<Refs, Error> {
        self.documents().refs()
    }

    /// All content of the release.
    ///
    /// # Errors
    /// I/O, or a file that is not the one that the statement vouches for.
    pub fn blob_list(&self) -> Result<BlobList, Error> {
        self.documents().blob_list()
    }

    /// The signatures that came along.
    ///
    /// # Errors
    /// I/O.
    pub fn signatures(&self) -> Result<Signatures, Error> {
        Ok(Signatures::read_from(&self.dir, &self.digest)?)
    }

    /// The statement with its signatures, as it is published.
    ///
    /// # Errors
    /// I/O, or a file that has changed since it was staged.
    pub fn envelope(&self) -> Result<Envelope, Error> {
        Ok(Envelope::new(self.statement_bytes()?, &self.signatures()?)?)
    }

    /// The file with the blob list or `refs.json`, if that is what this digest names.
    ///
    /// # Errors
    /// I/O, or a statement that has changed since it was staged.
    pub fn document(&self, digest: &Digest) -> Result<Option<PathBuf>, Error> {
        let statement = self.statement()?;
        let documents = [(statement.blob_list.digest, BLOB_LIST_FILE), (statement.refs.digest, REFS_FILE)];
        Ok(documents.iter().find(|(known, _)| known == digest).map(|(_, name)| self.dir.join(name)))
    }

    fn documents(&self) -> Documents {
        Documents { dir: self.dir.clone(), digest: self.digest }
    }
}

/// The documents of a release, and the digest that vouches for them.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    pub(crate) dir: PathBuf,
    pub(crate) digest: Digest,
}

impl Documents {
    pub(crate) fn statement(&self) -> Result<Statement, Error> {
        let (path, bytes) = self.vouched(STATEMENT_FILE, self.digest, STATEMENT_BYTES)?;
        Ok(Statement::parse(&path, &bytes)?)
    }

    pub(crate) fn refs(&self) -> Result<Refs, Error> {
        let (path, bytes) = self.vouched(REFS_FILE, self.statement()?.refs.digest, REFS_BYTES)?;
        Ok(Refs::parse(&path, &bytes)?)
    }

    pub(crate) fn blob_list(&self) -> Result<BlobList, Error> {
        let list = self.statement()?.blob_list;
        let (path, bytes) = self.vouched(BLOB_LIST_FILE, list.digest, list.max_text_bytes())?;
        Ok(BlobList::parse(&path, &bytes)?)
    }

    fn vouched(&self, name: &str, wanted: Digest, limit: u64) -> Result<(String, Vec<u8>), Error> {
        let path = self.dir.join(name);
        let bytes = read_or_damaged(&path, limit)?;
        let found = Digest::of(&bytes);
        if found == wanted {
            Ok((path.display().to_string(), bytes))
        } else {
            Err(Error::damaged(path, format!("it was {wanted}, now it is {found}")))
        }
    }
}
