//! Which packages changed, over all images of a release.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::both;
use crate::sbom::Bill;

/// A package by its type and name → its versions, each with the number of images that hold it.
pub(super) type Packages = BTreeMap<(String, String), BTreeMap<String, usize>>;

/// A package that came, went or has other versions.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// `deb`, `apk`, `rpm` or another type of package URLs.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The versions that were there and are not any more.
    pub from: Vec<String>,
    /// The versions that are new.
    pub to: Vec<String>,
    /// How many images hold one of the new versions, or held one of the old ones if there is no new one.
    pub images: usize,
}

/// The packages of a release.
pub(super) fn of(bill: &Bill) -> Packages {
    let mut packages = Packages::new();
    for image in &bill.images {
        // An image may hold a package twice, of two architectures or told by two sources.
        let held: BTreeSet<_> = image
            .packages
            .iter()
            .map(|found| &found.package)
            .map(|package| (package.kind.as_str(), package.name.as_str(), package.full_version()))
            .collect();
        for (kind, name, version) in held {
            *packages.entry((kind.to_owned(), name.to_owned())).or_default().entry(version).or_default() += 1;
        }
    }
    packages
}

/// What changed from one to the other.
pub(super) fn changes(from: &Packages, to: &Packages) -> Vec<PackageChange> {
    let none = BTreeMap::new();
    both(from, to)
        .filter_map(|((kind, name), before, after)| {
            let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
            let only = |these: &BTreeMap<String, usize>,
                        those: &BTreeMap<String, usize>|
             -> Vec<(String, usize)> {
                these.iter().filter(|(v, _)| !those.contains_key(*v)).map(|(v, n)| (v.clone(), *n)).collect()
            };
            let (gone, come) = (only(before, after), only(after, before));
            let counted = if come.is_empty() { &gone } else { &come };
            let images = counted.iter().map(|(_, images)| images).sum();
            let versions =
                |list: &[(String, usize)]| list.iter().map(|(version, _)| version.clone()).collect();
            let change = PackageChange {
                kind: kind.clone(),
                name: name.clone(),
                from: versions(&gone),
                to: versions(&come),
                images,
            };
            (images > 0).then_some(change)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_package_by_package() {
        let packages = |list: &[(&str, &str, usize)]| {
            let mut packages = Packages::new();
            for (name, version, images) in list {
                let versions = packages.entry(("deb".to_owned(), (*name).to_owned())).or_default();
                versions.insert((*version).to_owned(), *images);
            }
            packages
        };
        let from = packages(&[
            ("openssl", "3.0.14", 2),
            ("bash", "5.2", 3),
            ("old", "1", 1),
            ("two", "1", 1),
            ("two", "2", 1),
        ]);
        let to = packages(&[("openssl", "3.0.15", 3), ("bash", "5.2", 1), ("new", "1", 1), ("two", "2", 2)]);
        let told: Vec<String> = changes(&from, &to)
            .iter()
            .map(|c| format!("{} {:?} {:?} {}", c.name, c.from, c.to, c.images))
            .collect();
        let expected = [
            r#"new [] ["1"] 1"#,
            r#"old ["1"] [] 1"#,
            r#"openssl ["3.0.14"] ["3.0.15"] 3"#,
            r#"two ["1"] [] 1"#,
        ];
        assert_eq!(told, expected);
    }
}
