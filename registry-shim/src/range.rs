//! The `Range` of a request and what of a content it means (RFC 9110, section 14).
//!
//! One range is answered with 206. Several at once are not worth their code to anybody here: RFC 9110 lets a server
//! ignore `Range`, and a header that makes no sense has to be ignored; in both cases the whole content is the answer.

use std::ops::Range;

/// What part of a content to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These bytes; never empty.
    Bytes(Range<u64>),
    /// The range lies outside.
    Unsatisfiable,
}

impl Part {
    /// What the header `range` means for a content of `size` bytes.
    pub(crate) fn of(range: &str, size: u64) -> Self {
        let Some(spec) = parse(range) else { return Self::Whole };
        let bytes = match spec {
            Spec::From(first) => first..size,
            Spec::FromTo(first, last) => first..last.saturating_add(1).min(size),
            Spec::Last(count) => size.saturating_sub(count)..size,
        };
        if bytes.is_empty() { Self::Unsatisfiable } else { Self::Bytes(bytes) }
    }
}

enum Spec {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

fn parse(range: &str) -> Option<Spec> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (first, last) {
        ("", count) => Some(Spec::Last(number(count)?)),
        (first, "") => Some(Spec::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::FromTo(first, last))
        }
    }
}

/// Digits only: `u64::from_str` would take a sign. A number too large for 64 bits is larger than any content.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_means_bytes_of_a_content() {
        let huge = "9".repeat(40);
        let bytes = |range: Range<u64>| Part::Bytes(range);
        let cases = [
            ("bytes=0-", 10, bytes(0..10)),
            ("bytes=0-0", 10, bytes(0..1)),
            ("bytes=9-9", 10, bytes(9..10)),
            ("bytes=2-5", 10, bytes(2..6)),
            ("bytes=2-500", 10, bytes(2..10)),
            ("Bytes = 2-5", 10, bytes(2..6)),
            ("bytes=-3", 10, bytes(7..10)),
            ("bytes=-300", 10, bytes(0..10)),
            (&format!("bytes=1-{huge}"), 10, bytes(1..10)),
            (&format!("bytes=-{huge}"), 10, bytes(0..10)),
            (&format!("bytes=0-{}", u64::MAX), 10, bytes(0..10)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=10-20", 10, Part::Unsatisfiable),
            (&format!("bytes={huge}-"), 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=-1", 0, Part::Unsatisfiable),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=--1", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
            ("0-1", 10, Part::Whole),
            ("", 10, Part::Whole),
        ];
        for (range, size, expected) in cases {
            assert_eq!(Part::of(range, size), expected, "{range} of {size}");
        }
    }
}
