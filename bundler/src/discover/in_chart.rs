//! The images of a chart: what is rendered decides what is needed, values and annotations tell where it comes from and what else there could be.

use sealift_archive::Reference;

use super::chart::{Chart, coalesce, enable, merge, read_files};
use super::documents::{self, split};
use super::parts::Defaults;
use super::render::{Failure, Rendered, render};
use super::walk::{Hit, Walk};
use super::yaml::{Node, Yaml};
use super::{ChartFiles, Found, How, Kind, Mention, Need, Place, Settings, Warning, on_large_stack};
use crate::Error;

/// Where Artifact Hub looks for a chart's images.
const ANNOTATION: &str = "artifacthub.io/images";

/// Finds the images that a chart names when it is rendered with these values files (name and content; later ones win).
///
/// # Errors
/// [`Error::NotYaml`] with line and column for a values file or a file of the chart that does not parse, several of them as [`Error::Several`]; I/O.
pub fn in_chart(
    files: &ChartFiles,
    values: &[(String, Vec<u8>)],
    settings: &Settings<'_>,
) -> Result<Found, Error> {
    on_large_stack(|| {
        let mut failures = Vec::new();
        let given = read_files(values, &mut failures);
        let given = Given { below: "", trees: &given, files: values };
        with_values(files, &given, settings, failures)
    })
}

/// What a chart is rendered with.
pub(super) struct Given<'a> {
    /// The folder that the chart's files are shown below: empty, or ending in `/`.
    pub(super) below: &'a str,
    /// The values as trees, for us,
    pub(super) trees: &'a [Node],
    /// and as files, for Helm.
    pub(super) files: &'a [(String, Vec<u8>)],
}

/// The same for values that have been read. `failures` are those of reading them.
pub(super) fn with_values(
    files: &ChartFiles,
    given: &Given<'_>,
    settings: &Settings<'_>,
    failures: Vec<Error>,
) -> Result<Found, Error> {
    let prepared = Prepared::new(files, given, failures)?;
    let by_helm =
        settings.helm.map(|helm| helm.template(files, given.files, settings.kube_version)).transpose()?;
    let own = prepared.rendered(settings.kube_version);
    let is_complete = matches!(by_helm, Some(Ok(_))) || own.failures.is_empty();
    let mut found = Found::default();
    match by_helm {
        Some(Ok(text)) => prepared.take_helms(&text, &own, &mut found),
        other => {
            if let Some(Err(why)) = other {
                let place = Place { file: prepared.chart.path("Chart.yaml"), line: None, path: None };
                // What follows an empty line is Helm's advice to whoever runs it by hand.
                let why = why.split("\n\n").next().unwrap_or_default();
                found.warnings.push(Warning {
                    place,
                    why: format!("helm cannot render it, so it was read without: {why}"),
                });
            }
            prepared.take_own(own, &mut found);
        }
    }
    prepared.add_values(is_complete, &mut found);
    prepared.add_annotation(&mut found);
    Ok(found.sorted())
}

/// A chart with its final values.
struct Prepared<'f> {
    chart: Chart<'f>,
    values: Node,
    disabled: Vec<Chart<'f>>,
    /// Dependencies that are not there, and their names.
    absent: Vec<(Node, String)>,
}

/// What our own rendering came to.
struct Own {
    hits: Vec<Hit>,
    warnings: Vec<Warning>,
    failures: Vec<Failure>,
}

impl<'f> Prepared<'f> {
    fn new(files: &'f ChartFiles, given: &Given<'_>, mut failures: Vec<Error>) -> Result<Self, Error> {
        let mut chart = Chart::load(files, given.below, &mut failures);
        Error::all(failures).map_or(Ok(()), Err)?;
        let given = merge(given.trees);
        let (mut disabled, mut absent) = (Vec::new(), Vec::new());
        enable(&mut chart, &given, &mut disabled, &mut absent);
        let values = coalesce(&chart, &given);
        Ok(Self { chart, values, disabled, absent })
    }

    fn rendered(&self, kube_version: Option<&str>) -> Own {
        let (rendered, failures) = render(&self.chart, &self.values, kube_version);
        let mut walk = Walk::default();
        for Rendered { file, output } in &rendered {
            for document in split(&output.text) {
                documents::walk(&mut walk, &document, file, &|offset| output.line_at(offset));
            }
        }
        let mut crds = Vec::new();
        collect_crds(&self.chart, &mut crds);
        for (file, text) in crds {
            for document in split(&text) {
                let before = text[..document.offset].matches('\n').count();
                let line_at = |offset: usize| {
                    u32::try_from(before + text[document.offset..offset].matches('\n').count() + 1).ok()
                };
                documents::walk(&mut walk, &document, &file, &line_at);
            }
        }
        Own { hits: walk.hits, warnings: walk.warnings, failures }
    }

    /// Takes what Helm rendered, with the lines that only our own rendering knows.
    fn take_helms(&self, text: &str, own: &Own, found: &mut Found) {
        let mut walk = Walk::default();
        for document in split(text) {
            let file = document
                .source()
                .map_or_else(|| self.chart.path("Chart.yaml"), |source| self.file_of(source));
            documents::walk(&mut walk, &document, &file, &|_| None);
        }
        for hit in walk.hits {
            let is_same = |known: &&Hit| {
                known.place.file == hit.place.file
                    && known.place.path == hit.place.path
                    && known.reference == hit.reference
            };
            // Helm does not tell the line; our own rendering of the same document does.
            let line = own.hits.iter().find(is_same).and_then(|known| known.place.line);
            found.mentions.push(required(Hit { place: Place { line, ..hit.place }, ..hit }, How::Rendered));
        }
        found.warnings.extend(walk.warnings);
    }

    /// Takes what we rendered ourselves; a template that failed is searched as text.
    fn take_own(&self, own: Own, found: &mut Found) {
        let mut walk = Walk::default();
        for Failure { file, line, why, text } in own.failures {
            let place = Place { file: file.clone(), line: Some(line), path: None };
            found.warnings.push(Warning {
                place,
                why: format!("it cannot be rendered without helm, and was searched as text: {why}"),
            });
            walk.plain_text(&file, 1, &text);
        }
        for (node, name) in &self.absent {
            let place = Place {
                file: node.file.to_string(),
                line: Some(node.line),
                path: Some("dependencies".to_owned()),
            };
            let why = format!(
                "the chart needs the subchart `{name}`, which is not in `charts/`: run `helm dependency build`"
            );
            found.warnings.push(Warning { place, why });
        }
        found.mentions.extend(own.hits.into_iter().chain(walk.hits).map(|hit| required(hit, How::Scanned)));
        found.warnings.extend(own.warnings);
        found.warnings.extend(walk.warnings);
    }

    /// Adds the places in values. What nothing rendered is optional, unless something could not be rendered.
    fn add_values(&self, is_complete: bool, found: &mut Found) {
        let needed: Vec<(Reference, String)> = found
            .mentions
            .iter()
            .filter_map(|mention| Some((mention.reference.parse().ok()?, mention.reference.clone())))
            .collect();
        let mut walk = Walk::default();
        walk_values(&self.chart, &self.values, "", &mut walk);
        let mut switched_off = Walk::default();
        for chart in &self.disabled {
            walk_values(chart, &coalesce(chart, &Node::empty()), &chart.name, &mut switched_off);
        }
        let mention = |hit: Hit, is_on: bool| {
            let parsed: Option<Reference> = hit.reference.parse().ok();
            let same = parsed.and_then(|parsed| {
                let exact = needed.iter().find(|(known, _)| *known == parsed);
                exact.or_else(|| needed.iter().find(|(known, _)| is_same_image(&parsed, known)))
            });
            let need = if same.is_some() || is_on && !is_complete { Need::Required } else { Need::Optional };
            let reference = same.map_or(hit.reference, |(_, written)| written.clone());
            Mention { reference, place: hit.place, how: How::Scanned, need, kind: Kind::Image }
        };
        let mentions: Vec<Mention> = walk
            .hits
            .into_iter()
            .map(|hit| mention(hit, true))
            .chain(switched_off.hits.into_iter().map(|hit| mention(hit, false)))
            .collect();
        found.mentions.extend(mentions);
        if !is_complete {
            found.warnings.extend(walk.warnings);
        }
    }

    /// Adds what the author lists. It is needed even if nothing renders it, as an operator's images are; but not beside another version of the same
    /// image, which values have put in its place.
    fn add_annotation(&self, found: &mut Found) {
        let needed: Vec<Reference> = found
            .mentions
            .iter()
            .filter(|mention| mention.need == Need::Required)
            .filter_map(|mention| mention.reference.parse().ok())
            .collect();
        let mut walk = Walk::default();
        walk_annotation(&self.chart, &mut walk);
        found.warnings.extend(walk.warnings);
        found.mentions.extend(walk.hits.into_iter().map(|hit| {
            let is_replaced = hit.reference.parse().is_ok_and(|listed: Reference| {
                !needed.contains(&listed) && needed.iter().any(|needed| is_same_image(&listed, needed))
            });
            let need = if is_replaced { Need::Optional } else { Need::Required };
            Mention { need, ..required(hit, How::Annotation) }
        }));
    }

    /// The path of a template that Helm names `app/charts/redis/templates/pod.yaml`: subcharts are called by their names there.
    fn file_of(&self, source: &str) -> String {
        let mut rest = source.split_once('/').map_or(source, |(_, rest)| rest);
        let mut chart = &self.chart;
        while let Some((name, below)) = rest.strip_prefix("charts/").and_then(|rest| rest.split_once('/')) {
            let Some(child) = chart.children.iter().find(|child| child.name == name) else { break };
            (chart, rest) = (child, below);
        }
        chart.path(rest)
    }
}

/// Whether a rendered reference is what became of another: templates put a registry and a path in front, and change tags.
fn is_same_image(written: &Reference, rendered: &Reference) -> bool {
    let name = written.repository().strip_prefix("library/").unwrap_or(written.repository());
    rendered.repository().strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn required(hit: Hit, how: How) -> Mention {
    Mention { reference: hit.reference, place: hit.place, how, need: Need::Required, kind: Kind::Image }
}

/// Every CRD of a chart and of those below it.
fn collect_crds(chart: &Chart<'_>, found: &mut Vec<(String, String)>) {
    let is_yaml = |path: &str| [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending));
    let crds = chart.files.iter().filter(|(path, _)| path.starts_with("crds/") && is_yaml(path));
    found.extend(
        crds.map(|(path, content)| (chart.path(path), String::from_utf8_lossy(content).into_owned())),
    );
    chart.children.iter().for_each(|child| collect_crds(child, found));
}

/// Walks through what the authors of a chart and of those below it list: maps with `image`, or references.
fn walk_annotation(chart: &Chart<'_>, walk: &mut Walk) {
    if let Some(listed) = chart.metadata.get("annotations").and_then(|all| all.get(ANNOTATION)) {
        walk.listed(listed, &format!("annotations[\"{ANNOTATION}\"]"));
    }
    chart.children.iter().for_each(|child| walk_annotation(child, walk));
}

/// Walks through the values of a chart and of those below it: each has a version of its own, which stands in for a tag that is missing.
fn walk_values(chart: &Chart<'_>, values: &Node, path: &str, walk: &mut Walk) {
    let registry = ["global.imageRegistry", "global.image.registry"]
        .iter()
        .find_map(|key| values.at(key)?.scalar())
        .filter(|text| !text.is_empty());
    walk.defaults =
        Defaults { tag: chart.metadata_text("appVersion").filter(|text| !text.is_empty()), registry };
    let global = if path.is_empty() { "" } else { "global" };
    let is_own = |key: &str| key != global && !chart.children.iter().any(|child| child.name == key);
    let own = values.entries().iter().filter(|(key, _)| is_own(key)).cloned().collect();
    walk.values(&Node { value: Yaml::Map(own), ..values.clone() }, path);
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for child in &chart.children {
        if let Some(node) = values.get(&child.name) {
            walk_values(child, node, &below(&child.name), walk);
        }
    }
}
