//! A channel that is waiting for signatures: an envelope in a file, which people hand on.

use std::path::{Path, PathBuf};

use sealift_archive::release::published::{Envelope, MAX_ENVELOPE_BYTES};
use sealift_archive::trust::{KeyId, RoleName, Signature, Signer, TrustRoot};
use sealift_archive::{Channel, Error as ArchiveError, durable};

use crate::Error;
use crate::files::read_capped;

/// A channel, and who has signed it so far.
#[derive(Debug)]
pub struct Draft {
    /// What it says.
    pub channel: Channel,
    pub(super) envelope: Envelope,
}

impl Draft {
    /// A channel that nobody has signed.
    ///
    /// # Errors
    /// What a channel may not say.
    pub(super) fn new(channel: &Channel) -> Result<Self, Error> {
        let document = channel.to_bytes();
        // What a reader would refuse must not be signed.
        let channel = Channel::parse("the channel", &document)?;
        Ok(Self { channel, envelope: Envelope { document, signatures: std::iter::empty().collect() } })
    }

    /// Reads a draft. Nobody needs to have signed it.
    ///
    /// # Errors
    /// If it is none, or I/O.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let envelope = Envelope::parse(&name, &read_capped(file, MAX_ENVELOPE_BYTES as u64)?)?;
        let channel = Channel::parse(&name, &envelope.document)?;
        Ok(Self { channel, envelope })
    }

    /// Has it signed by some keys; with a trust root, only by those that may.
    ///
    /// # Errors
    /// A key without the role, what a signer says, or too many signatures.
    pub fn sign(
        &mut self,
        signers: &[Box<dyn Signer>],
        root: Option<&TrustRoot>,
    ) -> Result<Vec<KeyId>, Error> {
        for signer in signers {
            root.map_or(Ok(()), |root| root.expect_member(RoleName::Channel, signer.public().id()))?;
        }
        let document = &self.envelope.document;
        let made = signers
            .iter()
            .map(|signer| Signature::sign(document, &**signer))
            .collect::<Result<Vec<_>, ArchiveError>>()?;
        let keys = made.iter().map(|signature| signature.key).collect();
        // A key that signs again replaces what it has signed before: that may have been damaged.
        let mut all = made;
        all.extend(self.envelope.signatures.iter().cloned());
        self.envelope = Envelope::new(self.envelope.document.clone(), &all.into_iter().collect())?;
        Ok(keys)
    }

    /// Keeps it in a file, in the place of what is there.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        Ok(durable::write(file, &self.envelope.to_bytes())?)
    }

    /// What its file is called if nobody says otherwise.
    #[must_use]
    pub fn file_name(&self) -> PathBuf {
        format!("channel-{}-{}.draft.json", self.channel.name, self.channel.version).into()
    }
}
