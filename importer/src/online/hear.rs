//! Hearing what the vendor says: newer trust roots first, one after the other, then the channel, which the newest judges.

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
    /// Follows the trust roots that are published, as far as they lead. Those before an error have been followed.
    ///
    /// # Errors
    /// What the endpoint or the network says; a root that does not follow from the one before.
    pub fn follow_roots(&self, trust: &mut Trust, progress: &dyn Progress) -> Result<(), Error> {
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

    /// Reads a channel and checks who signed it. Whether it may be believed is for the store's policy to say.
    ///
    /// # Errors
    /// What the endpoint or the network says; a channel that is not there, not signed, or another one.
    pub fn hear(&self, trust: &Trust, name: ChannelName, progress: &dyn Progress) -> Result<Heard, Error> {
        let source_name = || self.name().to_owned();
        let envelope = self
            .wait(progress, self.envelope(Published::Channel(name)))?
            .ok_or_else(|| OnlineError::NoChannel { source_name: source_name(), name })?;
        let document = format!("channel {name} of {}", self.name());
        let (channel, signers) =
            Channel::verify(&document, &envelope.document, &trust.trusted, &envelope.signatures)?;
        if channel.name != name {
            let (source_name, found) = (source_name(), channel.name);
            return Err(OnlineError::OtherChannel { source_name, wanted: name, found }.into());
        }
        Ok(Heard { channel, digest: Digest::of(&envelope.document), signers })
    }
}
