//! Versions and ranges of them (Masterminds/semver v3): `semverCompare`, and which subchart a dependency means.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds as _};

use super::super::value::{Result, Value, fault};
use super::Arguments;

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        "semverCompare" => a.text(0).and_then(|range| {
            let version = a.text(1)?;
            is_in_range(&range, &version).map_or_else(
                || fault(format!("`{range}` or `{version}` is no version")),
                |inside| Ok(Value::Bool(inside)),
            )
        }),
        "semver" => a.text(0).and_then(|text| match Version::read(&text) {
            Some(version) => Ok(version.value(&text)),
            None => fault(format!("`{text}` is no version")),
        }),
        _ => return None,
    })
}

/// Whether a version is in a range; `None` if one of them cannot be read.
pub(in super::super::super) fn is_in_range(range: &str, version: &str) -> Option<bool> {
    let version = Version::read(version)?;
    let mut any = false;
    for alternative in range.split("||") {
        any |= ranges(alternative)?.iter().all(|range| range.takes(&version));
    }
    Some(any)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    prerelease: String,
    metadata: String,
}

impl Version {
    /// Reads `v1.2.3-rc.1+build`; minor and patch may be missing.
    fn read(text: &str) -> Option<Self> {
        let (version, given) = Self::read_part(text)?;
        (given > 0).then_some(version)
    }

    /// Reads a version of which parts may be missing or `x`; says how many numbers there are.
    fn read_part(text: &str) -> Option<(Self, usize)> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
        let (text, prerelease) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = [0; 3];
        let mut given = 0;
        for (at, part) in text.split('.').enumerate() {
            if matches!(part, "x" | "X" | "*" | "") {
                break;
            }
            *numbers.get_mut(at)? = part.parse().ok()?;
            given = at + 1;
        }
        Some((Self { numbers, prerelease: prerelease.to_owned(), metadata: metadata.to_owned() }, given))
    }

    fn value(&self, original: &str) -> Value {
        let number = |at: usize| Value::Int(i64::try_from(self.numbers[at]).unwrap_or(i64::MAX));
        Value::map([
            ("Major", number(0)),
            ("Minor", number(1)),
            ("Patch", number(2)),
            ("Prerelease", Value::text(self.prerelease.as_str())),
            ("Metadata", Value::text(self.metadata.as_str())),
            ("Original", Value::text(original)),
        ])
    }

    /// The next version above all that share the first `kept` numbers.
    fn bumped(&self, kept: usize) -> Self {
        let mut numbers = [0; 3];
        numbers[..kept].copy_from_slice(&self.numbers[..kept]);
        if let Some(last) = kept.checked_sub(1) {
            numbers[last] = numbers[last].saturating_add(1);
        }
        Self { numbers, prerelease: String::new(), metadata: String::new() }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
            }
        })
    }
}

/// Number by number; numbers come before words (semver.org, 11.4).
fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let mut right = right.split('.');
    for part in left.split('.') {
        let Some(other) = right.next() else { return Ordering::Greater };
        let order = match (part.parse::<u64>(), other.parse::<u64>()) {
            (Ok(part), Ok(other)) => part.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => part.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    if right.next().is_some() { Ordering::Less } else { Ordering::Equal }
}

/// From one version to another, or anything but that.
struct Range {
    from: Bound<Version>,
    to: Bound<Version>,
    inverted: bool,
    /// A prerelease is in a range only if the range names one.
    prereleases: bool,
}

impl Range {
    fn takes(&self, version: &Version) -> bool {
        (version.prerelease.is_empty() || self.prereleases)
            && (self.from.as_ref(), self.to.as_ref()).contains(version) != self.inverted
    }
}

/// `>=1.2 <2`, `^1.2`, `~1.2.3`, `1.x`, `1.2 - 1.4`: all of them have to hold.
fn ranges(text: &str) -> Option<Vec<Range>> {
    if let Some((low, high)) = text.split_once(" - ") {
        return Some(vec![range(">=", low)?, range("<=", high)?]);
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let operator_end = rest.find(|c| !"=<>!~^".contains(c)).unwrap_or(rest.len());
        let (operator, after) = rest.split_at(operator_end);
        let after = after.trim_start();
        let end = after.find([' ', ',']).unwrap_or(after.len());
        found.push(range(operator, &after[..end])?);
        rest = after[end..].trim_start_matches([' ', ',']);
    }
    Some(found)
}

fn range(operator: &str, text: &str) -> Option<Range> {
    let (version, given) = Version::read_part(text)?;
    let prereleases = !version.prerelease.is_empty();
    let between = |from, to| Range { from, to, inverted: false, prereleases };
    let this = || Bound::Included(version.clone());
    // `1.2` stands for all of 1.2, `*` for everything.
    let below_next =
        |kept: usize| if kept > 0 { Bound::Excluded(version.bumped(kept)) } else { Bound::Unbounded };
    let is_exact = given == 3;
    let last_of_it = || if is_exact { this() } else { below_next(given) };
    Some(match operator {
        "" | "=" | "==" => between(this(), last_of_it()),
        "!=" => Range { inverted: true, ..between(this(), last_of_it()) },
        ">=" | "=>" => between(this(), Bound::Unbounded),
        ">" if is_exact => between(Bound::Excluded(version.clone()), Bound::Unbounded),
        ">" => between(Bound::Included(version.bumped(given)), Bound::Unbounded),
        "<" => between(Bound::Unbounded, Bound::Excluded(version.clone())),
        "<=" | "=<" => between(Bound::Unbounded, last_of_it()),
        "~" | "~>" => between(this(), below_next(given.min(2))),
        "^" => {
            // The first number that is not zero has to stay.
            let kept = version.numbers.iter().position(|number| *number > 0).map_or(given, |at| at + 1);
            between(this(), below_next(kept))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_take_what_they_take_in_helm() {
        let cases = [
            (">=1.19-0", "v1.36.4+k3s1", true),
            (">= 1.21, < 1.25", "1.24.9", true),
            (">= 1.21 < 1.25", "1.25.0", false),
            ("<1.19-0 || >=1.30", "1.36.0", true),
            ("^1.2", "1.9.0", true),
            ("^1.2", "2.0.0", false),
            ("^0.2.3", "0.3.0", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2", "1.3.0", false),
            ("~1", "1.9.0", true),
            ("1.x", "1.9.0", true),
            ("1.2.x", "1.3.0", false),
            ("*", "4.0.0", true),
            ("1.2 - 1.4", "1.4.9", true),
            ("1.2.3", "1.2.3", true),
            ("=1.2.3", "1.2.4", false),
            ("!=1.2.3", "1.2.4", true),
            (">1.2", "1.2.9", false),
            ("<=1.2", "1.2.9", true),
            (">=1.2.0", "1.3.0-rc.1", false),
            (">=1.2.0-0", "1.3.0-rc.1", true),
            (">1.2.3-alpha.2", "1.2.3-alpha.10", true),
            ("", "1.0.0", true),
        ];
        for (range, version, inside) in cases {
            assert_eq!(is_in_range(range, version), Some(inside), "{version} in {range}");
        }
        for (range, version) in [("abc", "1.0.0"), (">=1", "abc"), ("=>=1", "1")] {
            assert_eq!(is_in_range(range, version), None, "{version} in {range}");
        }
    }
}
