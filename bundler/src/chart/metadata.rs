//! `Chart.yaml`: what a chart says of itself (Helm's documentation, "Charts", "The Chart.yaml File").
//!
//! Fields stand in the order in which Helm writes them into an artifact's configuration, so that ours has the same
//! bytes. Keys that Helm does not know are ignored, as it does.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use sealift_archive::json;

use super::yaml;
use super::{ChartName, ChartVersion};
use crate::Error;
use crate::artifact::to_json;

/// Largest `Chart.yaml` or configuration of a chart, in bytes. Its annotations go into the manifest, which registries
/// take up to 4 MiB of.
pub(super) const MAX_METADATA_BYTES: usize = 1 << 20;

/// What a chart says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The chart's name.
    pub name: ChartName,
    /// Where to read about it.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// Where its source code is.
    #[serde(default, deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The chart's version.
    pub version: ChartVersion,
    /// One sentence.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to search by.
    #[serde(default, deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Who looks after it.
    #[serde(default, deserialize_with = "yaml::list", skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// Where its icon is.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// Which rules it is written by.
    #[serde(default, alias = "apiversion", deserialize_with = "api_version")]
    pub api_version: ApiVersion,
    /// A value that switches it on.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Values that switch it on.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// The version of what it installs, in any form.
    #[serde(
        default,
        alias = "appversion",
        deserialize_with = "yaml::text",
        skip_serializing_if = "String::is_empty"
    )]
    pub app_version: String,
    /// Whether it should no longer be used.
    #[serde(default, deserialize_with = "yaml::flag", skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
    /// Whatever else; `artifacthub.io/images` lists images.
    #[serde(default, deserialize_with = "yaml::annotations", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The Kubernetes versions that it is for.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// The charts that it builds on; version 1 has them in a file of their own.
    #[serde(default, deserialize_with = "dependencies", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Whether it installs something or is only built on.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "chart_type",
        skip_serializing_if = "Option::is_none"
    )]
    pub chart_type: Option<ChartType>,
}

/// Which rules a chart is written by. Those of Helm 2 say nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// Helm 2's.
    #[default]
    V1,
    /// Helm 3's.
    V2,
}

/// Whether a chart installs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartType {
    /// It does.
    Application,
    /// Other charts build on it.
    Library,
}

/// Somebody who looks after a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintainer {
    /// Their name.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Their address.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Their page.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A chart that another one builds on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    #[serde(default, deserialize_with = "yaml::text")]
    pub name: String,
    /// The versions that are wanted.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Where it comes from.
    #[serde(default, deserialize_with = "yaml::text")]
    pub repository: String,
    /// A value that switches it on.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Groups that are switched on together.
    #[serde(default, deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it is on.
    #[serde(default, deserialize_with = "yaml::flag", skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// Which of its values its parent takes over.
    #[serde(
        default,
        rename = "import-values",
        deserialize_with = "yaml::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub import_values: Vec<serde_json::Value>,
    /// What its parent calls it.
    #[serde(default, deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub alias: String,
}

/// `requirements.yaml`, in which charts of version 1 name their dependencies.
#[derive(Deserialize)]
struct Requirements {
    #[serde(default, deserialize_with = "dependencies")]
    dependencies: Vec<Dependency>,
}

impl Metadata {
    /// Reads `Chart.yaml`, and `requirements.yaml` if the chart has one; `folder` names the chart in errors.
    ///
    /// # Errors
    /// [`super::Error::File`] with line and column, or that it is too large.
    pub fn parse(folder: &str, chart: &[u8], requirements: Option<&[u8]>) -> Result<Self, Error> {
        let read = |name: &str, bytes: &[u8]| {
            let file = format!("{folder}/{name}");
            expect_small(&file, bytes)?;
            Ok::<_, Error>(file)
        };
        let mut metadata: Self = yaml::parse(&read("Chart.yaml", chart)?, chart)?;
        if let Some(bytes) = requirements {
            let found: Requirements = yaml::parse(&read("requirements.yaml", bytes)?, bytes)?;
            metadata.dependencies = found.dependencies;
        }
        Ok(metadata)
    }

    /// Reads the configuration of a chart in a registry, which is `Chart.yaml` as JSON; `reference` names it in errors.
    ///
    /// # Errors
    /// It is not what it should be, or too large.
    pub fn from_config(reference: &str, config: &[u8]) -> Result<Self, Error> {
        Ok(json::parse(&format!("the configuration of {reference}"), config, MAX_METADATA_BYTES)?)
    }

    /// The configuration of a chart in a registry: the same as JSON.
    #[must_use]
    pub fn to_config(&self) -> Vec<u8> {
        to_json(self)
    }
}

fn expect_small(file: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() <= MAX_METADATA_BYTES {
        return Ok(());
    }
    let (what, size, limit) = (file.to_owned(), bytes.len() as u64, MAX_METADATA_BYTES as u64);
    Err(sealift_archive::Error::TooLarge { what, size, limit }.into())
}

/// Nothing is Helm 2's, written as nothing in whichever way.
fn api_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ApiVersion, D::Error> {
    match yaml::text(deserializer)?.as_str() {
        "" | "v1" => Ok(ApiVersion::V1),
        "v2" => Ok(ApiVersion::V2),
        other => Err(D::Error::custom(format!("`{other}` is neither v1 nor v2"))),
    }
}

fn chart_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ChartType>, D::Error> {
    match yaml::text(deserializer)?.as_str() {
        "" => Ok(None),
        "application" => Ok(Some(ChartType::Application)),
        "library" => Ok(Some(ChartType::Library)),
        other => Err(D::Error::custom(format!("`{other}` is neither application nor library"))),
    }
}

/// Dependencies whose names, as the parent sees them, are fit and stand once.
fn dependencies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Dependency>, D::Error> {
    let dependencies: Vec<Dependency> = yaml::list(deserializer)?;
    let mut seen = BTreeSet::new();
    for Dependency { name, alias, .. } in &dependencies {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() {
            return Err(D::Error::custom("a dependency has no name"));
        }
        if !alias.chars().all(is_fit) {
            return Err(D::Error::custom(format!("`{alias}` cannot be the alias of a dependency")));
        }
        let name = if alias.is_empty() { name } else { alias };
        if !seen.insert(name) {
            return Err(D::Error::custom(format!("two dependencies are called `{name}`")));
        }
    }
    Ok(dependencies)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = r#"
# a comment
apiVersion: v2
name: web
description: "A <chart> & more é \u2028 x"
type: application
version: 1.2.3+build.5
appVersion: 1.10
home: https://example.com/?a=1&b=2
sources: [https://src.example.com/web, https://other]
keywords: [a, 7, true]
maintainers:
  - {name: A, email: a@x}
  - {name: B}
  - {email: c@x}
annotations:
  z: "1"
  artifacthub.io/images: |
    - name: web
      image: nginx:1.25
  org.opencontainers.image.title: evil
unknownKey: x
deprecated: true
dependencies:
  - name: sub
    version: 0.1.0
    repository: file://../sub
    import-values: [data, {child: a, parent: b.c}]
    tags: [x]
    enabled: true
icon: https://x/i.svg
kubeVersion: ">=1.20.0-0"
"#;

    /// What Helm 3.22 pushed for the same file.
    const CONFIG: &str = concat!(
        r#"{"name":"web","home":"https://example.com/?a=1\u0026b=2","#,
        r#""sources":["https://src.example.com/web","https://other"],"version":"1.2.3+build.5","#,
        r#""description":"A \u003cchart\u003e \u0026 more é   x","keywords":["a","7","true"],"#,
        r#""maintainers":[{"name":"A","email":"a@x"},{"name":"B"},{"email":"c@x"}],"icon":"https://x/i.svg","#,
        r#""apiVersion":"v2","appVersion":"1.1","deprecated":true,"#,
        r#""annotations":{"artifacthub.io/images":"- name: web\n  image: nginx:1.25\n","#,
        r#""org.opencontainers.image.title":"evil","z":"1"},"kubeVersion":"\u003e=1.20.0-0","#,
        r#""dependencies":[{"name":"sub","version":"0.1.0","repository":"file://../sub","tags":["x"],"#,
        r#""enabled":true,"import-values":["data",{"child":"a","parent":"b.c"}]}],"type":"application"}"#,
    );

    fn parse(text: &str) -> Result<Metadata, Error> {
        Metadata::parse("web", text.as_bytes(), None)
    }

    #[test]
    fn the_configuration_is_the_one_that_helm_makes() {
        let metadata = parse(FULL).unwrap();
        assert_eq!(String::from_utf8(metadata.to_config()).unwrap(), CONFIG);
        assert_eq!(Metadata::from_config("web", CONFIG.as_bytes()).unwrap(), metadata);
    }

    #[test]
    fn helm_2_charts_are_read_too() {
        let requirements = b"dependencies:\n- {name: db, repository: ''}\n";
        for api_version in ["", "apiVersion:\n", "apiVersion: ''\n", "apiversion: v1\n"] {
            let chart = format!("{api_version}name: old\nversion: 0.1\nmaintainers:\ntype: ''\n");
            let metadata = Metadata::parse("old", chart.as_bytes(), Some(requirements)).unwrap();
            assert_eq!((metadata.api_version, metadata.version.as_str()), (ApiVersion::V1, "0.1"));
            assert_eq!((metadata.dependencies[0].name.as_str(), metadata.chart_type), ("db", None));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let with = |from: &str, to: &str| {
            let text = FULL.replacen(from, to, 1);
            assert_ne!(text, FULL);
            parse(&text).unwrap_err().to_string()
        };
        let cases: [(&[&str], String); 12] = [
            (&["line 4, column 7", "`../web` cannot be the name"], with("name: web", "name: ../web")),
            (&["line 7, column 10", "`latest` is not a semantic version"], with("1.2.3+build.5", "latest")),
            (&["missing field `version`"], with("version: 1.2.3+build.5\n", "")),
            (&["missing field `name`"], with("name: web\n", "")),
            (&["line 3, column 13", "v3"], with("apiVersion: v2", "apiVersion: v3")),
            (&["line 6, column 7", "plugin"], with("type: application", "type: plugin")),
            (&["line 10, column 10"], with("[https://src.example.com/web, https://other]", "{a: b}")),
            (
                &["two dependencies are called `sub`"],
                with("dependencies:\n", "dependencies:\n  - {name: sub}\n"),
            ),
            (
                &["`a/b` cannot be the alias"],
                with("dependencies:\n", "dependencies:\n  - {name: x, alias: a/b}\n"),
            ),
            (&["a dependency has no name"], with("dependencies:\n", "dependencies:\n  - {alias: x}\n")),
            (&["line 15, column 3"], with("  - {name: A, email: a@x}", "  - {name: A, email: a@x")),
            (&["line 23", "true or false"], with("deprecated: true", "deprecated: 'true'")),
        ];
        for (expected, said) in cases {
            for part in expected {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(said.contains("web/Chart.yaml"), "{said}");
        }
        let large = format!("{FULL}\n#{}", "x".repeat(MAX_METADATA_BYTES));
        assert!(parse(&large).unwrap_err().to_string().contains("the limit is 1048576"));
        for wrong in ["", "[]", "name", "null"] {
            assert!(parse(wrong).is_err(), "{wrong}");
            assert!(Metadata::from_config("x", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..FULL.len()) {
            let _ = Metadata::parse("x", &bytes, Some(&bytes));
            let _ = Metadata::from_config("x", &bytes);
            let mut text = FULL.as_bytes().to_vec();
            text.splice(cut..cut, bytes);
            let _ = Metadata::parse("x", &text, None);
        }

        #[test]
        fn a_configuration_is_read_as_it_was_written(
            text in "[ -~äé]{0,40}", keys in prop::collection::btree_map("[a-z./-]{1,20}", "\\PC{0,40}", 0..4),
        ) {
            let mut metadata = parse(FULL).unwrap();
            metadata.description = text;
            metadata.annotations = keys;
            prop_assert_eq!(Metadata::from_config("x", &metadata.to_config()).unwrap(), metadata);
        }
    }
}
