//! Git, run to its end or until somebody asks to stop.
//!
//! Git has a process group of its own. So whoever stops it stops all that it started; and the kernel halts whichever of
//! them tries to read from the terminal, which is noticed: nobody is ever asked anything.

use std::fs::File;
use std::io::{self, BufReader, PipeReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tempfile::tempfile_in;

use sealift_archive::Progress;

use super::said;
use crate::{Error, git};

/// Between two looks at a process: most are done at once, and a person takes the longest for at once too.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How much of the end of what Git says is looked at, in bytes.
const MAX_SAID_BYTES: i64 = 64 << 10;
/// Longest output that is taken into memory, in bytes: a repository with a million refs.
const MAX_TEXT_BYTES: u64 = 128 << 20;

/// With these Git does the same on every machine.
const PLAIN: [(&str, &str); 5] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("HOME", "/nonexistent"),
    ("LC_ALL", "C"),
];

/// The same for settings. What is larger than the threshold is streamed, and never a delta: bounded memory here, and on
/// the appliance, which has the same one.
const SETTINGS: [&str; 4] =
    ["core.bigFileThreshold=16m", "core.commitGraph=false", "core.multiPackIndex=false", "gc.auto=0"];

/// Git with nothing of this machine's configuration: what it makes depends on content and its version alone.
#[derive(Clone, Copy)]
pub(super) struct Git<'a> {
    /// The repository, and where its files for a moment lie.
    pub(super) dir: &'a Path,
    /// What errors are about: a folder, an address.
    pub(super) about: &'a str,
    /// Who may ask to stop.
    pub(super) progress: &'a dyn Progress,
}

/// What Git reads from standard input.
pub(super) enum Input<'a> {
    Nothing,
    Text(&'a str),
    File(File),
    Pipe(PipeReader),
}

/// How Git ended, and what it said on standard error.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) said: String,
}

impl Git<'_> {
    /// Makes the bare repository, without hooks.
    pub(super) fn init(&self) -> Result<(), Error> {
        self.run(&["init", "--quiet", "--bare", "--template=", "--object-format=sha1", "."], Input::Nothing)?;
        Ok(())
    }

    /// Runs a command; what it prints can be read.
    ///
    /// # Errors
    /// [`git::Error::Failed`] with what it said, `Interrupted`, or I/O.
    pub(super) fn run(&self, arguments: &[&str], input: Input<'_>) -> Result<BufReader<File>, Error> {
        let mut output = tempfile_in(self.dir)?;
        self.run_into(arguments, input, output.try_clone()?)?;
        output.rewind()?;
        Ok(BufReader::new(output))
    }

    /// The same for output that is short, without the line break at its end.
    pub(super) fn text(&self, arguments: &[&str], input: Input<'_>) -> Result<String, Error> {
        let text = read_text(self.run(arguments, input)?)?;
        Ok(text.trim_end().to_owned())
    }

    /// The same for output that is to be kept.
    pub(super) fn run_into(&self, arguments: &[&str], input: Input<'_>, output: File) -> Result<(), Error> {
        let mut command = self.plain();
        command.args(arguments).stdout(output);
        let ended = self.finish(command, input)?;
        self.expect_success(arguments, &ended)
    }

    /// Git in the repository, with an environment of its own.
    pub(super) fn plain(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.dir).env_clear().envs(PLAIN);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command
    }

    /// Waits for the end of a command, however it ends.
    ///
    /// # Errors
    /// `Interrupted` if somebody asked to stop: then the command is gone. [`git::Error::Failed`] if there is no Git.
    pub(super) fn finish(&self, mut command: Command, input: Input<'_>) -> Result<Ended, Error> {
        let mut said = tempfile_in(self.dir)?;
        command.stderr(said.try_clone()?).stdin(self.stdin(input)?).process_group(0);
        let mut child = command.spawn().map_err(|error| self.cannot_run(&error))?;
        let (status, halted) = self.wait(&mut child)?;
        let length = said.seek(SeekFrom::End(0))?;
        let tail = i64::try_from(length).unwrap_or(i64::MAX).min(MAX_SAID_BYTES);
        said.seek(SeekFrom::End(-tail))?;
        let mut bytes = Vec::new();
        said.read_to_end(&mut bytes)?;
        let mut said = said::clean(&String::from_utf8_lossy(&bytes));
        if halted {
            said = format!("{}; {said}", said::WANTED_TO_ASK);
        } else if said.is_empty() && !status.success() {
            said = status.to_string();
        }
        Ok(Ended { status, said })
    }

    pub(super) fn expect_success(&self, arguments: &[&str], ended: &Ended) -> Result<(), Error> {
        if ended.status.success() {
            return Ok(());
        }
        Err(self.failed(arguments.first().copied().unwrap_or_default(), ended.said.clone()))
    }

    pub(super) fn failed(&self, command: &str, said: String) -> Error {
        git::Error::Failed { about: self.about.to_owned(), command: command.to_owned(), said }.into()
    }

    fn cannot_run(&self, error: &io::Error) -> Error {
        self.failed("", format!("it cannot be run, is it installed? {error}"))
    }

    fn stdin(&self, input: Input<'_>) -> Result<Stdio, Error> {
        Ok(match input {
            Input::Nothing => Stdio::null(),
            Input::File(file) => file.into(),
            Input::Pipe(pipe) => pipe.into(),
            Input::Text(text) => {
                let mut file = tempfile_in(self.dir)?;
                file.write_all(text.as_bytes())?;
                file.rewind()?;
                file.into()
            }
        })
    }

    /// How it ended, and whether that was because it read from the terminal.
    fn wait(&self, child: &mut Child) -> Result<(ExitStatus, bool), Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, false));
            }
            let halted = is_halted(child);
            if halted || self.progress.is_interrupted() {
                // Its own group: nothing is lost that anybody keeps, and nobody is left waiting for a network.
                kill_process_group(Pid::from_child(child), Signal::KILL).map_err(io::Error::from)?;
                let status = child.wait()?;
                self.progress.go_on()?;
                return Ok((status, halted));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn is_halted(child: &Child) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(Some(_)))
}

/// Reads what is short.
pub(super) fn read_text(output: impl Read) -> Result<String, Error> {
    let mut text = Vec::new();
    let read = output.take(MAX_TEXT_BYTES + 1).read_to_end(&mut text)? as u64;
    if read > MAX_TEXT_BYTES {
        let what = "what git prints".to_owned();
        return Err(sealift_archive::Error::TooLarge { what, size: read, limit: MAX_TEXT_BYTES }.into());
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
