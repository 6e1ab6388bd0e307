//! `sealift channel show`: what the channels of a place say, and whether that may be believed.

use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::trust::{KeyId, RoleName, TrustRoot, Trusted};
use sealift_archive::{Channel, ChannelName, Error as ArchiveError};
use serde::Serialize;
use time::OffsetDateTime;

use super::past::Current;
use super::{Error as PublishError, Place};
use crate::Error;

/// The channels that there can be.
const CHANNELS: [ChannelName; 2] = [ChannelName::Stable, ChannelName::Candidate];
/// The most versions of a trust root that are followed at a place of which nothing is known: a rotation a week for 20 years.
const MAX_ROOTS: u64 = 1_000;

/// A channel, as it is published.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// What it says.
    #[serde(flatten)]
    pub channel: Channel,
    /// The keys whose signatures count today.
    pub signers: Vec<KeyId>,
    /// Whether appliances believe it.
    pub standing: Standing,
}

/// Whether appliances believe a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// They do.
    Good,
    /// It has expired: those that are online refuse it.
    Expired,
    /// Those who signed it have lost the role since.
    SignedByFormer,
}

/// Reads all channels; without a trust root, by the one that is published beside them, which proves nothing.
///
/// # Errors
/// [`PublishError::NotPublished`] if there is no trust root; the archive's `Unsigned`; what the place says.
pub fn show(place: &dyn Place, trusted: Option<&Trusted>, now: OffsetDateTime) -> Result<Vec<Shown>, Error> {
    let trusted = trusted.cloned().map_or_else(|| published(place), Ok)?;
    let mut shown = Vec::new();
    for name in CHANNELS {
        let Some(Current { channel, signers, .. }) = Current::read(place, name, &trusted)? else { continue };
        let standing = match &channel {
            _ if signers.is_empty() => Standing::SignedByFormer,
            channel if channel.expires <= now => Standing::Expired,
            _ => Standing::Good,
        };
        shown.push(Shown { channel, signers, standing });
    }
    Ok(shown)
}

/// The trust root that is published, from its first version that is there.
fn published(place: &dyn Place) -> Result<Trusted, Error> {
    let mut trusted: Option<Trusted> = None;
    for version in 1.. {
        let part = Published::Root(version);
        let Some(bytes) = place.read(part)? else { break };
        if version > MAX_ROOTS {
            let what = format!("the number of trust roots in {}", place.name());
            return Err(ArchiveError::TooLarge { what, size: version, limit: MAX_ROOTS }.into());
        }
        let Envelope { document, signatures } = Envelope::parse(&part.path(), &bytes)?;
        let root = TrustRoot::parse(&part.path(), &document)?;
        match &mut trusted {
            None => trusted = Some(first(root, &signatures)?),
            Some(trusted) => trusted.follow(root, &signatures)?,
        }
    }
    trusted.ok_or_else(|| {
        let place = place.name().to_owned();
        PublishError::NotPublished { wanted: "or trust root".to_owned(), place, releases: Vec::new() }.into()
    })
}

fn first(root: TrustRoot, signatures: &sealift_archive::trust::Signatures) -> Result<Trusted, ArchiveError> {
    root.check(&root.name(), root.bytes(), RoleName::Root, signatures)?;
    Ok(root.into())
}
