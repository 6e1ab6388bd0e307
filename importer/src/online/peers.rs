//! Other nodes as a source: each has what a vendor publishes, below `/peer/` of its registry, and no channel. Which release is
//! wanted comes from a person or from the cluster, as a digest.
//!
//! Peers are asked in turn. What one of them does not have, keeps back or gets wrong, the next one is asked for; what came from
//! it and was what it should be stays, since content is known by its digest. Nobody's word counts: everything is checked against
//! the trust root that is pinned here, and judged by the policy of this store.

use sealift_archive::{Class, Digest, Explain as _, Progress};
use sealift_fetch::{Meter, Url};
use sealift_store::{Event, State, Store, Writer};

use super::endpoint::Endpoint;
use super::hear::Trust;
use super::offer::{Offer, Wanted, unwrapped, whole};
use super::{Error as OnlineError, Failed};
use crate::Error;
use crate::activation::Engine;
use crate::config::PeerAccess;
use crate::import::{Done, Plan, execute, plan, record_refusal};

/// The nodes that are asked, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Peers(Vec<Endpoint>);

/// What came of asking them.
#[derive(Debug)]
pub enum Taken {
    /// The release is here, whole.
    Here(State),
    /// It is staged now.
    Done(Box<Done>),
}

/// Is told how it goes.
pub trait Witness {
    /// This peer was no help; the next one is asked.
    ///
    /// # Errors
    /// What keeps the witness from passing it on.
    fn fails(&self, peer: &str, error: &Error) -> Result<(), Error>;

    /// This begins now, and shall be watched.
    ///
    /// # Errors
    /// What keeps the witness from watching.
    fn begins(&self, plan: &Plan) -> Result<Meter, Error>;
}

/// Whose fault it is that nothing came.
enum Fault {
    /// The peer's: another one may do better.
    Peer(Error),
    /// Something here, or the release itself.
    Ours(Error),
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

impl Peers {
    /// Adds the peer whose registry is at this address. It is not asked yet.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn add(&mut self, registry: &Url, access: &PeerAccess) -> Result<(), Error> {
        self.0.push(Endpoint::of_peer(registry, access)?);
        Ok(())
    }

    /// Whether there is nobody to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says what taking a release from the first peer that has its documents would do, and changes nothing; none if it is
    /// here.
    ///
    /// # Errors
    /// As [`Peers::take`].
    pub fn plan(
        &self,
        store: &Store,
        wanted: Wanted<'_>,
        witness: &dyn Witness,
        progress: &dyn Progress,
    ) -> Result<Option<Plan>, Error> {
        if whole(store, &wanted.statement)?.is_some() {
            return Ok(None);
        }
        let mut failures = Vec::new();
        for peer in &self.0 {
            let mut trust = Trust::new(store.trust()?);
            let planned = peer.follow_roots(&mut trust, progress).map_err(blame);
            let planned =
                planned.and_then(|()| Ok(plan_of(store, &ask(peer, store, &trust, wanted, progress)?)?));
            match planned {
                Ok(plan) => return Ok(Some(plan)),
                Err(Fault::Ours(error)) => return Err(error),
                Err(Fault::Peer(error)) => failures.push(failed(peer, witness, error)?),
            }
        }
        Err(none_has(wanted.statement, failures))
    }

    /// Stages a release, and those that have to come before it.
    ///
    /// # Errors
    /// The rule that forbids it; [`OnlineError::NoPeer`] if none of them could be used; no room, I/O or `Interrupted`.
    pub fn take(
        &self,
        writer: &Writer,
        wanted: Wanted<'_>,
        witness: &dyn Witness,
        progress: &dyn Progress,
    ) -> Result<Taken, Error> {
        if let Some(here) = whole(writer, &wanted.statement)? {
            return Ok(Taken::Here(here.state().clone()));
        }
        let mut missing_before = None;
        loop {
            let mut failures = Vec::new();
            let mut missing = None;
            for peer in &self.0 {
                match take_from(peer, writer, wanted, &mut missing, witness, progress) {
                    Ok(done) => return Ok(Taken::Done(Box::new(done))),
                    Err(Fault::Ours(error)) => return Err(error),
                    Err(Fault::Peer(error)) => {
                        record(writer, peer.name(), &error)?;
                        failures.push(failed(peer, witness, error)?);
                    }
                }
            }
            // One may have what the other lacks, and the other way round; but only as long as that brings something.
            if missing.is_none() || missing == missing_before {
                return Err(none_has(wanted.statement, failures));
            }
            missing_before = missing;
        }
    }
}

/// One peer's turn; `missing` becomes the bytes that were missing before it.
fn take_from(
    peer: &Endpoint,
    writer: &Writer,
    wanted: Wanted<'_>,
    missing: &mut Option<u64>,
    witness: &dyn Witness,
    progress: &dyn Progress,
) -> Result<Done, Fault> {
    let mut trust = Trust::new(writer.trust()?);
    let followed = peer.follow_roots(&mut trust, progress);
    // Who may sign no longer is known from now on, whatever becomes of the rest.
    writer.remember_roots(peer.name(), &trust.trusted, &trust.signatures)?;
    followed.map_err(blame)?;
    let offer = ask(peer, writer, &trust, wanted, progress)?;
    let plan = plan_of(writer, &offer)?;
    *missing = Some(plan.need.missing_bytes.saturating_sub(plan.need.begun_bytes));
    let meter = witness.begins(&plan)?;
    let done = execute(writer, &offer, plan, &meter, &Engine::plain());
    let done = done.map_err(|error| blame(unwrapped(error)))?;
    meter.finish();
    Ok(done)
}

fn ask<'e>(
    peer: &'e Endpoint,
    store: &Store,
    trust: &'e Trust,
    wanted: Wanted<'_>,
    progress: &dyn Progress,
) -> Result<Offer<'e>, Fault> {
    peer.offer(store, trust, wanted, &store.situation()?, progress).map_err(blame)
}

fn plan_of(store: &Store, offer: &Offer<'_>) -> Result<Plan, Error> {
    let mut plan = plan(store, offer, false)?;
    plan.passed_over.extend(offer.passed.iter().cloned());
    Ok(plan)
}

/// What the store says is about the release, whoever brings it; what is refused besides, or not to be had, is the peer's.
fn blame(error: Error) -> Fault {
    match error {
        Error::Store(_) => Fault::Ours(error),
        error if matches!(error.class(), Class::Refused | Class::Unreachable) => Fault::Peer(error),
        error => Fault::Ours(error),
    }
}

fn failed(peer: &Endpoint, witness: &dyn Witness, error: Error) -> Result<Failed, Error> {
    witness.fails(peer.name(), &error)?;
    Ok(Failed { peer: peer.name().to_owned(), error })
}

fn none_has(release: Digest, failures: Vec<Failed>) -> Error {
    OnlineError::NoPeer { release, failures }.into()
}

/// Writes a refusal into the audit log, unless that is what was last written there of this peer: who asks does so again and
/// again.
fn record(writer: &Writer, peer: &str, error: &Error) -> Result<(), Error> {
    let records = writer.audit()?;
    let told = records.iter().rev().find_map(|record| match &record.event {
        Event::Refused { source, code, .. } if source == peer => Some(code),
        _ => None,
    });
    if told == Some(&error.code().to_string()) { Ok(()) } else { record_refusal(writer, peer, error) }
}
