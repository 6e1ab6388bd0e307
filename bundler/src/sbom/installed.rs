//! The packages of one image: its layers put on top of each other, and what the databases say that come out.

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::{Digest, Error, Progress};

use super::database::{self, Content, Reader};
use super::layers::{Layer, Lookup, Selection as _, Tree};
use super::package::{Distribution, Package};

/// What stands in the databases of an image.
#[derive(Debug, Default)]
pub(super) struct Installed {
    pub(super) distribution: Option<Distribution>,
    /// Package → the layer that brought it in this version.
    pub(super) packages: BTreeMap<Package, Digest>,
    /// Paths of the databases, readable or not.
    pub(super) databases: BTreeSet<String>,
    pub(super) warnings: Vec<String>,
}

/// Goes through the layers of an image, the lowest first.
///
/// A database is written anew by each layer that changes it, so a package came with the lowest layer from which on every
/// state of the database lists it.
///
/// # Errors
/// [`Error::Interrupted`], and nothing else.
pub(super) fn of<'a>(
    layers: impl IntoIterator<Item = (Digest, &'a Layer<Content>)>,
    progress: &dyn Progress,
) -> Result<Installed, Error> {
    let mut tree = Tree::default();
    let mut packages: BTreeMap<Package, Digest> = BTreeMap::new();
    for (digest, layer) in layers {
        progress.go_on()?;
        if layer.is_empty() {
            continue;
        }
        tree.apply(layer);
        let listed = Databases::read(&tree).packages;
        packages.retain(|package, _| listed.contains(package));
        for package in listed {
            if !packages.contains_key(package) {
                packages.insert(package.clone(), digest);
            }
        }
    }
    let distribution = database::OS_RELEASE.iter().find_map(|path| match tree.look_up(path) {
        Lookup::File(Content::Distribution(distribution), _) => distribution.clone(),
        _ => None,
    });
    let Databases { paths, warnings, .. } = Databases::read(&tree);
    Ok(Installed { distribution, packages, databases: paths, warnings: warnings.into_iter().collect() })
}

/// What the databases of a tree say.
#[derive(Default)]
struct Databases<'a> {
    packages: BTreeSet<&'a Package>,
    paths: BTreeSet<String>,
    warnings: BTreeSet<String>,
}

impl<'a> Databases<'a> {
    fn read(tree: &'a Tree<Content>) -> Self {
        let mut found = Self::default();
        found.look(tree, database::DPKG);
        for (name, part) in tree.files_in(database::DPKG_PARTS) {
            found.paths.insert(database::DPKG_PARTS.to_owned());
            found.take(&format!("{}/{name}", database::DPKG_PARTS), part);
        }
        for path in database::APK {
            found.look(tree, path);
        }
        for dir in database::RPM {
            // Beside the database of today an older one may have been forgotten.
            if database::RPM_FILES.iter().any(|(file, _)| found.look(tree, &format!("{dir}/{file}"))) {
                found.look_for_log(tree, &format!("{dir}/{}", database::RPM_LOG));
            }
        }
        found
    }

    /// Takes the database at this path in, and says whether there is one. Two paths may lead to one file.
    fn look(&mut self, tree: &'a Tree<Content>, path: &str) -> bool {
        match tree.look_up(path) {
            Lookup::File(content, place) => {
                if self.paths.insert(place) {
                    self.take(path, content);
                }
                return true;
            }
            Lookup::Nothing(place) if Reader::default().kind(&place).is_none() => {
                let (from, to) = (folder(path), folder(&place));
                self.warnings.insert(format!("`{from}` is a link to `{to}`, which is not looked into"));
            }
            Lookup::Nothing(_) => {}
            Lookup::Loop => {
                self.warnings.insert(format!("`{}` cannot be reached: links go round", folder(path)));
            }
        }
        false
    }

    fn take(&mut self, path: &str, content: &'a Content) {
        match content {
            Content::Packages(packages) => self.packages.extend(packages.iter()),
            Content::Unreadable(why) => {
                self.warnings.insert(format!("`{path}` cannot be read: {why}"));
            }
            Content::Distribution(_) | Content::Log { .. } => {}
        }
    }

    fn look_for_log(&mut self, tree: &Tree<Content>, path: &str) {
        if let Lookup::File(Content::Log { is_empty: false }, _) = tree.look_up(path) {
            self.warnings
                .insert(format!("`{path}` holds changes that are not in the database, and not counted"));
        }
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::super::layers::{self, Linked, Scan};
    use super::*;

    #[test]
    fn whoever_asks_to_stop_is_heard_between_layers() {
        struct Stop;

        impl Progress for Stop {
            fn advance(&self, _: u64) {}

            fn is_interrupted(&self) -> bool {
                true
            }
        }

        let Ok(Scan::Layer(layer)) = layers::read(&[0; 1024][..], &mut Reader::default(), &Linked::new())
        else {
            panic!("an empty tar is a layer");
        };
        let stopped = of([(Digest::of(b"layer"), &layer)], &Stop);
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    }
}
