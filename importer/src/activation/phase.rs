//! The phases of an activation, and which of them there are on the way there and on the way back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::activation::{Activation as Config, Hook};

/// One phase; each is harmless to repeat. The journal holds them, so names only ever come to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Phase {
    /// Sealift's own programs, where the release brings others.
    SelfUpdate {
        /// Their names.
        programs: Vec<String>,
    },
    /// Checks before anything is changed.
    Preflight,
    /// Flux stands still from now on.
    Suspend,
    /// The release's names are answered first from now on.
    Serve,
    /// A step on the host.
    Hook {
        /// Its name in the configuration.
        name: String,
        /// Whether a failure is no longer undone by itself once it has begun.
        #[serde(default)]
        point_of_no_return: bool,
    },
    /// A step on the host, undone.
    Undo {
        /// Its name in the configuration.
        name: String,
    },
    /// `current` leads to the release: registry and Git have switched.
    Point,
    /// Flux goes on, and looks for what is new.
    Resume,
    /// Waiting until everything is well.
    Gate,
    /// The switch is recorded.
    Conclude,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfUpdate { .. } => f.write_str("self-update"),
            Self::Preflight => f.write_str("preflight"),
            Self::Suspend => f.write_str("suspend"),
            Self::Serve => f.write_str("serve"),
            Self::Hook { name, .. } => write!(f, "hook `{name}`"),
            Self::Undo { name } => write!(f, "undo of `{name}`"),
            Self::Point => f.write_str("point"),
            Self::Resume => f.write_str("resume"),
            Self::Gate => f.write_str("health"),
            Self::Conclude => f.write_str("conclude"),
        }
    }
}

impl Phase {
    /// Whether it is, or is behind, the point of no return once it has begun.
    pub(super) fn is_no_return(&self) -> bool {
        matches!(self, Self::Hook { point_of_no_return: true, .. })
    }
}

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
