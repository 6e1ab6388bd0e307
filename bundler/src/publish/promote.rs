//! `sealift promote`: which release is current for those who follow a channel.
//!
//! The channel that is there is verified and counted on from; the new one names the release, and the releases before it that
//! are published too. It is written last, when the release has been found to be whole, and read back. With fewer
//! signatures than the trust root asks for, it becomes a draft, and nothing is published.

use std::path::Path;
use std::sync::Arc;

use sealift_archive::release::CurrentRelease;
use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::trust::{KeyId, RoleName, Signer, Trusted};
use sealift_archive::{
    Channel, ChannelName, Digest, Error as ArchiveError, Progress, Sequence, Statement, Version,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::catalog::{Catalog, Entry, expect_whole};
use super::rules::{Lifetime, judge};
use super::{Draft, Error as PublishError, Place, publish_roots};
use crate::Error;
use crate::trust::{Folder, Lack};

/// What a channel is to say next.
#[derive(Clone, Debug)]
pub struct Change {
    /// The channel.
    pub channel: ChannelName,
    /// The release that it is to name; without one, it says again what it says.
    pub version: Option<Version>,
    /// The lowest sequence that is allowed from now on; without one, it stays.
    pub floor: Option<Sequence>,
    /// How long it is to be believed.
    pub lifetime: Lifetime,
}

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    /// It is published.
    Promoted(Promoted),
    /// It says so already, with this floor, and has not expired: nothing was written.
    Unchanged(Promoted),
    /// It needs more signatures.
    Draft(Draft, Lack),
}

/// A channel that is published.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Promoted {
    /// Where.
    pub place: String,
    /// What it says.
    pub channel: Channel,
    /// What it said before.
    pub before: Option<CurrentRelease>,
    /// The keys whose signatures count.
    pub signers: Vec<KeyId>,
    /// Releases that could not be believed, and why.
    pub refused: Vec<String>,
}

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
        let path = part.path();
        let Some(bytes) = place.read(part)? else { return Ok(None) };
        let Envelope { document, signatures } = Envelope::parse(&path, &bytes)?;
        let signers = match trusted.check(&path, &document, RoleName::Channel, &signatures) {
            Err(ArchiveError::SignedByFormer { .. }) => Vec::new(),
            signers => signers?,
        };
        let channel = Channel::parse(&path, &document)?;
        if channel.name != name {
            let why = format!("it is channel `{}`", channel.name);
            return Err(ArchiveError::Inconsistent { document: path, why }.into());
        }
        Ok(Some(Self { channel, bytes: document, signers }))
    }
}

/// Moves a channel, or renews it.
///
/// # Errors
/// [`PublishError`]; the archive's `Unsigned` for a channel that others have put there; what a signer or the place says.
pub fn promote(
    place: &dyn Place,
    trust: &Folder,
    change: &Change,
    signers: &[Box<dyn Signer>],
    progress: &Arc<dyn Progress>,
) -> Result<Outcome, Error> {
    let trusted = trust.trusted()?;
    let current = Current::read(place, change.channel, trusted)?;
    let catalog = Catalog::read(place, trusted)?;
    let now = OffsetDateTime::now_utc();
    let channel = next(place, change, current.as_ref(), &catalog, now)?;
    judge(current.as_ref().map(|current| &current.channel), &channel)?;
    let entry = current_entry(place, &catalog, &channel)?;
    let refused = catalog.refused().collect();
    if let Some(current) = current.as_ref().filter(|_| change.version.is_some())
        && says_the_same(&current.channel, &channel)
        && current.channel.expires > now
        && !current.signers.is_empty()
    {
        let before = Some(current.channel.release.clone());
        return Ok(Outcome::Unchanged(Promoted {
            place: place.name().to_owned(),
            channel: current.channel.clone(),
            before,
            signers: current.signers.clone(),
            refused,
        }));
    }
    let mut draft = Draft::new(&channel)?;
    draft.sign(signers, Some(trusted.newest()))?;
    if let Err(lack) = enough(trusted, &draft)? {
        return Ok(Outcome::Draft(draft, lack));
    }
    let promoted = write(place, trust, &draft, current.as_ref(), entry, progress)?;
    Ok(Outcome::Promoted(Promoted { refused, ..promoted }))
}

/// Publishes a draft that has enough signatures by now; `file` is where it lies. More keys may sign it first.
///
/// # Errors
/// [`PublishError::StaleDraft`] if it no longer follows what is published; the archive's `Unsigned`; as [`promote`].
pub fn publish_draft(
    place: &dyn Place,
    trust: &Folder,
    file: &Path,
    mut draft: Draft,
    signers: &[Box<dyn Signer>],
    progress: &Arc<dyn Progress>,
) -> Result<Outcome, Error> {
    let trusted = trust.trusted()?;
    draft.sign(signers, Some(trusted.newest()))?;
    let current = Current::read(place, draft.channel.name, trusted)?;
    let stale = |why: String| Error::from(PublishError::StaleDraft { file: file.to_owned(), why });
    let version = current.as_ref().map_or(0, |current| current.channel.version);
    if let Some(current) = current.as_ref().filter(|current| current.bytes == draft.envelope.document) {
        let promoted = Promoted {
            place: place.name().to_owned(),
            channel: draft.channel,
            before: Some(current.channel.release.clone()),
            signers: current.signers.clone(),
            refused: Vec::new(),
        };
        return Ok(Outcome::Unchanged(promoted));
    }
    if draft.channel.version != version + 1 {
        return Err(stale(format!(
            "it is version {}, and version {version} is published",
            draft.channel.version
        )));
    }
    if draft.channel.expires <= OffsetDateTime::now_utc() {
        return Err(stale(format!("it expired at {}", draft.channel.expires)));
    }
    judge(current.as_ref().map(|current| &current.channel), &draft.channel)?;
    if let Err(lack) = enough(trusted, &draft)? {
        return Ok(Outcome::Draft(draft, lack));
    }
    let catalog = Catalog::read(place, trusted)?;
    let entry = current_entry(place, &catalog, &draft.channel)?;
    let promoted = write(place, trust, &draft, current.as_ref(), entry, progress)?;
    Ok(Outcome::Promoted(Promoted { refused: catalog.refused().collect(), ..promoted }))
}

/// What the channel is to say.
fn next(
    place: &dyn Place,
    change: &Change,
    current: Option<&Current>,
    catalog: &Catalog,
    now: OffsetDateTime,
) -> Result<Channel, Error> {
    let Change { channel: name, version, floor, lifetime } = change;
    let said = current.map(|current| &current.channel);
    let entry = match (version, said) {
        (Some(version), said) => catalog.find(place, version, said.map(|said| &said.product))?,
        (None, Some(said)) => current_entry(place, catalog, said)?,
        (None, None) => {
            return Err(PublishError::NoChannel { channel: *name, place: place.name().to_owned() }.into());
        }
    };
    let Statement { product, floor: own_floor, .. } = &entry.statement;
    let number = said.map_or(0, |said| said.version) + 1;
    let mut channel = Channel::new(product.clone(), *name, number, entry.named(), lifetime.end(now));
    let kept = said.map_or(*own_floor, |said| said.floor.max(*own_floor));
    channel.floor = floor.unwrap_or(kept);
    channel.earlier = catalog.way_to(entry, channel.floor.max(*own_floor));
    Ok(channel)
}

/// The release that a channel names.
fn current_entry<'c>(place: &dyn Place, catalog: &'c Catalog, channel: &Channel) -> Result<&'c Entry, Error> {
    let is_it =
        |entry: &&Entry| entry.digest == channel.release.statement && entry.named() == channel.release;
    catalog.entries.iter().find(is_it).ok_or_else(|| {
        PublishError::NotPublished {
            wanted: format!("{} ({})", channel.release.version, channel.release.statement),
            place: place.name().to_owned(),
            releases: catalog.entries.iter().map(|entry| entry.statement.name()).collect(),
        }
        .into()
    })
}

fn says_the_same(one: &Channel, other: &Channel) -> bool {
    (&one.release, &one.earlier, one.floor) == (&other.release, &other.earlier, other.floor)
}

/// Whether enough have signed a draft; if not, who still can.
fn enough(trusted: &Trusted, draft: &Draft) -> Result<Result<Vec<KeyId>, Lack>, Error> {
    let root = trusted.newest();
    let Envelope { document, signatures } = &draft.envelope;
    match root.check(&Published::Channel(draft.channel.name).path(), document, RoleName::Channel, signatures)
    {
        Ok(signers) => Ok(Ok(signers)),
        // Nobody has the role: no draft will ever be signed.
        Err(error @ ArchiveError::Unsigned { .. }) if !root.roles().contains_key(&RoleName::Channel) => {
            Err(error.into())
        }
        Err(ArchiveError::Unsigned { have, need, keys, .. }) => {
            Ok(Err(Lack { of_version: root.version(), have, need, keys }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Moves the pointer: the trust root first, by which it is judged, and then the channel.
fn write(
    place: &dyn Place,
    trust: &Folder,
    draft: &Draft,
    current: Option<&Current>,
    entry: &Entry,
    progress: &Arc<dyn Progress>,
) -> Result<Promoted, Error> {
    let trusted = trust.trusted()?;
    let name = draft.channel.name;
    expect_whole(place, entry, &**progress)?;
    publish_roots(trust, place)?;
    let overtaken = || Error::from(PublishError::Overtaken { channel: name, place: place.name().to_owned() });
    // Looking took a while, and a repository has no lock.
    let now = Current::read(place, name, trusted)?;
    if now.map(|now| now.bytes) != current.map(|current| current.bytes.clone()) {
        return Err(overtaken());
    }
    place.write(Published::Channel(name), &draft.envelope.to_bytes())?;
    let found = Current::read(place, name, trusted)?.ok_or_else(overtaken)?;
    if Digest::of(&found.bytes) != Digest::of(&draft.envelope.document) {
        return Err(overtaken());
    }
    Ok(Promoted {
        place: place.name().to_owned(),
        channel: found.channel,
        before: current.map(|current| current.channel.release.clone()),
        signers: found.signers,
        refused: Vec::new(),
    })
}
