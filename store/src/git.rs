//! Running Git: always the same Git, whoever runs it and whatever their configuration says.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use sealift_archive::RepositoryName;
use sealift_archive::release::ObjectId;

use crate::{Error, Store};

/// Settings of every run: durable writes, bounded memory (content above the threshold is streamed), and no helper
/// files that nobody here reads.
const SETTINGS: [&str; 5] = [
    "core.fsync=all",
    "core.bigFileThreshold=16m",
    "pack.writeReverseIndex=false",
    "gc.auto=0",
    "init.defaultBranch=main",
];
/// Longest message of Git that is passed on, in lines.
const MAX_MESSAGE_LINES: usize = 3;

impl Store {
    /// A commit of a mirror, or what a tag leads to, as Git keeps it: its header, an empty line, its message.
    ///
    /// # Errors
    /// Git, and that there is no such commit.
    pub fn commit(&self, repository: &RepositoryName, id: &ObjectId) -> Result<String, Error> {
        let git = Git { dir: self.git_path(repository), repository: repository.clone() };
        git.run("cat-file", &["commit", &id.to_string()], "")
    }
}

/// Git, working on one bare repository.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    pub(crate) dir: PathBuf,
    pub(crate) repository: RepositoryName,
}

impl Git {
    /// Runs a command and gives back what it prints.
    ///
    /// # Errors
    /// [`Error::NoGit`], [`Error::Git`] with what it said, or the archive's `Interrupted` if it was stopped.
    pub(crate) fn run(&self, command: &'static str, args: &[&str], input: &str) -> Result<String, Error> {
        let output = self.output(command, args, input)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        // Ctrl-C on a terminal reaches Git as well.
        let stops = [Signal::INT, Signal::TERM].map(|signal| Some(signal.as_raw()));
        if stops.contains(&output.status.signal()) {
            return Err(sealift_archive::Error::Interrupted.into());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().take(MAX_MESSAGE_LINES).collect();
        let message = if said.is_empty() { output.status.to_string() } else { said.join("; ") };
        Err(Error::Git { repository: self.repository.clone(), command, message })
    }

    fn output(&self, command: &str, args: &[&str], input: &str) -> Result<Output, Error> {
        let no_git = |source| Error::NoGit { source };
        let mut git = Command::new("git");
        git.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        git.envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("LC_ALL", "C"),
        ]);
        git.arg("--git-dir").arg(&self.dir);
        git.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        git.arg(command).args(args);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn().map_err(no_git)?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // A command that stops early says why on stderr; that it took no more input is not news then.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            child.wait_with_output().map_err(no_git)
        })
    }
}
