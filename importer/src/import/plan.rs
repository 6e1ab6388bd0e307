//! What an import will do: which releases of the source it takes, in which order, and what that costs.

use sealift_archive::format::packing::NeededRelease;
use sealift_archive::release::Inventory;
use sealift_archive::trust::KeyId;
use sealift_archive::{Digest, Release, Source};
use sealift_store::policy::{Offered, Passed, Way, Why};
use sealift_store::{Need, State, Store, Subject};
use serde::Serialize;

use super::base;
use crate::Error;
use crate::activation::{UnderWay, expect_none};

/// What an import will do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The release that it is about: the one where the way ends.
    pub release: Subject,
    /// Where it comes from.
    pub source: String,
    /// Version of the trust root that gave the signers their role.
    pub trust_root: u64,
    /// The releases that the source is asked for, in this order.
    pub steps: Vec<Step>,
    /// The other releases of the source.
    pub passed_over: Vec<Passed>,
    /// The releases whose content the source presumes.
    pub needs: Vec<NeededRelease>,
    /// What is missing here of all steps together, and the room that it takes.
    pub need: Need,
    /// The switches that follow, one after the other, if they were asked for and are needed.
    pub activations: Vec<Switch>,
}

/// What will be done about one release.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The release.
    pub release: Subject,
    /// The keys of role `release` whose signatures are good.
    pub signers: Vec<KeyId>,
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
    /// What is active before.
    pub from: Option<Subject>,
    /// What is active then.
    pub to: Subject,
}

impl Plan {
    /// The steps that change something.
    pub fn work(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action != Action::Nothing)
    }
}

/// Says what importing from `source` will do, and with `activate` also activating what is imported.
///
/// # Errors
/// The rule that forbids it, [`Error::BaseMissing`], the archive's `NoSpace`, or I/O.
pub fn plan(store: &Store, source: &dyn Source, activate: bool) -> Result<Plan, Error> {
    let releases = source.releases();
    let Some(newest) = releases.last() else {
        return Err(Error::NoRelease { source_name: source.name().to_owned() });
    };
    let digests: Vec<_> = releases.iter().map(Release::digest).collect();
    let offered: Vec<Offered<'_>> = releases
        .iter()
        .zip(&digests)
        .map(|(release, &digest)| Offered { statement: &release.statement, digest })
        .collect();
    let mut way = store.situation()?.find_way(&offered, activate)?;
    let mut steps = Vec::new();
    for (release, offered) in releases.iter().zip(&offered) {
        if let Some(action) = action(store, source, release, offered, &mut way)? {
            steps.push(Step::new(release, Subject::new(offered.statement, offered.digest), action));
        }
    }
    let is_work = |release: &&Release| {
        let sequence = release.statement.sequence;
        steps.iter().any(|step| step.release.sequence == sequence && step.action != Action::Nothing)
    };
    let work: Vec<&Release> = releases.iter().filter(is_work).collect();
    base::expect_at_hand(store, source, &work)?;
    let need = store.need(&work)?;
    if !work.is_empty() {
        store.expect_room(&need)?;
    }
    let mut activations = switches(&way);
    if activate {
        go_on_first(store, &digests, &mut activations)?;
    }
    let end = way.stops.last().map(|stop| stop.release.clone());
    Ok(Plan {
        release: end.unwrap_or_else(|| Subject::new(&newest.statement, newest.digest())),
        source: source.name().to_owned(),
        trust_root: source.trust_root().version(),
        steps,
        activations,
        passed_over: way.passed,
        needs: source.needs().to_vec(),
        need,
    })
}

/// What is to be done with a release of the source, if anything is: those on the way are taken; another one that is here,
/// and has lost content that the source has, gets it back.
fn action(
    store: &Store,
    source: &dyn Source,
    release: &Release,
    offered: &Offered<'_>,
    way: &mut Way,
) -> Result<Option<Action>, Error> {
    if let Some(stop) = way.stops.iter().find(|stop| stop.release.digest == offered.digest) {
        return Ok(Some(match &stop.here {
            None => Action::Import,
            Some(State::Failed { .. }) => Action::Repair,
            Some(_) if is_complete(store, release)? => Action::Nothing,
            Some(_) => Action::Repair,
        }));
    }
    let of_it = |passed: &Passed| passed.release.digest == offered.digest && passed.why == Why::Here;
    if !way.passed.iter().any(of_it) || is_complete(store, release)? {
        return Ok(None);
    }
    let can_be_mended = store.missing(&release.blob_list).iter().all(|blob| source.carries(&blob.digest));
    way.passed.retain(|passed| !(can_be_mended && of_it(passed)));
    Ok(can_be_mended.then_some(Action::Repair))
}

/// What was interrupted on the way to a later release is finished before anything follows it. Where it has stopped, a person
/// decides: to go on is meant only by who brings that very release again.
fn go_on_first(store: &Store, offered: &[Digest], activations: &mut Vec<Switch>) -> Result<(), Error> {
    let begun = match UnderWay::of(store)? {
        None => store.unfinished_activation()?.map(|begun| Switch { from: begun.from, to: begun.to }),
        Some(UnderWay { to: Some(to), from, is_forward: true, stopped, .. })
            if stopped.is_none() || offered.contains(&to.digest) =>
        {
            Some(Switch { from, to })
        }
        Some(_) => match activations.last() {
            Some(wanted) => return expect_none(store, Some(wanted.to.sequence)),
            None => None,
        },
    };
    if let Some(begun) = begun
        && activations.first().is_none_or(|first| first.to != begun.to)
    {
        activations.insert(0, begun);
    }
    Ok(())
}

fn is_complete(store: &Store, release: &Release) -> Result<bool, Error> {
    Ok(store.is_complete(&store.release(release.statement.sequence)?)?)
}

fn switches(way: &Way) -> Vec<Switch> {
    let mut from = way.from.clone();
    let switch = |to: &Subject| Switch { from: from.replace(to.clone()), to: to.clone() };
    way.activations.iter().map(switch).collect()
}

impl Step {
    fn new(release: &Release, subject: Subject, action: Action) -> Self {
        Self {
            release: subject,
            signers: release.signers.clone(),
            action,
            blobs: release.blob_list.len(),
            bytes: release.blob_list.total_bytes(),
            holds: Inventory::of(&release.refs),
            git: release.refs.git.keys().map(ToString::to_string).collect(),
        }
    }
}
