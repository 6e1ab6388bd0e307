//! Importing a release: a plan first, then its execution.
//!
//! Everything that can be refused is refused by [`plan`]: signatures (checked when the source was opened), order,
//! floor, product, room on the disk. What is left to go wrong afterwards is the medium and the machine, and then the
//! next import goes on where this one stopped.

use std::collections::BTreeSet;

use sealift_archive::release::Inventory;
use sealift_archive::trust::{KeyId, Signatures};
use sealift_archive::{Digest, Explain as _, Progress, Release, Source};
use sealift_store::policy::{Known, Move, Offer};
use sealift_store::{Activation, Event, Need, State, Store, Subject, Writer};
use serde::Serialize;

use crate::Error;

/// What an import will do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The release.
    pub release: Subject,
    /// Where it comes from.
    pub source: String,
    /// The keys of role `release` whose signatures are good.
    pub signers: Vec<KeyId>,
    /// Version of the trust root that gave them this role.
    pub trust_root: u64,
    /// What is to be done.
    pub action: Action,
    /// How many blobs the release has.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What it brings, by kind.
    pub holds: Inventory,
    /// The Git repositories that it brings.
    pub git: Vec<String>,
    /// What is missing here, and the room that it takes.
    pub need: Need,
    /// The switch that follows, if one was asked for and is needed.
    pub activation: Option<Switch>,
}

/// What is to be done with an offered release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Action {
    /// It is new here.
    Import,
    /// It is here, but it is not complete.
    Repair,
    /// It is here, whole.
    Nothing,
}

/// From which release to which.
#[derive(Clone, Debug, Serialize)]
pub struct Switch {
    /// What is active now.
    pub from: Option<Subject>,
    /// What will be.
    pub to: Subject,
}

/// What an import did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The plan that it followed.
    pub plan: Plan,
    /// The state that the release is in now.
    #[serde(flatten)]
    pub state: State,
    /// The switch that was made.
    pub activation: Option<Activation>,
}

/// The one release of a source.
///
/// # Errors
/// [`Error::SeveralReleases`], [`Error::NoRelease`].
pub fn only_release(source: &dyn Source) -> Result<&Release, Error> {
    let source_name = || source.name().to_owned();
    match source.releases() {
        [release] => Ok(release),
        [] => Err(Error::NoRelease { source_name: source_name() }),
        several => Err(Error::SeveralReleases {
            source_name: source_name(),
            releases: several.iter().map(|release| release.statement.name()).collect(),
        }),
    }
}

/// Says what importing the release of `source` will do, and with `activate` also activating it.
///
/// # Errors
/// The rule that forbids it, the archive's `NoSpace`, or I/O.
pub fn plan(store: &Store, source: &dyn Source, activate: bool) -> Result<Plan, Error> {
    let release = only_release(source)?;
    let (statement, digest) = (&release.statement, release.digest());
    let situation = store.situation()?;
    let offer = situation.judge_import(statement, digest)?;
    let need = store.need(&release.blob_list, &release.refs)?;
    let action = match &offer {
        Offer::New => Action::Import,
        Offer::Here(State::Failed { .. }) => Action::Repair,
        Offer::Here(_) if store.is_complete(&store.release(statement.sequence)?)? => Action::Nothing,
        Offer::Here(_) => Action::Repair,
    };
    if action != Action::Nothing {
        store.expect_room(&need)?;
    }
    let release_subject = Subject::new(statement, digest);
    let activation = if activate {
        let state = match offer {
            Offer::New | Offer::Here(State::Failed { .. }) => State::Staged,
            Offer::Here(state) => state,
        };
        let from = situation.active().map(Known::subject);
        match situation.judge_activation(&Known::new(statement, digest, state))? {
            Move::Stay => None,
            Move::Forward => Some(Switch { from, to: release_subject.clone() }),
            // An import never goes back: whoever takes the wrong stick must not change what runs.
            Move::Back => {
                let active = situation.active().map_or_else(|| statement.name(), |known| known.name.clone());
                let (offered, active) = (Box::new(statement.name()), Box::new(active));
                return Err(sealift_store::Error::BelowActive { offered, active }.into());
            }
        }
    } else {
        None
    };
    Ok(Plan {
        release: release_subject,
        source: source.name().to_owned(),
        signers: release.signers.clone(),
        trust_root: source.trust_root().version(),
        action,
        blobs: release.blob_list.len(),
        bytes: release.blob_list.total_bytes(),
        holds: Inventory::of(&release.refs),
        git: release.refs.git.keys().map(ToString::to_string).collect(),
        need,
        activation,
    })
}

/// Does what the plan says.
///
/// # Errors
/// Damage in the source, a full disk, the archive's `Interrupted`, or I/O.
pub fn execute(
    writer: &Writer,
    source: &dyn Source,
    plan: Plan,
    progress: &dyn Progress,
) -> Result<Done, Error> {
    if plan.action == Action::Nothing {
        // The bundle may have been made again only to tell who may sign from now on.
        writer.remember_roots(&plan.source, source.trusted(), &signatures(source))?;
    } else {
        load(writer, source, &plan, progress)?;
    }
    let sequence = plan.release.sequence;
    let activation = plan.activation.as_ref().map(|_| writer.activate(sequence)).transpose()?;
    let state = writer.release(sequence)?.state().clone();
    Ok(Done { plan, state, activation })
}

fn load(writer: &Writer, source: &dyn Source, plan: &Plan, progress: &dyn Progress) -> Result<(), Error> {
    let release = only_release(source)?;
    let incoming = writer.begin(release, &plan.source, &plan.need)?;
    let intake = incoming.intake()?;
    let wanted: BTreeSet<Digest> = plan.need.missing.iter().map(|blob| blob.digest).collect();
    source.copy_blobs(&wanted, &intake, progress)?;
    intake.finish()?;
    incoming.stage(source.trusted(), &signatures(source), progress)?;
    Ok(())
}

fn signatures(source: &dyn Source) -> Signatures {
    source.signatures().into_iter().collect()
}

/// Records in the audit log that a source was refused; other errors are not the source's fault.
///
/// # Errors
/// I/O.
pub fn record_refusal(writer: &Writer, source: &str, error: &Error) -> Result<(), Error> {
    if error.class() != sealift_archive::Class::Refused {
        return Ok(());
    }
    let (source, code, reason) = (source.to_owned(), error.code().to_string(), error.to_string());
    Ok(writer.record(Event::Refused { source, code, reason })?)
}
