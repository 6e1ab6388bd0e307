//! Where a release comes from and where its blobs go.
//!
//! A [`Source`] hides whether a release lies in an archive, on a server or on a peer node; a [`BlobSink`] hides
//! whether blobs go into an archive or a store. What passes between them is checked by the writer, blob by blob.

use std::collections::BTreeSet;
use std::io::Read;

use crate::format::packing::NeededRelease;
use crate::progress::Progress;
use crate::trust::{KeyId, Signature, TrustRoot, Trusted};
use crate::{Blob, BlobList, Digest, Error, Hashed, Refs, Statement};

/// How much [`copy_blob`] reads at a time.
const COPY_BYTES: usize = 256 << 10;

/// A release whose statement, blob list and refs have been checked against a trust root and each other.
#[derive(Clone, Debug)]
pub struct Release {
    /// What the release is.
    pub statement: Statement,
    /// The statement, byte for byte as it was signed.
    pub statement_bytes: Vec<u8>,
    /// The signatures over it that came along.
    pub signatures: Vec<Signature>,
    /// The keys of role `release` whose signatures are good.
    pub signers: Vec<KeyId>,
    /// All its content.
    pub blob_list: BlobList,
    /// What its names point at.
    pub refs: Refs,
    /// `refs.json`, byte for byte.
    pub refs_bytes: Vec<u8>,
}

impl Release {
    /// Puts a statement whose signatures are good, and which `signers` made, together with the blob list and the refs whose
    /// digests it names.
    ///
    /// # Errors
    /// [`Error::WrongContent`] if they are others, or what is wrong with them.
    pub fn assemble(
        statement: Statement,
        statement_bytes: Vec<u8>,
        signatures: Vec<Signature>,
        signers: Vec<KeyId>,
        list: &[u8],
        refs_bytes: Vec<u8>,
    ) -> Result<Self, Error> {
        let sequence = statement.sequence;
        let summary = statement.blob_list;
        let (list_name, refs_name) =
            (format!("releases/{sequence}/blobs"), format!("releases/{sequence}/refs.json"));
        let found = Digest::of(list);
        if found != summary.digest {
            return Err(Error::WrongContent { wanted: summary.digest, found });
        }
        let found = Digest::of(&refs_bytes);
        if found != statement.refs.digest || refs_bytes.len() as u64 != statement.refs.size {
            return Err(Error::WrongContent { wanted: statement.refs.digest, found });
        }
        let blob_list = BlobList::parse(&list_name, list)?;
        if blob_list.len() as u64 != summary.count || blob_list.total_bytes() != summary.content_bytes {
            return Err(Error::inconsistent(&list_name, "the statement counts its content otherwise"));
        }
        let refs = Refs::parse(&refs_name, &refs_bytes)?;
        refs.check_against(&refs_name, &blob_list)?;
        Ok(Self { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes })
    }

    /// Digest of the statement: the release's identity, whatever it came from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.statement_bytes)
    }
}

/// A place that holds verified releases and their content.
pub trait Source {
    /// What to call it in messages: a path or URL.
    fn name(&self) -> &str;

    /// The releases it holds, by rising sequence.
    fn releases(&self) -> &[Release];

    /// The releases whose content it builds on and does not hold; none, unless it is a delta.
    fn needs(&self) -> &[NeededRelease] {
        &[]
    }

    /// Whether it holds this content of its releases, as far as it knows without asking anybody.
    fn carries(&self, _digest: &Digest) -> bool {
        true
    }

    /// The trust roots that it was opened with, and those that it brings and that follow from them.
    fn trusted(&self) -> &Trusted;

    /// The newest of them: what the releases were checked against.
    fn trust_root(&self) -> &TrustRoot {
        self.trusted().newest()
    }

    /// All signatures that came along, for the record.
    fn signatures(&self) -> Vec<Signature>;

    /// Copies `wanted` blobs into the sink, in the order that suits the source. Reads each byte once.
    ///
    /// # Errors
    /// Damage, a blob that is not there, whatever the sink says, or [`Error::Interrupted`].
    fn copy_blobs(
        &self,
        wanted: &BTreeSet<Digest>,
        sink: &dyn BlobSink,
        progress: &dyn Progress,
    ) -> Result<(), Error>;
}

/// Takes blobs in. Writers of different blobs may be used at the same time from different threads.
pub trait BlobSink: Sync {
    /// How far an earlier try came with a blob, in bytes, as far as that is of use: a writer that is opened next goes on
    /// there. A sink that says 0 may still go on where it stopped; then it can begin anew too.
    ///
    /// # Errors
    /// I/O.
    fn begun(&self, _blob: Blob) -> Result<u64, Error> {
        Ok(0)
    }

    /// Begins a blob, or goes on where an earlier try stopped (see [`BlobWriter::position`]).
    ///
    /// # Errors
    /// I/O, or a blob that the sink did not expect.
    fn open(&self, blob: Blob) -> Result<Box<dyn BlobWriter + '_>, Error>;
}

/// Copies one blob from `reader` into a sink, from its start.
///
/// # Errors
/// What the sink says about it, [`Error::Interrupted`], or I/O.
pub fn copy_blob(
    blob: Blob,
    reader: &mut dyn Read,
    sink: &dyn BlobSink,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut writer = sink.open(blob)?;
    if writer.position() > 0 {
        writer.restart()?;
    }
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return writer.finish(),
            n => {
                progress.go_on()?;
                writer.write(&buffer[..n])?;
                progress.advance(n as u64);
            }
        }
    }
}

/// Takes one blob in. Dropping it unfinished keeps what may be of use to a later try, never a wrong blob.
pub trait BlobWriter: Send {
    /// How many bytes are there already: the offset of the next byte that [`BlobWriter::write`] expects.
    fn position(&self) -> u64;

    /// Appends bytes.
    ///
    /// # Errors
    /// I/O, or [`Error::WrongSize`] as soon as there are more than announced.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Appends content that was hashed where it was read. A writer that checks with [`Check::follow`](crate::Check::follow) need not hash it again.
    ///
    /// # Errors
    /// As [`BlobWriter::write`].
    fn write_hashed(&mut self, content: &Hashed) -> Result<(), Error> {
        content.pieces().try_for_each(|piece| self.write(piece))
    }

    /// Forgets what is there and begins at offset 0, for a server that cannot go on in the middle.
    ///
    /// # Errors
    /// I/O.
    fn restart(&mut self) -> Result<(), Error>;

    /// Checks the blob, and only then makes it part of the sink.
    ///
    /// # Errors
    /// [`Error::WrongSize`], [`Error::WrongContent`], or I/O. What was written is then worthless and gone.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}
