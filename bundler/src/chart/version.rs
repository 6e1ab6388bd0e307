//! Names and versions of charts: what Helm takes, as far as a registry takes it too.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::yaml;

/// The longest name that `helm create` takes, in characters.
const MAX_NAME_LEN: usize = 250;
/// The longest tag that a registry takes (distribution-spec, "Pulling manifests"), in characters.
const MAX_TAG_LEN: usize = 128;

/// A chart's name, which is also that of the folder in its archive.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct ChartName(String);

/// A chart's version: semantic versioning 2 as Helm reads it, with or without a leading `v`, and parts may be missing
/// at the end (`1.2`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct ChartVersion(String);

impl ChartName {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && text.len() <= MAX_NAME_LEN && text.chars().all(is_fit) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{}` cannot be the name of a chart: up to {MAX_NAME_LEN} letters, digits, `.`, `_` and `-`, a letter or \
             digit first",
            shown(text)
        ))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChartVersion {
    /// Reads a version.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() <= MAX_TAG_LEN && is_semantic(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{}` is not a semantic version of up to {MAX_TAG_LEN} characters", shown(text)))
    }

    /// The version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag under which a registry has it: tags know no `+`, and Helm writes `_` for it.
    #[must_use]
    pub fn tag(&self) -> String {
        self.0.replace('+', "_")
    }

    /// Whether it is the same version, a leading `v` aside. Build metadata counts: two builds are two charts.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.without_v() == other.without_v()
    }

    fn without_v(&self) -> &str {
        self.0.strip_prefix('v').unwrap_or(&self.0)
    }
}

fn is_semantic(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u64>().is_ok();
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let has_idle_zero =
        |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    numbers.split('.').count() <= 3
        && numbers.split('.').all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_word(part) && !has_idle_zero(part)))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

/// Text from outside, cut where it gets long.
fn shown(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 60;
    yaml::clean(text).chars().take(MAX_SHOWN_CHARS).collect()
}

impl fmt::Display for ChartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ChartVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&yaml::text(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ChartVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&yaml::text(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_folders_and_registries() {
        for good in ["redis", "kube-prometheus-stack", "a", "0x", "My_Chart.2"] {
            assert!(ChartName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(MAX_NAME_LEN + 1);
        for bad in ["", ".", "..", "a/b", "-a", ".a", "a b", "a\\b", "ä", "a\n", &long] {
            assert!(ChartName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_those_that_helm_takes() {
        let good =
            ["1.2.3", "v1.2.3", "1.2", "1", "1.2.3-rc.1", "1.2.3+build.5", "1.2.3-a-b.0+001", "01.2.3"];
        for version in good {
            assert!(ChartVersion::parse(version).is_ok(), "{version}");
        }
        let long = format!("1.2.3-{}", "a".repeat(MAX_TAG_LEN));
        let bad =
            ["", "v", "1.2.3.4", "1..3", "latest", "1.2.x", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b"];
        for version in
            bad.into_iter().chain(["+1.2.3", " 1.2.3", "99999999999999999999.0.0", "1.2.3_1", &long])
        {
            assert!(ChartVersion::parse(version).is_err(), "{version}");
        }
    }

    #[test]
    fn a_leading_v_is_no_difference_and_a_build_is_one() {
        let same =
            |a: &str, b: &str| ChartVersion::parse(a).unwrap().is_same(&ChartVersion::parse(b).unwrap());
        assert!(same("v1.2.3", "1.2.3") && same("1.2.3+a", "v1.2.3+a"));
        assert!(!same("1.2.3", "1.2.3+a") && !same("1.2", "1.2.0"));
        assert_eq!(ChartVersion::parse("1.2.3+build.5").unwrap().tag(), "1.2.3_build.5");
    }
}
