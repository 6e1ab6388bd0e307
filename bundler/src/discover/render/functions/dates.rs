//! Points in time. It is always the same time here: what is rendered must not depend on when.

use super::super::value::{Result, Value, fault};
use super::{Arguments, STAND_IN};

/// Units of Go's durations (`1h30m`), in nanoseconds; longer names first.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        "now" | "toDate" => Ok(Value::Time(0)),
        "dateModify" | "date_modify" => modified(a),
        "unixEpoch" => Ok(Value::text("0")),
        "date" | "dateInZone" | "date_in_zone" | "htmlDate" | "htmlDateInZone" | "ago" | "duration"
        | "durationRound" => Ok(Value::text(STAND_IN)),
        _ => return None,
    })
}

/// Charts use it to learn whether a text is a duration: if it is none, the time stays as it is.
fn modified(a: &Arguments<'_>) -> Result<Value> {
    let (text, value) = (a.text(0)?, a.value(1)?);
    let Value::Time(time) = value else { return Err(a.wrong("takes a time")) };
    match nanoseconds(&text) {
        Some(duration) => Ok(Value::Time(time.saturating_add(duration))),
        None if a.must => fault(format!("`{text}` is no duration")),
        None => Ok(Value::Time(time)),
    }
}

/// Reads a duration as Go does (`time.ParseDuration`).
#[expect(clippy::cast_possible_truncation, reason = "a duration of more than 292 years saturates")]
fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) =
        text.strip_prefix('-').map_or((1.0, text.strip_prefix('+').unwrap_or(text)), |rest| (-1.0, rest));
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while total == 0.0 || !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, after) =
            UNITS.iter().find_map(|(name, unit)| Some((unit, rest[end..].strip_prefix(name)?)))?;
        total += number * unit;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Some((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        let cases = [
            ("5m0s", Some(300_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("100ms", Some(100_000_000)),
            ("-1s", Some(-1_000_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("5 m", None),
            ("m", None),
            ("abc", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}
