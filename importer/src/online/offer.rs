//! What a channel offers to this appliance: the releases on the way from the active one to the one that is current.
//!
//! Nothing is asked for that is here. If the current release can follow the active one, its statement, blob list and refs are
//! had, and no others; else the statements of those between, which the policy then finds the way through.

use std::cmp::Reverse;

use sealift_archive::release::published::Published;
use sealift_archive::release::{CurrentRelease, MAX_REFS_BYTES};
use sealift_archive::trust::{KeyId, RoleName, Signature};
use sealift_archive::{Channel, Digest, Error as ArchiveError, Progress, Release, ReleaseName, Statement};
use sealift_store::policy::{Known, Offered, Passed, Situation};
use sealift_store::{State, Store, StoredRelease};

use super::Error as OnlineError;
use super::endpoint::Endpoint;
use super::hear::Trust;
use crate::Error;

/// Longest blob list that is read, in bytes: what an archive may carry as well.
const MAX_BLOB_LIST_BYTES: u64 = sealift_archive::format::MAX_FRONT_MEMBER_BYTES;

/// What a channel means to this appliance.
#[derive(Debug)]
pub enum News<'e> {
    /// The current release is here, whole.
    Here(State),
    /// The current release is below the one that runs.
    Older(ReleaseName),
    /// There is something to take.
    Offer(Offer<'e>),
}

/// Releases that an endpoint has, verified.
#[derive(Debug)]
pub struct Offer<'e> {
    pub(super) endpoint: &'e Endpoint,
    pub(super) releases: Vec<Release>,
    pub(super) trust: &'e Trust,
    /// Other releases that the channel names, and why they are not taken.
    pub passed: Vec<Passed>,
}

/// A release that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub(super) statement: Digest,
    /// Releases that may have to come before it.
    pub(super) earlier: &'a [CurrentRelease],
    /// Who named it, if a channel did.
    channel: Option<&'a Channel>,
}

/// A statement whose signatures are good.
struct Stated {
    statement: Statement,
    bytes: Vec<u8>,
    signatures: Vec<Signature>,
    signers: Vec<KeyId>,
}

impl Stated {
    fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

impl Endpoint {
    /// Finds out what the channel offers. With `activate`, a release that is here and only staged is offered as well.
    ///
    /// # Errors
    /// The rule that forbids it; something that is not there, not signed or another one; what the endpoint or the network
    /// says.
    pub fn news<'e>(
        &'e self,
        store: &Store,
        trust: &'e Trust,
        channel: &Channel,
        activate: bool,
        progress: &dyn Progress,
    ) -> Result<News<'e>, Error> {
        let situation = store.situation()?;
        let newest = &channel.release;
        let active = situation.active();
        if let Some(active) = active.filter(|active| active.name.sequence > newest.sequence) {
            return Ok(News::Older(active.name.clone()));
        }
        if let Some(here) = whole(store, &newest.statement)?
            && !(activate && *here.state() == State::Staged)
        {
            return Ok(News::Here(here.state().clone()));
        }
        let wanted =
            Wanted { statement: newest.statement, earlier: &channel.earlier, channel: Some(channel) };
        self.offer(store, trust, wanted, &situation, progress).map(News::Offer)
    }

    /// The release that is wanted and, where that cannot follow the active one, those that lead to it.
    ///
    /// # Errors
    /// As [`Endpoint::news`].
    pub(super) fn offer<'e>(
        &'e self,
        store: &Store,
        trust: &'e Trust,
        wanted: Wanted<'_>,
        situation: &Situation,
        progress: &dyn Progress,
    ) -> Result<Offer<'e>, Error> {
        let inquiry = Inquiry { endpoint: self, store, trust, wanted };
        self.wait(progress, inquiry.offer(situation))
    }
}

impl<'a> Wanted<'a> {
    /// A release that somebody names by its digest, and those that may have to come before it.
    #[must_use]
    pub fn new(statement: Digest, earlier: &'a [CurrentRelease]) -> Self {
        Self { statement, earlier, channel: None }
    }

    /// The statement has to be of the release that the channel says it is of.
    fn expect_named(&self, digest: Digest, statement: &Statement) -> Result<(), OnlineError> {
        let Some((channel, entry)) = self.entry(digest) else { return Ok(()) };
        let said = (&channel.product, &entry.version, entry.sequence);
        if said == (&statement.product, &statement.version, statement.sequence) {
            return Ok(());
        }
        let (name, said, found) = (channel.name, Box::new(entry.clone()), Box::new(statement.name()));
        Err(OnlineError::OtherRelease { name, said, found })
    }

    /// What to call a release of which nothing else is known.
    fn name(&self, digest: Digest) -> String {
        match self.entry(digest) {
            Some((channel, CurrentRelease { version, sequence, .. })) => {
                format!("{} {version} (sequence {sequence})", channel.product)
            }
            None => digest.to_string(),
        }
    }

    fn entry(&self, digest: Digest) -> Option<(&Channel, &CurrentRelease)> {
        let channel = self.channel?;
        let mut entries = std::iter::once(&channel.release).chain(&channel.earlier);
        Some((channel, entries.find(|entry| entry.statement == digest)?))
    }
}

/// A release that is here with all of its content, and has not failed.
pub(crate) fn whole(store: &Store, statement: &Digest) -> Result<Option<StoredRelease>, Error> {
    let here = store.releases()?.into_iter().find(|release| release.digest() == *statement);
    let Some(here) = here.filter(|here| here.state().is_served()) else { return Ok(None) };
    Ok(store.is_complete(&here)?.then_some(here))
}

struct Inquiry<'e, 's> {
    endpoint: &'e Endpoint,
    store: &'s Store,
    trust: &'e Trust,
    wanted: Wanted<'s>,
}

impl<'e> Inquiry<'e, '_> {
    async fn offer(&self, situation: &Situation) -> Result<Offer<'e>, Error> {
        let stated = self.statements(situation.active()).await?;
        let offered: Vec<Offered<'_>> =
            stated.iter().map(|one| Offered { statement: &one.statement, digest: one.digest() }).collect();
        let way = situation.find_way(&offered, false)?;
        let mut releases = Vec::new();
        for one in stated {
            let digest = one.digest();
            if way.stops.iter().any(|stop| stop.release.digest == digest) {
                releases.push(self.release(one).await?);
            }
        }
        Ok(Offer { endpoint: self.endpoint, releases, trust: self.trust, passed: way.passed })
    }

    /// The statement of the wanted release and, unless that can follow the active one, of all that lead to it, by rising
    /// sequence.
    async fn statements(&self, active: Option<&Known>) -> Result<Vec<Stated>, Error> {
        let mut stated = vec![self.statement(self.wanted.statement).await?];
        let Some(active) = active else { return Ok(stated) };
        let leads_on = |stated: &[Stated], version| {
            stated.iter().any(|one| one.statement.upgrade_from.contains(version))
        };
        if leads_on(&stated, &active.name.version) {
            return Ok(stated);
        }
        let mut earlier: Vec<&CurrentRelease> = self.wanted.earlier.iter().collect();
        earlier.sort_by_key(|entry| Reverse(entry.sequence));
        for entry in earlier.into_iter().filter(|entry| entry.sequence > active.name.sequence) {
            if leads_on(&stated, &entry.version) {
                stated.push(self.statement(entry.statement).await?);
            }
        }
        stated.reverse();
        Ok(stated)
    }

    /// The statement with this digest, from the store if it is there.
    async fn statement(&self, wanted: Digest) -> Result<Stated, Error> {
        let (bytes, signatures) = if let Some(here) = self.stored(&wanted)? {
            (here.statement_bytes()?, here.signatures()?)
        } else {
            let envelope = self.endpoint.envelope(Published::Release(wanted)).await?;
            let envelope =
                envelope.ok_or_else(|| self.not_there("the statement", &self.wanted.name(wanted)))?;
            (envelope.document, envelope.signatures)
        };
        let found = Digest::of(&bytes);
        if found != wanted {
            let source_name = self.endpoint.name().to_owned();
            return Err(OnlineError::OtherStatement { source_name, wanted, found }.into());
        }
        let document = Published::Release(wanted).path();
        let signers = self.trust.trusted.check(&document, &bytes, RoleName::Release, &signatures)?;
        let statement = Statement::parse(&document, &bytes)?;
        self.wanted.expect_named(wanted, &statement)?;
        Ok(Stated {
            statement,
            bytes,
            signatures: signatures.of(&found).into_iter().cloned().collect(),
            signers,
        })
    }

    /// A release that is here, if its documents are what they were.
    fn stored(&self, statement: &Digest) -> Result<Option<StoredRelease>, Error> {
        let here = self.store.releases()?.into_iter().find(|release| release.digest() == *statement);
        // What cannot be read is fetched again, and so brought back.
        Ok(here.filter(|here| here.refs().is_ok() && here.blob_list().is_ok()))
    }

    async fn release(&self, stated: Stated) -> Result<Release, Error> {
        let Stated { statement, bytes, signatures, signers } = stated;
        let (list, refs) = if let Some(here) = self.stored(&Digest::of(&bytes))? {
            // Both have one form only.
            (here.blob_list()?.to_text().into_bytes(), here.refs()?.to_bytes())
        } else {
            let summary = statement.blob_list;
            let most = summary.max_text_bytes().min(MAX_BLOB_LIST_BYTES);
            let list = self.content("the blob list", &statement, summary.digest, most).await?;
            let most = statement.refs.size.min(MAX_REFS_BYTES as u64);
            (list, self.content("refs.json", &statement, statement.refs.digest, most).await?)
        };
        Ok(Release::assemble(statement, bytes, signatures, signers, &list, refs)?)
    }

    async fn content(
        &self,
        what: &str,
        statement: &Statement,
        digest: Digest,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let found = self.endpoint.content(digest, limit).await?;
        Ok(found.ok_or_else(|| self.not_there(what, &statement.name().to_string()))?)
    }

    fn not_there(&self, what: &str, release: &str) -> OnlineError {
        let source_name = self.endpoint.name().to_owned();
        OnlineError::NotThere { source_name, what: format!("{what} of {release}") }
    }
}

/// An error that had to pass through the archive's, as it was.
#[must_use]
pub fn unwrapped(error: Error) -> Error {
    match error {
        Error::Archive(ArchiveError::Io(io)) => match io.downcast::<Error>() {
            Ok(error) => error,
            Err(io) => Error::Archive(ArchiveError::Io(io)),
        },
        error => error,
    }
}
