//! Telling the story: places, steps, what came of each, and how long it took.

use std::io::{self, Write as _};
use std::time::Instant;

/// Width of the names of steps.
const NAME_WIDTH: usize = 11;
/// Width of what is said about a step; with name and time it fits a terminal of 80 columns.
const TEXT_WIDTH: usize = 57;

/// A story that is being told on standard output.
#[derive(Debug)]
pub(crate) struct Story {
    begun: Instant,
    out: io::Stdout,
}

impl Story {
    pub(crate) fn begin(title: &str) -> io::Result<Self> {
        let mut story = Self { begun: Instant::now(), out: io::stdout() };
        story.say(&format!("{title}\n"))?;
        Ok(story)
    }

    pub(crate) fn place(&mut self, name: &str) -> io::Result<()> {
        self.say(&format!("\n{name}\n"))
    }

    /// Does a step and tells of it.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        act: impl FnOnce() -> io::Result<(String, T)>,
    ) -> io::Result<T> {
        let begun = Instant::now();
        let (text, result) = act()?;
        let seconds = begun.elapsed().as_secs_f64();
        self.say(&format!("  {name:<NAME_WIDTH$} {text:<TEXT_WIDTH$} {seconds:>6.2} s\n"))?;
        Ok(result)
    }

    pub(crate) fn end(mut self, text: &str) -> io::Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.say(&format!("\nDone in {seconds:.1} s. {text}\n"))
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// `41.2 MB`
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people, one decimal")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.1} MB")
}
