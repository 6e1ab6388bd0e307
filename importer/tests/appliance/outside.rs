//! What is outside of an activation, for tests: a cluster, a host and a next program that write down what they are asked, and
//! that fail where a test wants it.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealift_archive::Progress;
use sealift_importer::Error;
use sealift_importer::activation::{
    Action, Engine, Flux, Host, News, NotSuspended, Readiness, Restart, Trouble, Watcher,
};
use sealift_importer::config::activation::Activation as Config;

/// All of it.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) calls: Mutex<Vec<String>>,
    /// What fails, by how its call begins.
    pub(crate) failing: Option<&'static str>,
    /// The same for something else.
    pub(crate) also_failing: Option<&'static str>,
    /// Whether it works when it is called again.
    pub(crate) is_once: bool,
    /// Whether Flux says of a failure to suspend that nothing was changed.
    pub(crate) is_untouched: bool,
    /// How often somebody may ask whether to go on before the answer is no; 0: ever.
    pub(crate) patience: usize,
    pub(crate) asked: AtomicUsize,
}

impl Outside {
    pub(crate) fn failing(call: &'static str) -> Self {
        Self { failing: Some(call), ..Self::default() }
    }

    /// It works again on the way back.
    pub(crate) fn failing_once(call: &'static str) -> Self {
        Self { is_once: true, ..Self::failing(call) }
    }

    pub(crate) fn patient(patience: usize) -> Self {
        Self { patience, ..Self::default() }
    }

    /// What was asked for, in this order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// An engine with it.
    pub(crate) fn engine<'a>(&'a self, config: &'a Config) -> Engine<'a> {
        Engine {
            config,
            flux: config.flux.is_some().then_some(self as &dyn Flux),
            host: self,
            restart: self,
            watcher: self,
            progress: self,
            has_consent: true,
        }
    }

    /// Takes note of a call; says whether it is to fail.
    fn take(&self, call: &str) -> bool {
        let mut calls = self.calls.lock().unwrap();
        let is_it = |failing: Option<&str>| failing.is_some_and(|failing| call.starts_with(failing));
        // Waiting for health asks again and again.
        let is_second = self.is_once && call != "flux ready" && calls.iter().any(|before| before == call);
        calls.push(call.to_owned());
        (is_it(self.failing) && !is_second) || is_it(self.also_failing)
    }

    fn answer(&self, call: &str) -> Result<(), Error> {
        if self.take(call) {
            Err(std::io::Error::other(format!("{call} does not work")).into())
        } else {
            Ok(())
        }
    }
}

impl Flux for Outside {
    fn check(&self) -> Result<(), Error> {
        self.answer("flux check")
    }

    fn suspend(&self) -> Result<(), NotSuspended> {
        self.answer("flux suspend")
            .map_err(|cause| NotSuspended { cause: Box::new(cause), is_untouched: self.is_untouched })
    }

    fn resume(&self) -> Result<(), Error> {
        self.answer("flux resume")
    }

    fn poke(&self) -> Result<(), Error> {
        self.answer("flux poke")
    }

    fn ready(&self) -> Result<Readiness, Error> {
        let is_failing = self.take("flux ready");
        Ok(if is_failing {
            Readiness::NotYet("Kustomization `apps`: waiting".to_owned())
        } else {
            Readiness::Ready
        })
    }
}

impl Host for Outside {
    fn act(&self, action: &Action, _: &dyn Progress) -> Result<String, Trouble> {
        let call = match action {
            Action::RunHook { name, between } => format!("run {name} {:?}", between.to.unwrap().get()),
            Action::UndoHook { name, between } => {
                format!("undo {name} {}", between.to.map_or_else(|| "-".to_owned(), |to| to.to_string()))
            }
            Action::InstallPrograms { release } => format!("install {release}"),
            Action::RestartRegistry => "restart registry".to_owned(),
            other => format!("{other:?}"),
        };
        if self.take(&call) {
            Err(Trouble::Failed(format!("{call} does not work")))
        } else {
            Ok(format!("said by {call}"))
        }
    }
}

impl Restart for Outside {
    fn restart(&self, program: &Path) -> Error {
        self.take(&format!("restart {}", program.file_name().unwrap().display()));
        sealift_archive::Error::Interrupted.into()
    }
}

impl Watcher for Outside {
    fn tell(&self, _: &News<'_>) {}
}

impl Progress for Outside {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        self.patience > 0 && self.asked.fetch_add(1, Ordering::Relaxed) + 1 >= self.patience
    }
}
