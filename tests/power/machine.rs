//! A machine with a kernel of its own, real file systems and a power switch: Debian's User-Mode Linux, a process.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process_group};
use sealift_tests::{binaries, peers, process, scratch};
use tempfile::TempDir;

const KERNEL: &str = "/usr/bin/linux.uml";
/// What the guest says begins with this; what comes between is what its programs say.
const GUEST: &str = "guest: ";
/// How long anything in there may take.
const DEADLINE: Duration = Duration::from_secs(240);
/// Size of the data disk, which is sparse.
const DISK: &str = "256M";

/// What all machines of a test have: a stick, and a folder in which they write down what they see.
pub(crate) struct Machine {
    stick: PathBuf,
    preload: PathBuf,
    dir: TempDir,
}

/// A machine that runs. Without power when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Machine {
    /// With this archive on the stick.
    pub(crate) fn new(archive: &Path) -> Self {
        assert!(Path::new(KERNEL).is_file(), "`{KERNEL}` is missing; run: make test-power");
        let dir = scratch();
        let stick = sealift_tests::stick::image(dir.path(), &[archive]);
        let preload = dir.path().join("xstate.so");
        let source = source("xstate.c");
        process::run(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&preload).arg(source));
        fs::create_dir(dir.path().join("results")).expect("room for a folder");
        Self { stick, preload, dir }
    }

    /// A data disk with what is in this folder.
    pub(crate) fn format(&self, content: &Path) -> PathBuf {
        let image = self.dir.path().join("data.img");
        let mut mkfs = Command::new(peers::tool("mkfs.ext4"));
        process::run(mkfs.args(["-q", "-m", "0", "-d"]).arg(content).arg(&image).arg(DISK));
        image
    }

    /// The same disk once more.
    pub(crate) fn copy(&self, disk: &Path) -> PathBuf {
        let copy = self.dir.path().join("copy.img");
        process::run(Command::new("cp").arg("--sparse=always").arg(disk).arg(&copy));
        copy
    }

    /// What was written down by the machine that ran last.
    pub(crate) fn result(&self, name: &str) -> String {
        let path = self.results().join(name);
        fs::read_to_string(path).expect("the machine has written it").trim().to_owned()
    }

    /// Switches it on, to do this with that disk.
    pub(crate) fn start(&self, task: &str, disk: &Path) -> Running {
        // A machine is several processes. In a namespace, which needs root, they end together when the test ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child", KERNEL]);
        command.env("LD_PRELOAD", &self.preload);
        // The root file system is the host's, so all programs are there; nothing is written to it.
        command.args(["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]);
        command.args(["con=null", "con0=fd:0,fd:1"]);
        for (name, value) in [
            ("ubd0", disk),
            ("ubd1r", &self.stick),
            ("init", &source("guest")),
            ("TASK", Path::new(task)),
            ("SEALIFTCTL", &binaries::path("sealiftctl")),
            ("RESULTS", &self.results()),
        ] {
            command.arg(format!("{name}={}", value.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("`setpriv` of util-linux starts");
        let console = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Whoever listens may have gone; what is not UTF-8 is no line of ours.
            for line in console.lines().map_while(Result::ok) {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        let mut running = Running { child, lines, said: Vec::new() };
        running.await_guest("begins");
        running.said.clear();
        running
    }

    fn results(&self) -> PathBuf {
        self.dir.path().join("results")
    }
}

impl Running {
    /// Waits until the guest says that this is so, and gives back the rest of the line.
    pub(crate) fn await_guest(&mut self, what: &str) -> String {
        loop {
            let line = self.next_line();
            let Some(said) = line.strip_prefix(GUEST) else { continue };
            match said.strip_prefix(what) {
                Some(rest) => return rest.trim().to_owned(),
                None => {
                    panic!("the guest says `{said}`, not `{what}`; before that:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    /// Waits until this many lines were on the console, or the guest has nothing more to say.
    pub(crate) fn await_lines(&mut self, lines: usize) {
        for _ in 0..lines {
            if self.next_line().starts_with(GUEST) {
                break;
            }
        }
    }

    /// The next line on the console.
    fn next_line(&mut self) -> String {
        let line = self.lines.recv_timeout(DEADLINE);
        let line = line.unwrap_or_else(|_| panic!("the machine stopped; it said:\n{}", self.said.join("\n")));
        self.said.push(line.clone());
        line
    }

    /// What was on the console since the guest began.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The kernel, its programs and what writes to its disks, all at once.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        // They all have the console open, so with its end the last of them is gone.
        while self.lines.recv_timeout(DEADLINE).is_ok() {}
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("power").join(name)
}
