//! `make bench`: Sealift beside its peers, in figures.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealift_lab::bench::{Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "the bench stopped: {error}");
            ExitCode::FAILURE
        }
    }
}
