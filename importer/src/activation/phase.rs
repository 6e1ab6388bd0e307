//! Which phases there are on the way to a release, and on the way back.

use sealift_store::journal::Phase;

use crate::config::activation::{Activation as Config, Hook};

/// The way to a later release. `programs` are those that it brings and that are others than the installed ones.
pub(super) fn forward(config: &Config, programs: Vec<String>) -> Vec<Phase> {
    let mut phases = Vec::new();
    if !programs.is_empty() {
        phases.push(Phase::SelfUpdate { programs });
    }
    if !config.preflight.is_empty() || config.flux.is_some() {
        phases.push(Phase::Preflight);
    }
    phases.extend(forward_again(config));
    phases
}

/// The same after it was gone back on: what is checked and updated first is left out.
pub(super) fn forward_again(config: &Config) -> Vec<Phase> {
    let hook =
        |hook: &Hook| Phase::Hook { name: hook.name.clone(), point_of_no_return: hook.point_of_no_return };
    around(config, config.hooks.iter().map(hook).collect())
}

/// The way to an earlier release.
pub(super) fn back(config: &Config) -> Vec<Phase> {
    around(config, undos(config.hooks.iter()))
}

/// The way back from here, where only what has begun is undone. Whoever asked for it also wants to know whether all is well
/// then; what goes back by itself has no time to lose.
pub(super) fn undo(config: &Config, begun: &[Phase], is_asked_for: bool) -> Vec<Phase> {
    let has_begun = |phase: &Phase| begun.contains(phase);
    let hooks = config.hooks.iter().filter(|hook| {
        begun.iter().any(|phase| matches!(phase, Phase::Hook { name, .. } if *name == hook.name))
    });
    let mut phases = Vec::new();
    if has_begun(&Phase::Resume) {
        phases.push(Phase::Suspend);
    }
    if has_begun(&Phase::Serve) {
        phases.push(Phase::Serve);
    }
    phases.extend(undos(hooks));
    if has_begun(&Phase::Point) {
        phases.push(Phase::Point);
    }
    if has_begun(&Phase::Suspend) {
        phases.push(Phase::Resume);
    }
    if is_asked_for && !config.health.checks.is_empty() {
        phases.push(Phase::Gate);
    }
    phases.push(Phase::Conclude);
    phases
}

/// The undo commands of these hooks, in reverse.
fn undos<'a>(hooks: impl DoubleEndedIterator<Item = &'a Hook>) -> Vec<Phase> {
    let with_undo = hooks.rev().filter(|hook| hook.undo.is_some());
    with_undo.map(|hook| Phase::Undo { name: hook.name.clone() }).collect()
}

/// What is around the steps on the host, in both directions.
fn around(config: &Config, host: Vec<Phase>) -> Vec<Phase> {
    let has_flux = config.flux.is_some();
    let mut phases = Vec::new();
    phases.extend(has_flux.then_some(Phase::Suspend));
    phases.push(Phase::Serve);
    phases.extend(host);
    phases.push(Phase::Point);
    phases.extend(has_flux.then_some(Phase::Resume));
    phases.extend((!config.health.checks.is_empty()).then_some(Phase::Gate));
    phases.push(Phase::Conclude);
    phases
}
