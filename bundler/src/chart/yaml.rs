//! YAML and its scalars, read as Helm reads them where that shows: charts in the field are written for its parser.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{DuplicateKeyPolicy, Options};

use crate::{Error, chart, yaml};

/// What a file may begin with and nobody means (Helm drops it too).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Events that even an empty document has.
const FRAME_EVENTS: usize = 16;
/// Most events that aliases repeat, in all and nested in each other.
const MAX_REPEATED_EVENTS: usize = 1_000_000;
const MAX_REPEATED_DEPTH: usize = 64;
/// How the library begins to say that there is more than it should read.
const LIMITS: [&str; 2] = ["budget breached", "alias replay limit exceeded"];
/// Longest explanation, in characters: it may quote what a server sent.
const MAX_WHY_CHARS: usize = 300;

/// The bytes behind a byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// How Helm's parser reads: the last of two equal keys wins, and a leading zero means octal. Whoever calls has looked
/// at the size, which bounds the number of events too, but for those that aliases repeat.
pub(super) fn options(size: usize) -> Options {
    let most = size.saturating_add(FRAME_EVENTS + MAX_REPEATED_EVENTS);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: most, max_nodes: most, max_total_scalar_bytes: usize::MAX, enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED_EVENTS, max_replay_stack_depth: MAX_REPEATED_DEPTH,
            max_alias_expansions_per_anchor: usize::MAX,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

/// Reads the first document of a file, which `file` names in errors. Helm does not look at a second one.
pub(super) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, Error> {
    let mut bytes = without_mark(bytes);
    let options = options(bytes.len());
    serde_saphyr::from_slice_with_options(bytes, options.clone())
        .or_else(|error| match error.without_snippet() {
            serde_saphyr::Error::MultipleDocuments { .. } => {
                serde_saphyr::read_with_options(&mut bytes, options).next().unwrap_or(Err(error))
            }
            _ => Err(error),
        })
        .map_err(|error| explain(file, &error))
}

/// Where and what.
pub(super) fn explain(file: &str, error: &serde_saphyr::Error) -> Error {
    let text = error.without_snippet().to_string();
    // The library wraps such errors once an alias is in play, so only their words tell.
    let why = if LIMITS.iter().any(|words| text.contains(words)) {
        format!("it says more than is read: aliases may repeat {MAX_REPEATED_EVENTS} pieces of it")
    } else {
        cut(&yaml::reason(error))
    };
    chart::Error::File { file: file.to_owned(), place: yaml::place(error), why }.into()
}

/// Text from outside, no longer than a message may be.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_WHY_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A mapping, or nothing at all; what is in it does not matter.
pub(super) struct AnyMapping;

impl<'de> Deserialize<'de> for AnyMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = AnyMapping;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_unit<E>(self) -> Result<AnyMapping, E> {
                Ok(AnyMapping)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyMapping, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(AnyMapping)
            }
        }
        deserializer.deserialize_any(Walk)
    }
}

/// A string, whatever YAML takes it for: `appVersion: 1.10` is the number 1.1, and Helm makes the text `1.1` of it.
/// Controls and what cannot be seen are dropped, and every kind of space becomes a plain one.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

/// A list of such strings, or nothing.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts: Option<Vec<Text>> = Option::deserialize(deserializer)?;
    Ok(texts.unwrap_or_default().into_iter().map(|text| text.0).collect())
}

/// A mapping of strings to strings as they are, or nothing.
pub(super) fn annotations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let map: Option<BTreeMap<String, Plain>> = Option::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// A list, or nothing.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `true` or `false`, or nothing; and no string that says so.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;
    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }
    }
    deserializer.deserialize_any(Flag)
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Plain::deserialize(deserializer).map(|plain| Self(clean(&plain.0)))
    }
}

/// Text from outside as a terminal may show it.
pub(super) fn clean(text: &str) -> String {
    let clean = |c: char| match c {
        c if c.is_whitespace() => Some(' '),
        c if c.is_control() || is_invisible(c) => None,
        c => Some(c),
    };
    text.chars().filter_map(clean).collect()
}

/// Formatting characters that have no shape of their own, and characters that nobody has assigned one to.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}')
}

/// A scalar as a string.
#[derive(Default)]
struct Plain(String);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Plain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
                Ok(Plain(value.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
                Ok(Plain(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
                #[expect(clippy::cast_possible_truncation, reason = "Helm loses the same digits")]
                let value = value as f32;
                Ok(Plain(shortest(value)))
            }

            fn visit_unit<E>(self) -> Result<Plain, E> {
                Ok(Plain::default())
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// As Go writes a `float32` with `%g` and no precision: an exponent from a million on, of at least two digits.
fn shortest(value: f32) -> String {
    // A commit such as `1234e56` is one of these.
    match value {
        f32::INFINITY => return "+Inf".to_owned(),
        f32::NEG_INFINITY => return "-Inf".to_owned(),
        value if value.is_nan() => return "NaN".to_owned(),
        _ => {}
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Document {
        #[serde(deserialize_with = "text")]
        value: String,
    }

    #[test]
    fn scalars_become_the_strings_that_helm_makes_of_them() {
        let cases = [
            ("1.10", "1.1"),
            ("1.16.0", "1.16.0"),
            ("\"1.10\"", "1.10"),
            ("'1.10'", "1.10"),
            ("7", "7"),
            ("-7", "-7"),
            ("010", "8"),
            ("true", "true"),
            ("yes", "true"),
            ("~", ""),
            ("", ""),
            ("2024.10", "2024.1"),
            ("20240101.5", "2.0240102e+07"),
            ("1234e56", "+Inf"),
            ("-.inf", "-Inf"),
            (".nan", "NaN"),
            ("0.00001", "1e-05"),
            ("1000000.0", "1e+06"),
            ("2024-01-01", "2024-01-01"),
            ("\"a\\tb\\u0007c\\u200bd\\u2028e\"", "a bcd e"),
            ("|\n  two\n  lines\n", "two lines "),
        ];
        for (yaml, expected) in cases {
            let document: Document = parse("test", format!("value: {yaml}").as_bytes()).unwrap();
            assert_eq!(document.value, expected, "{yaml}");
        }
        for wrong in ["value: [1]", "value: {a: b}", "value: \"\u{1}"] {
            assert!(parse::<Document>("test", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = parse::<Document>("web/Chart.yaml", b"\xef\xbb\xbf# fine\nvalue: [a, b]\n");
        let said = error.err().unwrap().to_string();
        assert!(said.starts_with("`web/Chart.yaml` line 2, column 1: invalid type: sequence"), "{said}");
        let error = parse::<AnyMapping>("values.yaml", b"a: b\nc: d: e\n");
        let said = error.err().unwrap().to_string();
        assert!(said.starts_with("`values.yaml` line 2"), "{said}");
    }

    #[test]
    fn what_is_wrong_is_cut_where_nobody_reads_on() {
        let yaml = format!("value: [*{}]", "x".repeat(100_000));
        let said = parse::<Document>("values.yaml", yaml.as_bytes()).err().unwrap().to_string();
        assert!(said.chars().count() < 400, "{} characters", said.len());
        assert_eq!(
            (cut("short"), cut(&"ä".repeat(301))),
            ("short".to_owned(), format!("{}…", "ä".repeat(300)))
        );
    }

    #[test]
    fn aliases_may_repeat_a_great_deal_and_not_everything() {
        // Far more pieces than bytes, as charts with one set of defaults for all have it.
        let defaults = (0..100).map(|i| format!("k{i}: v")).collect::<Vec<_>>().join(", ");
        let users = (0..100).map(|i| format!("u{i}: *d")).collect::<Vec<_>>().join("\n");
        let yaml = format!("d: &d {{{defaults}}}\n{users}\n");
        parse::<AnyMapping>("values.yaml", yaml.as_bytes()).unwrap();

        let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
        bomb.extend((1..10).map(|level| {
            let one = format!("*a{}", level - 1);
            format!("a{level}: &a{level} [{}]", [one.as_str(); 9].join(", "))
        }));
        let bomb = bomb.join("\n");
        let said = parse::<AnyMapping>("values.yaml", bomb.as_bytes()).err().unwrap().to_string();
        assert!(said.contains("aliases may repeat 1000000 pieces"), "{said}");
    }

    #[test]
    fn values_are_a_mapping_or_nothing() {
        let cases = [
            ("", true),
            ("# only a comment\n", true),
            ("---\n", true),
            ("null", true),
            ("a: 1", true),
            ("a: 1\na: 2", true),
            ("a: 1\n---\n- b", true),
            ("a: 1\n...\n", true),
            ("a: &x {b: c}\nd: *x\ne: {<<: *x}\nf: .inf", true),
            ("- a", false),
            ("a", false),
            ("a: 'b", false),
            ("a: [", false),
        ];
        for (yaml, good) in cases {
            assert_eq!(parse::<AnyMapping>("values.yaml", yaml.as_bytes()).is_ok(), good, "{yaml}");
        }
    }
}
