//! The appliance's content store, Git mirrors and release history on disk.
//!
//! A store is a directory that a person can read; there is no database:
//!
//! ```text
//! blobs/sha256/<hex>         content, immutable; a file has this name only once its bytes are checked and durable
//! releases/<sequence>/       release.json, signatures/, blobs (the blob list), refs.json, state
//! git/<name>.git             bare mirrors; packs are hard links to blobs, refs in refs/namespaces/<sequence>/
//! current -> releases/<n>    the one pointer that makes a release live, replaced atomically
//! incoming/<digest>/         an import under way: journal, the release until it is staged
//! parts/<hex>.<bytes>        content of which only the beginning has come
//! trust/                     pinned root, the versions that followed, counters
//! activation/journal         an activation under way
//! audit.jsonl                what was verified, by which key, from where, when, by whom; append only
//! online.json                what came of the last try to hear from the vendor
//! cluster.json               what the nodes of a cluster agree on; changed at the uptime at which it was heard last
//! peers.json                 by which authorities these nodes know each other
//! offers/<device>.json       what sticks that are plugged in offer
//! lock                       held (flock) by whoever writes
//! ```
//!
//! Readers need no lock: everything they see is replaced by one rename. [`Store`] reads; what writes stands on
//! [`Writer`], which only [`Store::lock`] gives out; offers, `cluster.json` and `peers.json` alone are
//! written without it.

mod activation;
mod actor;
mod audit;
mod cluster;
mod counters;
mod error;
mod expiry;
#[cfg(test)]
mod fixture;
mod front;
mod gc;
mod git;
mod incoming;
mod intake;
pub mod jsonl;
mod lock;
mod mirror;
mod offers;
mod online;
mod parts;
mod peers;
pub mod policy;
mod receipt;
mod release;
mod repair;
mod shell;
mod space;
mod stamp;
mod state;
pub mod status;
mod store;
mod sweep;
mod told;
mod trust;
mod verify;

pub use activation::journal;
pub use activation::{Activation, Mark, Step, Switch, Until};
pub use actor::Actor;
pub use audit::{Event, History, Record, Subject};
pub use cluster::{Agreed, HEARING_LASTS, Heard, NodeSeen, boot};
pub use counters::Counters;
pub use error::Error;
pub use expiry::Watched;
pub use gc::{Collection, Collector, GiveUp, Goes, Item, Staying, Stays, What};
pub use incoming::{Came, Incoming, Unfinished};
pub use intake::Intake;
pub use lock::{Holder, Writer};
pub use offers::{Brings, Device, NotADevice, Offer, OfferState, printable, shown};
pub use online::{Failure, LastTry};
pub use peers::PeerAuthorities;
pub use release::StoredRelease;
pub use repair::Repairs;
pub use space::{Disk, Need};
pub use stamp::Stamp;
pub use state::State;
pub use store::Store;
pub use told::{Fact, Told};
pub use trust::RootFile;
pub use verify::{Finding, Trouble, Verdict};
