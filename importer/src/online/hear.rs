//! Hearing what the vendor says: the channel, and the trust roots after the one that is known, the newest of which judges it.

use sealift_archive::release::published::Published;
use sealift_archive::trust::{KeyId, Signatures, TrustRoot, Trusted};
use sealift_archive::{Channel, ChannelName, Digest, Progress};

use super::Error as OnlineError;
use super::endpoint::Endpoint;
use crate::Error;

/// The trust roots that are believed, and what signs those that the endpoint brought.
#[derive(Clone, Debug)]
pub struct Trust {
    /// What was believed before, and what followed.
    pub trusted: Trusted,
    /// Signatures over the roots that followed.
    pub signatures: Signatures,
}

/// A channel whose signatures are good.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it says.
    pub channel: Channel,
    /// Digest of the document.
    pub digest: Digest,
    /// The keys of role `channel` that signed it.
    pub signers: Vec<KeyId>,
}

impl Trust {
    /// What is believed now.
    #[must_use]
    pub fn new(trusted: Trusted) -> Self {
        Self { trusted, signatures: Signatures::default() }
    }
}

impl Endpoint {
    /// Reads a channel, follows the trust roots that are published, as far as they lead, and checks who signed the channel.
    /// Whether it may be believed is for the store's policy to say. Roots before an error have been followed.
    ///
    /// # Errors
    /// What the endpoint or the network says; a root that does not follow from the one before; a channel that is not there,
    /// not signed, or another one.
    pub fn hear(
        &self,
        trust: &mut Trust,
        name: ChannelName,
        progress: &dyn Progress,
    ) -> Result<Heard, Error> {
        // The root that judges a channel is published before it: asked for in this order, both fit.
        let channel = self.wait(progress, self.envelope(Published::Channel(name)))?;
        self.follow_roots(trust, progress)?;
        let source_name = || self.name().to_owned();
        let channel = channel.ok_or_else(|| OnlineError::NoChannel { source_name: source_name(), name })?;
        let document = format!("channel {name} of {}", self.name());
        let (said, signers) =
            Channel::verify(&document, &channel.document, &trust.trusted, &channel.signatures)?;
        if said.name != name {
            let (source_name, found) = (source_name(), said.name);
            return Err(OnlineError::OtherChannel { source_name, wanted: name, found }.into());
        }
        Ok(Heard { channel: said, digest: Digest::of(&channel.document), signers })
    }

    /// Follows the trust roots that are there, as far as they lead.
    pub(super) fn follow_roots(&self, trust: &mut Trust, progress: &dyn Progress) -> Result<(), Error> {
        loop {
            let version = trust.trusted.newest().version() + 1;
            let Some(envelope) = self.wait(progress, self.envelope(Published::Root(version)))? else {
                return Ok(());
            };
            let root = TrustRoot::parse(&format!("root/{version}.json"), &envelope.document)?;
            trust.trusted.follow(root, &envelope.signatures)?;
            trust.signatures.extend(envelope.signatures);
        }
    }
}
