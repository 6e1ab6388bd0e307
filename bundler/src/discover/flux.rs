//! What Flux objects say about other files of a folder: which paths are deployed with which changes, which charts with which values.

use std::collections::BTreeMap;

use super::kustomize::Replacement;
use super::yaml::Node;

/// API groups.
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/";
const HELM: &str = "helm.toolkit.fluxcd.io/";

/// A `Kustomization` of Flux: a path of a repository, and what is changed on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Deployed {
    /// The folder, without `./`; empty for the whole repository.
    pub(super) path: String,
    pub(super) images: Vec<Replacement>,
    /// `postBuild.substitute`; `None` if nothing is substituted.
    pub(super) variables: Option<BTreeMap<String, String>>,
}

/// A `HelmRelease` of a chart in the same repository.
#[derive(Clone, Debug)]
pub(super) struct Release {
    /// The chart's folder.
    pub(super) chart: String,
    /// `spec.values`, with its lines.
    pub(super) values: Option<Node>,
    /// Where `valuesFrom` stands, if it does.
    pub(super) values_from: Option<Node>,
}

pub(super) fn deployed(object: &Node) -> Option<Deployed> {
    let spec = of_group(object, KUSTOMIZE, "Kustomization")?;
    let post_build = spec.get("postBuild");
    let variables = post_build.map(|post_build| {
        let entries = post_build.get("substitute").map(Node::entries).unwrap_or_default();
        entries.iter().filter_map(|(name, node)| Some((name.clone(), node.scalar()?))).collect()
    });
    let images =
        spec.get("images").map(Node::items).unwrap_or_default().iter().filter_map(Replacement::of).collect();
    Some(Deployed { path: relative(spec.text_of("path").unwrap_or_default())?, images, variables })
}

pub(super) fn release(object: &Node) -> Option<Release> {
    let spec = of_group(object, HELM, "HelmRelease")?;
    let chart = spec.at("chart.spec")?;
    let is_in_git =
        matches!(chart.at("sourceRef.kind").and_then(Node::text), Some("GitRepository" | "Bucket"));
    let path = chart.text_of("chart").filter(|_| is_in_git)?;
    Some(Release {
        chart: relative(path)?,
        values: spec.get("values").filter(|values| values.is_map()).cloned(),
        values_from: spec.get("valuesFrom").filter(|from| !from.items().is_empty()).cloned(),
    })
}

/// Fills in variables as Flux does after a build (drone/envsubst): `${name}`, `${name:=default}`, `${name:-default}`. What is not known stays.
pub(super) fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let known = after.split_once('}').filter(|(inside, _)| !inside.contains(['\n', '$'])).and_then(
            |(inside, after)| {
                let (name, default) = [":=", ":-", "=", "-"]
                    .iter()
                    .find_map(|mark| inside.split_once(mark))
                    .map_or((inside, None), |(name, default)| (name, Some(default)));
                let value = variables.get(name).map(String::as_str).or(default)?;
                Some((value, after))
            },
        );
        if let Some((value, after)) = known {
            out.push_str(value);
            rest = after;
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn of_group<'n>(object: &'n Node, group: &str, kind: &str) -> Option<&'n Node> {
    let is_it = object.text_of("kind") == Some(kind)
        && object.text_of("apiVersion").is_some_and(|version| version.starts_with(group));
    object.get("spec").filter(|_| is_it)
}

/// `./apps//web/` → `apps/web`; `None` if it leaves the repository.
pub(crate) fn relative(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_where_they_are_known() {
        let variables = BTreeMap::from([("tag".to_owned(), "1.0".to_owned())]);
        let cases = [
            ("a:${tag}", "a:1.0"),
            ("a:${other}", "a:${other}"),
            ("a:${other:=2.0} b:${tag:-3}", "a:2.0 b:1.0"),
            ("${tag", "${tag"),
            ("$tag ${}", "$tag ${}"),
        ];
        for (text, expected) in cases {
            assert_eq!(substitute(text, &variables), expected);
        }
    }

    #[test]
    fn paths_stay_inside() {
        let cases = [
            ("./apps//web/", Some("apps/web")),
            ("", Some("")),
            ("a/../b", Some("b")),
            ("../b", None),
            ("a/../../b", None),
        ];
        for (path, expected) in cases {
            assert_eq!(relative(path).as_deref(), expected, "{path}");
        }
    }
}
