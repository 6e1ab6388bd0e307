//! The words of a release that end up in file names, URLs and refs; each type holds only values that are safe there.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Longest product, version or repository name, in characters.
const MAX_NAME: usize = 63;
/// Longest line of text, in characters.
const MAX_LINE: usize = 300;
/// Longest file name, folders included, in characters.
const MAX_FILE_NAME: usize = 255;

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let allowed: fn(&str) -> bool = $allowed;
                if allowed(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::BadValue { what: $what, value: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// What a vendor ships: `acme-appliance`.
    Product,
    "a product name",
    "up to 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
    |text| is_name(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-.")
);
text_type!(
    /// What people write on one line: a reason.
    Line,
    "a line of text",
    "1 to 300 characters, none of which controls anything",
    |text| !text.is_empty() && text.chars().count() <= MAX_LINE && !text.chars().any(char::is_control)
);
text_type!(
    /// A release's version as people say it: `1.5.0`, `v1.36.4+k3s1`. Order comes from [`Sequence`], not from here.
    Version,
    "a version",
    "up to 63 letters, digits, `.`, `+`, `-` and `_`, with a letter or digit at both ends",
    |text| is_name(text, |b| b.is_ascii_alphanumeric(), b".+-_")
);
text_type!(
    /// The name of a Git repository: served as `/git/<name>.git`, kept as `git/<name>.git`.
    RepositoryName,
    "a repository name",
    "up to 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, not ending in `.git`",
    |text| is_name(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-_.") && text.rsplit_once('.').is_none_or(|(_, end)| end != "git")
);
text_type!(
    /// A Git object's name: 40 hexadecimal characters (SHA-1 repositories).
    ObjectId,
    "a Git object id",
    "40 lower-case hexadecimal characters",
    |text| text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);
text_type!(
    /// An operating system and architecture as OCI writes them: `linux/amd64`, `linux/arm/v7`.
    Platform,
    "a platform",
    "os/architecture or os/architecture/variant, in lower-case letters, digits, `.` and `_`",
    |text| {
        let parts: Vec<&str> = text.split('/').collect();
        (2..=3).contains(&parts.len())
            && parts.iter().all(|p| is_name(p, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"._-"))
    }
);

text_type!(
    /// The name of a file of a release: served as `/files/<name>`, with folders between slashes.
    FileName,
    "a file name",
    "up to 255 letters, digits and `._-+=@~,` between slashes, no part of it empty or beginning with `.` or `-`",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+=@~,".contains(&b);
        text.len() <= MAX_FILE_NAME
            && text
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with(['.', '-']) && part.bytes().all(allowed))
    }
);

fn is_name(text: &str, at_ends: fn(u8) -> bool, inside: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= MAX_NAME
        && at_ends(first)
        && at_ends(last)
        && bytes.iter().all(|&b| at_ends(b) || inside.contains(&b))
        // `..` is harmless inside a name, but no reader should have to think about it.
        && !text.contains("..")
}

/// The number that only grows: a release is taken only above the active one. From 1 to 2^53 − 1, so that every
/// JSON parser reads it exactly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(with = "u64")]
pub struct Sequence(u64);

impl Sequence {
    /// The first sequence.
    pub const FIRST: Self = Self(1);
    /// The largest sequence.
    pub const MAX: u64 = (1 << 53) - 1;

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Sequence {
    type Error = Error;

    fn try_from(number: u64) -> Result<Self, Error> {
        if (1..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Error::BadValue {
                what: "a sequence",
                value: number.to_string(),
                rule: "a whole number from 1 to 2^53 - 1",
            })
        }
    }
}

impl From<Sequence> for u64 {
    fn from(sequence: Sequence) -> Self {
        sequence.0
    }
}

impl FromStr for Sequence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Only the canonical spelling: it is a directory name, and `015` is not `15`.
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => number.try_into(),
            _ => Err(Error::BadValue {
                what: "a sequence",
                value: text.to_owned(),
                rule: "a whole number from 1 to 2^53 - 1",
            }),
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A release as people speak of it: `acme-appliance 1.5.0 (15)`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReleaseName {
    /// The product.
    pub product: Product,
    /// Its version.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (sequence {})", self.product, self.version, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_file_names() {
        for good in ["acme", "acme-appliance", "a.b", "7"] {
            assert!(good.parse::<Product>().is_ok(), "{good}");
        }
        for wrong in ["", ".", "..", "a..b", "-a", "a-", "A", "a/b", "a b", "a\0", "ä", &"a".repeat(64)] {
            assert!(wrong.parse::<Product>().is_err(), "{wrong} is a product");
            assert!(wrong == "A" || wrong.parse::<Version>().is_err(), "{wrong} is a version");
            assert!(wrong.parse::<RepositoryName>().is_err(), "{wrong} is a repository");
        }
        assert!("fleet.git".parse::<RepositoryName>().is_err());
        for (text, good) in [
            ("operator.pdf", true),
            ("k3s/v1.36.4+k3s1/k3s", true),
            ("", false),
            ("/a", false),
            ("a//b", false),
            ("a/", false),
            ("a/../b", false),
            ("a/.b", false),
            ("-a", false),
            ("a b", false),
            ("a\\b", false),
            ("a\nb", false),
        ] {
            assert_eq!(text.parse::<FileName>().is_ok(), good, "{text}");
        }
        for (text, good) in
            [("linux/amd64", true), ("linux/arm/v7", true), ("linux", false), ("linux/../x", false)]
        {
            assert_eq!(text.parse::<Platform>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_sequence_has_one_spelling() {
        for (text, good) in
            [("1", true), ("9007199254740991", true), ("0", false), ("9007199254740992", false)]
        {
            assert_eq!(text.parse::<Sequence>().is_ok(), good, "{text}");
        }
        for wrong in ["", "01", "+1", "-1", "1 ", "1e3"] {
            assert!(wrong.parse::<Sequence>().is_err(), "{wrong}");
        }
    }
}
