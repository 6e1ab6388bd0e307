//! What was said before: by the channel that is there, and by the last one that was published from the trust folder.
//!
//! A place that is restored from a backup, or served by somebody else, shows an old channel, well signed, or none. Whoever
//! counts on from that alone signs a version twice, with other content, and lets the floor fall.

use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::trust::{KeyId, RoleName, Trusted};
use sealift_archive::{Channel, ChannelName, Error as ArchiveError, Product, Sequence};

use super::{Place, rules};
use crate::Error;
use crate::trust::Folder;

/// A channel that is published and was verified.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) channel: Channel,
    pub(super) bytes: Vec<u8>,
    pub(super) signers: Vec<KeyId>,
}

impl Current {
    /// Reads the channel that is published, if there is one. What was signed enough under an earlier version of the trust
    /// root still says what its version is: nobody gets below that.
    ///
    /// # Errors
    /// The archive's `Unsigned`, if it was never signed enough; what the place says.
    pub(super) fn read(
        place: &dyn Place,
        name: ChannelName,
        trusted: &Trusted,
    ) -> Result<Option<Self>, Error> {
        let part = Published::Channel(name);
        let envelope = place.read(part)?;
        envelope.map(|envelope| Self::parse(part.path(), &envelope, name, trusted)).transpose()
    }

    fn parse(path: String, envelope: &[u8], name: ChannelName, trusted: &Trusted) -> Result<Self, Error> {
        let Envelope { document, signatures } = Envelope::parse(&path, envelope)?;
        let signers = match trusted.check(&path, &document, RoleName::Channel, &signatures) {
            Err(ArchiveError::SignedByFormer { .. }) => Vec::new(),
            signers => signers?,
        };
        let channel = Channel::parse(&path, &document)?;
        if channel.name != name {
            let why = format!("it is channel `{}`", channel.name);
            return Err(ArchiveError::Inconsistent { document: path, why }.into());
        }
        Ok(Self { channel, bytes: document, signers })
    }
}

/// What a channel of a product has said so far.
#[derive(Debug)]
pub(super) struct Past {
    /// In the place.
    pub(super) there: Option<Current>,
    /// Published last from here, there or in another place.
    kept: Option<Current>,
}

impl Past {
    /// Reads what the trust folder has kept beside what is there.
    ///
    /// # Errors
    /// The archive's `Unsigned`, if somebody else wrote it; I/O.
    pub(super) fn of(
        there: Option<Current>,
        trust: &Folder,
        product: &Product,
        name: ChannelName,
    ) -> Result<Self, Error> {
        let path = trust.channel_file(product, name).display().to_string();
        let trusted = trust.trusted()?;
        let envelope = trust.last_channel(product, name)?;
        let kept = envelope.map(|envelope| Current::parse(path, &envelope, name, trusted)).transpose()?;
        Ok(Self { there, kept })
    }

    fn both(&self) -> impl Iterator<Item = &Channel> {
        self.kept.iter().chain(&self.there).map(|current| &current.channel)
    }

    /// What was said last: of one version, what is there.
    pub(super) fn last(&self) -> Option<&Channel> {
        self.both().max_by_key(|channel| channel.version)
    }

    /// The highest version that was used; 0 before the first.
    pub(super) fn version(&self) -> u64 {
        self.last().map_or(0, |last| last.version)
    }

    /// The highest floor.
    pub(super) fn floor(&self) -> Option<Sequence> {
        self.both().map(|channel| channel.floor).max()
    }

    /// Whether this is the last document, byte for byte, and no other one has its version.
    pub(super) fn is_last(&self, document: &[u8]) -> bool {
        let last = self.version();
        let mut of_last = self.kept.iter().chain(&self.there).filter(|one| one.channel.version == last);
        last > 0 && of_last.all(|one| one.bytes == document)
    }

    /// Refuses what cannot follow both.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(super) fn judge(&self, next: &Channel) -> Result<(), Error> {
        rules::judge(None, next)?;
        Ok(self.both().try_for_each(|channel| rules::judge(Some(channel), next))?)
    }

    /// In words, that the place does not have what was published last.
    pub(super) fn behind(&self, place: &dyn Place) -> Option<String> {
        let kept = &self.kept.as_ref()?.channel;
        let has = match &self.there {
            Some(there) if there.channel.version >= kept.version => return None,
            Some(there) => format!("has version {} of channel `{}`", there.channel.version, kept.name),
            None => format!("has no channel `{}`", kept.name),
        };
        Some(format!("{} {has}, though version {} was published last", place.name(), kept.version))
    }
}
