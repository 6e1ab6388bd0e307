//! Versions of k3s: `v1.36.4+k3s1`, in their order.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of k3s, or of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u32; 3],
    /// `rc1`: before what has none.
    early: Option<String>,
    /// The 2 of `+k3s2`; 0 if there is none.
    build: u32,
    text: String,
}

impl Version {
    /// The 36 of `v1.36.4+k3s1`.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.numbers[1]
    }

    /// The 1.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.numbers[0]
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no version of k3s such as `v1.36.4+k3s1`");
        let (rest, build) = match text.split_once('+') {
            Some((rest, build)) => (rest, build.strip_prefix("k3s").and_then(number).ok_or_else(wrong)?),
            None => (text, 0),
        };
        let (rest, early) = match rest.split_once('-') {
            Some((rest, early)) if is_word(early) => (rest, Some(early.to_owned())),
            Some(_) => return Err(wrong()),
            None => (rest, None),
        };
        let numbers: Option<Vec<u32>> =
            rest.strip_prefix('v').ok_or_else(wrong)?.split('.').map(number).collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)?;
        Ok(Self { numbers, early, build, text: text.to_owned() })
    }
}

fn number(text: &str) -> Option<u32> {
    // `parse` would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_word(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let early = match (&self.early, &other.early) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => (one.len(), one).cmp(&(two.len(), two)),
        };
        self.numbers.cmp(&other.numbers).then(early).then(self.build.cmp(&other.build))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_an_order() {
        let ordered = [
            "v1.33.9+k3s1",
            "v1.33.10+k3s1",
            "v1.34.0-rc1+k3s1",
            "v1.34.0-rc2+k3s1",
            "v1.34.0+k3s1",
            "v1.34.0+k3s2",
        ];
        let versions: Vec<Version> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted_by(|one, two| one < two), "{versions:?}");
        assert_eq!(
            (versions[0].major(), versions[0].minor(), versions[1].to_string().as_str()),
            (1, 33, ordered[1])
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "1.36.4",
            "v1.36",
            "v1.36.4+rke2r1",
            "v1.36.4.1",
            "v1.+3.4",
            "v1.36.4-",
            "v1.36.x",
            "v1.36.4+k3s",
            "v99999999999.1.1",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
