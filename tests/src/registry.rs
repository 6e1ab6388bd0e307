//! A vendor's registry, on loopback: the distribution project's, or that of the CUE project.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::gap::Side;
use crate::layout::Layout;
use crate::process::{self, Daemon};
use crate::repository::Repository;
use crate::{peers, scratch};

/// What a registry's log says before the address that it got.
const LISTENING: &str = "listening on ";

/// A running registry, empty at first; ended and removed when dropped.
#[derive(Debug)]
pub struct Registry<'a> {
    side: Side<'a>,
    authority: String,
    // Fields are dropped in this order: the process goes before its directory.
    _daemon: Daemon,
    _dir: TempDir,
}

impl<'a> Registry<'a> {
    /// Starts the distribution project's registry on a free port of `side`'s loopback interface.
    ///
    /// It has no referrers API (3.1), so who attaches something to an image keeps a list of it under a tag.
    #[must_use]
    pub fn start(side: Side<'a>) -> Self {
        let dir = scratch();
        let config = dir.path().join("config.yml");
        fs_err::write(&config, configuration(&dir.path().join("storage")))
            .expect("the registry's configuration");
        let mut command = side.command(peers::tool("registry"));
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        Self::run(side, &command, dir)
    }

    /// Starts a registry with the referrers API.
    #[must_use]
    pub fn with_referrers(side: Side<'a>) -> Self {
        let mut command = side.command(peers::tool("ociregistry"));
        command.arg("127.0.0.1:0");
        Self::run(side, &command, scratch())
    }

    fn run(side: Side<'a>, command: &Command, dir: TempDir) -> Self {
        let mut daemon = Daemon::start("registry", command, dir.path());
        let authority = daemon.await_log(|log| {
            let (_, rest) = log.split_once(LISTENING)?;
            // One of them says it in quotes.
            Some(rest.split_once(['"', '\n'])?.0.to_owned())
        });
        Self { side, authority, _daemon: daemon, _dir: dir }
    }

    /// Address and port, as in the names of images.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What it has as `name`.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository<'a> {
        Repository::new(self.side, &self.authority, name)
    }

    /// Copies what is tagged `tag` in `layout`, with all its platforms, to `name` (such as `acme/app:1.0`).
    pub fn push(&self, layout: &Layout, tag: &str, name: &str) {
        process::run(
            skopeo(self.side)
                .args(["copy", "--all", "--preserve-digests", "--dest-tls-verify=false"])
                .arg(format!("oci:{}:{tag}", layout.dir().display()))
                .arg(format!("docker://{}/{name}", self.authority)),
        );
    }
}

/// A `skopeo` command on `side` that asks no policy file of the machine.
#[must_use]
pub fn skopeo(side: Side<'_>) -> Command {
    let mut command = side.command(peers::tool("skopeo"));
    command.arg("--insecure-policy");
    command
}

fn configuration(storage: &Path) -> String {
    let storage = storage.display();
    format!(
        "version: 0.1\n\
         log: {{level: info, formatter: text}}\n\
         storage: {{filesystem: {{rootdirectory: {storage}}}}}\n\
         http: {{addr: \"127.0.0.1:0\"}}\n"
    )
}
