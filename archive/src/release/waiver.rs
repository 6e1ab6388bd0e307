//! What a release was allowed although a rule was against it: by name, with a reason and an end. It is part of what people
//! sign, so nobody lets something pass alone and unseen.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::Date;

use super::Line;

time::serde::format_description!(iso, Date, "[year]-[month]-[day]");

/// Something that may be older than the rule says, until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// What it is about: the reference of an image as the release carries it, or the base of the operating system.
    pub name: Line,
    /// Why it may.
    pub reason: Line,
    /// The last day on which it may.
    pub until: Day,
}

/// A day in UTC: `2026-12-31`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String")]
pub struct Day(#[serde(with = "iso")] pub Date);

impl Day {
    /// How many days have gone by since another one.
    #[must_use]
    pub fn since(self, other: Self) -> i64 {
        (self.0 - other.0).whole_days()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiver_is_text_on_one_line_and_a_day() {
        let good = r#"{"name":"docker.io/library/redis:7","reason":"nothing newer","until":"2026-12-31"}"#;
        let waiver: Waiver = serde_json::from_str(good).unwrap();
        assert_eq!(waiver.until.to_string(), "2026-12-31");
        assert_eq!(serde_json::to_string(&waiver).unwrap(), good);
        let long = "x".repeat(301);
        for (from, to) in [
            ("2026-12-31", "31.12.2026"),
            ("2026-12-31", "2026-02-30"),
            ("nothing newer", ""),
            ("nothing newer", "two\\nlines"),
            ("nothing newer", "\\u001b[2J"),
            ("nothing newer", &long),
            ("\"reason\"", "\"because\""),
        ] {
            assert!(serde_json::from_str::<Waiver>(&good.replace(from, to)).is_err(), "{to}");
        }
    }
}
