//! `make demo`: the whole story on one machine, in a page.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match sealift_lab::demo::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "the demo stopped: {error}");
            ExitCode::FAILURE
        }
    }
}
