//! A machine with a kernel of its own, real file systems and a power switch: Debian's User-Mode Linux, a process.
//!
//! Its root file system is the host's, read-only, so all programs are there; its data disk has ext4, its stick vfat. What it does
//! is told to `machine/guest`. Needs root, a C compiler, and Debian's package user-mode-linux.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::actors::run;
use crate::stick;
use crate::tool::tool;

/// The kernel, which is a program.
pub const KERNEL: &str = "/usr/bin/linux.uml";
/// What the guest says begins with this; what comes between is what its programs say.
const GUEST: &str = "guest: ";
/// How long anything in there may take.
const DEADLINE: Duration = Duration::from_secs(240);
/// The smallest data disk, which is sparse.
const MIN_DISK_BYTES: u64 = 256 << 20;
/// How often what is on a data disk at first would fit on it: the next release comes, and the one before stays.
const DISK_FACTOR: u64 = 4;

/// What all machines have that are made of this: a stick, and a folder in which they write down what they see.
#[derive(Debug)]
pub struct Machine {
    dir: PathBuf,
    program: PathBuf,
}

/// A machine that runs. Without power when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Machine {
    /// In this folder, with this archive on the stick, and this `sealiftctl`.
    ///
    /// # Errors
    /// There is no such kernel; I/O; what the programs say.
    pub fn new(dir: &Path, archive: &Path, sealiftctl: &Path) -> io::Result<Self> {
        if !Path::new(KERNEL).is_file() {
            return Err(io::Error::other(format!(
                "`{KERNEL}` is missing; `tests/setup --power` installs it"
            )));
        }
        let machine = Self { dir: dir.to_owned(), program: sealiftctl.to_owned() };
        stick::write(&machine.stick(), &[archive])?;
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(machine.preload()).arg(source("xstate.c"));
        run(&mut compile)?;
        fs::create_dir(machine.results())?;
        Ok(machine)
    }

    /// A data disk with what is in this folder.
    ///
    /// # Errors
    /// I/O, or what the programs say.
    pub fn format(&self, content: &Path) -> io::Result<PathBuf> {
        let image = self.dir.join("data.img");
        let measured = run(Command::new("du").args(["--summarize", "--block-size=1"]).arg(content))?.stdout;
        let measured = String::from_utf8_lossy(&measured);
        let bytes: u64 =
            measured.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let kib = (bytes.saturating_mul(DISK_FACTOR)).max(MIN_DISK_BYTES).div_ceil(1 << 10);
        let mut mkfs = Command::new(tool("mkfs.ext4"));
        mkfs.args(["-q", "-m", "0", "-d"]).arg(content).arg(&image).arg(format!("{kib}k"));
        run(&mut mkfs)?;
        Ok(image)
    }

    /// The same disk once more.
    ///
    /// # Errors
    /// I/O.
    pub fn copy(&self, disk: &Path) -> io::Result<PathBuf> {
        let copy = self.dir.join("copy.img");
        run(Command::new("cp").arg("--sparse=always").arg(disk).arg(&copy))?;
        Ok(copy)
    }

    /// What was written down by the machine that ran last.
    ///
    /// # Errors
    /// It has not written that.
    pub fn result(&self, name: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.results().join(name))?.trim().to_owned())
    }

    /// Switches it on, to do this with that disk. `version` is that of the release on the stick.
    ///
    /// # Errors
    /// It does not start, or its guest fails.
    pub fn start(&self, task: &str, version: &str, disk: &Path) -> io::Result<Running> {
        // A machine is several processes. In a namespace, which needs root, they end together when we end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child", KERNEL]);
        command.env("LD_PRELOAD", self.preload());
        command.args(["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]);
        command.args(["con=null", "con0=fd:0,fd:1"]);
        for (name, value) in [
            ("ubd0", disk),
            ("ubd1r", &self.stick()),
            ("init", &source("guest")),
            ("TASK", Path::new(task)),
            ("VERSION", Path::new(version)),
            ("SEALIFTCTL", &self.program),
            ("RESULTS", &self.results()),
        ] {
            command.arg(format!("{name}={}", value.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let console = child.stdout.take().map(BufReader::new);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Whoever listens may have gone; what is not UTF-8 is no line of ours.
            for line in console.into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        let mut running = Running { child, lines, said: Vec::new() };
        running.await_guest("begins")?;
        running.said.clear();
        Ok(running)
    }

    fn results(&self) -> PathBuf {
        self.dir.join("results")
    }

    fn stick(&self) -> PathBuf {
        self.dir.join("stick.img")
    }

    fn preload(&self) -> PathBuf {
        self.dir.join("xstate.so")
    }
}

impl Running {
    /// Waits until the guest says that this is so, and gives back the rest of the line.
    ///
    /// # Errors
    /// It says something else, or nothing in time.
    pub fn await_guest(&mut self, what: &str) -> io::Result<String> {
        loop {
            let line = self.next_line()?;
            let Some(said) = line.strip_prefix(GUEST) else { continue };
            if let Some(rest) = said.strip_prefix(what) {
                return Ok(rest.trim().to_owned());
            }
            let before = self.said.join("\n");
            return Err(io::Error::other(format!(
                "the guest says `{said}`, not `{what}`; before that:\n{before}"
            )));
        }
    }

    /// Waits until this many lines were on the console, or the guest has nothing more to say.
    ///
    /// # Errors
    /// Nothing comes in time.
    pub fn await_lines(&mut self, lines: usize) -> io::Result<()> {
        for _ in 0..lines {
            if self.next_line()?.starts_with(GUEST) {
                break;
            }
        }
        Ok(())
    }

    /// The next line on the console.
    fn next_line(&mut self) -> io::Result<String> {
        let line = self.lines.recv_timeout(DEADLINE).map_err(|_| {
            io::Error::other(format!("the machine stopped; it said:\n{}", self.said.join("\n")))
        })?;
        self.said.push(line.clone());
        Ok(line)
    }

    /// What was on the console since the guest began.
    #[must_use]
    pub fn said(&self) -> &[String] {
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("machine").join(name)
}
