//! What a command says: results on standard output, for people or as JSON. Everything else goes to standard error.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use indicatif::DecimalBytes;
use sealift_archive::{Digest, Progress};
use sealift_fetch::meter::Meter;
use serde::Serialize;

use crate::Error;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// A result: `human` is asked for only where people look.
    pub(super) fn result<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json { self.document(value) } else { self.bytes(human().as_bytes()) }
    }

    /// A document that is JSON in any case.
    #[expect(clippy::unused_self, reason = "results go through the output, whatever its settings")]
    pub(super) fn document<T: Serialize>(self, value: &T) -> Result<(), Error> {
        Ok(std::io::stdout().lock().write_all(&sealift_archive::json::to_document(value))?)
    }

    #[expect(clippy::unused_self, reason = "results go through the output, whatever its settings")]
    pub(super) fn bytes(self, bytes: &[u8]) -> Result<(), Error> {
        Ok(std::io::stdout().lock().write_all(bytes)?)
    }

    /// Shows how far work on `bytes` bytes is, and lets Ctrl-C stop it.
    pub(super) fn meter(self, what: &str, bytes: u64) -> Result<Meter, Error> {
        Ok(Meter::of_command(what, bytes, self.json)?)
    }

    /// Shows nothing of work that takes no long time, and lets Ctrl-C stop it.
    #[expect(clippy::unused_self, reason = "all that a person sees goes through the output")]
    pub(super) fn silent_meter(self, what: &str) -> Result<Arc<dyn Progress>, Error> {
        Ok(Arc::new(Meter::of_command(what, 0, true)?))
    }

    /// A remark on standard error, for people only.
    pub(super) fn remark(self, text: &str) -> Result<(), Error> {
        if !self.json {
            writeln!(std::io::stderr().lock(), "{text}")?;
        }
        Ok(())
    }
}

/// Lines of `label  value`, the labels in one column.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn title(text: &str) -> Self {
        Self(format!("{text}\n"))
    }

    pub(super) fn line(mut self, label: &str, value: impl std::fmt::Display) -> Self {
        use std::fmt::Write as _;

        writeln!(self.0, "  {label:<10} {value}").expect("a string takes all text");
        self
    }

    /// A fingerprint, on two lines that are easy to read out.
    pub(super) fn fingerprint(self, digest: &Digest) -> Self {
        let spelt = digest.spelt();
        let (first, second) = spelt.split_at(spelt.len() / 2);
        self.line("digest", first.trim()).line("", second.trim())
    }

    pub(super) fn line_if(self, label: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.line(label, value),
            None => self,
        }
    }

    pub(super) fn end(mut self, text: &str) -> String {
        self.0.push_str(text);
        self.0.push('\n');
        self.0
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// `301.2 MB`
pub(super) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `1 blob`, `3 blobs`
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A path as one would type it.
pub(super) fn path(path: &Path) -> String {
    path.display().to_string()
}
