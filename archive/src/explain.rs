//! What a person needs from an error: a stable code, the exit status, and what to do next.
//!
//! Every library of Sealift has one error enum that implements [`Explain`]; the binaries print it with
//! [`report`] and exit with [`Class::exit_status`]. Codes never change their meaning and are listed in
//! `docs/errors.md`: `SL01xx` archive and trust, `SL02xx` fetching, `SL03xx` the store, `SL04xx` the vendor's
//! commands, `SL05xx` the appliance's commands, `SL06xx` the registry, `SL07xx` the appliance's image.

use std::error::Error;
use std::{fmt, io};

/// A stable error code, shown as `SL0104`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SL{:04}", self.0)
    }
}

/// What kind of failure it was, for programs: each class has its own exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The work could not be done (disk, input, a program that is missing).
    Failed,
    /// The command line or a file that a person wrote is wrong.
    Usage,
    /// A check said no: damage, a signature, an order that is not allowed. Trying again does not help.
    Refused,
    /// There is not enough room. Nothing was written.
    NoSpace,
    /// Somebody else is at work on the same thing; try again later.
    Busy,
    /// A registry or server could not be reached or did not answer as it must.
    Unreachable,
    /// Part of what it takes is not here yet. What was done stays, and the next run goes on from here.
    Incomplete,
    /// A person or the system asked to stop; the next run goes on from here.
    Interrupted,
}

impl Class {
    /// The process's exit status. 2 is also what the argument parser uses; 130 is 128 + SIGINT.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NoSpace => 4,
            Self::Busy => 5,
            Self::Unreachable => 6,
            Self::Incomplete => 7,
            Self::Interrupted => 130,
        }
    }
}

/// An error that can be explained to a person and to a program.
pub trait Explain: Error {
    /// The stable code.
    fn code(&self) -> Code;
    /// The kind of failure.
    fn class(&self) -> Class;
    /// What to do next, as a sentence without a full stop's worth of ceremony; `None` if the message says it all.
    fn hint(&self) -> Option<String>;
    /// What it is made of, if it is several errors of one run.
    fn parts(&self) -> Vec<&dyn Explain> {
        Vec::new()
    }
}

/// What to do about a disk or medium that does not do what it should; `None` if the message, which names the file, says
/// it all.
#[must_use]
pub fn io_hint(error: &io::Error) -> Option<String> {
    use io::ErrorKind::{
        AlreadyExists, BrokenPipe, DirectoryNotEmpty, InvalidData, InvalidFilename, InvalidInput,
        IsADirectory, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };

    Some(match error.kind() {
        NotFound | AlreadyExists | NotADirectory | IsADirectory | DirectoryNotEmpty | InvalidData
        | InvalidFilename | InvalidInput | BrokenPipe => return None,
        StorageFull | QuotaExceeded => "make room there, then run the command again: what was done stays".into(),
        PermissionDenied => "run it as the user who may do that".into(),
        ReadOnlyFilesystem => "make it writable, or choose another place".into(),
        // EIO and ENODEV have no kind of their own.
        _ => "the disk or medium may be failing or gone (`dmesg` tells): plug it in again or take another one, then run \
              the command again: what was done stays"
            .into(),
    })
}

/// The same for programs: `{"error": {"code", "message", "hint"}}`, on one line; with `errors` in it, of the same form,
/// if they are several.
#[must_use]
pub fn report_json(error: &dyn Explain) -> String {
    fn of(error: &dyn Explain) -> serde_json::Value {
        let (code, message, hint) = (error.code().to_string(), error.to_string(), error.hint());
        let mut value = serde_json::json!({"code": code, "message": message, "hint": hint});
        let parts = error.parts();
        if !parts.is_empty() {
            value["errors"] = parts.into_iter().map(of).collect();
        }
        value
    }
    serde_json::json!({"error": of(error)}).to_string()
}

/// The whole message: what happened, the causes below it, and the hint; of several errors, each and then the sum.
#[must_use]
pub fn report(error: &dyn Explain) -> String {
    let mut parts: Vec<String> = error.parts().into_iter().map(report).collect();
    parts.push(format!("error[{}]: {error}", error.code()));
    let mut text = parts.join("\n");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        // Wrappers often repeat their source in their own message; a person reads it once.
        if !said.contains(&words) {
            text.push_str("\n  because: ");
            text.push_str(&words);
        }
        said = words;
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    // Messages quote documents that nobody has signed yet: no character of them may speak to the terminal.
    let speaks = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if speaks(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OnlyA {
        #[expect(dead_code, reason = "only read by the parser")]
        a: u8,
    }

    #[test]
    fn a_document_does_not_speak_to_the_terminal() {
        let foreign = format!("{{\"a\": 1, \"{}\": 2}}", "\\u001b]0;title\\u0007\\u009b2J");
        let error = crate::json::parse::<OnlyA>("pack.json", foreign.as_bytes(), 1 << 10).unwrap_err();
        let text = report(&error);
        assert!(text.contains("unknown field `\u{FFFD}]0;title\u{FFFD}\u{FFFD}2J`"), "{text:?}");
        assert!(text.starts_with("error[SL0106]: `pack.json` is not valid\n  because: "), "{text:?}");
    }
}
