//! What may be wrong with an overlay.

use std::fmt;

use serde::{Serialize, Serializer};

use sealift_archive::{Class, Code, Explain};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A key differs that is not among those that may.
    NotListed,
    /// More keys differ than may.
    TooMany,
    /// A construct that is not understood, so nobody can tell what it changes.
    NotUnderstood,
    /// A path that is not followed: a link, a circle, one that leads out, or to nothing.
    NotFollowed,
    /// The file of keys is none.
    BadKeys,
    /// A patch that changes nothing.
    HitsNothing,
}

impl Fault {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> Code {
        Code(match self {
            Self::NotListed => 770,
            Self::TooMany => 772,
            Self::NotUnderstood => 774,
            Self::NotFollowed => 775,
            Self::BadKeys => 777,
            Self::HitsNothing => 778,
        })
    }

    fn hint(self) -> &'static str {
        match self {
            Self::NotListed => {
                "move it into the base or the chart; if an overlay may change it, list it in the file of `overlays.keys`"
            }
            Self::TooMany => {
                "move what they have in common into the base or the chart; or raise `overlays.maxKeys`"
            }
            Self::NotUnderstood => {
                "an overlay has `resources` and `patches`: strategic merges of maps, or add, replace and remove of JSON6902"
            }
            Self::NotFollowed => "name files and folders that lie in the delivered folder",
            Self::BadKeys => {
                "write `keys:` and a list of `Kind/name/path`, in which `*` stands for any one part"
            }
            Self::HitsNothing => "correct kind, name, namespace or path; or remove the patch",
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.code())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of fault it is.
    #[serde(rename = "code")]
    pub fault: Fault,
    /// The overlay, or the base, as the definition names it; the file of keys.
    pub overlay: String,
    /// The key, or the file and where in it.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// What is wrong with overlays, one error for each kind of fault; all of it has been listed.
#[derive(Debug, thiserror::Error)]
#[error("{finding}{}", and_more(*more))]
pub struct Error {
    /// The first.
    pub finding: Finding,
    /// How many more there are of this kind.
    pub more: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "overlay `{}`: `{}` {}", self.overlay, self.place, self.why)
    }
}

/// Text of somebody else's, without what would move a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!("; and {more} more like it") }
}

impl Explain for Error {
    fn code(&self) -> Code {
        self.finding.fault.code()
    }

    fn class(&self) -> Class {
        Class::Failed
    }

    fn hint(&self) -> Option<String> {
        Some(self.finding.fault.hint().to_owned())
    }
}

/// What ends the reading of one overlay.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) fault: Fault,
    pub(super) place: String,
    pub(super) why: String,
}

impl Stop {
    pub(super) fn new(fault: Fault, place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { fault, place: shown(&place.into()), why: shown(&why.into()) }
    }

    pub(super) fn not_understood(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Fault::NotUnderstood, place, why)
    }

    pub(super) fn not_followed(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Fault::NotFollowed, place, why)
    }

    pub(super) fn in_overlay(self, overlay: &str) -> Finding {
        Finding { fault: self.fault, overlay: overlay.to_owned(), place: self.place, why: self.why }
    }
}
