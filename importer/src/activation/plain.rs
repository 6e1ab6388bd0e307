//! An engine with nothing around it: only registry and Git switch.

use std::path::Path;
use std::sync::LazyLock;

use sealift_archive::{Progress, Unwatched};

use super::{Action, Engine, Error, Host, News, Restart, Trouble, Watcher};
use crate::config::activation::Activation as Config;

impl Engine<'static> {
    /// For an appliance without configuration, on which nobody watches: no cluster, no checks, no steps on the host. A
    /// release that brings programs of Sealift is refused.
    #[must_use]
    pub fn plain() -> Self {
        static CONFIG: LazyLock<Config> = LazyLock::new(Config::default);
        Self {
            config: &CONFIG,
            flux: None,
            host: &Nobody,
            restart: &Nobody,
            watcher: &Nobody,
            progress: &Unwatched,
            has_consent: false,
        }
    }
}

struct Nobody;

impl Host for Nobody {
    fn act(&self, _: &Action, _: &dyn Progress) -> Result<String, Trouble> {
        Err(Trouble::Failed("there is nobody to do anything on this host".to_owned()))
    }
}

impl Restart for Nobody {
    fn restart(&self, program: &Path) -> crate::Error {
        let cause = std::io::Error::other("there is nobody to do it");
        Error::Restart { program: program.to_owned(), cause }.into()
    }
}

impl Watcher for Nobody {
    fn tell(&self, _: &News<'_>) {}
}
