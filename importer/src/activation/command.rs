//! Runs a program that the configuration names, and no longer than it may take.
//!
//! It gets an environment of its own, a process group of its own, and nothing to read. What it says is kept up to a few
//! last lines. When its time is over, or somebody asks to stop, the whole group is ended: first asked to, then made to.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use sealift_archive::Progress;

use super::Trouble;
use crate::config::activation::CommandLine;

/// How much of what a command says is kept, in bytes.
const MAX_OUTPUT_BYTES: usize = 4 << 10;
/// How many of its last lines.
const MAX_OUTPUT_LINES: usize = 20;
/// How often it is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a group may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for the rest of what was said, once the program has ended: a daemon that it left may keep the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a program may be busy that was written a moment ago: another thread may just be starting a process, which has the
/// file open until it becomes that program.
const BUSY: Duration = Duration::from_secs(2);
/// Where commands find other programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) environment: &'a [(&'static str, String)],
    pub(crate) timeout: Duration,
    /// What it gets as its standard input, if not nothing.
    pub(crate) input: Option<File>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        line: &'a CommandLine,
        environment: &'a [(&'static str, String)],
        timeout: Duration,
    ) -> Self {
        Self { program: line.program(), arguments: line.arguments(), environment, timeout, input: None }
    }

    /// Runs it to its end, and gives back what it said.
    ///
    /// # Errors
    /// [`Trouble::Failed`] in its own words if it cannot be started, fails or takes too long; `Interrupted`.
    pub(crate) fn run(self, progress: &dyn Progress) -> Result<String, Trouble> {
        let timeout = self.timeout;
        let program = self.program.display().to_string();
        let mut running =
            Running::start(self).map_err(|error| Trouble::Failed(format!("`{program}`: {error}")))?;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = running.child.try_wait()? {
                let said = running.last_words();
                return if status.success() {
                    Ok(said)
                } else {
                    Err(Trouble::Failed(failure(status, &said)))
                };
            }
            if let Err(interrupted) = progress.go_on() {
                running.end();
                return Err(interrupted.into());
            }
            if Instant::now() >= deadline {
                running.end();
                let said = running.last_words();
                let words = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
                return Err(Trouble::Failed(format!("it took longer than {}{words}", spell(timeout))));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// `15 min`, `90 s`
pub(crate) fn spell(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds >= 60 && seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

fn failure(status: ExitStatus, said: &str) -> String {
    if said.is_empty() { format!("{status}, without a word") } else { format!("{said} ({status})") }
}

/// A program that runs.
struct Running {
    child: Child,
    output: Arc<Mutex<Tail>>,
    /// Closed when everything that was said has come.
    reader: Receiver<()>,
}

impl Running {
    fn start(run: Run<'_>) -> io::Result<Self> {
        let (mut reader, writer) = io::pipe()?;
        let mut command = Command::new(run.program);
        command.args(run.arguments).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
        command.envs(run.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(run.input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = spawn(&mut command)?;
        // It holds the writing ends of the pipe, which would otherwise never be closed.
        drop(command);
        let output = Arc::new(Mutex::new(Tail::default()));
        let (ended, closed) = mpsc::channel();
        let tail = Arc::clone(&output);
        thread::spawn(move || {
            let mut buffer = [0; MAX_OUTPUT_BYTES];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                tail.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..read]);
            }
            drop(ended);
        });
        Ok(Self { child, output, reader: closed })
    }

    /// Ends the whole group.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
        // What its leader left behind goes as well.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself, which is as good.
            let _ = kill_process_group(group, signal);
        }
    }

    fn last_words(&self) -> String {
        // Nothing is ever sent: the answer is that the channel is closed, or that this takes too long.
        let _ = self.reader.recv_timeout(LAST_WORDS);
        self.output.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

fn spawn(command: &mut Command) -> io::Result<Child> {
    let deadline = Instant::now() + BUSY;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                thread::sleep(POLL_INTERVAL);
            }
            child => return child,
        }
    }
}

/// The end of a text that may be long.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let excess = self.0.len().saturating_sub(MAX_OUTPUT_BYTES);
        self.0.drain(..excess);
    }

    /// The last lines, without what could speak to a terminal.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(MAX_OUTPUT_LINES)..].join("\n");
        last.chars()
            .map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use fs_err as fs;
    use sealift_archive::Unwatched;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn run(script: &str, timeout: Duration, progress: &dyn Progress) -> Result<String, Trouble> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let environment = [("SEALIFT_PHASE", "hook".to_owned())];
        let program = Path::new("/bin/sh");
        Run { program, arguments: &arguments, environment: &environment, timeout, input: None }.run(progress)
    }

    fn failed(result: Result<String, Trouble>) -> String {
        match result {
            Err(Trouble::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_said_and_how_it_ends() {
        let good = |script: &str| run(script, LONG, &Unwatched).unwrap();
        assert_eq!(good("echo one; echo two >&2; printf three"), "one\ntwo\nthree");
        assert_eq!(good("printf '%s\\n' $(seq 1 1000)").lines().last(), Some("1000"));
        assert_eq!(good("seq 1 1000").lines().count(), MAX_OUTPUT_LINES);
        assert!(good("head -c 100000 /dev/zero | tr '\\0' x").len() <= MAX_OUTPUT_BYTES);
        assert_eq!(good("printf '\\033]0;x\\007'"), "\u{FFFD}]0;x\u{FFFD}");
        assert_eq!(good("echo $SEALIFT_PHASE $HOME; cat; pwd"), "hook\n/", "nothing else comes in");
        assert_eq!(good("sleep 2 & echo left something behind; exit 0"), "left something behind");
        assert_eq!(failed(run("echo no room >&2; exit 3", LONG, &Unwatched)), "no room (exit status: 3)");
        assert!(failed(run("exit 1", LONG, &Unwatched)).contains("without a word"));
        let nowhere = CommandLine::try_from(vec!["/nowhere/hook".to_owned()]).unwrap();
        let said = failed(Run::new(&nowhere, &[], LONG).run(&Unwatched));
        assert!(said.contains("/nowhere/hook"), "{said}");
    }

    #[test]
    fn a_group_ends_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let alive = dir.path().join("alive");
        // The grandchild holds a lock as long as it lives.
        let script = format!("flock {0} sleep 1000 & touch {0}.ready; echo begun; wait", alive.display());
        let short = Duration::from_millis(300);
        let said = failed(run(&script, short, &Unwatched));
        assert_eq!(said, "it took longer than 0 s; it said: begun");
        expect_unlocked(&alive);

        let asked = Asked(AtomicBool::new(false), alive.with_extension("ready"));
        let stopped = run(&script, LONG, &asked);
        assert!(matches!(
            stopped,
            Err(Trouble::Halted(crate::Error::Archive(sealift_archive::Error::Interrupted)))
        ));
        expect_unlocked(&alive);
    }

    fn expect_unlocked(path: &Path) {
        let file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
        let deadline = Instant::now() + LONG;
        while file.try_lock().is_err() {
            assert!(Instant::now() < deadline, "the grandchild is still there");
            thread::yield_now();
        }
    }

    /// Asks to stop as soon as a file is there.
    struct Asked(AtomicBool, std::path::PathBuf);

    impl Progress for Asked {
        fn advance(&self, _: u64) {}

        fn is_interrupted(&self) -> bool {
            if self.1.exists() {
                self.0.store(true, Ordering::Relaxed);
            }
            self.0.load(Ordering::Relaxed)
        }
    }
}
