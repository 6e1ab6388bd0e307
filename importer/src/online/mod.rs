//! Mirroring: an appliance that is online takes releases by itself from where its vendor publishes them.
//!
//! It is the ordinary import with another source. First what the vendor says is heard ([`Endpoint::hear`]) without
//! holding the store; then the store's policy judges the channel and remembers it, and
//! [`Endpoint::news`] says what it means here; what is offered is planned and loaded like an archive, only that its blobs
//! are asked for by digest, and only those that are missing. So a stick can bring most of a release and the network the rest.
//!
//! Nodes of a cluster take releases from each other in the same way; see [`Peers`].
//!
//! Nothing that an endpoint sends is believed: documents have signatures, content has digests, and everything has a
//! largest size. Whatever goes wrong, what runs goes on running, and the next run goes on where this one stopped.

pub(crate) mod authority;
mod endpoint;
mod error;
mod hear;
mod offer;
mod patience;
mod peers;
mod source;

use sealift_archive::{ChannelName, Digest, Explain as _};
use sealift_store::{Event, LastTry, Record, State, Store, StoredRelease, Writer};

pub use endpoint::Endpoint;
pub(crate) use error::hint;
pub use error::{Error, Failed};
pub use hear::{Heard, Trust};
pub(crate) use offer::whole;
pub use offer::{News, Offer, Wanted, unwrapped};
pub use patience::Patience;
pub use peers::{Peers, Taken, Witness};

use crate::import::record_refusal;

/// Records how a try ended, for `status`; and a refusal in the audit log, unless that is what the last try came to as well:
/// a timer would fill it.
///
/// # Errors
/// I/O.
pub fn record(
    writer: &Writer,
    source: &str,
    channel: ChannelName,
    failure: Option<&crate::Error>,
) -> Result<(), crate::Error> {
    let before = writer.last_try().ok().flatten();
    if let Some(error) = failure {
        let code = error.code().to_string();
        let is_told = |last: &LastTry| {
            last.source == source && last.failure.as_ref().is_some_and(|failure| failure.code == code)
        };
        if !before.as_ref().is_some_and(is_told) {
            record_refusal(writer, source, error)?;
        }
    }
    let activated = activated(writer);
    let last = LastTry::new(source, channel, failure.map(|error| error as _));
    let not_activated = match failure {
        Some(crate::Error::Online(Error::NotActivated { .. })) => last.failure.clone(),
        _ => before.and_then(|before| before.not_activated),
    };
    let is_it =
        |release: &StoredRelease| *release.state() == State::Active && Some(release.digest()) == activated;
    let is_active = writer.releases()?.iter().any(is_it);
    let not_activated = not_activated.filter(|_| !is_active);
    Ok(writer.record_try(&LastTry { activated, not_activated, ..last })?)
}

/// Whether the mirror may activate a release by itself: it does so once, and only while no activation is under way. What
/// fails its checks, is gone back from, or has stopped is for a person to decide.
#[must_use]
pub fn may_activate(store: &Store, statement: &Digest) -> bool {
    !store.activation_journal().exists()
        && (activated(store).as_ref() != Some(statement) || is_untold(store, statement))
}

/// Whether nothing tells how the last activation by the mirror ended, not even that it began: the power went between the note
/// of it and its journal.
fn is_untold(store: &Store, statement: &Digest) -> bool {
    let (Ok(Some(last)), Ok(records)) = (store.last_try(), store.audit()) else { return false };
    let is_told = |record: &Record| match &record.event {
        Event::Activated { release, .. } | Event::ActivationFailed { release, .. } => {
            release.digest == *statement
        }
        _ => false,
    };
    last.not_activated.is_none() && !records.iter().any(is_told)
}

/// What the mirror has activated last. A file that is damaged does not say; so it may have been any release that is here,
/// and the newest is the one that a channel would name again.
fn activated(store: &Store) -> Option<Digest> {
    match store.last_try() {
        Ok(last) => last.and_then(|last| last.activated),
        Err(_) => {
            store.releases().ok()?.iter().max_by_key(|release| release.sequence()).map(StoredRelease::digest)
        }
    }
}

/// Takes note that a release is about to be activated by the mirror.
///
/// # Errors
/// I/O.
pub fn record_activation(
    writer: &Writer,
    source: &str,
    channel: ChannelName,
    statement: Digest,
) -> Result<(), crate::Error> {
    let last = LastTry::new(source, channel, None);
    Ok(writer.record_try(&LastTry { activated: Some(statement), ..last })?)
}
