//! `receipt`.

use std::path::{Path, PathBuf};

use sealift_archive::{Receipt, durable};
use serde::Serialize;

use super::Cli;
use super::output::{Lines, Output};
use crate::Error;

#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
    receipt: &'a Receipt,
}

pub(super) fn receipt(cli: &Cli, output: Output, target: Option<&Path>) -> Result<(), Error> {
    let receipt = cli.store()?.receipt()?;
    let Some(target) = target else { return output.bytes(&receipt.to_bytes()) };
    let file = place(target, &receipt);
    durable::create_dir_all(
        file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?;
    durable::write(&file, &receipt.to_bytes())?;
    output.result(&Written { file: &file, receipt: &receipt }, || {
        let lines = Lines::title("Wrote a receipt").line("file", file.display());
        let lines =
            receipt.releases.iter().fold(lines, |lines, held| lines.line("holds", receipt.name_of(held)));
        lines.text("The vendor gives it to `sealift bundle --base`; there are no secrets in it.").end()
    })
}

/// The file, or one of its own name in a folder.
fn place(target: &Path, receipt: &Receipt) -> PathBuf {
    if durable::is_folder(target) { target.join(receipt.file_name()) } else { target.to_owned() }
}
