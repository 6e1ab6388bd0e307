//! Which packages changed, over all images of a release.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::both;
use crate::sbom::{Bill, Image};

/// The packages of a release.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// A package by its type and name.
    versions: BTreeMap<(String, String), Versions>,
    /// The repositories of each image.
    images: Vec<Vec<String>>,
    /// Images that may hold more.
    pub(super) uncertain: Vec<Uncertain>,
}

/// The versions of a package, each with the images that hold it by their places.
type Versions = BTreeMap<String, Vec<usize>>;

/// An image that may hold more packages than are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncertain {
    /// Its names.
    pub names: Vec<String>,
    /// `linux/amd64`, if its configuration says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What could not be read.
    pub why: Vec<String>,
    #[serde(skip)]
    repositories: Vec<String>,
}

/// The images of both sides of which not all packages are known.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Doubts {
    /// Of the first.
    pub from: Vec<Uncertain>,
    /// Of the second.
    pub to: Vec<Uncertain>,
}

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
    let mut packages = Packages::default();
    for (place, image) in bill.images.iter().enumerate() {
        // An image may hold a package twice, of two architectures or told by two sources.
        let held: BTreeSet<_> = image
            .packages
            .iter()
            .map(|found| &found.package)
            .map(|package| (package.kind.as_str(), package.name.as_str(), package.full_version()))
            .collect();
        for (kind, name, version) in held {
            let versions = packages.versions.entry((kind.to_owned(), name.to_owned())).or_default();
            versions.entry(version).or_default().push(place);
        }
        packages.images.push(repositories(image));
    }
    packages.uncertain = bill
        .uncertain()
        .map(|image| Uncertain {
            names: image.names.iter().map(ToString::to_string).collect(),
            platform: image.platform.clone(),
            why: image.doubts(),
            repositories: repositories(image),
        })
        .collect();
    packages
}

fn repositories(image: &Image) -> Vec<String> {
    image.names.iter().map(sealift_archive::Reference::name).collect()
}

/// What changed from one to the other. That a package is gone is not told of an image whose packages are not all known.
pub(super) fn changes(from: &Packages, to: &Packages) -> Vec<PackageChange> {
    let none = BTreeMap::new();
    let uncertain: BTreeSet<&String> = to.uncertain.iter().flat_map(|image| &image.repositories).collect();
    let may_be_there = |images: &[usize]| {
        images.iter().flat_map(|&place| &from.images[place]).any(|r| uncertain.contains(r))
    };
    both(&from.versions, &to.versions)
        .filter_map(|((kind, name), before, after)| {
            let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
            let (mut gone, come) = (only(before, after), only(after, before));
            if come.is_empty() {
                gone.retain(|(_, images)| !may_be_there(images));
            }
            let counted = if come.is_empty() { &gone } else { &come };
            let images = counted.iter().map(|(_, images)| images.len()).sum();
            let versions = |list: &[(&String, &[usize])]| list.iter().map(|(v, _)| (*v).clone()).collect();
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

/// The versions that are not among the others.
fn only<'a>(these: &'a Versions, others: &Versions) -> Vec<(&'a String, &'a [usize])> {
    let is_new = |(version, _): &(&String, _)| !others.contains_key(*version);
    these.iter().filter(is_new).map(|(version, images)| (version, images.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_package_by_package() {
        let packages = |list: &[(&str, &str, usize)]| {
            let mut packages = Packages { images: vec![Vec::new(); 3], ..Packages::default() };
            for (name, version, images) in list {
                let versions = packages.versions.entry(("deb".to_owned(), (*name).to_owned())).or_default();
                versions.insert((*version).to_owned(), (0..*images).collect());
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

    #[test]
    fn what_could_not_be_read_is_not_gone() {
        let held = |list: &[(&str, &str, usize)]| {
            let mut packages = Packages {
                images: vec![vec!["a.io/read".to_owned()], vec!["a.io/unread".to_owned()]],
                ..Packages::default()
            };
            for (name, version, image) in list {
                let versions = packages.versions.entry(("deb".to_owned(), (*name).to_owned())).or_default();
                versions.entry((*version).to_owned()).or_default().push(*image);
            }
            packages
        };
        let from = held(&[
            ("gone", "1", 0),
            ("unread", "1", 1),
            ("both", "1", 0),
            ("both", "1", 1),
            ("new", "1", 1),
        ]);
        let mut to = held(&[("new", "2", 1)]);
        to.uncertain.push(Uncertain {
            names: vec!["a.io/unread:2".to_owned()],
            platform: None,
            why: vec!["a layer cannot be read".to_owned()],
            repositories: vec!["a.io/unread".to_owned()],
        });
        let told: Vec<_> = changes(&from, &to).into_iter().map(|c| (c.name, c.from, c.to)).collect();
        let one = |version: &str| vec![version.to_owned()];
        assert_eq!(told, [("gone".to_owned(), one("1"), vec![]), ("new".to_owned(), one("1"), one("2"))]);
    }
}
