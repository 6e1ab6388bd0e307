//! CycloneDX as JSON, read for its components (CycloneDX 1.6; older versions have the same fields).

use serde::Deserialize;

use super::{AttachedFormat, Listed, ListsPackages};

/// Types of components that are packages; the others are the system, the image, files, data.
const PACKAGES: [&str; 4] = ["application", "framework", "library", "platform"];

#[derive(Deserialize)]
pub(super) struct Document {
    /// Without it, it is no CycloneDX.
    #[serde(rename = "bomFormat")]
    _format: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    version: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    licenses: Vec<LicenseChoice>,
    /// Components that this one is made of; the reader of JSON ends where they go too deep.
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct LicenseChoice {
    expression: Option<String>,
    license: Option<License>,
}

#[derive(Deserialize)]
struct License {
    id: Option<String>,
    name: Option<String>,
}

impl ListsPackages for Document {
    const FORMAT: AttachedFormat = AttachedFormat::CycloneDx;

    fn packages(self) -> Vec<Listed> {
        let mut packages = Vec::new();
        let mut ahead = self.components;
        while let Some(component) = ahead.pop() {
            if PACKAGES.contains(&component.kind.as_str()) {
                packages.extend(component.listed());
            }
            ahead.extend(component.components);
        }
        packages
    }
}

impl Component {
    fn listed(&self) -> Option<Listed> {
        let names: Vec<String> = self.licenses.iter().filter_map(LicenseChoice::name).collect();
        let license = Some(names.join(" AND ")).filter(|license| !license.is_empty());
        Listed::new(&self.name, self.version.as_deref(), self.purl.as_deref(), license.as_deref())
    }
}

impl LicenseChoice {
    fn name(&self) -> Option<String> {
        let license = self.license.as_ref();
        self.expression.clone().or_else(|| license.and_then(|l| l.id.clone().or_else(|| l.name.clone())))
    }
}
