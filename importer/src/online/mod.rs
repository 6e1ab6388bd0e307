//! Mirroring: an appliance that is online takes releases by itself from where its vendor publishes them.
//!
//! It is the ordinary import with another source. First what the vendor says is heard ([`Endpoint::hear`]) without
//! holding the store; then the store's policy judges the channel and remembers it, and
//! [`Endpoint::news`] says what it means here; what is offered is planned and loaded like an archive, only that its blobs
//! are asked for by digest, and only those that are missing. So a stick can bring most of a release and the network the rest.
//!
//! Nothing that an endpoint sends is believed: documents have signatures, content has digests, and everything has a
//! largest size. Whatever goes wrong, what runs goes on running, and the next run goes on where this one stopped.

mod endpoint;
mod error;
mod hear;
mod offer;
mod patience;
mod source;

use sealift_archive::{ChannelName, Digest, Explain as _};
use sealift_store::{LastTry, Store, Writer};

pub use endpoint::Endpoint;
pub use error::Error;
pub(crate) use error::hint;
pub use hear::{Heard, Trust};
pub use offer::{News, Offer, unwrapped};
pub use patience::Patience;

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
    // A file that is damaged says nothing, and is replaced.
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
    let last = LastTry::new(source, channel, failure.map(|error| error as _));
    let activated = before.and_then(|before| before.activated);
    Ok(writer.record_try(&LastTry { activated, ..last })?)
}

/// Whether the mirror may activate a release by itself: it does so once. What fails its checks, or is gone back from, is for
/// a person to decide.
#[must_use]
pub fn may_activate(store: &Store, statement: &Digest) -> bool {
    let last = store.last_try().ok().flatten();
    last.and_then(|last| last.activated).as_ref() != Some(statement)
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
