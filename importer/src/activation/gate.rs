//! The health gate: all checks are good in one round before the deadline, or the last words of those that are not tell why.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Client;
use sealift_archive::{Progress, Sequence};
use sealift_fetch::unless_interrupted;
use sealift_store::Store;

use super::command::{Run, spell};
use super::host::environment;
use super::{Between, Flux, Readiness, Trouble};
use crate::config::activation::{Check, CommandLine, Health, Http, Preflight, Probe};

/// How often somebody who waits looks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until all is well with the release that is active, as an activation does at its end.
pub(crate) fn wait_until_well(
    store: &Store,
    health: &Health,
    release: Sequence,
    flux: Option<&dyn Flux>,
    progress: &dyn Progress,
) -> Result<(), Trouble> {
    let between = Between { to: Some(release), from: None };
    let environment = environment(store, "health", between)?;
    Gate { flux, environment: &environment, progress }.wait(health)
}

/// What checks need to know.
pub(super) struct Gate<'a> {
    pub(super) flux: Option<&'a dyn Flux>,
    pub(super) environment: &'a [(&'static str, String)],
    pub(super) progress: &'a dyn Progress,
}

impl Gate<'_> {
    /// Asks each check once whether anything may begin; then Flux, which stands still next.
    pub(super) fn preflight(&self, checks: &[Preflight]) -> Result<(), Trouble> {
        for check in checks {
            self.run(&check.command, check.timeout).map_err(|trouble| of(&check.name, trouble))?;
        }
        self.flux.map_or(Ok(()), Flux::check).map_err(|error| Trouble::Failed(error.to_string()))
    }

    /// Waits until all is well.
    pub(super) fn wait(&self, health: &Health) -> Result<(), Trouble> {
        let deadline = Instant::now() + health.deadline;
        loop {
            let round = Instant::now() + health.interval;
            let mut lacks = Vec::new();
            for check in &health.checks {
                let left = deadline.saturating_duration_since(Instant::now()).max(POLL_INTERVAL);
                match self.look(check, check.timeout.min(left)) {
                    Ok(()) => {}
                    Err(Trouble::Failed(why)) => lacks.push(format!("`{}`: {why}", check.name)),
                    Err(halted) => return Err(halted),
                }
            }
            if lacks.is_empty() {
                return Ok(());
            }
            while Instant::now() < round.min(deadline) {
                self.progress.go_on()?;
                thread::sleep(POLL_INTERVAL);
            }
            if Instant::now() >= deadline {
                let (lacks, within) = (lacks.join("; "), spell(health.deadline));
                return Err(Trouble::Failed(format!("not healthy within {within}: {lacks}")));
            }
        }
    }

    fn look(&self, check: &Check, timeout: Duration) -> Result<(), Trouble> {
        match &check.probe {
            Probe::Command(line) => self.run(line, timeout),
            Probe::Http(http) => self.ask(http, timeout),
            Probe::Flux => match self.flux.map(Flux::ready) {
                None => Err(super::Error::NotConfigured { what: "`flux`".to_owned() }.into()),
                Some(Ok(Readiness::Ready)) => Ok(()),
                Some(Ok(Readiness::NotYet(what))) => Err(Trouble::Failed(what)),
                Some(Err(error)) => Err(Trouble::Failed(error.to_string())),
            },
        }
    }

    fn run(&self, line: &CommandLine, timeout: Duration) -> Result<(), Trouble> {
        Run::new(line, self.environment, timeout).run(self.progress).map(drop)
    }

    fn ask(&self, http: &Http, timeout: Duration) -> Result<(), Trouble> {
        let client = client(http, timeout).map_err(Trouble::Failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = async { Ok(client.get(http.url.clone()).send().await) };
        let answer =
            runtime.block_on(unless_interrupted(self.progress, request)).map_err(|error| match error {
                sealift_fetch::Error::Archive(interrupted) => Trouble::from(interrupted),
                other => Trouble::Failed(other.to_string()),
            })?;
        match answer {
            Ok(answer) if answer.status().as_u16() == http.status => Ok(()),
            Ok(answer) => Err(Trouble::Failed(format!("it is {}, not {}", answer.status(), http.status))),
            Err(error) => Err(Trouble::Failed(innermost(&error))),
        }
    }
}

/// A client that asks this server and nobody else: no proxy, no redirects.
fn client(http: &Http, timeout: Duration) -> Result<Client, String> {
    let builder = || {
        let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.timeout(timeout).user_agent(concat!("sealiftctl/", env!("CARGO_PKG_VERSION")))
    };
    let Some(file) = &http.ca_file else {
        // A machine without any certificates can still ask without TLS.
        return builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| innermost(&error));
    };
    let pem = fs_err::read(file).map_err(|error| error.to_string())?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| innermost(&error))?;
    builder().tls_certs_only(certificates).build().map_err(|error| innermost(&error))
}

/// The last cause, which is the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}

fn of(name: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed(why) => Trouble::Failed(format!("`{name}`: {why}")),
        halted @ Trouble::Halted(_) => halted,
    }
}
