//! Charts, as Helm packs, publishes, pulls and renders them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::gap::Side;
use crate::gpg::{Gpg, SIGNER};
use crate::{peers, process, scratch};

/// What Helm says before the path of a package.
const SAVED: &str = "saved it to: ";

/// Helm on one side of the gap, with a home of its own.
#[derive(Debug)]
pub struct Helm<'a> {
    side: Side<'a>,
    home: TempDir,
}

impl<'a> Helm<'a> {
    /// Helm on `side`.
    #[must_use]
    pub fn new(side: Side<'a>) -> Self {
        Self { side, home: scratch() }
    }

    /// Packs the chart of a folder, and writes a signature beside the package.
    #[must_use]
    pub fn package(&self, chart: &Path, into: &Path, signer: &Gpg) -> PathBuf {
        let mut command = self.command();
        command.arg("package").arg(chart).arg("--destination").arg(into);
        command.args(["--sign", "--key", SIGNER, "--keyring"]).arg(signer.private_key());
        let told = process::text(&mut command);
        PathBuf::from(told.split_once(SAVED).expect("Helm tells where the package is").1.trim())
    }

    /// Makes the folder of these packages an HTTP chart repository.
    pub fn index(&self, folder: &Path) {
        process::run(self.command().args(["repo", "index"]).arg(folder));
    }

    /// Pushes a package, with its signature, into a folder of a registry (`oci://…`).
    pub fn push(&self, package: &Path, folder: &str) {
        process::run(self.command().args(["push", "--plain-http"]).arg(package).arg(folder));
    }

    /// Pulls a chart from a registry and returns the package.
    #[must_use]
    pub fn pull(&self, chart: &str, version: &str) -> Vec<u8> {
        self.pull_by(chart, version, &[])
    }

    /// The same, if the package has a good signature by a key of this keyring.
    #[must_use]
    pub fn pull_verified(&self, chart: &str, version: &str, keyring: &Path) -> Vec<u8> {
        self.pull_by(chart, version, &["--verify", "--keyring", &keyring.to_string_lossy()])
    }

    fn pull_by(&self, chart: &str, version: &str, options: &[&str]) -> Vec<u8> {
        let into = scratch();
        let mut command = self.command();
        command.args(["pull", "--plain-http", chart, "--version", version]).args(options);
        process::run(command.arg("--destination").arg(into.path()));
        let name = chart.rsplit_once('/').expect("a chart's reference has a folder").1;
        fs_err::read(into.path().join(format!("{name}-{version}.tgz"))).expect("the package")
    }

    /// What a chart is rendered to: a folder, a package, or a reference with these options.
    #[must_use]
    pub fn template(&self, chart: &str, options: &[&str]) -> String {
        process::text(self.command().args(["template", "appliance", chart]).args(options))
    }

    fn command(&self) -> Command {
        let mut command = self.side.command(peers::tool("helm"));
        // Neither this user's accounts nor repositories.
        for name in ["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "DOCKER_CONFIG"] {
            command.env(name, self.home.path());
        }
        command
    }
}
