//! This node: its configuration, its places, and the steps as they are done.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Digest, Progress, durable};
use sealift_store::Store;

use super::before::Before;
use super::edition::{PROGRAM, is_there, put};
use super::machine::Machine;
use super::places::Places;
use super::settings::Settings;
use super::state::{State, Turn, UnderWay};
use super::{Edition, Error, Plan, Step, What};
use crate::config::activation::Programs;
use crate::config::{Config, K3s, Role};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Learns what is being done.
pub trait Watcher {
    /// A step begins.
    fn begin(&self, step: Step, number: usize, of: usize);
}

/// This node, and the right to change its k3s.
#[expect(missing_debug_implementations, reason = "it holds who watches")]
pub struct Node<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a K3s,
    pub(super) programs: &'a Programs,
    pub(super) places: Places,
    pub(super) turn: Turn,
    /// What it is called in Kubernetes.
    pub(super) name: String,
    pub(super) progress: &'a dyn Progress,
}

impl<'a> Node<'a> {
    /// The node that the configuration describes, and the right to change its k3s.
    ///
    /// # Errors
    /// [`Error::NotConfigured`], [`Error::Busy`], or I/O.
    pub fn open(
        store: &'a Store,
        config: &'a Config,
        progress: &'a dyn Progress,
    ) -> Result<Self, crate::Error> {
        Self::with(store, config, progress, Turn::take)
    }

    /// The node, to be looked at while somebody else may be at work.
    ///
    /// # Errors
    /// [`Error::NotConfigured`], or I/O.
    pub fn look(
        store: &'a Store,
        config: &'a Config,
        progress: &'a dyn Progress,
    ) -> Result<Self, crate::Error> {
        Self::with(store, config, progress, Turn::none)
    }

    fn with(
        store: &'a Store,
        config: &'a Config,
        progress: &'a dyn Progress,
        turn: fn(&Path) -> Result<Turn, crate::Error>,
    ) -> Result<Self, crate::Error> {
        let k3s = config.k3s.as_ref().ok_or(Error::NotConfigured)?;
        let places = Places::new(k3s);
        let turn = turn(&places.own())?;
        let name = match &config.cluster {
            Some(cluster) => cluster.node.to_string(),
            // As kubelet does it.
            None => fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_lowercase(),
        };
        Ok(Self { store, config: k3s, programs: &config.activation.programs, places, turn, name, progress })
    }

    pub(super) fn machine(&self) -> Result<Machine<'_>, crate::Error> {
        let programs = match &self.programs.dir {
            Some(dir) => dir.clone(),
            None => std::env::current_exe()?.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        Ok(Machine { places: &self.places, turn: &self.turn, progress: self.progress, programs })
    }

    pub(super) fn own(&self) -> PathBuf {
        self.places.own()
    }

    pub(super) fn state(&self) -> Result<State, crate::Error> {
        State::read(&self.own())
    }

    pub(super) fn settings(&self) -> Result<Settings, crate::Error> {
        Settings::wanted(self.config, &self.name, &self.places, &self.machine()?)
    }

    /// The steps that every way has at its end, as far as they are not done.
    pub(super) fn last_steps(&self, state: &State, to: &Edition) -> Result<Vec<Step>, crate::Error> {
        let (settings, mut steps) = (self.settings()?, Vec::new());
        if !settings.differing().is_empty() {
            steps.push(Step::Settings);
        }
        if !is_there(&self.places.binary(), &to.binary)? {
            steps.push(Step::Binary);
        }
        let is_made = self.places.unit().exists() && self.places.killall().exists();
        if !is_made || state.installed.as_ref().is_none_or(|installed| !installed.is(to)) {
            steps.push(Step::Script);
        }
        let machine = self.machine()?;
        let is_started = state.started == Some(fingerprint(to, &settings)) && steps.is_empty();
        if !is_started || !machine.is_active()? {
            steps.extend([Step::Start, Step::Ready]);
        } else if machine.lacks(&self.name, &to.version)?.is_some() {
            steps.push(Step::Ready);
        }
        Ok(steps)
    }

    /// Does what the plan says. What has been begun is written down first, and forgotten at the end.
    ///
    /// # Errors
    /// Why a step was not done; the same command goes on there.
    pub fn execute(&self, plan: &Plan, watcher: &dyn Watcher) -> Result<(), crate::Error> {
        let Some(to) = plan.to.as_ref().filter(|_| !plan.steps.is_empty()) else { return self.settle(plan) };
        let mut state = self.state()?;
        state.under_way = Some(UnderWay {
            what: plan.what,
            to: to.clone(),
            from: plan.from.clone(),
            record: plan.record.clone(),
            is_beyond: plan.is_beyond,
        });
        state.write(&self.own())?;
        for (at, step) in plan.steps.iter().enumerate() {
            self.progress.go_on()?;
            watcher.begin(*step, at + 1, plan.steps.len());
            self.act(*step, plan, to, &mut state)?;
        }
        state.under_way = None;
        state.write(&self.own())?;
        Before::prune(&self.own(), self.store)
    }

    /// Nothing is to be done, and what was begun is done; or it is given up, before it has changed anything.
    fn settle(&self, plan: &Plan) -> Result<(), crate::Error> {
        let mut state = self.state()?;
        let is_done = state.under_way.as_ref().is_some_and(|under_way| {
            let comes_from = |to: &Edition| under_way.from.as_ref().is_some_and(|from| from.is(to));
            // An upgrade that had changed nothing yet is given up by going back.
            under_way.what == plan.what
                || plan.what == What::Downgrade && plan.to.as_ref().is_some_and(comes_from)
        });
        if is_done && plan.to.is_some() {
            state.under_way = None;
            state.write(&self.own())?;
        }
        Ok(())
    }

    fn act(&self, step: Step, plan: &Plan, to: &Edition, state: &mut State) -> Result<(), crate::Error> {
        let machine = self.machine()?;
        match step {
            Step::Keep => self.before(plan)?.keep(&self.places, plan.from.as_ref()),
            Step::Snapshot => self.before(plan)?.save(&machine),
            Step::Stop => machine.stop(),
            Step::Token => self.make_token(),
            Step::Settings => self.settings()?.write(),
            Step::Binary => {
                let from = self.source(plan, to.binary.digest, Before::binary)?;
                put(&from, to.binary, &self.places.binary(), PROGRAM)
            }
            Step::Script => {
                let script = self.own().join("install.sh");
                put(&self.source(plan, to.script.digest, Before::script)?, to.script, &script, PROGRAM)?;
                machine.run_script(&script)?;
                state.installed = Some(to.clone());
                Ok(state.write(&self.own())?)
            }
            Step::Restore => {
                let before = self.before(plan)?;
                machine.restore(&before.snapshot()?, &before.token())?;
                self.pass(state)
            }
            Step::Rejoin => {
                if let Role::Join(server) = &self.config.role {
                    machine.wait_for_first(server, &to.version, self.config.ready_within)?;
                }
                remove_all(&self.places.datastore())?;
                self.pass(state)
            }
            Step::Start => {
                // From here on what it made of its data may be of no use to the one before.
                if plan.what == What::Upgrade {
                    self.pass(state)?;
                }
                state.started = None;
                state.write(&self.own())?;
                machine.restart(self.config.ready_within)
            }
            Step::Ready => {
                machine.wait(&self.name, &to.version, self.config.ready_within)?;
                state.started = Some(fingerprint(to, &self.settings()?));
                Ok(state.write(&self.own())?)
            }
        }
    }

    fn pass(&self, state: &mut State) -> Result<(), crate::Error> {
        if let Some(under_way) = &mut state.under_way {
            under_way.is_beyond = true;
        }
        Ok(state.write(&self.own())?)
    }

    /// Where a file comes from: back, from what was written down; else from the store.
    fn source(
        &self,
        plan: &Plan,
        digest: Digest,
        kept: fn(&Before) -> PathBuf,
    ) -> Result<PathBuf, crate::Error> {
        match plan.what {
            What::Downgrade => Ok(kept(&self.before(plan)?)),
            What::Install | What::Upgrade => Ok(self.store.blob_path(&digest)),
        }
    }

    fn before(&self, plan: &Plan) -> Result<Before, crate::Error> {
        let name = plan.record.as_deref().unwrap_or_default();
        Before::at(&self.own(), name)
    }

    /// The token of a new cluster; that of an old one, if its file alone was lost.
    fn make_token(&self) -> Result<(), crate::Error> {
        let (token, server) = (self.places.token(), self.places.server_token());
        durable::create_dir_all(durable::parent_of(token))?;
        let content = match fs::read(&server) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; TOKEN_BYTES];
                io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
                format!("{}\n", Digest::from_raw(bytes).hex()).into_bytes()
            }
            Err(error) => return Err(error.into()),
        };
        Ok(durable::write_secret(token, &content)?)
    }
}

/// What tells one start from another: program, script and settings.
fn fingerprint(edition: &Edition, settings: &Settings) -> Digest {
    let parts = [edition.binary.digest, edition.script.digest, settings.digest()];
    Digest::of(parts.map(|digest| digest.hex()).concat().as_bytes())
}

/// Removes a folder that may not be there, durably.
pub(super) fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    durable::sync_dir(durable::parent_of(folder))
}
