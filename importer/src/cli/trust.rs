//! `trust pin`.

use std::path::Path;

use sealift_archive::Digest;
use sealift_store::{RootFile, Store};
use serde::Serialize;

use super::Cli;
use super::output::{Lines, Output};
use crate::Error;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pinned {
    version: u64,
    fingerprint: Digest,
    file: String,
    signatures_checked: bool,
}

pub(super) fn pin(cli: &Cli, output: Output, file: &Path) -> Result<(), Error> {
    let file = RootFile::read(&std::path::absolute(file)?)?;
    Store::open_or_create(&cli.store)?.lock("sealiftctl trust pin")?.pin(&file)?;
    let pinned = Pinned {
        version: file.root.version(),
        fingerprint: file.root.digest(),
        file: file.name,
        signatures_checked: file.signatures.is_some(),
    };
    output.result(&pinned, || {
        let signed = if pinned.signatures_checked {
            "by its own root keys"
        } else {
            "not checked: there is no folder `signatures` beside it"
        };
        Lines::title(format_args!("Pinned trust root version {}", pinned.version))
            .line("file", &pinned.file)
            .line("signed", signed)
            .fingerprint(&pinned.fingerprint)
            .text("Compare the fingerprint with the vendor's, by another way than the file came.")
            .next(&["sealiftctl import BUNDLE".to_owned()])
    })
}
