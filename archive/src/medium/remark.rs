//! What there is to be told about the files that an archive was looked for in.

use std::fmt;

use serde::Serialize;

use super::Volume;

/// Something to know about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    /// The file.
    pub file: String,
    /// What is to be known about it.
    #[serde(flatten)]
    pub kind: RemarkKind,
}

/// What can be known about a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "remark", rename_all = "camelCase")]
#[non_exhaustive]
pub enum RemarkKind {
    /// macOS wrote it beside another file, to keep what the file system cannot.
    AppleDouble,
    /// It is a volume of another set.
    OtherSet,
    /// Its header is damaged.
    BadHeader,
    /// Its header contradicts those of the other volumes.
    Contradiction,
    /// It is longer or shorter than its header says, in bytes.
    Cut {
        /// What the header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It is a volume that is there twice.
    Twice {
        /// The volume's number.
        number: u32,
        /// The other one, which is used.
        used: String,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system says.
        why: String,
    },
}

impl Remark {
    pub(super) fn cut(volume: &Volume) -> Self {
        let kind = RemarkKind::Cut { expected: volume.header.file_length(), found: volume.found };
        Self { file: volume.path.display().to_string(), kind }
    }

    /// Whether the file is damaged, not just passed over.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self.kind,
            RemarkKind::BadHeader
                | RemarkKind::Contradiction
                | RemarkKind::Cut { .. }
                | RemarkKind::Unreadable { .. }
        )
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.file)?;
        match &self.kind {
            RemarkKind::AppleDouble => f.write_str("is macOS's own; passed over"),
            RemarkKind::OtherSet => f.write_str("is a volume of another set; passed over"),
            RemarkKind::BadHeader => f.write_str("is a volume with a damaged header; passed over"),
            RemarkKind::Contradiction => f.write_str("contradicts the other volumes; passed over"),
            RemarkKind::Cut { expected, found } => {
                write!(f, "is {found} bytes long, but its header says {expected}")
            }
            RemarkKind::Twice { number, used } => {
                write!(f, "is volume {number}, and so is `{used}`, which is used")
            }
            RemarkKind::Unreadable { why } => write!(f, "cannot be read; passed over: {why}"),
        }
    }
}
