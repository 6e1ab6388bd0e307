//! Programs that run to their end, and programs that serve until they are dropped.
//!
//! Each program has a deadline: a test that hangs says less than one that fails. None outlives the test.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What any single program may take before it is ended and the test fails.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(240);

/// What a condition may take to come true.
const CONDITION_DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs `command` to its end and returns its standard output.
///
/// The test fails with all that the program said if it exits with anything but zero.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = finish(command);
    assert!(output.status.success(), "{}", Report { command, output: &output });
    output.stdout
}

/// Like [`run`], for a program that prints text.
pub fn text(command: &mut Command) -> String {
    String::from_utf8(run(command)).expect("the program prints UTF-8")
}

/// Runs `command`, which has to fail, and returns its standard error.
pub fn refusal(command: &mut Command) -> String {
    let output = finish(command);
    assert!(
        !output.status.success(),
        "this should have been refused: {}",
        Report { command, output: &output }
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `command`, whatever comes of it.
pub fn attempt(command: &mut Command) -> bool {
    finish(command).status.success()
}

/// Waits until `condition` holds; the test fails if it does not within 30 s.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CONDITION_DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {CONDITION_DEADLINE:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn finish(command: &Command) -> Output {
    let seconds = PROGRAM_DEADLINE.as_secs().to_string();
    wrapped(&["timeout", "--kill-after=5", &seconds], command)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("`timeout` of coreutils does not start: {e}"))
}

/// `command` with a program before it that runs it.
fn wrapped(wrapper: &[&str], command: &Command) -> Command {
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
        let child = wrapped(&["setpriv", "--pdeathsig", "KILL", "--"], command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("`setpriv` of util-linux does not start: {e}"));
        Self { name: name.to_owned(), child, log }
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

/// What a program was asked and what it answered, for the message of a failed test.
struct Report<'a> {
    command: &'a Command,
    output: &'a Output,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        writeln!(f, "`{}`: {}", words.join(" "), self.output.status)?;
        writeln!(f, "--- stdout\n{}", String::from_utf8_lossy(&self.output.stdout))?;
        write!(f, "--- stderr\n{}", String::from_utf8_lossy(&self.output.stderr))
    }
}
