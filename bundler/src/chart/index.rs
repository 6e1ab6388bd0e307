//! `index.yaml` of a chart repository (Helm's documentation, "The Chart Repository Guide", "The index file").
//!
//! An index of 20 MB is nothing special, and one chart of it is wanted: everything else passes by without being kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::{ChartName, ChartVersion, yaml};
use crate::Error;

/// Largest index, in bytes.
pub(super) const MAX_INDEX_BYTES: u64 = 64 << 20;
/// How like the wanted name another one must be to be called a slip of the pen (1 = the same).
const LIKENESS: f64 = 0.7;

/// A version of a chart, as an index lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Entry {
    #[serde(default, deserialize_with = "yaml::text")]
    pub(super) version: String,
    /// Where the archive is, relative to the repository or not.
    #[serde(default, deserialize_with = "yaml::texts")]
    pub(super) urls: Vec<String>,
    /// The archive's digest, with or without `sha256:`; may be empty.
    #[serde(default, deserialize_with = "yaml::text")]
    pub(super) digest: String,
}

/// What an index says of a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Its versions in the order of the index; none if there is no such name.
    pub(super) versions: Option<Vec<Entry>>,
    /// Another name that is much like it.
    pub(super) nearest: Option<ChartName>,
}

impl Listing {
    /// Reads what an index, JSON or YAML, says of `name`; `file` names the index in errors.
    ///
    /// # Errors
    /// [`super::Error::File`] with line and column.
    pub(super) fn find(file: &str, index: &[u8], name: &ChartName) -> Result<Self, Error> {
        let index = yaml::without_mark(index);
        // As Helm does it: YAML is slow, and large indexes are therefore written as JSON.
        if let Ok(listing) = Document(name).deserialize(&mut serde_json::Deserializer::from_slice(index)) {
            return Ok(listing);
        }
        let read =
            |deserializer: serde_saphyr::Deserializer<'_, '_>| Document(name).deserialize(deserializer);
        serde_saphyr::with_deserializer_from_slice_with_options(index, yaml::options(index.len()), read)
            .map_err(|error| yaml::explain(file, &error))
    }

    /// The version that is meant: the very text, or else the same version with or without a leading `v`. Helm would
    /// also take another build of it, but a release means one chart.
    pub(super) fn version(&self, version: &ChartVersion) -> Option<&Entry> {
        let versions = self.versions.as_deref()?;
        let is_same =
            |entry: &&Entry| ChartVersion::parse(&entry.version).is_ok_and(|found| found.is_same(version));
        versions
            .iter()
            .find(|entry| entry.version == version.as_str())
            .or_else(|| versions.iter().find(is_same))
    }
}

/// The index as a whole, of which only the entries of one chart are read.
struct Document<'a>(&'a ChartName);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = Listing;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the index of a chart repository")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
        let mut listing = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "entries" {
                listing = Some(map.next_value_seed(Entries(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        listing.ok_or_else(|| A::Error::missing_field("entries"))
    }
}

struct Entries<'a>(&'a ChartName);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Listing;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("charts by name")
    }

    /// A new repository has nothing yet.
    fn visit_unit<E: de::Error>(self) -> Result<Listing, E> {
        Ok(Listing::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        let mut likest = LIKENESS;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0.as_str() {
                let versions: Option<Vec<Option<Entry>>> = map.next_value()?;
                listing.versions = Some(versions.into_iter().flatten().flatten().collect());
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            let likeness = strsim::jaro_winkler(self.0.as_str(), &name);
            if let (true, Ok(name)) = (likeness > likest, ChartName::parse(&name)) {
                likest = likeness;
                listing.nearest = Some(name);
            }
        }
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDEX: &str = r#"
apiVersion: v1
entries:
  redis-ha:
  - {name: redis-ha, version: 4.0.0, urls: [redis-ha-4.0.0.tgz]}
  redis:
  - name: redis
    version: 19.6.4
    appVersion: 7.2
    created: "2024-07-01T00:00:00Z"
    dependencies: [{name: common, version: 2.x.x, tags: [x]}]
    digest: 0e9ee0c7a1d3c0a0a5a1ecee3c5e5a4e8e4f1f2f3f4f5f6f7f8f9fafbfcfdfef
    urls:
    - charts/redis-19.6.4.tgz
    - https://mirror.example.com/redis-19.6.4.tgz
  - {version: 1.0, urls: []}
  -
  - {version: v0.9.0+b1, digest: sha256:00}
  empty:
generated: "2024-07-01T00:00:00Z"
"#;

    fn find(index: &str, name: &str) -> Result<Listing, Error> {
        Listing::find("https://x/index.yaml", index.as_bytes(), &ChartName::parse(name).unwrap())
    }

    #[test]
    fn one_chart_is_found_among_many() {
        let listing = find(INDEX, "redis").unwrap();
        let version = |text: &str| listing.version(&ChartVersion::parse(text).unwrap());
        let entry = version("19.6.4").unwrap();
        assert_eq!(entry.urls, ["charts/redis-19.6.4.tgz", "https://mirror.example.com/redis-19.6.4.tgz"]);
        assert!(entry.digest.starts_with("0e9ee0c7"));
        let cases =
            [("v19.6.4", "19.6.4"), ("1", "1"), ("0.9.0+b1", "v0.9.0+b1"), ("v0.9.0+b1", "v0.9.0+b1")];
        for (asked, found) in cases {
            assert_eq!(version(asked).map(|entry| entry.version.as_str()), Some(found), "{asked}");
        }
        for asked in ["19.6", "19.6.5", "0.9.0", "0.9.0+b2", "19"] {
            assert_eq!(version(asked), None, "{asked}");
        }
        assert_eq!(find(INDEX, "empty").unwrap().versions, Some(Vec::new()));
    }

    #[test]
    fn a_slip_of_the_pen_is_noticed() {
        for (name, nearest) in
            [("rediss", Some("redis")), ("redis-h", Some("redis-ha")), ("postgresql", None)]
        {
            let listing = find(INDEX, name).unwrap();
            assert_eq!(
                (listing.versions, listing.nearest.as_ref().map(ChartName::as_str)),
                (None, nearest),
                "{name}"
            );
        }
    }

    #[test]
    fn json_is_read_as_well() {
        let json =
            r#"{"apiVersion":"v1","entries":{"redis":[{"version":"1.0.0","urls":["x"],"digest":null}]}}"#;
        let listing = find(json, "redis").unwrap();
        assert_eq!(listing.versions.unwrap()[0].urls, ["x"]);
        assert_eq!(find("entries: {}", "x").unwrap(), Listing::default());
        assert_eq!(find("entries:", "x").unwrap(), Listing::default());
    }

    #[test]
    fn what_is_no_index_is_said_with_its_place() {
        let cases = [
            ("", "https://x/index.yaml"),
            ("<!DOCTYPE html>\n<html></html>", "https://x/index.yaml"),
            ("apiVersion: v1\n", "missing field `entries`"),
            ("entries: [a]\n", "line 1, column 1: invalid type: sequence"),
            ("entries:\n  redis: 7\n", "line 2, column 10"),
            ("entries:\n  redis:\n  - version: [1]\n", "line 3, column 5"),
            ("entries:\n  redis: [\n", "line"),
            (r#"{"entries": {"redis": [}}"#, "line 1"),
            ("\u{0}", "https://x/index.yaml"),
        ];
        for (index, expected) in cases {
            let said = find(index, "redis").unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn aliases_do_not_multiply_what_is_read() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb = format!("{bomb}a{level}: &a{level} [{below}]\n");
        }
        assert!(find(&format!("{bomb}entries: {{}}\n"), "redis").is_err());
    }

    proptest! {
        #[test]
        fn no_index_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0..INDEX.len()) {
            let name = ChartName::parse("redis").unwrap();
            let _ = Listing::find("x", &bytes, &name);
            let mut text = INDEX.as_bytes().to_vec();
            text.splice(at..at, bytes);
            let _ = Listing::find("x", &text, &name);
        }
    }
}
