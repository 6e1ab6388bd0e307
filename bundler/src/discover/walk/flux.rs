//! What Flux objects name themselves: artifacts that it pulls, values of charts that are elsewhere.

use super::super::reference::{in_container, is_image_key, put_together};
use super::super::yaml::Node;
use super::super::{Kind, flux};
use super::Walk;

impl Walk {
    /// What Flux pulls: `url` and `ref` of an `OCIRepository` (source.toolkit.fluxcd.io).
    pub(super) fn artifact(&mut self, object: &Node) {
        let Some((node, url)) =
            object.at("spec.url").and_then(|node| Some((node, node.text()?.strip_prefix("oci://")?)))
        else {
            return;
        };
        let of = |key: &str| object.at("spec.ref").and_then(|r| r.get(key)).and_then(Node::scalar);
        self.within("spec", |walk| {
            walk.within("url", |walk| {
                // Flux looks at the digest first, then at the range, then at the tag.
                let (tag, digest) = (of("tag"), of("digest"));
                if digest.is_none() && let Some(range) = of("semver") {
                    walk.warn(node, format!("Flux looks for a version in the range `{range}`; whether the release has one is not checked"));
                    return;
                }
                let tag = if digest.is_some() { tag } else { tag.or_else(|| Some("latest".to_owned())) };
                let whole = put_together(None, url, tag.as_deref(), digest.as_deref());
                let before = walk.hits.len();
                walk.judge(in_container(&whole), node);
                walk.hits[before..].iter_mut().for_each(|hit| hit.kind = Kind::Artifact);
            });
        });
    }

    /// A release of a chart. If the chart is at hand, it is rendered with these values, and they need not be guessed at.
    pub(super) fn helm_release(&mut self, object: &Node) {
        let is_known =
            flux::release(object).is_some_and(|release| self.known_charts.contains(&release.chart));
        self.within("spec", |walk| {
            for (key, node) in object.get("spec").map(Node::entries).unwrap_or_default() {
                walk.within(key, |walk| match key.as_str() {
                    "values" if is_known => {}
                    "values" => {
                        walk.value(node, key);
                        walk.incomplete(Some(node));
                    }
                    _ => walk.entry(key, node, "spec"),
                });
            }
        });
    }

    /// Values that change half of an image: the other half is in the chart.
    fn incomplete(&mut self, values: Option<&Node>) {
        for (key, node) in values.map(Node::entries).unwrap_or_default() {
            self.within(key, |walk| {
                let has = |name: &str| node.get(name).and_then(Node::scalar).is_some_and(|text| !text.is_empty());
                if is_image_key(key) && (has("tag") || has("digest")) && !(has("repository") || has("name")) {
                    walk.warn(node, "there is a tag or digest, but its repository is in the chart: give these values to the chart with `values:`".to_owned());
                }
                walk.incomplete(Some(node));
            });
        }
    }
}
