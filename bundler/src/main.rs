//! `sealift`: packs releases for places without internet.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use sealift_bundler::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.start_logging();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit status has to say it alone.
            let _ = writeln!(std::io::stderr().lock(), "{}", cli.describe(&error));
            ExitCode::from(sealift_archive::Explain::class(&error).exit_status())
        }
    }
}
