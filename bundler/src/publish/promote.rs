//! `sealift promote`: which release is current for those who follow a channel.
//!
//! The channel that is there is verified and counted on from, and so is the last one that was published from the trust
//! folder: a place may have lost it, or show an older one. The new one names the release, and the releases before it that
//! are published too. It is written last, when they have been found to be whole, and read back. With fewer signatures than
//! the trust root asks for, it becomes a draft, and nothing is published.

use std::path::Path;
use std::sync::Arc;

use sealift_archive::release::CurrentRelease;
use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::trust::{KeyId, RoleName, Signer, Trusted};
use sealift_archive::{Channel, ChannelName, Error as ArchiveError, Progress, Sequence, Statement, Version};
use serde::Serialize;
use time::OffsetDateTime;

use super::catalog::{Catalog, Entry, expect_whole};
use super::past::{Current, Past};
use super::rules::Lifetime;
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
    /// What is wrong with the channel that was there, if another one was published last.
    pub behind: Option<String>,
    /// Releases that could not be believed, and why.
    pub refused: Vec<String>,
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
    let there = Current::read(place, change.channel, trusted)?;
    let catalog = Catalog::read(place, trusted)?;
    let now = OffsetDateTime::now_utc();
    let (past, entry) = match (&change.version, there) {
        (Some(version), there) => {
            let product = there.as_ref().map(|there| &there.channel.product);
            let entry = catalog.find(place, version, product)?;
            (Past::of(there, trust, &entry.statement.product, change.channel)?, entry)
        }
        (None, Some(there)) => {
            let product = there.channel.product.clone();
            let past = Past::of(Some(there), trust, &product, change.channel)?;
            let said = past.last().map(|last| catalog.named(place, &product, &last.release));
            let no_channel = || Error::from(no_channel(place, change.channel));
            let entry = said.ok_or_else(no_channel)??;
            (past, entry)
        }
        (None, None) => return Err(no_channel(place, change.channel).into()),
    };
    let channel = next(change, &past, entry, &catalog, now);
    past.judge(&channel)?;
    let refused = catalog.refused().collect();
    if let Some(current) = past.there.as_ref().filter(|_| change.version.is_some())
        && past.behind(place).is_none()
        && says_the_same(&current.channel, &channel)
        && current.channel.expires > now
        && !current.signers.is_empty()
    {
        return Ok(Outcome::Unchanged(unchanged(place, current, refused)));
    }
    let mut draft = Draft::new(&channel)?;
    draft.sign(signers, Some(trusted.newest()))?;
    if let Err(lack) = enough(trusted, &draft)? {
        return Ok(Outcome::Draft(draft, lack));
    }
    let promoted = write(place, trust, &draft, &past, &catalog, progress)?;
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
    let there = Current::read(place, draft.channel.name, trusted)?;
    let past = Past::of(there, trust, &draft.channel.product, draft.channel.name)?;
    let stale = |why: String| Error::from(PublishError::StaleDraft { file: file.to_owned(), why });
    let version = past.version();
    // One that was signed once more since then, by keys that count today, has to get there.
    let is_last = past.is_last(&draft.envelope.document);
    if let Some(current) = past.there.as_ref()
        && is_last
        && past.behind(place).is_none()
        && !current.signers.is_empty()
    {
        return Ok(Outcome::Unchanged(unchanged(place, current, Vec::new())));
    }
    if draft.channel.version != version + 1 && !is_last {
        return Err(stale(format!(
            "it is version {}, and version {version} is published",
            draft.channel.version
        )));
    }
    if draft.channel.expires <= OffsetDateTime::now_utc() {
        return Err(stale(format!("it expired at {}", draft.channel.expires)));
    }
    past.judge(&draft.channel)?;
    if let Err(lack) = enough(trusted, &draft)? {
        return Ok(Outcome::Draft(draft, lack));
    }
    let catalog = Catalog::read(place, trusted)?;
    let promoted = write(place, trust, &draft, &past, &catalog, progress)?;
    Ok(Outcome::Promoted(Promoted { refused: catalog.refused().collect(), ..promoted }))
}

/// What the channel is to say: this release, after all that was said.
fn next(change: &Change, past: &Past, entry: &Entry, catalog: &Catalog, now: OffsetDateTime) -> Channel {
    let Statement { product, floor: own_floor, .. } = &entry.statement;
    let (number, end) = (past.version() + 1, change.lifetime.end(now));
    let mut channel = Channel::new(product.clone(), change.channel, number, entry.named(), end);
    channel.floor =
        change.floor.unwrap_or_else(|| past.floor().map_or(*own_floor, |floor| floor.max(*own_floor)));
    channel.earlier = catalog.way_to(entry, channel.floor.max(*own_floor));
    channel
}

fn no_channel(place: &dyn Place, channel: ChannelName) -> PublishError {
    PublishError::NoChannel { channel, place: place.name().to_owned() }
}

fn unchanged(place: &dyn Place, current: &Current, refused: Vec<String>) -> Promoted {
    Promoted {
        place: place.name().to_owned(),
        channel: current.channel.clone(),
        before: Some(current.channel.release.clone()),
        signers: current.signers.clone(),
        behind: None,
        refused,
    }
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
    past: &Past,
    catalog: &Catalog,
    progress: &Arc<dyn Progress>,
) -> Result<Promoted, Error> {
    let trusted = trust.trusted()?;
    let Channel { name, product, release, earlier, .. } = &draft.channel;
    let named = [release].into_iter().chain(earlier);
    let entries: Vec<&Entry> =
        named.map(|named| catalog.named(place, product, named)).collect::<Result<_, _>>()?;
    expect_whole(place, &entries, &**progress)?;
    publish_roots(trust, place)?;
    let overtaken =
        || Error::from(PublishError::Overtaken { channel: *name, place: place.name().to_owned() });
    // Looking took a while, and a repository has no lock.
    let now = Current::read(place, *name, trusted)?;
    if now.as_ref().map(|now| &now.bytes) != past.there.as_ref().map(|there| &there.bytes) {
        return Err(overtaken());
    }
    let envelope = draft.envelope.to_bytes();
    // First here: a version that may have been seen is never used for something else.
    trust.keep_channel(product, *name, &envelope)?;
    place.write(Published::Channel(*name), &envelope)?;
    let found = Current::read(place, *name, trusted)?.ok_or_else(overtaken)?;
    if found.bytes != draft.envelope.document {
        return Err(overtaken());
    }
    Ok(Promoted {
        place: place.name().to_owned(),
        channel: found.channel,
        before: past.there.as_ref().map(|there| there.channel.release.clone()),
        signers: found.signers,
        behind: past.behind(place),
        refused: Vec::new(),
    })
}
