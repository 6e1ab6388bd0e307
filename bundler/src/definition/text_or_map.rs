//! Entries of a definition that are a text where one word says it all, and a map where not.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor, value::MapAccessDeserializer,
};

/// What can be written in both ways.
pub(super) trait TextOrMap: Sized {
    /// The form with keys.
    type Map: DeserializeOwned + JsonSchema + TryInto<Self, Error = String>;
    /// What is expected, for errors.
    const EXPECTED: &'static str;
    /// What it is, for the schema.
    const DESCRIPTION: &'static str;

    /// Reads the short form; the error says what is wrong with it.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// Reads whichever form is there.
pub(super) fn deserialize<'de, T: TextOrMap, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Either::new())
}

/// The schema of both forms.
pub(super) fn schema<T: TextOrMap>(generator: &mut SchemaGenerator) -> Schema {
    let map = generator.subschema_for::<T::Map>();
    schemars::json_schema!({"description": T::DESCRIPTION, "oneOf": [{"type": "string"}, map]})
}

/// Visits either form.
pub(super) struct Either<T>(PhantomData<T>);

impl<T> Either<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: TextOrMap> Visitor<'de> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Map::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(A::Error::custom)
    }
}
