//! What no honest writer makes, whoever signed it. Damage looks different: a hash or a checksum is wrong then. Here
//! they are right, or nothing has been hashed yet, and the bytes ask for what the format does not grant.
//!
//! Each way to lie has a code of its own, so that a report says what was tried.

use crate::explain::Code;
use crate::{Digest, Error};

/// Longest name from outside that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// What is wrong with an archive that is not merely damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A JSON object has a key twice: two parsers could read two documents under one signature.
    #[error("`{document}` has the key `{key}` twice in one object")]
    DuplicateKey {
        /// The document's name.
        document: String,
        /// The key.
        key: String,
    },
    /// The head does not fit into its area, in bytes.
    #[error("the head says that it is {size} bytes long, there is room for {limit}")]
    HeadTooLarge {
        /// Length of its frame.
        size: u64,
        /// The most that it may be.
        limit: u64,
    },
    /// A tar member has a name that could lead out of a folder, or that two readers could read differently.
    #[error("{part} has a member named `{name}`: {rule}")]
    BadMemberName {
        /// The stretch of the tar stream: `the head`.
        part: &'static str,
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A tar member is a link, a device, or anything else than a file.
    #[error("{part} has a member `{name}` that is {kind}, not a file")]
    NotAFile {
        /// The stretch of the tar stream.
        part: &'static str,
        /// The member's name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A tar stream has other bytes than a writer of its members would make.
    #[error("{part} is not in the form of the format, from byte {offset} of its content on")]
    ForeignTar {
        /// The stretch of the tar stream.
        part: &'static str,
        /// Where the header or padding begins that is different.
        offset: u64,
    },
    /// A member is there that should not be, a second time, or in the wrong place.
    #[error("{part} has a member `{name}` that does not belong there")]
    UnexpectedMember {
        /// The stretch of the tar stream.
        part: &'static str,
        /// The member's name.
        name: String,
    },
    /// A member that must be there is not, or not in its place.
    #[error("{part} does not have `{name}` in its place")]
    MissingMember {
        /// The stretch of the tar stream.
        part: &'static str,
        /// The member's name.
        name: String,
    },
    /// Something begins before the end of what stands ahead of it.
    #[error("in {part}, {item} begins at byte {start}, inside of what ends at {end}")]
    Overlap {
        /// What says so: `the contents`.
        part: &'static str,
        /// What it is: `blob 17`.
        item: String,
        /// Where it is said to begin.
        start: u64,
        /// Where what stands ahead of it ends.
        end: u64,
    },
    /// There are bytes that nothing is said about.
    #[error("in {part}, nothing is said about the bytes from {start} to {end}, ahead of {item}")]
    Gap {
        /// What says so: `the contents`.
        part: &'static str,
        /// What stands behind the gap: `blob 17`.
        item: String,
        /// The first of these bytes.
        start: u64,
        /// The first byte behind them.
        end: u64,
    },
    /// Something is said to lie where nothing is, or to belong to what is not there.
    #[error("in {part}, {item} points where nothing is: {why}")]
    Outside {
        /// What says so: `the contents`.
        part: &'static str,
        /// What it is: `blob 17`.
        item: String,
        /// What it points at, and what there is.
        why: String,
    },
    /// A length that cannot be true.
    #[error("in {part}, {item} cannot be {length} bytes long: {why}")]
    FalseLength {
        /// What says so: `the contents`.
        part: &'static str,
        /// What it is: `frame 17`.
        item: String,
        /// The length, in bytes.
        length: u64,
        /// Why that cannot be.
        why: String,
    },
    /// A table has another length than its counts say, in bytes.
    #[error("in {part}, the counts make {counted} bytes, and there are {found}")]
    Miscounted {
        /// The table: `the contents`.
        part: &'static str,
        /// The length that follows from its counts.
        counted: u64,
        /// The length that it has.
        found: u64,
    },
    /// Compressed bytes are not one zstd frame with a checksum and the content size that was announced.
    #[error("{part} is not one zstd frame with a content of {announced} bytes")]
    NotOneFrame {
        /// The part of the archive: `frame 17`.
        part: String,
        /// The size that signed tables give it.
        announced: u64,
    },
    /// A zstd frame asks for more memory than a reader grants, in bytes.
    #[error("{part} asks for a window of {window} bytes, the limit is {limit}")]
    WindowTooLarge {
        /// The part of the archive.
        part: String,
        /// The window that its header declares.
        window: u64,
        /// The limit.
        limit: u64,
    },
    /// Filler stands where none may be, or there is more of it than may be.
    #[error("{part} has filler that does not belong there")]
    StrayFiller {
        /// The part of the archive.
        part: String,
    },
    /// The packing does not list just the statements that stand in the head.
    #[error("the packing lists other statements than those in the head")]
    OtherStatements,
    /// The archive holds content that is on no signed blob list, or a second time.
    #[error("the contents have {digest}, which is on no signed blob list or stands there already")]
    UnlistedBlob {
        /// The content.
        digest: Digest,
    },
    /// The frames of a chained blob do not hold just this blob, or their hashes do not lead to its digest.
    #[error("in {part}, {blob} is not chained as it says: {why}")]
    BrokenChain {
        /// What says so: `the contents`.
        part: &'static str,
        /// The blob.
        blob: Digest,
        /// What is wrong with its frames.
        why: &'static str,
    },
    /// The hash of a frame is right, and yet it does not hold what is said of it.
    #[error("frame {frame} of `{file}` holds something else than the tables say")]
    FalseFrame {
        /// The file.
        file: String,
        /// Number of the frame.
        frame: u32,
    },
}

impl Malformed {
    pub(crate) fn code(&self) -> Code {
        Code(match self {
            Self::DuplicateKey { .. } => 138,
            Self::HeadTooLarge { .. } => 139,
            Self::BadMemberName { .. } => 140,
            Self::NotAFile { .. } => 141,
            Self::ForeignTar { .. } => 142,
            Self::UnexpectedMember { .. } => 143,
            Self::MissingMember { .. } => 144,
            Self::Overlap { .. } => 145,
            Self::Gap { .. } => 146,
            Self::Outside { .. } => 147,
            Self::FalseLength { .. } => 148,
            Self::Miscounted { .. } => 149,
            Self::NotOneFrame { .. } => 150,
            Self::WindowTooLarge { .. } => 151,
            Self::StrayFiller { .. } => 152,
            Self::OtherStatements => 153,
            Self::UnlistedBlob { .. } => 154,
            Self::FalseFrame { .. } => 155,
            Self::BrokenChain { .. } => 176,
        })
    }

    /// Bytes of a tar stream that are not those of the format.
    pub(crate) fn foreign(part: &'static str, offset: u64) -> Error {
        Self::ForeignTar { part, offset }.into()
    }

    /// A member that does not belong where it stands; its name comes from outside.
    pub(crate) fn unexpected(part: &'static str, name: &str) -> Error {
        Self::UnexpectedMember { part, name: shown(name) }.into()
    }

    /// A member that is not where it must be.
    pub(crate) fn missing(part: &'static str, name: &str) -> Error {
        Self::MissingMember { part, name: name.to_owned() }.into()
    }

    /// Something begins at `start`, where what stands ahead of it ends at `end`: the two must be the same.
    pub(crate) fn place(part: &'static str, item: String, start: u64, end: u64) -> Result<(), Error> {
        match start.cmp(&end) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(Self::Overlap { part, item, start, end }.into()),
            std::cmp::Ordering::Greater => Err(Self::Gap { part, item, start: end, end: start }.into()),
        }
    }
}

/// Text of a stranger as it may be shown: no character of it speaks to a terminal, and it ends somewhere.
pub(crate) fn shown(text: &str) -> String {
    text.escape_debug().take(MAX_SHOWN).collect()
}
