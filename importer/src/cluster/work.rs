//! What takes long on a node, and is done beside its steps.

use sealift_archive::release::CurrentRelease;

use super::record::NodeName;

/// What takes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Fetch the release, and what leads to it, from these nodes.
    Stage {
        /// The run.
        run: u64,
        /// The release.
        release: CurrentRelease,
        /// What may have to come before it.
        earlier: Vec<CurrentRelease>,
        /// Who has it.
        from: Vec<Peer>,
    },
    /// Make the release the active one here.
    Switch {
        /// The run.
        run: u64,
        /// The release.
        release: CurrentRelease,
        /// What may have to come before it.
        earlier: Vec<CurrentRelease>,
        /// What was agreed on before.
        from: Option<CurrentRelease>,
        /// Whether a person has asked for it who knows what going back means for data.
        is_asked_for: bool,
    },
    /// Hold Flux still.
    HoldFlux {
        /// The run.
        run: u64,
    },
    /// Let Flux go, and make it look.
    FreeFlux {
        /// The run.
        run: u64,
    },
    /// Let Flux go that may have been held too late. Any number of nodes may do so at once; if each made it look as well, they
    /// would be in each other's way.
    ResumeFlux {
        /// The run.
        run: u64,
    },
    /// See whether all is well.
    Check {
        /// The run.
        run: u64,
        /// The release that has to be well.
        release: CurrentRelease,
    },
}

/// A node that a release can be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Where its registry is: a URL.
    pub address: String,
    /// The certificate of its own authority, in PEM.
    pub ca_crt: String,
}

impl Work {
    /// The run that it is for.
    #[must_use]
    pub fn run(&self) -> u64 {
        match self {
            Self::Stage { run, .. }
            | Self::Switch { run, .. }
            | Self::HoldFlux { run }
            | Self::FreeFlux { run }
            | Self::ResumeFlux { run }
            | Self::Check { run, .. } => *run,
        }
    }

    /// Whether it is about all nodes, and not about this one.
    #[must_use]
    pub fn is_coordination(&self) -> bool {
        self.frees_flux() || matches!(self, Self::HoldFlux { .. } | Self::Check { .. })
    }

    /// Whether Flux goes on after it.
    #[must_use]
    pub fn frees_flux(&self) -> bool {
        matches!(self, Self::FreeFlux { .. } | Self::ResumeFlux { .. })
    }
}
