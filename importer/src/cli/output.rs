//! What a command says: results on standard output, for people or as JSON. Everything else goes to standard error.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};

use indicatif::DecimalBytes;
use sealift_archive::Digest;
use sealift_archive::trust::KeyId;
use sealift_store::printable;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::Error;

/// Widest version in a table, in characters; tables fit 80 columns.
const MAX_CELL: usize = 18;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

#[expect(clippy::unused_self, reason = "all that is said goes through the output, whatever its settings")]
impl Output {
    /// A result: `human` is asked for only where people look.
    pub(super) fn result<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json {
            self.bytes(&sealift_archive::json::to_document(value))
        } else {
            self.bytes(human().as_bytes())
        }
    }

    /// A result that has one form.
    pub(super) fn bytes(self, bytes: &[u8]) -> Result<(), Error> {
        Ok(std::io::stdout().lock().write_all(bytes)?)
    }

    /// Whether somebody sits at a terminal, reads what is said and can answer.
    pub(super) fn is_watched(self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Something to know on the way, on standard error, for people only.
    pub(super) fn remark(self, text: &str) -> Result<(), Error> {
        if !self.json {
            std::io::stderr().lock().write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// Lines of `label  value` under a title, the labels in one column.
#[derive(Debug)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn title(text: impl Display) -> Self {
        Self(format!("{text}\n"))
    }

    pub(super) fn line(mut self, label: &str, value: impl Display) -> Self {
        // Some values come from sticks, such as the names of files.
        let value = printable(&value.to_string());
        writeln!(self.0, "  {label:<11} {value}").expect("a string takes all text");
        self
    }

    pub(super) fn line_if(self, label: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.line(label, value),
            None => self,
        }
    }

    /// A fingerprint, on two lines that are easy to read out.
    pub(super) fn fingerprint(self, digest: &Digest) -> Self {
        let spelt = digest.spelt();
        let (first, second) = spelt.split_at(spelt.len() / 2);
        self.line("fingerprint", first.trim()).line("", second.trim())
    }

    pub(super) fn text(mut self, text: impl Display) -> Self {
        writeln!(self.0, "{text}").expect("a string takes all text");
        self
    }

    /// What to do next, one command a line.
    pub(super) fn next(self, commands: &[String]) -> String {
        commands.iter().fold(self, |lines, command| lines.text(format_args!("next: {command}"))).0
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}

/// `301.2 MB`
pub(super) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `1 blob`, `2 blobs`
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `2026-11-23 02:44:00 UTC`
pub(super) fn instant(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    time.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_else(|_| time.to_string())
}

/// Keys, as people tell them apart.
pub(super) fn keys(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}

/// A version for a table, cut if it is too long for it.
pub(super) fn cell(text: &str) -> String {
    shorten(text, MAX_CELL)
}

/// Text of at most so many characters.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}
