//! The kinds of objects by which Flux works, and under which version of which API the cluster serves them.
//!
//! Clusters serve several versions beside each other, and not each kind in the preferred one: with Flux 2.3 it was `v1` for
//! `source.toolkit.fluxcd.io`, but `OCIRepository` was in `v1beta2` only. All versions are the same objects.

use serde::Deserialize;

use crate::kubernetes::{Api, Ask, Deadline, Error};

const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const HELM: &str = "helm.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";

/// A kind of object that Flux reconciles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    plural: &'static str,
    group: &'static str,
}

const fn kind(name: &'static str, plural: &'static str, group: &'static str) -> Kind {
    Kind { name, plural, group }
}

/// What changes the cluster. Kustomizations come first, since they bring `HelmReleases` along.
pub(super) const APPLIERS: [Kind; 2] =
    [kind("Kustomization", "kustomizations", KUSTOMIZE), kind("HelmRelease", "helmreleases", HELM)];
/// Where content comes from.
pub(super) const SOURCES: [Kind; 4] = [
    kind("GitRepository", "gitrepositories", SOURCE),
    kind("OCIRepository", "ocirepositories", SOURCE),
    kind("HelmRepository", "helmrepositories", SOURCE),
    kind("Bucket", "buckets", SOURCE),
];
/// What is taken from other sources.
pub(super) const CHARTS: [Kind; 1] = [kind("HelmChart", "helmcharts", SOURCE)];

/// A kind that the cluster serves.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) kind: Kind,
    version: String,
}

impl Served {
    /// The path of all its objects; in one namespace, if it is named.
    pub(super) fn path<'a>(&'a self, namespace: Option<&'a str>) -> Vec<&'a str> {
        let mut path = vec!["apis", self.kind.group, &self.version];
        if let Some(namespace) = namespace {
            path.extend(["namespaces", namespace]);
        }
        path.push(self.kind.plural);
        path
    }

    /// As rules of a Role name it.
    pub(super) fn resource(&self) -> String {
        format!("{}.{}", self.kind.plural, self.kind.group)
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<Version>,
    preferred_version: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// Those of `kinds` that the cluster serves, each in the preferred version that has it.
pub(super) fn served(api: &Api, kinds: &[Kind], deadline: Deadline) -> Result<Vec<Served>, Error> {
    let ask = Ask { verb: "get", resource: "/apis".to_owned(), path: &["apis"], query: &[] };
    let groups: Groups = api.get(&ask, deadline)?;
    let mut served: Vec<Option<Served>> = vec![None; kinds.len()];
    for group in groups.groups {
        for version in group.by_preference() {
            let is_open =
                |(kind, found): (&Kind, &Option<Served>)| kind.group == group.name && found.is_none();
            if !kinds.iter().zip(&served).any(is_open) {
                break;
            }
            let resources = resources(api, &group.name, version, deadline)?;
            for (kind, found) in kinds.iter().zip(&mut served) {
                let is_here = kind.group == group.name && resources.iter().any(|r| r.name == kind.plural);
                if found.is_none() && is_here {
                    *found = Some(Served { kind: *kind, version: version.to_owned() });
                }
            }
        }
    }
    Ok(served.into_iter().flatten().collect())
}

impl Group {
    fn by_preference(&self) -> Vec<&str> {
        let preferred = self.preferred_version.iter().map(|v| v.version.as_str());
        let mut versions: Vec<&str> = preferred.collect();
        for Version { version } in &self.versions {
            if !versions.contains(&version.as_str()) {
                versions.push(version);
            }
        }
        versions
    }
}

fn resources(api: &Api, group: &str, version: &str, deadline: Deadline) -> Result<Vec<Resource>, Error> {
    let resource = format!("/apis/{group}/{version}");
    let ask = Ask { verb: "get", resource, path: &["apis", group, version], query: &[] };
    match api.get::<Resources>(&ask, deadline) {
        Ok(found) => Ok(found.resources),
        // It was taken away between the two questions, as `flux migrate` and a newer Flux do.
        Err(error) if error.status() == Some(404) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
