//! One chart of a release: in an OCI registry, in an HTTP repository, or on this machine.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use sealift_archive::Reference;
use sealift_archive::reference::is_component;
use sealift_fetch::without_secrets;

use super::location::parse_url;
use super::text_or_map::{self, TextOrMap};

/// How Helm marks references to registries.
const OCI_SCHEME: &str = "oci://";

/// A chart: where it is, what it is called, and how its images are found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// Where it is fetched from.
    pub source: ChartSource,
    /// Carried as `sealift.internal/charts/<alias>` instead of under its own name.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Values files with which it will be installed, relative to the definition: for finding the images that it names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<PathBuf>,
}

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ChartSource {
    /// An OCI registry.
    Oci(Reference),
    /// An HTTP chart repository.
    Repository {
        /// The folder of its `index.yaml`.
        url: Url,
        /// The chart.
        name: String,
        /// Its version.
        version: String,
    },
    /// A directory or a `.tgz`, relative to the definition.
    Path(PathBuf),
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci(reference) => write!(f, "{OCI_SCHEME}{reference}"),
            Self::Repository { url, name, version } => {
                write!(f, "{name} {version} of {}", without_secrets(url))
            }
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The forms with keys.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChartObject {
    /// A chart in an OCI registry: `oci://ghcr.io/acme/charts/api:1.5.0`
    reference: Option<String>,
    /// An HTTP chart repository; `name` and `version` say which of its charts.
    repository: Option<String>,
    /// The chart's name in the repository.
    name: Option<String>,
    /// The chart's version in the repository.
    version: Option<String>,
    /// A chart directory or `.tgz`, relative to the definition.
    path: Option<PathBuf>,
    /// Carry it as `sealift.internal/charts/<as>`; needed if two charts have one name.
    r#as: Option<String>,
    /// Values files with which it will be installed: for finding the images that it names.
    #[serde(default)]
    values: Vec<PathBuf>,
}

impl TryFrom<ChartObject> for Chart {
    type Error = String;

    fn try_from(object: ChartObject) -> Result<Self, String> {
        let ChartObject { reference, repository, name, version, path, r#as: alias, values } = object;
        let source = match (reference, repository, path, name, version) {
            (Some(reference), None, None, None, None) => ChartSource::Oci(parse_oci(&reference)?),
            (None, Some(url), None, Some(name), Some(version)) => {
                ChartSource::Repository { url: parse_url(&url)?, name, version }
            }
            (None, None, Some(path), None, None) => ChartSource::Path(path),
            (None, Some(_), None, ..) => {
                return Err("a chart of a `repository` needs `name` and `version`".into());
            }
            _ => return Err("a chart has one of `reference`, `repository` and `path`".into()),
        };
        if let Some(wrong) = alias.as_deref().filter(|alias| !is_component(alias)) {
            return Err(format!(
                "`as: {wrong}` is not made of lower-case letters, digits and single `.`, `_` or `-`"
            ));
        }
        Ok(Self { source, alias, values })
    }
}

fn parse_oci(text: &str) -> Result<Reference, String> {
    let rest = text
        .strip_prefix(OCI_SCHEME)
        .ok_or_else(|| format!("`{text}` does not begin with `{OCI_SCHEME}`"))?;
    // Versions have a `+` where tags have a `_` (Helm's rule).
    let reference: Reference =
        rest.replace('+', "_").parse().map_err(|e: sealift_archive::Error| e.to_string())?;
    if !rest.ends_with(":latest") && reference.digest().is_none() && reference.tag() == Some("latest") {
        return Err(format!("`{text}` names no version: write it as `{text}:1.2.3`"));
    }
    Ok(reference)
}

impl TextOrMap for Chart {
    type Map = ChartObject;
    const EXPECTED: &'static str = "an `oci://` reference or a map with `reference`, `repository` or `path`";
    const DESCRIPTION: &'static str = "An `oci://` reference, or a map that says where the chart is.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self { source: ChartSource::Oci(parse_oci(text)?), alias: None, values: Vec::new() })
    }
}

impl<'de> Deserialize<'de> for Chart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_map::deserialize(deserializer)
    }
}

impl JsonSchema for Chart {
    fn schema_name() -> Cow<'static, str> {
        "Chart".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        text_or_map::schema::<Self>(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_shown_without_its_secrets() {
        let url = "https://charts.example.com/a?token=secret".parse().unwrap();
        let source = ChartSource::Repository { url, name: "api".to_owned(), version: "1.0.0".to_owned() };
        assert_eq!(source.to_string(), "api 1.0.0 of https://charts.example.com/a");
    }
}
