//! A web server of files, on loopback: Python's.

use std::path::Path;

use tempfile::TempDir;

use crate::gap::Side;
use crate::process::Daemon;
use crate::{peers, scratch};

/// Serves a folder; ended when dropped.
#[derive(Debug)]
pub struct Website {
    url: String,
    // Fields are dropped in this order: the process goes before its directory.
    _daemon: Daemon,
    _dir: TempDir,
}

impl Website {
    /// Serves `folder` on a free port of `side`'s loopback interface.
    #[must_use]
    pub fn of(side: Side<'_>, folder: &Path) -> Self {
        let dir = scratch();
        let mut command = side.command(peers::tool("python3"));
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(folder).arg("0");
        let mut daemon = Daemon::start("http.server", &command, dir.path());
        // Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ...
        let url = daemon.await_log(|log| Some(log.split_once('(')?.1.split_once("/)")?.0.to_owned()));
        Self { url, _daemon: daemon, _dir: dir }
    }

    /// Its address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
