//! A registry that runs, and ends with whoever started it.

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fs_err as fs;

/// What a registry says once it can be asked.
const READY: &str = "ready ";

/// `sealift-registry`, ready.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    ready: String,
}

impl Serving {
    /// Starts it, and waits until it says that it is ready; its log goes into this file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let log = fs::File::create(log)?.into_file();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take();
        // From here on it is stopped, whatever fails.
        let mut serving = Self { child, ready: String::new() };
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut serving.ready)?;
        }
        if serving.ready.starts_with(READY) {
            Ok(serving)
        } else {
            Err(io::Error::other(format!("sealift-registry is not ready: it said `{}`", serving.ready)))
        }
    }

    /// Where it answers: `http://127.0.0.1:5000`.
    pub(crate) fn url(&self) -> &str {
        self.ready.trim_start_matches(READY).trim_end().trim_end_matches('/')
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
