//! `sealiftctl`: keeps an appliance's store: verifies, loads, activates, rolls back.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealift_archive::Explain as _;
use sealift_importer::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit status has to say it alone.
            let _ = writeln!(std::io::stderr().lock(), "{}", cli.describe(&error));
            ExitCode::from(error.class().exit_status())
        }
    }
}
