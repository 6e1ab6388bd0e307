//! What a program took, with everything that it ran: time, CPU, memory, bytes written.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

/// The program that measures; safe Rust has no way to ask the kernel.
const MEASURE: &str = include_str!("measure.py");
/// A program that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(300);

/// Figures of one run, in seconds and bytes; or of one run over another, without a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Seconds by the clock on the wall.
    pub(super) wall: f64,
    /// Seconds of all cores, in user and kernel mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<f64>,
    /// Resident bytes of the largest process, at its peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak: Option<f64>,
    /// Bytes that the program itself read, from files and elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<f64>,
    /// Bytes that went towards a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) written: Option<f64>,
    /// Bytes of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<f64>,
    /// Answers or bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
    /// Seconds within which 99 of 100 answers had come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99: Option<f64>,
}

impl Figures {
    /// Nothing but a time.
    pub(super) fn seconds(wall: f64) -> Self {
        Self { wall, ..Self::default() }
    }

    /// With the size of the file that came of it.
    pub(super) fn with_size_of(self, result: &Path) -> io::Result<Self> {
        Ok(Self { size: Some(number(fs::metadata(result)?.len())), ..self })
    }

    /// One thing and then another, whose result counts.
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            cpu: both(self.cpu, next.cpu, |a, b| a + b),
            peak: both(self.peak, next.peak, f64::max),
            read: both(self.read, next.read, |a, b| a + b),
            written: both(self.written, next.written, |a, b| a + b),
            size: next.size,
            rate: None,
            p99: None,
        }
    }

    /// One thing while another does its part of the work: the clock runs once.
    pub(super) fn along(self, helper: Self) -> Self {
        Self { wall: self.wall, size: self.size, ..self.then(helper) }
    }

    /// What a server took since `before`, when it had taken that; its peak is over all its life.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: both(self.cpu, before.cpu, |a, b| a - b),
            written: both(self.written, before.written, |a, b| a - b),
            ..self
        }
    }

    /// How many times the other's figures.
    pub(super) fn over(self, other: Self) -> Self {
        let ratio = |a: Option<f64>, b: Option<f64>| both(a, b.filter(|b| *b > 0.0), |a, b| a / b);
        Self {
            wall: self.wall / other.wall,
            cpu: ratio(self.cpu, other.cpu),
            peak: ratio(self.peak, other.peak),
            read: ratio(self.read, other.read),
            written: ratio(self.written, other.written),
            size: ratio(self.size, other.size),
            rate: ratio(self.rate, other.rate),
            p99: ratio(self.p99, other.p99),
        }
    }
}

fn both(a: Option<f64>, b: Option<f64>, join: impl Fn(f64, f64) -> f64) -> Option<f64> {
    Some(join(a?, b?))
}

/// Bytes as a figure.
#[expect(clippy::cast_precision_loss, reason = "exact up to 9 petabytes")]
pub(super) fn number(bytes: u64) -> f64 {
    bytes as f64
}

/// Runs programs and measures them.
#[derive(Debug)]
pub(super) struct Meter {
    report: PathBuf,
}

impl Meter {
    /// Reports go through a file in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self { report: dir.join("figures.json") }
    }

    /// Runs a command that must succeed; says what it took, and what it said on standard output.
    ///
    /// What was written before lies on the disk when it begins, so nobody pays for the one before.
    pub(super) fn run(&self, command: &Command) -> io::Result<(Figures, Vec<u8>)> {
        run(&mut Command::new("sync"))?;
        let mut measured = Command::new("python3");
        measured.args(["-c", MEASURE]).arg(&self.report).arg(DEADLINE.as_secs().to_string());
        measured.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => measured.env(name, value),
                None => measured.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            measured.current_dir(dir);
        }
        let said = run(&mut measured)?;
        Ok((serde_json::from_slice(&fs::read(&self.report)?)?, said))
    }
}

/// Runs a command that must succeed, and says what it said on standard output.
pub(super) fn run(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", name(command))))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(io::Error::other(format!("{}: {}\n{}", name(command), output.status, String::from_utf8_lossy(&said))))
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    // The program that measures is a page of text.
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).filter(|word| *word != MEASURE).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_measured_with_what_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "python3 -c 'b = bytearray(64 << 20); sum(range(10 ** 6))'; pwd; echo $GREETING"]);
        command.current_dir("/").env("GREETING", "hello");
        let (figures, said) = Meter::new(dir.path()).run(&command).unwrap();
        assert_eq!(said, b"/\nhello\n");
        assert!(figures.wall > 0.0 && figures.cpu > Some(0.0), "{figures:?}");
        assert!(figures.peak > Some(number(64 << 20)), "{figures:?}");
        let mut reader = Command::new("cat");
        reader.arg(std::env::current_exe().unwrap());
        let (figures, said) = Meter::new(dir.path()).run(&reader).unwrap();
        let read = figures.read.unwrap() - number(said.len() as u64);
        assert!((0.0..1e6).contains(&read), "beside the file, the program itself: {figures:?}");
    }

    #[test]
    fn a_program_that_fails_is_an_error_that_says_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such image >&2; exit 3"]);
        let error = Meter::new(dir.path()).run(&command).unwrap_err().to_string();
        assert!(error.contains("no such image") && error.contains("exit status: 3"), "{error}");
        let error = run(&mut Command::new("/nowhere/tool")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/tool"), "{error}");
    }

    #[test]
    fn figures_add_up() {
        let figures = |wall, [cpu, peak, read, written]: [f64; 4], size| Figures {
            wall,
            cpu: Some(cpu),
            peak: Some(peak),
            read: Some(read),
            written: Some(written),
            size,
            ..Figures::default()
        };
        let first = figures(1.0, [2.0, 30.0, 6.0, 4.0], Some(5.0));
        let second = figures(2.0, [1.0, 10.0, 3.0, 4.0], None);
        let then = figures(3.0, [3.0, 30.0, 9.0, 8.0], None);
        assert_eq!(first.then(second), then);
        assert_eq!(first.along(second), Figures { wall: 1.0, size: Some(5.0), ..then });
        let over = figures(0.5, [2.0, 3.0, 2.0, 1.0], None);
        assert_eq!(first.over(second), over);
        let since = second.since(first);
        assert_eq!((since.cpu, since.written, since.peak), (Some(-1.0), Some(0.0), Some(10.0)));
        let often = Figures { rate: Some(300.0), p99: Some(0.001), ..first };
        let seldom = Figures { rate: Some(100.0), p99: Some(0.004), ..first };
        assert_eq!((often.over(seldom).rate, often.over(seldom).p99), (Some(3.0), Some(0.25)));
    }
}
