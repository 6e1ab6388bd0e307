//! Kustomize: which files a kustomization takes in, and what its `images:` makes of their images.

use super::reference::put_together;
use super::yaml::Node;

/// The names of the file that makes a folder a kustomization.
pub(super) const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Keys that list files or folders of objects.
const RESOURCES: [&str; 4] = ["resources", "bases", "components", "crds"];
/// Keys that list patches: files, or objects that name or hold one.
const PATCHES: [&str; 3] = ["patches", "patchesStrategicMerge", "patchesJson6902"];
/// Keys that list what makes `ConfigMap`s and `Secret`s of files.
const GENERATORS: [&str; 2] = ["configMapGenerator", "secretGenerator"];

/// What a kustomization says, as far as images go.
#[derive(Debug, Default)]
pub(super) struct Kustomization {
    /// Files, folders, and addresses.
    pub(super) resources: Vec<Named>,
    /// Files of patches.
    pub(super) patches: Vec<Named>,
    /// Files whose text goes into a `ConfigMap` or `Secret`.
    pub(super) texts: Vec<Named>,
    pub(super) images: Vec<Replacement>,
    /// The line of `helmCharts:`, if there is one.
    pub(super) helm_charts: Option<u32>,
}

/// A file that a kustomization names, and where.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) line: u32,
}

impl Kustomization {
    pub(super) fn of(document: &Node) -> Self {
        let list = |key: &str| document.get(key).map(Node::items).unwrap_or_default();
        let named = |node: &Node| Some(Named { path: node.text()?.to_owned(), line: node.line });
        let generated = GENERATORS.iter().flat_map(|key| list(key)).flat_map(|generator| {
            ["files", "envs"]
                .into_iter()
                .flat_map(|key| generator.get(key).map(Node::items).unwrap_or_default())
        });
        Self {
            resources: RESOURCES.iter().flat_map(|key| list(key)).filter_map(named).collect(),
            patches: PATCHES
                .iter()
                .flat_map(|key| list(key))
                .filter_map(|node| named(node.get("path").unwrap_or(node)))
                .filter(|patch| !patch.path.contains('\n'))
                .collect(),
            texts: generated
                .filter_map(named)
                // `key=file`
                .map(|text| Named {
                    path: text.path.rsplit('=').next().unwrap_or_default().to_owned(),
                    ..text
                })
                .collect(),
            images: list("images").iter().filter_map(Replacement::of).collect(),
            helm_charts: document.get("helmCharts").map(|node| node.line),
        }
    }
}

/// One entry of `images:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    name: String,
    new_name: Option<String>,
    new_tag: Option<String>,
    digest: Option<String>,
}

impl Replacement {
    pub(super) fn of(node: &Node) -> Option<Self> {
        let text = |key: &str| node.get(key).and_then(Node::scalar).filter(|text| !text.is_empty());
        Some(Self {
            name: text("name")?,
            new_name: text("newName"),
            new_tag: text("newTag"),
            digest: text("digest"),
        })
    }

    /// The image in place of another, if the name is the other's. A tag or digest takes the place of both.
    pub(super) fn applied(&self, reference: &str) -> Option<String> {
        let (rest, digest) =
            reference.split_once('@').map_or((reference, None), |(rest, digest)| (rest, Some(digest)));
        let colon = rest.rfind(':').filter(|colon| !rest[*colon..].contains('/'));
        let (name, tag) = colon.map_or((rest, None), |colon| (&rest[..colon], Some(&rest[colon + 1..])));
        if name != self.name {
            return None;
        }
        let name = self.new_name.as_deref().unwrap_or(name);
        let (tag, digest) = match (&self.new_tag, &self.digest) {
            (None, None) => (tag, digest),
            (tag, digest) => (tag.as_deref(), digest.as_deref()),
        };
        Some(put_together(None, name, tag, digest))
    }
}

/// Whether a map is an entry of kustomize's `images:`; others have lists of that name too.
pub(super) fn is_replacement(node: &Node) -> bool {
    let has = |key: &str| node.get(key).is_some();
    has("newName") || has("newTag") || has("name") && has("digest") && node.entries().len() == 2
}

/// The image that an entry of `images:` puts in place of another, if it says all of it.
pub(super) fn whole_replacement(node: &Node) -> Option<String> {
    let entry = Replacement::of(node)?;
    let is_whole = entry.new_tag.is_some() || entry.digest.is_some();
    is_whole.then(|| {
        put_together(
            None,
            entry.new_name.as_deref().unwrap_or(&entry.name),
            entry.new_tag.as_deref(),
            entry.digest.as_deref(),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::yaml::document;
    use super::*;

    #[test]
    fn images_are_replaced_as_kustomize_replaces_them() {
        let cases = [
            ("{name: nginx, newTag: '2'}", "nginx", Some("nginx:2")),
            ("{name: nginx, newTag: '2'}", "nginx:1", Some("nginx:2")),
            ("{name: nginx, newTag: '2'}", "library/nginx:1", None),
            ("{name: nginx, newName: ghcr.io/acme/nginx}", "nginx:1", Some("ghcr.io/acme/nginx:1")),
            ("{name: r:5000/a, newTag: '2'}", "r:5000/a", Some("r:5000/a:2")),
            ("{name: a, digest: 'sha256:00'}", "a:1", Some("a@sha256:00")),
            ("{name: a, newTag: 2.10}", "a:1@sha256:00", Some("a:2.1")),
        ];
        for (entry, reference, expected) in cases {
            let node = document(entry, &Rc::from("k")).unwrap();
            let replaced = Replacement::of(&node).unwrap().applied(reference);
            assert_eq!(replaced.as_deref(), expected, "{entry} on {reference}");
        }
    }
}
