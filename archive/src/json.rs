//! JSON from outside, read strictly: one value, nothing behind it, no key twice, and no more than was allowed.
//!
//! Two parsers that disagree about a repeated key would let one document mean two things under one signature,
//! so a repeated key is refused before the document is looked at.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::format::shown;
use crate::{Error, Malformed};

/// Reads `bytes` as one `T`. `document` names it in errors; `limit` is its largest size in bytes.
///
/// # Errors
/// [`Error::TooLarge`], [`Malformed::DuplicateKey`], or [`Error::Json`] with line and column.
pub fn parse<T: DeserializeOwned>(document: &str, bytes: &[u8], limit: usize) -> Result<T, Error> {
    if bytes.len() > limit {
        return Err(Error::TooLarge {
            what: document.to_owned(),
            size: bytes.len() as u64,
            limit: limit as u64,
        });
    }
    let refuse = |source| Error::Json { document: document.to_owned(), source };
    let mut repeated = None;
    let walked =
        NoKeyTwice { repeated: &mut repeated }.deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    if let Some(key) = repeated {
        return Err(Malformed::DuplicateKey { document: document.to_owned(), key: shown(&key) }.into());
    }
    walked.map_err(refuse)?;
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
struct NoKeyTwice<'a> {
    /// The key that stopped the walk.
    repeated: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for NoKeyTwice<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoKeyTwice<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                *self.repeated = Some(key);
                return Err(A::Error::custom("a key stands twice in one object"));
            }
            seen.insert(key);
            map.next_value_seed(NoKeyTwice { repeated: self.repeated })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(NoKeyTwice { repeated: self.repeated })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
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
            (r#"{"a":1,"a":2}"#, "key `a` twice"),
            (r#"{"b":[{"a":1,"\u0061":2}]}"#, "key `a` twice"),
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
