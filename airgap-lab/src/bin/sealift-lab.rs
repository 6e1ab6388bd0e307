//! `make lab`: the whole story, with an air gap and a power cut.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealift_lab::lab::{Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "the lab stopped: {error}");
            ExitCode::FAILURE
        }
    }
}
