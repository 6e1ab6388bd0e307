//! What a member hands out to be done: fetching from peers, the local activation, Flux, and the last look.

use sealift_archive::release::CurrentRelease;
use sealift_archive::{Class, Explain as _, Sequence};
use sealift_fetch::meter::Display;
use sealift_fetch::{Interrupt, Meter};
use sealift_store::journal::Journal;
use sealift_store::policy::Offered;
use sealift_store::{Store, Subject, Writer};

use super::agreement::is_ahead;
use super::board::AGREEMENT;
use super::home::named;
use super::member::Failure;
use super::point::{beyond, has_point};
use super::work::{Peer, Work};
use crate::Error;
use crate::activation::{Engine, Flux, Trouble, UnderWay, wait_until_well};
use crate::config::activation::{Activation, FluxAccess};
use crate::config::{PeerAccess, parse_peer};
use crate::flux;
use crate::import::Plan;
use crate::online::{Peers, Wanted, Witness};

/// All that work needs.
#[derive(Debug)]
pub struct Hands<'a> {
    /// The store of this node.
    pub store: &'a Store,
    /// What belongs to an activation.
    pub activation: &'a Activation,
    /// How other nodes are reached.
    pub peers: &'a PeerAccess,
    /// Who may ask to stop.
    pub interrupt: &'a Interrupt,
}

/// Makes an engine that activates on this node alone.
pub trait Engines {
    /// Lets `act` work with an engine of this configuration. `has_consent` says whether it is known what going back means for
    /// data.
    ///
    /// # Errors
    /// What keeps it from being made, or `act` from being done.
    fn with_engine(
        &self,
        writer: &Writer,
        config: &Activation,
        has_consent: bool,
        act: &mut dyn FnMut(&Engine<'_>) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

impl Hands<'_> {
    /// Does this work to its end.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn work(&self, work: &Work, engines: &dyn Engines) -> Result<(), Failure> {
        let done = match work {
            Work::Stage { release, earlier, from, .. } => self.stage(release, earlier, from),
            Work::Switch { release, earlier, from, is_asked_for, .. } => {
                self.switch(release, earlier, from.as_ref(), *is_asked_for, engines)
            }
            Work::HoldFlux { .. } => self.with_flux(|flux| Ok(flux.suspend().map(drop)?)),
            Work::ResumeFlux { .. } => self.with_flux(|flux| Ok(flux.resume().map(drop)?)),
            Work::FreeFlux { .. } => self.with_flux(|flux| {
                flux.resume()?;
                flux.poke()?;
                Ok(())
            }),
            Work::Check { release, .. } => return self.check(release.sequence),
        };
        done.map_err(|error| failure(&error))
    }

    fn stage(
        &self,
        release: &CurrentRelease,
        earlier: &[CurrentRelease],
        from: &[Peer],
    ) -> Result<(), Error> {
        let (mut peers, mut unusable) = (Peers::default(), None);
        for peer in from {
            // What one node says about itself is no reason not to ask another one.
            unusable = self.add(&mut peers, peer).err().or(unusable);
        }
        if let Some(error) = unusable.filter(|_| peers.is_empty()) {
            return Err(error);
        }
        let writer = self.writer(release)?;
        let wanted = Wanted::new(release.statement, earlier);
        peers.take(&writer, wanted, self, &self.meter("waiting"))?;
        expect_named(&writer, release)
    }

    /// A node is known by its own authority, besides those that are trusted anyway.
    fn add(&self, peers: &mut Peers, peer: &Peer) -> Result<(), Error> {
        let url = parse_peer(&peer.address).map_err(|why| {
            let name = peer.name.to_string();
            super::Error::Object { name, why }
        })?;
        peers.add(&url, &PeerAccess { authorities: peer.ca_crt.clone().into_bytes(), ..self.peers.clone() })
    }

    /// The node's own activation.
    fn switch(
        &self,
        release: &CurrentRelease,
        earlier: &[CurrentRelease],
        from: Option<&CurrentRelease>,
        is_asked_for: bool,
        engines: &dyn Engines,
    ) -> Result<(), Error> {
        let config = self.activation.of_node();
        let writer = self.writer(release)?;
        expect_named(&writer, release)?;
        let (has_point, journal) = (has_point(&config), Journal::read(&writer)?);
        let active = writer.situation()?.active().map(|active| active.name.sequence);
        let beyond = beyond(has_point, active, journal.as_ref());
        expect_asked_for(beyond, release, is_asked_for)?;
        // Before a point of no return all goes back by itself, as on an appliance that is alone.
        engines.with_engine(&writer, &config, is_asked_for || !has_point, &mut |engine| {
            if let Some(begun) = UnderWay::of(&writer)? {
                let end = nearest_end(&begun, release);
                if end == Some(release.sequence) {
                    return engine.activate(&writer, release.sequence).map(drop);
                }
                match end {
                    // What was to follow it may not be agreed on any more.
                    Some(end) if begun.stopped.is_none() => drop(engine.activate(&writer, end)?),
                    // It says why; nobody has agreed on how to go on.
                    _ => drop(engine.resume(&writer)?),
                }
            }
            let active = writer.situation()?.active().map(named);
            expect_agreed(active.as_ref(), release, from)?;
            if active.is_some_and(|active| active.sequence > release.sequence) {
                return engine.roll_back(&writer, Some(release.sequence)).map(drop);
            }
            engine.walk(&writer, &way(&writer, release, earlier)?).map(drop)
        })
    }

    fn check(&self, release: Sequence) -> Result<(), Failure> {
        let progress = self.meter("checking");
        let flux =
            self.activation.flux.as_ref().map(open).transpose().map_err(|error| failure(&error.into()))?;
        let flux = flux.as_ref().map(|flux| flux as &dyn Flux);
        match wait_until_well(self.store, &self.activation.health, release, flux, &progress) {
            Ok(()) => Ok(()),
            Err(Trouble::Failed(reason)) => Err(Failure::Trouble(reason)),
            Err(Trouble::Halted(error)) => Err(Failure::Passing(error.to_string())),
        }
    }

    fn with_flux(&self, act: impl FnOnce(&flux::Cluster) -> Result<(), Error>) -> Result<(), Error> {
        match &self.activation.flux {
            Some(access) => act(&open(access)?),
            None => Ok(()),
        }
    }

    fn writer(&self, release: &CurrentRelease) -> Result<Writer, Error> {
        Ok(self.store.lock(&format!("sealiftctl cluster, for {}", release.version))?)
    }

    fn meter(&self, what: &str) -> Meter {
        Meter::start(what, 0, Display::Silent, self.interrupt)
    }
}

impl Witness for Hands<'_> {
    /// All of them together are told, if none can be used.
    fn fails(&self, _: &str, _: &Error) -> Result<(), Error> {
        Ok(())
    }

    fn begins(&self, _: &Plan) -> Result<Meter, Error> {
        Ok(self.meter("mirroring"))
    }
}

fn open(access: &FluxAccess) -> Result<flux::Cluster, flux::Error> {
    flux::Cluster::open(&access.kubeconfig, access.namespace.as_deref())
}

/// Only the digest was agreed on, fetched and verified, and the store goes by sequences: both have to mean the same release.
fn expect_named(store: &Store, release: &CurrentRelease) -> Result<(), Error> {
    let situation = store.situation()?;
    let here = situation.releases.iter().find(|known| known.digest == release.statement).map(named);
    judge_name(here.as_ref(), release)
}

/// `here` is the release with the digest that is written down, if it is here.
fn judge_name(here: Option<&CurrentRelease>, written: &CurrentRelease) -> Result<(), Error> {
    let CurrentRelease { version, sequence, statement } = written;
    let why = match here {
        Some(here) if here == written => return Ok(()),
        Some(here) => format!(
            "it calls {statement} {version} (sequence {sequence}), which is {} (sequence {})",
            here.version, here.sequence
        ),
        None => format!("{statement}, which it calls {version}, is not here"),
    };
    Err(super::Error::Object { name: AGREEMENT.to_owned(), why }.into())
}

/// Going back may cost data, and is done only as far as somebody has asked for it. A node that joins with a later release than
/// the nodes have agreed on, before or now, is a matter for a person.
fn expect_agreed(
    active: Option<&CurrentRelease>,
    release: &CurrentRelease,
    from: Option<&CurrentRelease>,
) -> Result<(), Error> {
    match active.filter(|active| is_ahead(active, release, from)) {
        Some(active) => Err(super::Error::Ahead { active: Box::new(active.clone()) }.into()),
        None => Ok(()),
    }
}

/// A node goes back behind its point of no return only if a person has asked for that. The coordinator begins no other run as far
/// as it knows; but it cannot know what a node has passed that was mute meanwhile.
fn expect_asked_for(
    beyond: Option<Sequence>,
    release: &CurrentRelease,
    is_asked_for: bool,
) -> Result<(), Error> {
    if is_asked_for || beyond.is_none_or(|beyond| beyond <= release.sequence) {
        return Ok(());
    }
    Err(super::Error::NotAskedFor { release: Box::new(release.clone()) }.into())
}

/// Where a switch that was begun here ends on the way to this release: there, or else at its end that is closer by.
fn nearest_end(begun: &UnderWay, release: &CurrentRelease) -> Option<Sequence> {
    let ends = || begun.to.iter().chain(&begun.from);
    let there = ends().find(|end| end.digest == release.statement);
    let by_distance = |end: &&Subject| end.sequence.get().abs_diff(release.sequence.get());
    there.or_else(|| ends().min_by_key(by_distance)).map(|end| end.sequence)
}

/// The steps from what is active to this release, all of which the nodes have agreed on.
fn way(store: &Store, release: &CurrentRelease, earlier: &[CurrentRelease]) -> Result<Vec<Sequence>, Error> {
    let statement = store.release(release.sequence)?.statement()?;
    let offered = [Offered { statement: &statement, digest: release.statement }];
    let way = store.situation()?.find_way(&offered, true)?;
    let is_agreed =
        |digest| release.statement == digest || earlier.iter().any(|step| step.statement == digest);
    if let Some(other) = way.activations.iter().find(|step| !is_agreed(step.digest)) {
        let wanted = other.name().to_string();
        return Err(super::Error::NotAgreed { wanted }.into());
    }
    Ok(way.activations.iter().map(|step| step.sequence).collect())
}

/// What may pass is tried again; the rest is what this node cannot do.
fn failure(error: &Error) -> Failure {
    match error.class() {
        Class::Busy | Class::Unreachable | Class::Interrupted => Failure::Passing(error.to_string()),
        // All peers have been asked, and none is to be used now.
        _ if matches!(error, Error::Online(crate::online::Error::NoPeer { .. })) => {
            Failure::Passing(error.to_string())
        }
        _ => Failure::Trouble(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;

    use super::super::fixture::release;
    use super::*;

    #[test]
    fn nobody_goes_back_further_than_was_agreed_on() {
        // What runs here, what is agreed on, and what was before.
        let cases = [
            (None, 5, None, true),
            (Some(4), 5, None, true),
            (Some(6), 5, None, false),
            (Some(6), 5, Some(6), true),
            (Some(6), 4, Some(7), true),
            (Some(7), 5, Some(6), false),
            (Some(7), 6, Some(5), false),
        ];
        for (active, agreed, from, is_agreed) in cases {
            let [active, from] = [active, from].map(|one| one.map(release));
            let judged = expect_agreed(active.as_ref(), &release(agreed), from.as_ref());
            assert_eq!(judged.is_ok(), is_agreed, "{active:?} {agreed} {from:?}");
            if let Err(error) = judged {
                assert!(matches!(failure(&error), Failure::Trouble(_)), "{error}");
            }
        }
    }

    #[test]
    fn nobody_goes_back_behind_a_point_of_no_return_unasked() {
        let (sequence, release) = (|sequence: u64| Sequence::try_from(sequence).unwrap(), release(5));
        // Behind which release's point it is, whether somebody has asked for going back, and whether it may.
        let cases =
            [(None, false, true), (Some(5), false, true), (Some(6), false, false), (Some(6), true, true)];
        for (beyond, is_asked_for, may) in cases {
            let judged = expect_asked_for(beyond.map(sequence), &release, is_asked_for);
            assert_eq!(judged.is_ok(), may, "{beyond:?} {is_asked_for}");
            if let Err(error) = judged {
                assert!(matches!(failure(&error), Failure::Trouble(_)), "{error}");
            }
        }
    }

    #[test]
    fn what_was_begun_ends_nearest_to_what_is_agreed_on() {
        let digest = |sequence: u64| Digest::of(&sequence.to_le_bytes());
        let subject = |sequence: u64| Subject {
            product: "acme".parse().unwrap(),
            version: format!("1.{sequence}").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
            digest: digest(sequence),
        };
        // From, to, what is agreed on, and where it ends.
        let cases = [(5, 6, 6, 6), (5, 6, 5, 5), (5, 6, 7, 6), (5, 6, 4, 5), (6, 5, 7, 6), (6, 5, 4, 5)];
        for (from, to, agreed, expected) in cases {
            let begun = UnderWay {
                to: Some(subject(to)),
                from: Some(subject(from)),
                phase: "preflight".to_owned(),
                stopped: None,
                turned: None,
                is_forward: to > from,
            };
            let Subject { version, sequence, digest, .. } = subject(agreed);
            let release = CurrentRelease { version, sequence, statement: digest };
            let end = nearest_end(&begun, &release).map(Sequence::get);
            assert_eq!(end, Some(expected), "{from} to {to}, {agreed} is agreed on");
        }
    }

    #[test]
    fn a_digest_and_its_name_have_to_mean_the_same_release() {
        let release = |version: &str, sequence: u64, content: &str| CurrentRelease {
            version: version.parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
            statement: Digest::of(content.as_bytes()),
        };
        let here = release("1.5", 5, "five");
        assert!(judge_name(Some(&here), &here).is_ok());
        let cases = [
            (Some(&here), release("1.5", 3, "five")),
            (Some(&here), release("1.3", 5, "five")),
            (None, release("1.3", 3, "five")),
        ];
        for (here, written) in cases {
            let error = judge_name(here, &written).unwrap_err();
            assert!(matches!(failure(&error), Failure::Trouble(_)), "{written:?}: {error}");
        }
    }
}
