//! Programs that do a part of setup, each printed as a person would type it.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use sealift_archive::Digest;

/// Where programs are found that are not ours.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How many of its last lines are kept for the message.
const MAX_LINES: usize = 20;
/// Longest line that is kept, in characters.
const MAX_LINE_CHARS: usize = 500;
/// Most that one program may hand to another, in bytes.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;
/// How often it is looked whether a program has ended.
const POLL: Duration = Duration::from_millis(50);
/// How long to wait for the rest of what was said: what it left running may keep the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long to wait before something is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// This one.
    Sealiftctl,
    /// The registry, beside this one.
    Registry,
    /// One of the system's.
    System(&'static str),
}

/// As whom it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Root,
    /// Whoever owns the store.
    Owner,
}

/// What it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    /// Bytes, and what they are called.
    Bytes(Vec<u8>, String),
    /// What another program says.
    Output(Box<Run>),
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) program: Program,
    pub(super) arguments: Vec<String>,
    pub(super) by: By,
    pub(super) input: Input,
    /// How long it is tried again after a failure.
    pub(super) patience: Duration,
    /// Whether a refusal (exit status 3) is only told.
    pub(super) may_be_refused: bool,
    /// Whether it is run because something was looked for, and is not there: then the journal has no say.
    pub(super) is_lacking: bool,
}

impl Run {
    pub(super) fn new(program: Program, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (by, input, patience) = (By::Root, Input::Nothing, Duration::ZERO);
        Self { program, arguments, by, input, patience, may_be_refused: false, is_lacking: false }
    }

    pub(super) fn by_owner(self) -> Self {
        Self { by: By::Owner, ..self }
    }

    pub(super) fn lacking(self) -> Self {
        Self { is_lacking: true, ..self }
    }

    pub(super) fn reading(self, input: Input) -> Self {
        Self { input, ..self }
    }

    pub(super) fn trying_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What it does, for the journal.
    pub(super) fn digest(&self) -> String {
        match &self.input {
            Input::Bytes(bytes, _) => format!("{self} {}", Digest::of(bytes)),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Input::Output(from) = &self.input {
            write!(f, "{from} | ")?;
        }
        f.write_str(match self.program {
            Program::Sealiftctl => "sealiftctl",
            Program::Registry => "sealift-registry",
            Program::System(name) => name,
        })?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))?;
        if let Input::Bytes(_, name) = &self.input {
            write!(f, " <{name}")?;
        }
        Ok(())
    }
}

/// How a program ended that did not do what it should.
#[derive(Debug)]
pub(super) struct Failed {
    /// What it said last, and how it ended.
    pub(super) why: String,
    /// Its exit status.
    status: Option<i32>,
}

/// Runs programs.
pub(super) struct Runner<'a> {
    /// Where our own programs are.
    pub(super) programs: &'a Path,
    /// The owner of the store, and the group, unless that is root.
    pub(super) owner: Option<(u32, u32)>,
    /// Told each line that a program says.
    pub(super) tell: &'a dyn Fn(&str),
}

/// What sealiftctl ends with if it refuses something.
const REFUSED: i32 = 3;

impl Runner<'_> {
    /// Runs it to its end, again and again if that was asked for. Gives back a refusal that may be.
    pub(super) fn run(&self, run: &Run) -> Result<Option<String>, Failed> {
        let deadline = Instant::now() + run.patience;
        loop {
            match self.once(run) {
                Ok(()) => return Ok(None),
                Err(failed) if run.may_be_refused && failed.status == Some(REFUSED) => {
                    return Ok(Some(failed.why));
                }
                Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(failed) => return Err(failed),
            }
        }
    }

    /// What it says on standard output.
    pub(super) fn output(&self, run: &Run) -> Result<Vec<u8>, Failed> {
        let mut command = self.command(run);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| not_started(run, &error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let said = thread::spawn(move || read(stdout));
        let complained = read(stderr);
        let said = said.join().unwrap_or_default();
        let status = child.wait().map_err(|error| not_started(run, &error))?;
        if status.success() && said.len() as u64 <= MAX_OUTPUT_BYTES {
            return Ok(said);
        }
        let text = String::from_utf8_lossy(&complained);
        let lines: Vec<String> = text.lines().map(shown).collect();
        Err(ended(&lines[lines.len().saturating_sub(MAX_LINES)..], status))
    }

    fn once(&self, run: &Run) -> Result<(), Failed> {
        let input = match &run.input {
            Input::Nothing => None,
            Input::Bytes(bytes, _) => Some(bytes.clone()),
            Input::Output(from) => Some(self.output(from)?),
        };
        let (reader, writer) = io::pipe().map_err(|error| not_started(run, &error))?;
        let mut command = self.command(run);
        let stderr = writer.try_clone().map_err(|error| not_started(run, &error))?;
        command
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(writer)
            .stderr(stderr);
        let mut child = command.spawn().map_err(|error| not_started(run, &error))?;
        // It holds the writing ends of the pipe.
        drop(command);
        if let (Some(bytes), Some(mut stdin)) = (input, child.stdin.take()) {
            // Whoever does not read says why by how it ends.
            thread::spawn(move || stdin.write_all(&bytes));
        }
        let (lines, status) = self.watch(&mut child, reader).map_err(|error| not_started(run, &error))?;
        if status.success() { Ok(()) } else { Err(ended(&lines, status)) }
    }

    /// Passes on what it says until it ends.
    fn watch(
        &self,
        child: &mut Child,
        reader: io::PipeReader,
    ) -> io::Result<(Vec<String>, std::process::ExitStatus)> {
        let (send, lines) = mpsc::sync_channel(MAX_LINES);
        thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while matches!(io::Read::take(&mut reader, 4 << 10).read_until(b'\n', &mut line), Ok(1..)) {
                if send.send(shown(&String::from_utf8_lossy(&line))).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let mut last: Vec<String> = Vec::new();
        let mut take = |line: String| {
            (self.tell)(&line);
            last.push(line);
            let excess = last.len().saturating_sub(MAX_LINES);
            last.drain(..excess);
        };
        let mut ended = None;
        loop {
            match lines.recv_timeout(if ended.is_some() { LAST_WORDS } else { POLL }) {
                Ok(line) => take(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
                Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?,
            }
        }
        let status = match ended {
            Some(status) => status,
            None => child.wait()?,
        };
        Ok((last, status))
    }

    fn command(&self, run: &Run) -> Command {
        let program: PathBuf = match run.program {
            Program::Sealiftctl => self.programs.join("sealiftctl"),
            Program::Registry => self.programs.join("sealift-registry"),
            Program::System(name) => name.into(),
        };
        let mut command = Command::new(program);
        command.args(&run.arguments).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
        match (run.by, self.owner) {
            (By::Owner, Some((user, group))) => command.uid(user).gid(group),
            // kubectl keeps what it has learnt there, and else in `/`.
            _ => command.env("HOME", "/root"),
        };
        command
    }
}

fn read(from: Option<impl io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What could be read is as good as it gets; how it ended says the rest.
        let _ = io::Read::read_to_end(&mut io::Read::take(from, MAX_OUTPUT_BYTES + 1), &mut bytes);
    }
    bytes
}

/// A line without what could speak to a terminal.
fn shown(line: &str) -> String {
    let plain = line.trim_end().chars().take(MAX_LINE_CHARS);
    plain.map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn ended(lines: &[String], status: std::process::ExitStatus) -> Failed {
    let said = lines.join("\n");
    let why =
        if said.is_empty() { format!("{status}, without a word") } else { format!("{said} ({status})") };
    Failed { why, status: status.code() }
}

fn not_started(run: &Run, error: &io::Error) -> Failed {
    Failed { why: format!("`{run}` cannot be run: {error}"), status: None }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn sh(script: &str) -> Run {
        Run::new(Program::System("sh"), &["-c", script])
    }

    #[test]
    fn what_is_said_is_passed_on_and_how_it_ends_is_told() {
        let heard = RefCell::new(Vec::new());
        let tell = |line: &str| heard.borrow_mut().push(line.to_owned());
        let runner = Runner { programs: Path::new("/nowhere"), owner: None, tell: &tell };
        assert_eq!(runner.run(&sh("echo one; echo two >&2; printf '\\033[1m'")).unwrap(), None);
        assert_eq!(*heard.borrow(), ["one", "two", "\u{FFFD}[1m"]);
        let failed = runner.run(&sh("seq 1 100; exit 3")).unwrap_err();
        assert!(
            failed.why.starts_with("81\n82\n") && failed.why.ends_with("(exit status: 3)"),
            "{}",
            failed.why
        );
        let refused = Run { may_be_refused: true, ..sh("echo no; exit 3") };
        assert_eq!(runner.run(&refused).unwrap().unwrap(), "no (exit status: 3)");
        assert!(runner.run(&Run { may_be_refused: true, ..sh("exit 1") }).is_err());
        // What is left running keeps the pipe, and nobody waits for that.
        let began = Instant::now();
        assert!(runner.run(&sh("sleep 30 & exit 0")).is_ok());
        assert!(began.elapsed() < Duration::from_secs(20));
        let nowhere = runner.run(&Run::new(Program::Registry, &[])).unwrap_err();
        assert!(nowhere.why.contains("`sealift-registry` cannot be run"), "{}", nowhere.why);
    }

    #[test]
    fn one_may_read_what_another_says() {
        let heard = RefCell::new(Vec::new());
        let tell = |line: &str| heard.borrow_mut().push(line.to_owned());
        let runner = Runner { programs: Path::new("/nowhere"), owner: None, tell: &tell };
        let pipe = sh("cat").reading(Input::Output(Box::new(sh("echo from one"))));
        assert_eq!(pipe.to_string(), "sh -c echo from one | sh -c cat");
        runner.run(&pipe).unwrap();
        runner.run(&sh("cat").reading(Input::Bytes(b"bytes\n".to_vec(), "a file".to_owned()))).unwrap();
        assert_eq!(*heard.borrow(), ["from one", "bytes"]);
        let broken = sh("cat").reading(Input::Output(Box::new(sh("echo x; echo why >&2; exit 1"))));
        assert!(runner.run(&broken).unwrap_err().why.starts_with("why ("));
        assert!(sh("exit 1").trying_for(Duration::ZERO).to_string() == "sh -c exit 1");
    }
}
