//! Every command that documents, help texts and messages show is one that the programs take.

use std::path::{Path, PathBuf};

use clap::Command;
use fs_err as fs;

use crate::excerpt::{Excerpt, Kind, in_backticks, in_help, in_markdown};
use crate::{ROOMS, programs, read, root, shell};

/// How many there are at least, so that nobody stops looking without a word.
const MIN_IN_DOCUMENTS: usize = 250;
const MIN_IN_HELP: usize = 100;
const MIN_IN_SOURCES: usize = 150;

/// What stands before a command and is not it.
const PREFIXES: [&str; 2] = ["sudo", "exec"];

#[derive(Default)]
struct Verdict {
    seen: usize,
    faults: Vec<String>,
}

impl Verdict {
    fn look_at(&mut self, place: &str, found: Vec<Excerpt>) {
        for Excerpt { line, text, kind } in found {
            for words in shell::commands(&text) {
                let Some(parsed) = parse(&words, kind) else { continue };
                self.seen += 1;
                if let Err(why) = parsed {
                    self.faults.push(format!("{place}:{line}: {}\n{why}", words.join(" ")));
                }
            }
        }
    }

    fn assert(&self, at_least: usize) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(self.seen >= at_least, "only {} commands are found", self.seen);
    }
}

fn parse(words: &[String], kind: Kind) -> Option<Result<(), String>> {
    let skipped =
        words.iter().take_while(|word| PREFIXES.contains(&word.as_str()) || is_assignment(word)).count();
    let words = &words[skipped..];
    match words.first()?.as_str() {
        "make" => Some(words[1..].iter().try_for_each(|target| is_target(target))),
        script @ ("packer/prepare" | "packer/scan") => {
            let options = words[1..].iter().filter(|word| word.starts_with("--"));
            Some(options.clone().try_for_each(|option| is_option_of(script, option)))
        }
        _ => programs::parse(words, kind),
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

fn is_target(target: &str) -> Result<(), String> {
    let rule = format!("{target}:");
    let is = target.starts_with('-') || read("Makefile").lines().any(|line| line.starts_with(&rule));
    if is { Ok(()) } else { Err(format!("the Makefile has no `{target}`")) }
}

fn is_option_of(script: &str, option: &str) -> Result<(), String> {
    let is = read(script).contains(&format!("{option})"));
    if is { Ok(()) } else { Err(format!("{script} does not know `{option}`")) }
}

/// Files below a folder whose names end so.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_command_in_a_document_parses() {
    let mut verdict = Verdict::default();
    let pages = ["README.md", "CONTRIBUTING.md", "archive/FORMAT.md", "packer/README.md", "gitops/README.md"];
    let pages = pages.iter().chain(&["cloud-init/README.md"]).map(|page| root().join(page));
    for page in pages.chain(files(&root().join("docs"), ".md")) {
        let place = page.strip_prefix(root()).expect("a file of the repository").display().to_string();
        verdict.look_at(&place, in_markdown(&fs::read_to_string(&page).expect("a page")));
    }
    verdict.assert(MIN_IN_DOCUMENTS);
}

#[test]
fn every_example_in_a_help_text_parses() {
    fn look(verdict: &mut Verdict, command: &Command, place: &str) {
        let place = format!("{place}{} --help", command.get_name());
        let texts = [
            command.get_about(),
            command.get_long_about(),
            command.get_after_help(),
            command.get_after_long_help(),
        ];
        let options = command.get_arguments().flat_map(|option| [option.get_help(), option.get_long_help()]);
        for text in texts.into_iter().chain(options).flatten() {
            verdict.look_at(&place, in_help(&text.to_string()));
        }
        for inner in command.get_subcommands() {
            look(verdict, inner, place.trim_end_matches("--help"));
        }
    }
    let mut verdict = Verdict::default();
    for program in programs::all() {
        look(&mut verdict, &program, "");
    }
    verdict.assert(MIN_IN_HELP);
}

#[test]
fn every_command_that_a_message_or_a_comment_names_parses() {
    let mut verdict = Verdict::default();
    for source in ROOMS.iter().flat_map(|room| files(&root().join(room).join("src"), ".rs")) {
        let place = source.strip_prefix(root()).expect("a file of the repository").display().to_string();
        verdict.look_at(&place, in_backticks(&fs::read_to_string(&source).expect("a source")));
    }
    verdict.assert(MIN_IN_SOURCES);
}
