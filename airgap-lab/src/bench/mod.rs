//! `make bench`: time, CPU, memory and bytes of making, importing, mirroring and serving releases, beside what others take for it.
//!
//! Nothing here passes or fails: machines differ, so what counts is the ratio to a peer that did the same work a
//! moment before, on the same machine. The bars that were set are printed beside the figures.
//! Everything lies in `target/bench` and is gone at the end; all traffic stays on loopback.

mod chapters;
mod client;
mod content;
mod machine;
mod measure;
mod mirroring;
mod peers;
mod scratch;
mod sealift;
mod serve;
mod server;
mod stick;
mod table;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use fs_err as fs;
use serde::Serialize;

use chapters::Bench;
use machine::{Machine, Ticks};
use measure::Meter;
use peers::Peers;
use scratch::Scratch;
use sealift::{Programs, Vendor};
use stick::Stick;
use table::Chapter;

/// What the large release takes on disk, with some room: in the registry, as an archive, in the store.
const LARGE_NEEDS_BYTES: u64 = 10_000_000_000;

/// Measures Sealift beside its peers: median (least–most) of paired runs
#[derive(Debug, Parser)]
#[command(name = "sealift-bench")]
pub struct Options {
    /// Paired runs that count; one more comes before, to warm up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Write the raw figures into a file, in seconds and bytes
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure only these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Question>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Question {
    /// Four images into an archive
    Create,
    /// The archive into a store
    Import,
    /// The same from a slow medium
    Medium,
    /// From the vendor's site, with and without news
    Mirroring,
    /// Forty images over a line with latency
    Latency,
    /// Two gigabytes, for memory and for verifying
    Size,
    /// From ten blobs to ten thousand
    Growth,
    /// Content and manifests over HTTP, and memory
    Serve,
}

/// All that was measured, for programs.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    runs: u16,
    chapters: Vec<Chapter>,
}

/// Measures and prints.
///
/// # Errors
/// A peer that is missing, or a program that failed, with what it said.
pub fn run(options: &Options) -> io::Result<()> {
    let programs = Programs::built()?;
    let peers = Peers::find()?;
    let scratch = Scratch::new(programs.target().join("bench"))?;
    let meter = Meter::new(scratch.path());
    let vendor = Vendor::new(programs, scratch.path())?;
    let bench = Bench { scratch, meter, vendor, peers, runs: options.runs.into() };
    let machine = Machine::this()?;
    say(&format!(
        "{}; page cache warm\n{} paired runs after one to warm up: median (least–most)\n",
        machine.text(),
        options.runs
    ))?;
    let mut report = Report { machine, runs: options.runs, chapters: Vec::new() };
    for question in Question::value_variants() {
        if options.only.is_empty() || options.only.contains(question) {
            for chapter in answer(&bench, *question)? {
                say(&format!("\n{}", chapter.text()))?;
                report.chapters.push(chapter);
            }
        }
    }
    match &options.json {
        Some(file) => fs::write(file, serde_json::to_vec_pretty(&report)?),
        None => Ok(()),
    }
}

fn answer(bench: &Bench, question: Question) -> io::Result<Vec<Chapter>> {
    let before = Ticks::now()?;
    let mut chapters = match question {
        Question::Create => vec![bench.create()?],
        Question::Import => vec![bench.import()?],
        Question::Medium if !Stick::is_allowed() => return Ok(vec![no_mount()]),
        Question::Medium => vec![bench.medium()?],
        Question::Mirroring => bench.mirroring()?.into(),
        Question::Growth => vec![bench.growth()?],
        Question::Serve => bench.serve()?.into(),
        Question::Latency => bench.latency()?.into(),
        Question::Size => match free_bytes(bench)? {
            free if free < LARGE_NEEDS_BYTES => return Ok(vec![no_room(free)]),
            _ => bench.size()?.into(),
        },
    };
    let others = Ticks::now()?.others_since(before);
    if let Some(chapter) = chapters.last_mut() {
        chapter.remark(format!("meanwhile, others used {others} % of the machine"));
    }
    Ok(chapters)
}

fn free_bytes(bench: &Bench) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(bench.scratch.path())?;
    Ok(disk.f_bavail * disk.f_frsize)
}

fn no_room(free: u64) -> Chapter {
    let (needed, free) = (LARGE_NEEDS_BYTES / 1_000_000_000, free / 1_000_000_000);
    Chapter::new("size", format!("left out: it needs {needed} GB of disk, and {free} GB are free"))
}

fn no_mount() -> Chapter {
    Chapter::new("medium", "left out: only root may mount a medium that is slow".to_owned())
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
