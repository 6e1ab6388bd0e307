//! One image of a release: a bare reference, or where it is, what to call it, and what to take along.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};

use sealift_archive::Reference;

use super::text_or_map::{self, TextOrMap};

/// An image, where it is now and what it is called in the release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The reference under which the appliance serves it.
    pub name: Reference,
    /// Where it is fetched from.
    pub source: ImageSource,
    /// Whether what refers to it comes along: signatures, SBOMs, attestations.
    #[serde(skip_serializing_if = "is_true")]
    pub referrers: bool,
    /// What becomes of layers that registries do not keep.
    #[serde(skip_serializing_if = "ForeignLayers::is_default")]
    pub foreign_layers: ForeignLayers,
}

/// What becomes of layers that registries do not keep and that only their owner gives away, such as base layers of
/// Windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForeignLayers {
    /// An image with such a layer is refused.
    #[default]
    Refuse,
    /// They are carried like any others, from the registry if it has them, else from where the image says. Whether
    /// their licence allows it is for the vendor to know.
    Carry,
}

impl ForeignLayers {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Image {
    /// An image of a registry, carried with all that refers to it.
    #[must_use]
    pub fn new(name: Reference, source: ImageSource) -> Self {
        Self { name, source, referrers: true, foreign_layers: ForeignLayers::default() }
    }
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
    /// Made when it was locked, from what the entry of the lock around it says: no definition can ask for it.
    Made,
    /// An archive of `docker save`.
    #[serde(rename_all = "camelCase")]
    DockerArchive {
        /// The archive, relative to the definition.
        path: PathBuf,
        /// Tag, full name or image ID in it; needed if there are several.
        reference: Option<String>,
    },
}

impl ImageSource {
    /// The file or folder that it is in, relative to the definition, if it is on this machine.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Registry(_) | Self::Made => None,
            Self::OciLayout { path, .. } | Self::DockerArchive { path, .. } => Some(path),
        }
    }
}

/// The forms with keys.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ImageObject {
    /// A registry reference; with `ociLayout` or `dockerArchive`, which image in it: a tag, a full name or a digest.
    reference: Option<String>,
    /// A directory in the OCI image layout, relative to the definition.
    oci_layout: Option<PathBuf>,
    /// An archive of `docker save`, not compressed, relative to the definition.
    docker_archive: Option<PathBuf>,
    /// The reference under which the appliance serves it.
    name: Option<Reference_>,
    /// Whether signatures, SBOMs and attestations of it come along.
    #[serde(default = "referrers_by_default")]
    referrers: bool,
    /// What becomes of layers that registries do not keep.
    #[serde(default)]
    foreign_layers: ForeignLayers,
}

fn referrers_by_default() -> bool {
    true
}

/// A reference in the schema.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Reference_(#[schemars(with = "String")] Reference);

impl TryFrom<ImageObject> for Image {
    type Error = String;

    fn try_from(object: ImageObject) -> Result<Self, String> {
        let name = object.name.map(|Reference_(name)| name);
        let needs_name = |key: &str| format!("an image from `{key}` needs a `name`");
        let (name, source) = match (object.oci_layout, object.docker_archive, object.reference) {
            (Some(_), Some(_), _) => {
                return Err("an image is in an `ociLayout` or in a `dockerArchive`, not in both".to_owned());
            }
            (Some(path), None, reference) => {
                let name = name.ok_or_else(|| needs_name("ociLayout"))?;
                (name, ImageSource::OciLayout { path, reference })
            }
            (None, Some(path), reference) => {
                let name = name.ok_or_else(|| needs_name("dockerArchive"))?;
                (name, ImageSource::DockerArchive { path, reference })
            }
            (None, None, Some(reference)) => {
                let reference: Reference =
                    reference.parse().map_err(|e: sealift_archive::Error| e.to_string())?;
                (name.unwrap_or_else(|| reference.clone()), ImageSource::Registry(reference))
            }
            (None, None, None) => {
                return Err("an image needs a `reference`, an `ociLayout` or a `dockerArchive`".to_owned());
            }
        };
        let (referrers, foreign_layers) = (object.referrers, object.foreign_layers);
        Ok(Self { name, source, referrers, foreign_layers })
    }
}

impl TextOrMap for Image {
    type Map = ImageObject;
    const EXPECTED: &'static str =
        "an image reference or a map with `reference`, `ociLayout` or `dockerArchive`";
    const DESCRIPTION: &'static str =
        "A registry reference, or a map that says where the image is and what to call it.";

    fn from_text(text: &str) -> Result<Self, String> {
        let reference: Reference = text.parse().map_err(|e: sealift_archive::Error| e.to_string())?;
        Ok(Self::new(reference.clone(), ImageSource::Registry(reference)))
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_map::deserialize(deserializer)
    }
}

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        text_or_map::schema::<Self>(generator)
    }
}
