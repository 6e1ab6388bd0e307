//! What a person sees of long work, and how that person stops it.
//!
//! On a terminal there is a bar, in a log a line every few seconds, and nothing if told so; all on standard
//! error, and without colours, so that `NO_COLOR` has nothing to switch off. A [`Meter`] needs no network: it
//! watches all work that reports to a [`Progress`].

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use sealift_archive::Progress;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How often a log gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often a bar is drawn when nothing comes, so that it is seen to live.
const TICK_INTERVAL: Duration = Duration::from_millis(250);
const BAR: &str =
    "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
/// Exit status of a process that a signal ends: 128 and the signal's number.
const SIGNAL_STATUS: i32 = 128;

/// All bars of the process, so that they and the lines between them do not overwrite each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether somebody asked to stop. Cheap to clone; clones are one flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The flag that SIGINT (Ctrl-C) and SIGTERM set from now on. A second such signal ends the process at once.
    ///
    /// # Errors
    /// The system does not let us handle the signals.
    pub fn on_signals() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order, as handlers run in the order of their making: the first signal finds the flag
            // unset and sets it, the second one finds it set.
            flag::register_conditional_shutdown(signal, SIGNAL_STATUS + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks, as a signal would.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// A bar that moves.
    Bar,
    /// A line every few seconds.
    Lines,
    /// Not at all.
    Silent,
}

impl Display {
    /// What suits standard error: a bar on a terminal, else lines.
    #[must_use]
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Bar } else { Self::Lines }
    }
}

/// Standard error for log lines, which bars make room for. Use it as the writer of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows how far one piece of work is.
#[derive(Debug)]
pub struct Meter {
    interrupt: Interrupt,
    done: AtomicU64,
    lines: Mutex<Lines>,
    bar: Option<ProgressBar>,
    display: Display,
}

impl Meter {
    /// Begins to show work on `total` bytes; `what` is a word for it, such as `fetching`.
    #[must_use]
    pub fn start(what: &str, total: u64, display: Display, interrupt: &Interrupt) -> Self {
        let bar = (display == Display::Bar).then(|| {
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = BARS.add(ProgressBar::new(total).with_style(style.progress_chars("=> ")));
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(TICK_INTERVAL);
            bar
        });
        Self {
            interrupt: interrupt.clone(),
            done: AtomicU64::new(0),
            lines: Mutex::new(Lines::new(what, total, Instant::now())),
            bar,
            display,
        }
    }

    /// The meter of a command: shown as suits standard error, or not at all, and stopped by Ctrl-C.
    ///
    /// # Errors
    /// The system does not let us handle the signals.
    pub fn of_command(what: &str, total: u64, is_silent: bool) -> io::Result<Self> {
        let display = if is_silent { Display::Silent } else { Display::for_stderr() };
        Ok(Self::start(what, total, display, &Interrupt::on_signals()?))
    }

    /// The work is done: the bar goes, and a line tells how much it was and how long it took.
    pub fn finish(self) {
        if let Ok(mut lines) = self.lines.lock() {
            lines.is_finished = true;
        }
        // The rest is what happens to all meters when they end.
    }

    fn print(&self, line: &str) {
        if self.display != Display::Silent {
            // If nobody can read it, the work itself still counts.
            let _ = writeln!(Stderr, "{line}");
        }
    }
}

impl Progress for Meter {
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match (&self.bar, self.display) {
            (Some(bar), _) => bar.set_position(done),
            // If another thread is at it, that one prints the line.
            (None, Display::Lines) => {
                let line = self.lines.try_lock().ok().and_then(|mut lines| lines.next(done, Instant::now()));
                if let Some(line) = line {
                    self.print(&line);
                }
            }
            (None, _) => {}
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            BARS.remove(bar);
        }
        let done = self.done.load(Ordering::Relaxed);
        let line = self.lines.lock().map(|lines| lines.last(done, Instant::now()));
        if let Ok(line) = line {
            self.print(&line);
        }
    }
}

/// What is said in lines, and when.
#[derive(Debug)]
struct Lines {
    what: String,
    total: u64,
    started: Instant,
    /// When the last line was said, and how much was done then.
    said: (Instant, u64),
    is_finished: bool,
}

impl Lines {
    fn new(what: &str, total: u64, now: Instant) -> Self {
        Self { what: what.to_owned(), total, started: now, said: (now, 0), is_finished: false }
    }

    /// The next line, if it is time for one. Its rate is that since the last line: what an earlier run had done
    /// already comes all at once, and would make an average meaningless.
    fn next(&mut self, done: u64, now: Instant) -> Option<String> {
        let (then, before) = self.said;
        let passed = now.saturating_duration_since(then);
        if passed < LINE_INTERVAL {
            return None;
        }
        self.said = (now, done);
        let rate = per_second(done.saturating_sub(before), passed);
        let percent = (done.saturating_mul(100)).checked_div(self.total).unwrap_or(100);
        let (done_text, total) = (DecimalBytes(done), DecimalBytes(self.total));
        let left = match self.total.saturating_sub(done).checked_div(rate) {
            Some(seconds) => format!(", {} left", HumanDuration(Duration::from_secs(seconds))),
            None => String::new(),
        };
        let (what, rate) = (&self.what, DecimalBytes(rate));
        Some(format!("{what}: {done_text} of {total} ({percent} %), {rate}/s{left}"))
    }

    /// The line at the end.
    fn last(&self, done: u64, now: Instant) -> String {
        let passed = now.saturating_duration_since(self.started);
        let (what, done_text, seconds) = (&self.what, DecimalBytes(done), passed.as_secs_f64());
        if self.is_finished {
            let rate = DecimalBytes(per_second(done, passed));
            format!("{what}: {done_text} in {seconds:.1} s, {rate}/s")
        } else {
            format!("{what}: stopped at {done_text} of {} after {seconds:.1} s", DecimalBytes(self.total))
        }
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_a_line_every_few_seconds_and_one_at_the_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lines = Lines::new("fetching", 100_000_000, start);
        assert_eq!(lines.next(10_000_000, at(1)), None);
        let line = lines.next(50_000_000, at(5)).unwrap();
        assert_eq!(line, "fetching: 50.00 MB of 100.00 MB (50 %), 10.00 MB/s, 5 seconds left");
        assert_eq!(lines.next(60_000_000, at(9)), None);
        let line = lines.next(60_000_000, at(15)).unwrap();
        assert_eq!(line, "fetching: 60.00 MB of 100.00 MB (60 %), 1.00 MB/s, 40 seconds left");
        let line = lines.next(60_000_000, at(20)).unwrap();
        assert_eq!(line, "fetching: 60.00 MB of 100.00 MB (60 %), 0 B/s", "nobody knows how long that takes");
        assert_eq!(lines.last(60_000_000, at(21)), "fetching: stopped at 60.00 MB of 100.00 MB after 21.0 s");
        lines.is_finished = true;
        assert_eq!(lines.last(100_000_000, at(25)), "fetching: 100.00 MB in 25.0 s, 4.00 MB/s");
    }

    #[test]
    fn odd_totals_do_no_harm() {
        let start = Instant::now();
        for (total, done) in [(0, 0), (0, 5), (5, 9), (u64::MAX, u64::MAX), (1, u64::MAX)] {
            let mut lines = Lines::new("x", total, start);
            assert!(lines.next(done, start + LINE_INTERVAL).is_some());
            assert!(!lines.last(done, start).is_empty());
        }
    }

    #[test]
    fn a_signal_is_seen_by_all_meters() {
        let interrupt = Interrupt::on_signals().unwrap();
        let meter = Meter::start("waiting", 1, Display::Silent, &interrupt);
        assert!(meter.go_on().is_ok());
        signal_hook::low_level::raise(SIGINT).unwrap();
        assert!(meter.is_interrupted() && meter.go_on().is_err());
    }
}
