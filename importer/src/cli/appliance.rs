//! The activation of this appliance: its configuration, its cluster, its root, and somebody who watches.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use sealift_fetch::meter::Meter;
use sealift_store::{Store, Subject};

use super::Cli;
use super::output::Output;
use crate::Error;
use crate::activation::{
    self, DEFAULT_SOCKET, Direct, Engine, Flux, Host, News, NotSuspended, Phase, Readiness, Restart, Socket,
    Watcher,
};
use crate::config::activation::{Activation as Config, FluxAccess};
use crate::flux::Cluster;

/// What an [`Engine`] stands on.
pub(super) struct Appliance<'a> {
    config: &'a Config,
    flux: Option<InTurn<'a>>,
    host: Box<dyn Host + 'a>,
    again: Again,
    told: Told,
    meter: Meter,
}

impl<'a> Appliance<'a> {
    pub(super) fn new(
        cli: &Cli,
        output: Output,
        store: &'a Store,
        config: &'a Config,
    ) -> Result<Self, Error> {
        Ok(Self {
            config,
            flux: config.flux.as_ref().map(InTurn),
            host: host(store, config),
            again: Again::new(cli),
            told: Told { output },
            // It shows nothing; it is here for Ctrl-C.
            meter: Meter::of_command("activating", 0, true)?,
        })
    }

    pub(super) fn engine(&self, has_consent: bool) -> Engine<'_> {
        Engine {
            config: self.config,
            flux: self.flux.as_ref().map(|flux| flux as &dyn Flux),
            host: &*self.host,
            restart: &self.again,
            watcher: &self.told,
            progress: &self.meter,
            has_consent,
        }
    }
}

/// The cluster's Flux. It is spoken with only when its turn comes: an import has to do without a cluster.
pub(super) struct InTurn<'a>(pub(super) &'a FluxAccess);

impl InTurn<'_> {
    fn open(&self) -> Result<Cluster, Error> {
        Ok(Cluster::open(&self.0.kubeconfig, self.0.namespace.as_deref())?)
    }
}

impl Flux for InTurn<'_> {
    fn check(&self) -> Result<(), Error> {
        Flux::check(&self.open()?)
    }

    fn suspend(&self) -> Result<(), NotSuspended> {
        let cluster =
            self.open().map_err(|cause| NotSuspended { cause: Box::new(cause), is_untouched: true })?;
        Flux::suspend(&cluster)
    }

    fn resume(&self) -> Result<(), Error> {
        Flux::resume(&self.open()?)
    }

    fn poke(&self) -> Result<(), Error> {
        Flux::poke(&self.open()?)
    }

    fn ready(&self) -> Result<Readiness, Error> {
        Flux::ready(&self.open()?)
    }
}

/// Root does it itself; others ask the helper, if there is one.
fn host<'a>(store: &'a Store, config: &'a Config) -> Box<dyn Host + 'a> {
    let is_root = rustix::process::geteuid().is_root();
    match &config.helper {
        Some(helper) => Box::new(Socket::new(helper)),
        None if !is_root && Path::new(DEFAULT_SOCKET).exists() => Box::new(Socket::new(DEFAULT_SOCKET)),
        None => Box::new(Direct::new(store, config)),
    }
}

/// `sealiftctl resume`, with the options of this command.
struct Again(Vec<OsString>);

impl Again {
    fn new(cli: &Cli) -> Self {
        let mut arguments = vec!["--store".into(), cli.store.clone().into()];
        if let Some(config) = &cli.config {
            arguments.extend(["--config".into(), config.clone().into()]);
        }
        arguments.extend(cli.json.then(|| "--json".into()));
        arguments.push("resume".into());
        Self(arguments)
    }
}

impl Restart for Again {
    fn restart(&self, program: &Path) -> Error {
        let cause = Command::new(program).args(&self.0).exec();
        activation::Error::Restart { program: program.to_owned(), cause }.into()
    }
}

/// Tells a person.
struct Told {
    output: Output,
}

impl Watcher for Told {
    fn tell(&self, news: &News<'_>) {
        let line = match news {
            // What takes no time is told by the result, and a check that says no by the error.
            News::Begins { phase: Phase::Serve | Phase::Point | Phase::Conclude, .. }
            | News::GoesBack { phase: Phase::Preflight, .. } => return,
            News::Begins { goal, phase, number, of } => {
                let goal = goal.map_or_else(|| "back".to_owned(), |goal: &Subject| goal.version.to_string());
                format!("{goal}: {number}/{of} {}\n", describe(phase))
            }
            News::GoesBack { phase, reason } => {
                format!("{phase} failed: {reason}\nwhat was done is undone:\n")
            }
        };
        // If nobody can read it, the activation itself still counts.
        let _ = self.output.remark(&line);
    }
}

/// A phase in words.
pub(super) fn describe(phase: &Phase) -> String {
    let what = match phase {
        Phase::SelfUpdate { programs } => return format!("self-update  install {}", programs.join(" and ")),
        Phase::Hook { name, point_of_no_return } => {
            let point = if *point_of_no_return { "; the point of no return" } else { "" };
            return format!("hook         {name}{point}");
        }
        Phase::Undo { name } => return format!("undo         {name}"),
        Phase::Preflight => "preflight    see whether anything is in the way",
        Phase::Suspend => "suspend      Flux stands still",
        Phase::Serve => "serve        its names are answered first",
        Phase::Point => "point        registry and Git switch",
        Phase::Resume => "resume       Flux goes on, and looks for what is new",
        Phase::Gate => "health       wait until all is well",
        Phase::Conclude => "conclude     record the switch",
    };
    what.to_owned()
}
