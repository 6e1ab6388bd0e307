//! k3s and Flux, by the same commands that a person would type.

use std::time::Duration;

use super::Site;
use super::content::Carried;
use super::host::system;
use crate::setup::Error;
use crate::setup::answers::Role;
use crate::setup::child::{Input, Program, Run};
use crate::setup::given::RoleName;
use crate::setup::journal::Journal;
use crate::setup::kept;
use crate::setup::plan::{Action, StepName, Work};

/// Where k3s tells how it is reached.
pub(super) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// Where it is told the token of its cluster.
pub(in crate::setup) const K3S_TOKEN: &str = "/etc/rancher/k3s/token";
/// Flux itself, among a release's files.
pub(super) const COMPONENTS: &str = "flux/components.yaml";
const SYNC: &str = "flux/sync.yaml";
const SYNC_SINGLE: &str = "flux/sync-single-node.yaml";
const SYNC_THREE: &str = "flux/sync-ha-3node.yaml";
/// Largest of these, in bytes. Flux's components have 500 KB.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// How long the API server is given to take something: it may have just started, or not know yet what was defined a moment ago.
const APPLY_WITHIN: Duration = Duration::from_secs(5 * 60);

pub(super) fn k3s(site: &Site, journal: &Journal, work: &mut Work) -> Result<(), Error> {
    let carried = Carried::find(site)?;
    match &carried {
        None => {
            work.note("no release is here, and so no k3s");
            return Ok(());
        }
        Some(carried) if !carried.has_k3s() => {
            work.note("the release carries no k3s");
            return Ok(());
        }
        Some(_) => {}
    }
    if let Role::Join { .. } = &site.answers.role
        && (kept::token(&site.places)?.is_some() || !journal.has_ever(StepName::K3s))
    {
        work.actions.push(Action::HandOverToken);
    }
    let store = site.store.display().to_string();
    work.run(Run::new(Program::Sealiftctl, &["--store", &store, "k3s", "install"]));
    if !site.is_alone() {
        work.run(system("systemctl", &["enable", "--now", "sealift-cluster.service"]));
    }
    // What k3s is told stands in the appliance's configuration, which is another one with other answers.
    let endpoints: Vec<String> = site.answers.endpoints.iter().map(ToString::to_string).collect();
    work.of.push(format!("{} {}", site.answers.role.name().as_str(), endpoints.join(" ")));
    Ok(())
}

pub(super) fn flux(site: &Site, work: &mut Work) -> Result<(), Error> {
    let role = site.answers.role.name();
    if role == RoleName::Join {
        work.note("Flux is the cluster's; so that pods on this node reach its registry, run `sealift-registry config flux` with all nodes on one of them");
        return Ok(());
    }
    let Some(carried) = Carried::find(site)?.filter(Carried::has_k3s) else {
        work.note("without k3s there is no Flux");
        return Ok(());
    };
    let Some(components) = carried.file(COMPONENTS, MAX_MANIFEST_BYTES)? else {
        work.note(format!("the release carries no Flux (`{COMPONENTS}`)"));
        return Ok(());
    };
    let by_role = if role == RoleName::Single { SYNC_SINGLE } else { SYNC_THREE };
    let sync = match carried.file(by_role, MAX_MANIFEST_BYTES)? {
        Some(bytes) => Some((by_role, bytes)),
        None => carried.file(SYNC, MAX_MANIFEST_BYTES)?.map(|bytes| (SYNC, bytes)),
    };
    work.run(apply(Input::Bytes(components, COMPONENTS.to_owned())));
    let node = format!("{}={}", site.answers.hostname, site.address(true)?);
    let store = site.store.display().to_string();
    let sources = Run::new(Program::Registry, &["config", "flux", "--store", &store, "--node", &node]);
    work.run(apply(Input::Output(Box::new(sources))));
    match sync {
        Some((name, bytes)) => work.run(apply(Input::Bytes(bytes, name.to_owned()))),
        None => work.note(format!("the release does not say what Flux is to apply (`{by_role}`, `{SYNC}`)")),
    }
    if role == RoleName::First {
        // The nodes agree on it from now on.
        let sequence = carried.sequence.to_string();
        work.run(Run::new(Program::Sealiftctl, &["--store", &store, "activate", &sequence]).by_owner());
    }
    work.actions.push(Action::AwaitHealth);
    Ok(())
}

fn apply(input: Input) -> Run {
    system("k3s", &["kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"])
        .reading(input)
        .trying_for(APPLY_WITHIN)
}
