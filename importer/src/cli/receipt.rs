//! `receipt`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sealift_archive::age::{self, Recipient};
use sealift_archive::{Receipt, durable};
use serde::Serialize;

use super::Cli;
use super::output::{Lines, Output};
use crate::Error;

/// How names of encrypted files end.
const AGE_SUFFIX: &str = ".age";

#[derive(Debug, Args)]
#[command(after_help = "\
A receipt names the releases that are complete here, by the digests of their statements, and
nothing else; it is a few hundred bytes of JSON, to be carried to the vendor by any way.
If the configuration names a `recipient`, it is encrypted for that key, and `age` can read it, too.

Examples:
  sealiftctl receipt                     print it
  sealiftctl receipt -o /media/stick/    write PRODUCT-VERSION.receipt.json onto a stick
  sealiftctl receipt --plain             look at what would be encrypted")]
pub(super) struct ReceiptArgs {
    /// File to write to, or the folder for it; without it, standard output
    #[arg(short, long, value_name = "DIR|FILE")]
    output: Option<PathBuf>,
    /// Do not encrypt it, whatever the configuration says
    #[arg(long)]
    plain: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    file: &'a Path,
    receipt: &'a Receipt,
    /// For whom it was encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a Recipient>,
}

pub(super) fn receipt(cli: &Cli, output: Output, args: &ReceiptArgs) -> Result<(), Error> {
    let recipient = cli.config()?.receipt.recipient.filter(|_| !args.plain);
    let receipt = cli.store()?.receipt()?;
    let mut bytes = receipt.to_bytes();
    if let Some(recipient) = &recipient {
        bytes = age::seal(recipient, &bytes)
            .map_err(|error| Error::NotEncrypted { recipient: recipient.clone(), error })?;
    }
    let Some(target) = &args.output else {
        if recipient.is_some() && std::io::stdout().is_terminal() {
            return Err(Error::NotForTerminals);
        }
        return output.bytes(&bytes);
    };
    let file = place(target, &receipt, recipient.is_some());
    durable::create_dir_all(durable::parent_of(&file))?;
    durable::write(&file, &bytes)?;
    output.result(&Written { file: &file, receipt: &receipt, recipient: recipient.as_ref() }, || {
        let lines = Lines::title("Wrote a receipt").line("file", file.display());
        let lines =
            receipt.releases.iter().fold(lines, |lines, held| lines.line("holds", receipt.name_of(held)));
        let last = match &recipient {
            Some(recipient) => format!("Only {recipient} can read it."),
            None => "There are no secrets in it.".to_owned(),
        };
        lines.text(last).text("The vendor gives it to `sealift bundle --base`.").end()
    })
}

/// The file, or one of its own name in a folder.
fn place(target: &Path, receipt: &Receipt, is_sealed: bool) -> PathBuf {
    if !durable::is_folder(target) {
        return target.to_owned();
    }
    let mut name = OsString::from(receipt.file_name());
    if is_sealed {
        name.push(AGE_SUFFIX);
    }
    target.join(name)
}
