//! What was played: chapters, steps, the commands of each, what came of them and how long it took. Told while it happens, and
//! kept for the report.

use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::actors;
use crate::story::Story;

/// Everything that was played.
#[derive(Debug)]
pub(super) struct Book {
    story: Story,
    begun: Instant,
    /// What paths in commands begin with, and nobody wants to read.
    dirs: Vec<String>,
    pub(super) chapters: Vec<Chapter>,
}

/// What happened at one place.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) place: Place,
    pub(super) title: String,
    pub(super) steps: Vec<Step>,
}

/// One thing that was done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    /// As a person would type them.
    pub(super) commands: Vec<String>,
    /// What came of it.
    pub(super) told: String,
    /// When it began, since everything began.
    pub(super) at: Duration,
    pub(super) took: Duration,
}

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Vendor,
    Courier,
    Node(usize),
    Machine,
    Online,
}

impl Place {
    /// As it is called in the report.
    pub(super) fn name(self) -> String {
        match self {
            Self::Vendor => "vendor".to_owned(),
            Self::Courier => "courier".to_owned(),
            Self::Node(number) => format!("node {number}"),
            Self::Machine => "machine".to_owned(),
            Self::Online => "online".to_owned(),
        }
    }
}

impl Book {
    /// With a title; paths below `dirs` are told without them.
    pub(super) fn begin(title: &str, dirs: &[&Path]) -> io::Result<Self> {
        let mut dirs: Vec<String> = dirs.iter().map(|dir| format!("{}/", dir.display())).collect();
        // The longest first: one may be in another.
        dirs.sort_by_key(|dir| std::cmp::Reverse(dir.len()));
        Ok(Self { story: Story::begin(title)?, begun: Instant::now(), dirs, chapters: Vec::new() })
    }

    /// Goes somewhere.
    pub(super) fn chapter(&mut self, place: Place, title: &str) -> io::Result<()> {
        self.story.place(title)?;
        self.chapters.push(Chapter { place, title: title.to_owned(), steps: Vec::new() });
        Ok(())
    }

    /// Does a step there; the first half of what it gives back is told.
    pub(super) fn step<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Hand) -> io::Result<(String, T)>,
    ) -> io::Result<T> {
        let (at, begun) = (self.begun.elapsed(), Instant::now());
        let mut hand = Hand { dirs: &self.dirs, commands: Vec::new() };
        let mut told = String::new();
        let result = self.story.step(name, || {
            let (text, result) = act(&mut hand)?;
            told.clone_from(&text);
            Ok((text, result))
        })?;
        let step = Step { name: name.to_owned(), commands: hand.commands, told, at, took: begun.elapsed() };
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.steps.push(step);
        }
        Ok(result)
    }

    /// Ends it.
    pub(super) fn end(self, text: &str) -> io::Result<Vec<Chapter>> {
        self.story.end(text)?;
        Ok(self.chapters)
    }
}

/// Runs commands, and writes down which.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    dirs: &'a [String],
    commands: Vec<String>,
}

impl Hand<'_> {
    /// Runs a command that must succeed.
    pub(super) fn run(&mut self, command: &mut Command) -> io::Result<Output> {
        self.note(command);
        actors::run(command)
    }

    /// Runs a command that must succeed, and reads its JSON.
    pub(super) fn json(&mut self, command: &mut Command) -> io::Result<Value> {
        Ok(serde_json::from_slice(&self.run(command)?.stdout)?)
    }

    /// Runs a command that must be refused with this exit status.
    pub(super) fn refused(&mut self, command: &mut Command, status: i32) -> io::Result<Output> {
        self.note(command);
        let output = command.output()?;
        if output.status.code() == Some(status) {
            Ok(output)
        } else {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Err(io::Error::other(format!(
                "{command:?} ended with {}, not with {status}\n{said}",
                output.status
            )))
        }
    }

    /// Writes down a command that is run by somebody else.
    pub(super) fn note(&mut self, command: &Command) {
        self.commands.push(words(command, self.dirs));
    }
}

/// A command as a person would type it at its place.
fn words(command: &Command, dirs: &[String]) -> String {
    let all: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // Whoever sits at a node knows nothing of its namespace.
    let behind = all.iter().position(|word| word == "--").filter(|_| all[0].ends_with("nsenter"));
    let own = &all[behind.map_or(0, |place| place + 1)..];
    let short = |word: &String| dirs.iter().fold(word.clone(), |word, dir| word.replace(dir.as_str(), ""));
    let quoted = |word: String| if word.contains([' ', '{']) { format!("'{word}'") } else { word };
    own.iter().map(short).map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_as_a_person_types_them() {
        let dirs = ["/target/lab/".to_owned(), "/target/".to_owned()];
        let mut far = Command::new("nsenter");
        far.args(["--net=/run/netns/x", "--", "/target/sealiftctl", "--store", "/target/lab/node-1/store"]);
        assert_eq!(words(&far, &dirs), "sealiftctl --store node-1/store");
        let mut near = Command::new("nft");
        near.arg("add element { 10.0.0.0/8 }");
        assert_eq!(words(&near, &dirs), "nft 'add element { 10.0.0.0/8 }'");
    }

    #[test]
    fn a_refusal_has_to_be_the_right_one() {
        let mut hand = Hand { dirs: &[], commands: Vec::new() };
        let exit = |status: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exit {status}")]);
            command
        };
        assert!(hand.refused(&mut exit("3"), 3).is_ok());
        assert!(hand.refused(&mut exit("0"), 3).is_err(), "it was to be refused");
        assert!(hand.run(&mut exit("1")).is_err());
        assert_eq!(hand.commands.len(), 3);
    }
}
