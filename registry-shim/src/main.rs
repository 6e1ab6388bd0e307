//! `sealift-registry`: serves what a Sealift store holds.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use sealift_archive::Explain as _;
use sealift_registry_shim::Options;

fn main() -> ExitCode {
    match Options::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit status has to say it alone.
            let _ = writeln!(io::stderr().lock(), "{}", sealift_archive::report(&error));
            ExitCode::from(error.class().exit_status())
        }
    }
}
