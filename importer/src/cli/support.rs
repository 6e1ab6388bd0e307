//! `support-bundle`.

use std::path::{Path, PathBuf};

use clap::Args;
use sealift_archive::durable;
use serde::Serialize;

use super::Cli;
use super::output::{Lines, Output, size};
use crate::Error;
use crate::support::{Manifest, SupportBundle};

#[derive(Debug, Args)]
#[command(after_help = "\
It holds a fixed list of documents, without keys, passwords or content; what others wrote, such as
logs, goes through a filter. Nothing is sent: look at it, then send it yourself.

Examples:
  sealiftctl support-bundle --list               what would be in it, and what not
  sealiftctl support-bundle -o /media/stick/
  tar --zstd -xOf sealift-support-*.tar.zst      read all of it")]
pub(super) struct SupportArgs {
    /// File to write to, or the folder for it
    #[arg(short, long, value_name = "DIR|FILE", default_value = "./")]
    output: PathBuf,
    /// Say what would be in it, and stop
    #[arg(long)]
    list: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

pub(super) fn bundle(cli: &Cli, output: Output, args: &SupportArgs) -> Result<(), Error> {
    let bundle = SupportBundle::gather(&cli.store, cli.config.as_deref());
    let file = (!args.list).then(|| bundle.place(&args.output));
    if let Some(file) = &file {
        durable::create_dir_all(durable::parent_of(file))?;
        bundle.write(file)?;
    }
    let manifest = bundle.manifest();
    output.result(&Written { file: file.as_deref(), manifest }, || describe(file.as_deref(), manifest))
}

fn describe(file: Option<&Path>, manifest: &Manifest) -> String {
    let title = match file {
        Some(file) => format!("Wrote {}", file.display()),
        None => "A support bundle would hold".to_owned(),
    };
    let lines = manifest.contents.iter().fold(Lines::title(title), |lines, item| {
        lines.text(format_args!("  {:<18}  {:>9}  {}", item.name, size(item.bytes as u64), item.what))
    });
    let lines = manifest.left_out.iter().fold(lines.text("Not in it:"), |lines, item| {
        lines.text(format_args!("  {}: {}", item.what, item.why))
    });
    match file {
        Some(file) => {
            lines.text(format_args!("Look at it before you send it: tar --zstd -xOf {}", file.display()))
        }
        None => lines,
    }
    .end()
}
