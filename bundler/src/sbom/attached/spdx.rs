//! SPDX 2 as JSON, read for its packages (SPDX 2.3, chapter 7).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{AttachedFormat, Listed, ListsPackages};

/// What is said where there is nothing to say.
const NOTHING: [&str; 2] = ["NOASSERTION", "NONE"];
/// Purposes of packages that stand for the whole, or for no software.
const NO_PACKAGES: [&str; 6] =
    ["CONTAINER", "OPERATING-SYSTEM", "OPERATING_SYSTEM", "FILE", "SOURCE", "ARCHIVE"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    /// Without it, it is no SPDX 2.
    #[serde(rename = "spdxVersion")]
    _version: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(rename = "documentDescribes", default)]
    described: BTreeSet<String>,
    #[serde(default)]
    relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID", default)]
    id: String,
    name: String,
    version_info: Option<String>,
    primary_package_purpose: Option<String>,
    #[serde(default)]
    external_refs: Vec<ExternalRef>,
    license_declared: Option<String>,
    license_concluded: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_type: String,
    reference_locator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    relationship_type: String,
    related_spdx_element: String,
}

impl ListsPackages for Document {
    const FORMAT: AttachedFormat = AttachedFormat::Spdx;

    fn packages(mut self) -> Vec<Listed> {
        let describes = self.relationships.into_iter().filter(|r| r.relationship_type == "DESCRIBES");
        self.described.extend(describes.map(|r| r.related_spdx_element));
        self.packages.iter().filter(|p| !p.is_whole(&self.described)).filter_map(Package::listed).collect()
    }
}

impl Package {
    /// Whether it is the image, its root folder or its system, and not a package in it.
    fn is_whole(&self, described: &BTreeSet<String>) -> bool {
        self.primary_package_purpose.as_deref().is_some_and(|purpose| NO_PACKAGES.contains(&purpose))
            || match self.purl() {
                Some(purl) => ["pkg:oci/", "pkg:docker/"].iter().any(|image| purl.starts_with(image)),
                None => described.contains(&self.id),
            }
    }

    fn purl(&self) -> Option<&str> {
        let purl = self.external_refs.iter().find(|reference| reference.reference_type == "purl");
        purl.map(|reference| reference.reference_locator.as_str())
    }

    fn listed(&self) -> Option<Listed> {
        let licenses = [&self.license_declared, &self.license_concluded].into_iter().flatten();
        let license = licenses.map(String::as_str).find(|license| !NOTHING.contains(license));
        let version = self.version_info.as_deref().filter(|version| !NOTHING.contains(version));
        Listed::new(&self.name, version, self.purl(), license)
    }
}
