//! How Go prints values (`fmt`): `{{ … }}`, `printf`, and numbers everywhere.

use std::fmt::Write as _;

use super::functions::STAND_IN;
use super::value::{Budget, Result, Value};

/// Decimal exponents from which Go's `%v` writes a float as `1e+06`; below -4 it does too.
const EXPONENT_FROM: i32 = 6;
/// The same for Go's JSON.
const JSON_EXPONENT_FROM: i32 = 21;
/// Widest padding and longest precision of a verb; images need none.
const MAX_WIDTH: usize = 1000;

/// A float as Go's `%v` writes it: the fewest digits that read back the same, an exponent from a million on.
pub(in super::super) fn number(value: f64) -> String {
    shortest(value, EXPONENT_FROM)
}

/// A float as Go's JSON writes it: an exponent from 1e21 on.
pub(super) fn json_number(value: f64) -> String {
    shortest(value, JSON_EXPONENT_FROM)
}

fn shortest(value: f64, exponent_from: i32) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".into()
        } else if value > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    // Rust's `{:e}` has the fewest digits too: `1.234567e6`.
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= exponent_from {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A value as `{{ … }}` prints it.
pub(super) fn printed(value: &Value, budget: &Budget) -> Result<String> {
    budget.spend_value(value)?;
    Ok(match value {
        // Helm takes these words out again when everything is rendered.
        Value::Nil => super::NO_VALUE.to_owned(),
        _ => shown(value),
    })
}

/// A value as `%v` shows it. Its cost has been paid.
pub(super) fn shown(value: &Value) -> String {
    let mut out = String::new();
    show(value, &mut out);
    out
}

fn show(value: &Value, out: &mut String) {
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&number(*value)),
        Value::Text(text) => out.push_str(text),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                show(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (at, (key, value)) in map.borrow().iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                show(value, out);
            }
            out.push(']');
        }
        Value::Time(time) => {
            let _ = write!(out, "{STAND_IN}{time}");
        }
        Value::Files(_) | Value::ApiVersions => out.push_str("map[]"),
    }
}

/// `printf`: the verbs that templates use, with flags, width and precision.
pub(super) fn format(pattern: &str, values: &[Value], budget: &Budget) -> Result<String> {
    values.iter().try_for_each(|value| budget.spend_value(value))?;
    let mut out = String::new();
    let mut left = values.iter();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (verb, after) = Verb::read(after);
        rest = after;
        match verb.letter {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(letter) => match left.next() {
                Some(value) => verb.write(letter, value, &mut out),
                None => {
                    let _ = write!(out, "%!{letter}(MISSING)");
                }
            },
        }
        Budget::check_text(out.len())?;
    }
    out.push_str(rest);
    budget.spend_text(out.len())?;
    if left.len() > 0 {
        out.push_str("%!(EXTRA ");
        let extra: Vec<String> = left.map(|value| format!("{}={}", type_name(value), shown(value))).collect();
        out.push_str(&extra.join(", "));
        out.push(')');
    }
    Ok(out)
}

/// `%-5.2f`, taken apart.
#[derive(Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    letter: Option<char>,
}

impl Verb {
    fn read(text: &str) -> (Self, &str) {
        let mut verb = Self::default();
        let mut rest = text;
        loop {
            match rest.as_bytes().first() {
                Some(b'-') => verb.left = true,
                Some(b'0') => verb.zero = true,
                Some(b'+') => verb.plus = true,
                Some(b' ' | b'#') => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        (verb.width, rest) = digits(rest);
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = digits(after);
            (verb.precision, rest) = (Some(precision), after);
        }
        verb.letter = rest.chars().next();
        let end = verb.letter.map_or(0, char::len_utf8);
        (verb, &rest[end..])
    }

    fn write(&self, letter: char, value: &Value, out: &mut String) {
        let text = match (letter, value) {
            ('v', _) | ('s', Value::List(_) | Value::Map(_)) => shown(value),
            ('s', Value::Text(text)) => match self.precision {
                Some(precision) => text.chars().take(precision).collect(),
                None => text.to_string(),
            },
            ('q', Value::Text(text)) => quoted(text),
            ('d', Value::Int(number)) => number.to_string(),
            ('x', Value::Int(number)) => format!("{number:x}"),
            ('o', Value::Int(number)) => format!("{number:o}"),
            ('b', Value::Int(number)) => format!("{number:b}"),
            ('c', Value::Int(number)) => {
                u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
            }
            ('x', Value::Text(text)) => hex::encode(text.as_bytes()),
            ('f' | 'F', Value::Float(number)) => format!("{number:.*}", self.precision.unwrap_or(6)),
            ('g' | 'G', Value::Float(value)) => number(*value),
            ('e', Value::Float(number)) => format!("{number:.*e}", self.precision.unwrap_or(6)),
            ('t', Value::Bool(value)) => value.to_string(),
            ('T', _) => type_name(value).to_owned(),
            (_, Value::Nil) => format!("%!{letter}(<nil>)"),
            _ => format!("%!{letter}({}={})", type_name(value), shown(value)),
        };
        let is_number = matches!(value, Value::Int(_) | Value::Float(_));
        let text = if self.plus && is_number && !text.starts_with('-') { format!("+{text}") } else { text };
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(&text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero && is_number {
            let digits_at = usize::from(text.starts_with(['-', '+']));
            out.push_str(&text[..digits_at]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&text[digits_at..]);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(&text);
        }
    }
}

fn digits(text: &str) -> (usize, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().unwrap_or(0).min(MAX_WIDTH), &text[end..])
}

/// The Go type, as `typeOf` names it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "<nil>",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Time(_) => "time.Time",
        Value::Files(_) => "engine.files",
        Value::ApiVersions => "chartutil.VersionSet",
        _ => value.kind(),
    }
}

/// A text in double quotes, as Go's `%q` writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_go() {
        let cases = [
            (1.0, "1"),
            (1.1, "1.1"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5, "-2.5"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(json_number(1_234_567.0), "1234567");
    }

    #[test]
    fn printf_knows_the_verbs_of_templates() {
        let text = |text: &str| Value::text(text);
        let cases: [(&str, &[Value], &str); 12] = [
            ("%s/%s:%s", &[text("r"), text("a"), text("1")], "r/a:1"),
            ("%s", &[Value::Nil], "%!s(<nil>)"),
            ("%s", &[Value::Float(1.5)], "%!s(float64=1.5)"),
            ("%v", &[Value::Float(1e6)], "1e+06"),
            ("%d", &[Value::Int(3)], "3"),
            ("%05d|%-4d|", &[Value::Int(-3), Value::Int(3)], "-0003|3   |"),
            ("%.2f", &[Value::Float(1.005)], "1.00"),
            ("%q", &[text("a\"b")], "\"a\\\"b\""),
            ("%5s|%-5s|%.2s", &[text("ab"), text("ab"), text("abc")], "   ab|ab   |ab"),
            ("100%%", &[], "100%"),
            ("%s", &[], "%!s(MISSING)"),
            ("a", &[Value::Int(1)], "a%!(EXTRA int=1)"),
        ];
        for (pattern, values, expected) in cases {
            assert_eq!(format(pattern, values, &Budget::new()).unwrap(), expected, "{pattern}");
        }
    }
}
