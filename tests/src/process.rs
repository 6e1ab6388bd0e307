//! Programs that run to their end, programs that are watched while they run, and programs that serve.
//!
//! Each program has a deadline: a test that hangs says less than one that fails. None outlives the test.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// What any single program may take before it is ended and the test fails.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(240);

/// What a condition may take to come true.
const CONDITION_DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The same where the moment counts, because a program that is watched goes on meanwhile.
const CLOSE_INTERVAL: Duration = Duration::from_millis(1);

/// Runs `command` to its end and returns its standard output.
///
/// The test fails with all that the program said if it exits with anything but zero.
pub fn run(command: &mut Command) -> Vec<u8> {
    finish(command).expect(0).stdout
}

/// Like [`run`], for a program that prints text.
pub fn text(command: &mut Command) -> String {
    String::from_utf8(run(command)).expect("the program prints UTF-8")
}

/// Like [`run`], for a program that prints JSON.
pub fn json(command: &mut Command) -> serde_json::Value {
    serde_json::from_slice(&run(command)).expect("the program prints JSON")
}

/// Runs `command`, which has to fail, and returns its standard error.
pub fn refusal(command: &mut Command) -> String {
    let ended = finish(command);
    assert!(!ended.status.success(), "this should have been refused: {ended}");
    ended.stderr()
}

/// Runs `command`, whatever comes of it.
pub fn attempt(command: &mut Command) -> bool {
    finish(command).status.success()
}

/// Runs `command` to its end, and tells how it ended and what it said.
#[must_use]
pub fn finish(command: &Command) -> Ended {
    let seconds = PROGRAM_DEADLINE.as_secs().to_string();
    let output = wrapped(&["timeout", "--kill-after=5", &seconds], command)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("`timeout` of coreutils does not start: {e}"));
    Ended { words: words(command), status: output.status, stdout: output.stdout, stderr: output.stderr }
}

/// Waits until `condition` holds; the test fails if it does not within 30 s.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CONDITION_DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {CONDITION_DEADLINE:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// How a program ended, and what it said. Shown as a person would see it on a terminal, with its exit status.
#[derive(Debug)]
pub struct Ended {
    words: String,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ended {
    /// Passes on what ended with this exit status; the test fails with all that was said if it is another.
    #[expect(clippy::must_use_candidate, reason = "the check is what it is called for")]
    #[expect(clippy::return_self_not_must_use, reason = "the check is what it is called for")]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status.code(), Some(status), "{self}");
        self
    }

    /// The exit status; none if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The test fails unless standard error has all of these.
    pub fn expect_said(&self, parts: &[impl AsRef<str>]) {
        let said = self.stderr();
        for part in parts.iter().map(AsRef::as_ref) {
            assert!(said.contains(part), "`{part}` is not said: {self}");
        }
    }

    /// What was said on standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What was said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.words)?;
        writeln!(f, "{}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout(), self.stderr())
    }
}

/// A program that is watched while it runs; ended when dropped.
#[derive(Debug)]
pub struct Running {
    words: String,
    child: Child,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Starts `command`.
    ///
    /// The kernel ends the program when the calling thread ends, so a test that is killed leaves nothing behind.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let [stdout, stderr] = [(); 2].map(|()| tempfile::tempfile().expect("a temporary file"));
        let handle = |file: &File| file.try_clone().expect("a second handle of a file");
        let child = wrapped(&UNTIL_THE_TEST_ENDS, command)
            .stdin(Stdio::null())
            .stdout(handle(&stdout))
            .stderr(handle(&stderr))
            .spawn()
            .unwrap_or_else(|e| panic!("`setpriv` of util-linux does not start: {e}"));
        Self { words: words(command), child, stdout, stderr }
    }

    /// Watches closely until `condition` holds; the test fails if the program ends before.
    pub fn watch(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + CONDITION_DEADLINE;
        while !condition() {
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "{what}: not before it ended: {}", self.told(ended.unwrap_or_default()));
            assert!(Instant::now() < deadline, "{what}: not within {CONDITION_DEADLINE:?}");
            std::thread::sleep(CLOSE_INTERVAL);
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program is running");
    }

    /// Waits until it has ended.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PROGRAM_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return self.told(status);
            }
            assert!(Instant::now() < deadline, "`{}`: not within {PROGRAM_DEADLINE:?}", self.words);
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn told(&mut self, status: ExitStatus) -> Ended {
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr].map(|file| {
            let mut text = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut text)).expect("what the program said");
            text
        });
        Ended { words: self.words.clone(), status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing what has ended already is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that serves until it is dropped. What it says goes to a log file.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, which logs into `dir`.
    ///
    /// The kernel ends the program when the calling thread ends, so a test that is killed leaves nothing behind.
    #[must_use]
    pub fn start(name: &str, command: &Command, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = fs_err::File::create(&log).expect("a log file").into_parts().0;
        let err = out.try_clone().expect("a second handle of the log file");
        let child = wrapped(&UNTIL_THE_TEST_ENDS, command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("`setpriv` of util-linux does not start: {e}"));
        Self { name: name.to_owned(), child, log }
    }

    /// The kernel's number for the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        // What is wrapped around it becomes the program, and keeps its number.
        self.child.id()
    }

    /// Waits until the log lets `find` find something; the test fails if the program ends before.
    pub fn await_log<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        self.await_ready(|log| {
            found = find(log);
            found.is_some()
        });
        found.expect("the wait ends when something is found")
    }

    /// Waits until `ready` (given the log so far) holds; the test fails if the program ends before.
    pub fn await_ready(&mut self, mut ready: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + CONDITION_DEADLINE;
        loop {
            let log = fs_err::read_to_string(&self.log).expect("the log file can be read");
            if ready(&log) {
                return;
            }
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "`{}` ended ({ended:?}); it said:\n{log}", self.name);
            assert!(Instant::now() < deadline, "`{}` is not ready; it said:\n{log}", self.name);
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Killing what has ended already is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program in its own place, so that signals reach it and nothing else; the kernel ends it when the thread that
/// started it ends.
const UNTIL_THE_TEST_ENDS: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// `command` with a program before it that runs it.
pub(crate) fn wrapped(wrapper: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}

/// What a person would have typed: the program without its directory.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
