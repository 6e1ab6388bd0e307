//! One image of a release: a bare reference, or a reference or OCI layout with the name to carry it under.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use sealift_archive::Reference;

/// An image, where it is now and what it is called in the release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The reference under which the appliance serves it.
    pub name: Reference,
    /// Where it is fetched from.
    pub source: ImageSource,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ImageSource {
    /// A registry.
    Registry(Reference),
    /// A directory in the OCI image layout.
    #[serde(rename_all = "camelCase")]
    OciLayout {
        /// The directory, relative to the definition.
        path: PathBuf,
        /// Tag, full name or digest in its index; needed if there are several.
        reference: Option<String>,
    },
}

/// The forms with keys.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageObject {
    /// A registry reference; with `ociLayout`, the entry of its index: a tag, a full name or a digest.
    reference: Option<String>,
    /// A directory in the OCI image layout, relative to the definition.
    oci_layout: Option<PathBuf>,
    /// The reference under which the appliance serves it.
    name: Option<Reference_>,
}

/// A reference in the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Reference_(#[schemars(with = "String")] Reference);

impl TryFrom<ImageObject> for Image {
    type Error = String;

    fn try_from(object: ImageObject) -> Result<Self, String> {
        let name = object.name.map(|Reference_(name)| name);
        match (object.oci_layout, object.reference) {
            (Some(path), reference) => {
                let name = name.ok_or("an image from `ociLayout` needs a `name`")?;
                Ok(Self { name, source: ImageSource::OciLayout { path, reference } })
            }
            (None, Some(reference)) => {
                let reference: Reference =
                    reference.parse().map_err(|e: sealift_archive::Error| e.to_string())?;
                Ok(Self {
                    name: name.unwrap_or_else(|| reference.clone()),
                    source: ImageSource::Registry(reference),
                })
            }
            (None, None) => Err("an image needs a `reference` or an `ociLayout`".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ImageVisitor)
    }
}

struct ImageVisitor;

impl<'de> Visitor<'de> for ImageVisitor {
    type Value = Image;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an image reference or a map with `reference` or `ociLayout`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Image, E> {
        let reference: Reference = text.parse().map_err(E::custom)?;
        Ok(Image { name: reference.clone(), source: ImageSource::Registry(reference) })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
        let object = ImageObject::deserialize(MapAccessDeserializer::new(map))?;
        object.try_into().map_err(A::Error::custom)
    }
}

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<ImageObject>();
        schemars::json_schema!({
            "description": "A registry reference, or a map that says where the image is and what to call it.",
            "oneOf": [{"type": "string"}, object],
        })
    }
}
