//! JSON from outside, read strictly: one value, nothing behind it, no key twice, and no more than was allowed.
//!
//! Two parsers that disagree about a repeated key would let one document mean two things under one signature,
//! so a repeated key is refused before the document is looked at.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Reads `bytes` as one `T`. `document` names it in errors; `limit` is its largest size in bytes.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Json`] with line and column.
pub fn parse<T: DeserializeOwned>(document: &str, bytes: &[u8], limit: usize) -> Result<T, Error> {
    if bytes.len() > limit {
        return Err(Error::TooLarge {
            what: document.to_owned(),
            size: bytes.len() as u64,
            limit: limit as u64,
        });
    }
    let refuse = |source| Error::Json { document: document.to_owned(), source };
    serde_json::from_slice::<NoKeyTwice>(bytes).map_err(refuse)?;
    serde_json::from_slice(bytes).map_err(refuse)
}

/// Writes a document that people may read: two spaces, a newline at the end.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "our documents are structs and maps with string keys")]
pub fn to_document<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("structs and maps with string keys serialise");
    bytes.push(b'\n');
    bytes
}

/// Any JSON value, as long as no object in it has a key twice.
struct NoKeyTwice;

impl<'de> Deserialize<'de> for NoKeyTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = NoKeyTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoKeyTwice, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<NoKeyTwice>()?;
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("key `{key}` stands twice in one object")));
            }
            seen.insert(key);
        }
        Ok(NoKeyTwice)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NoKeyTwice, A::Error> {
        while seq.next_element::<NoKeyTwice>()?.is_some() {}
        Ok(NoKeyTwice)
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
    fn visit_i64<E>(self, _: i64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
    fn visit_u64<E>(self, _: u64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
    fn visit_f64<E>(self, _: f64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
    fn visit_str<E>(self, _: &str) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
    fn visit_unit<E>(self) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_one_plain_value_is_taken() {
        let deep = "[".repeat(100_000);
        let cases: [(&str, &str); 7] = [
            (r#"{"a":1,"b":2}"#, "ok"),
            (r#"{"a":1,"a":2}"#, "stands twice"),
            (r#"{"b":[{"a":1,"\u0061":2}]}"#, "stands twice"),
            (r#"{"a":1} {}"#, "trailing"),
            ("{\"a\":1}\0", "trailing"),
            (r#"{"a":"#, "EOF"),
            (&deep, "recursion"),
        ];
        for (text, expected) in cases {
            let said = parse::<BTreeMap<String, serde_json::Value>>("test", text.as_bytes(), 1 << 20)
                .map_or_else(|e| format!("{e}: {:?}", std::error::Error::source(&e)), |_| "ok".to_owned());
            assert!(said.contains(expected), "{text:.40}: {said}");
        }
        assert!(matches!(parse::<u8>("test", b"1", 0), Err(Error::TooLarge { .. })));
    }
}
