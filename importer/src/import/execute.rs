//! Doing what a plan says: the medium is read once, then each release is staged in its turn, then each is activated.

use std::collections::BTreeSet;

use sealift_archive::trust::Signatures;
use sealift_archive::{Digest, Progress, Release, Sequence, Source};
use sealift_store::{Incoming, Need, State, Subject, Writer};
use serde::Serialize;

use super::Plan;
use crate::Error;
use crate::activation::{Engine, Switched};

/// What an import did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The plan that it followed.
    pub plan: Plan,
    /// The state that the release at the end of the way is in now.
    #[serde(flatten)]
    pub state: State,
    /// The releases of the plan's steps, and their states now.
    pub outcomes: Vec<Outcome>,
    /// The switches that were made.
    pub activations: Vec<Switched>,
}

/// A release and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The release.
    pub release: Subject,
    /// Its state.
    #[serde(flatten)]
    pub state: State,
}

/// Does what the plan says. Nothing becomes active before everything is staged; then it does one after the other, each
/// once the one before is well.
///
/// # Errors
/// Damage in the source, a full disk, the archive's `Interrupted`, what is wrong with an activation, or I/O.
pub fn execute(
    writer: &Writer,
    source: &dyn Source,
    plan: Plan,
    progress: &dyn Progress,
    engine: &Engine<'_>,
) -> Result<Done, Error> {
    load(writer, source, &plan, progress)?;
    let way: Vec<Sequence> = plan.activations.iter().map(|switch| switch.to.sequence).collect();
    let activations = engine.walk(writer, &way)?;
    let state = |release: &Subject| Ok::<_, Error>(writer.release(release.sequence)?.state().clone());
    let outcome =
        |release: &Subject| Ok::<_, Error>(Outcome { release: release.clone(), state: state(release)? });
    let outcomes = plan.steps.iter().map(|step| outcome(&step.release)).collect::<Result<_, _>>()?;
    Ok(Done { state: state(&plan.release)?, plan, outcomes, activations })
}

/// Brings the content of all steps in at once, since the source may be a stick that is changed for the next one on the
/// way; then stages each release, the earliest first.
fn load(writer: &Writer, source: &dyn Source, plan: &Plan, progress: &dyn Progress) -> Result<(), Error> {
    let wanted = plan.work().map(|step| step.release.digest).collect();
    take_in(writer, source, &wanted, &plan.source, &plan.need, progress, |_| true)
}

/// Begins these releases, brings in what is needed of their content in one pass over the source, and stages those that `is_due`
/// says.
pub(super) fn take_in(
    writer: &Writer,
    source: &dyn Source,
    wanted: &BTreeSet<Digest>,
    source_name: &str,
    need: &Need,
    progress: &dyn Progress,
    is_due: impl Fn(&Release) -> bool,
) -> Result<(), Error> {
    let releases = source.releases().iter().filter(|release| wanted.contains(&release.digest()));
    let releases: Vec<&Release> = releases.collect();
    let begun = releases.iter().map(|release| writer.begin(release, source_name, need));
    let begun = begun.collect::<Result<Vec<Incoming<'_>>, _>>()?;
    let Some((first, others)) = begun.split_first() else { return Ok(()) };
    let intake = first.intake_with(others)?;
    let missing = need.missing.iter().map(|blob| blob.digest).collect();
    source.copy_blobs(&missing, &intake, progress)?;
    intake.finish()?;
    let signatures: Signatures = source.signatures().into_iter().collect();
    for (incoming, release) in begun.into_iter().zip(releases) {
        if is_due(release) {
            incoming.stage(source.trusted(), &signatures, progress)?;
        }
    }
    Ok(())
}
