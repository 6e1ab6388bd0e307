//! What is found in charts against what real Helm renders.
//!
//! Which images a chart has was written down by hand beside it; Helm has to agree first. `cargo test -p sealift-tests --test discover -- --nocapture`
//! prints the figures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../bundler/tests/discover/charts.rs"]
mod charts;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use charts::{TestChart, all};
use sealift_archive::Reference;
use sealift_bundler::discover::{ChartFiles, Found, Helm, How, Mention, Need, Settings, in_chart, missing};
use sealift_tests::{peers, process};

const KUBE_VERSION: &str = "v1.36.0";
/// Of a hundred images that Helm renders, so many have to be found without it.
const FOUND_OF_100: usize = 98;

fn charts() -> Vec<TestChart> {
    all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundler/tests/discover/charts"))
}

fn found_in(chart: &TestChart, helm: Option<&Helm>) -> Found {
    let settings = Settings { kube_version: Some(KUBE_VERSION), helm };
    in_chart(&ChartFiles::read(chart.path()).unwrap(), &[], &settings).unwrap()
}

fn required(found: &Found) -> impl Iterator<Item = &Mention> {
    found.mentions.iter().filter(|mention| mention.need == Need::Required)
}

fn references(found: &Found) -> BTreeSet<&str> {
    required(found).map(|mention| mention.reference.as_str()).collect()
}

/// What Helm renders with the chart's own values.
fn rendered(chart: &TestChart) -> String {
    let mut helm = Command::new(peers::tool("helm"));
    helm.args(["template", "release-name"]).arg(chart.path()).args([
        "--include-crds",
        "--kube-version",
        KUBE_VERSION,
    ]);
    process::text(&mut helm)
}

/// The values of `image:` in a text, by a rule that shares nothing with the code under test.
fn after_image(text: &str) -> BTreeSet<&str> {
    text.split("image: ")
        .skip(1)
        .filter_map(|rest| rest.split(['\n', ',', '}', ']']).next())
        .map(|value| value.trim().trim_matches(['"', '\'']))
        .filter(|value| value.contains(['/', ':']) || matches!(*value, "nginx" | "busybox"))
        .collect()
}

#[test]
fn helm_agrees_with_the_lists() {
    for chart in charts() {
        let text = rendered(&chart);
        for image in &chart.images {
            let whole = text.contains(&image.reference);
            assert_eq!(whole, image.hidden.is_none(), "{}: {} in\n{text}", chart.name, image.reference);
        }
        // What is commented out, or another's text, is in no list, and begins with a mark.
        let stray: Vec<&str> = after_image(&text)
            .into_iter()
            .filter(|value| !chart.references().contains(value) && !value.contains(['{', '=']))
            .collect();
        assert!(stray.is_empty(), "{}: {stray:?}", chart.name);
    }
}

#[test]
fn without_helm_nearly_all_is_found_and_with_helm_all() {
    let helm = Helm::at(peers::tool("helm"));
    let (mut total, mut without, mut with, mut extra) = (0, 0, 0, 0);
    let charts = charts();
    for chart in &charts {
        let wanted = chart.references();
        let (own, helms) = (found_in(chart, None), found_in(chart, Some(&helm)));
        total += wanted.len();
        without += wanted.intersection(&references(&own)).count();
        with += wanted.intersection(&references(&helms)).count();
        extra +=
            references(&own).difference(&wanted).count() + references(&helms).difference(&wanted).count();
        assert!(
            own.warnings.is_empty() && helms.warnings.is_empty(),
            "{}: {:?} {:?}",
            chart.name,
            own.warnings,
            helms.warnings
        );
        assert!(
            helms.mentions.iter().any(|mention| mention.how == How::Rendered),
            "{}: helm was not used",
            chart.name
        );
    }
    println!(
        "{} charts, {total} images: {without} found without helm, {with} with helm, {extra} too many",
        charts.len()
    );
    assert!(without * 100 >= total * FOUND_OF_100, "{without} of {total} are found without helm");
    assert_eq!((with, extra), (total, 0));
}

#[test]
fn our_own_rendering_finds_each_image_where_helm_has_it() {
    let helm = Helm::at(peers::tool("helm"));
    for chart in charts() {
        let (own, helms) = (found_in(&chart, None), found_in(&chart, Some(&helm)));
        let place = |mention: &Mention| (mention.reference.clone(), mention.place.clone());
        let own: BTreeSet<_> = required(&own).map(place).collect();
        for mention in required(&helms) {
            // Helm tells no lines. Every place that only Helm found would be without one.
            assert!(
                mention.place.line.is_some() && own.contains(&place(mention)),
                "{}: {mention:?}",
                chart.name
            );
        }
    }
}

#[test]
fn whichever_image_a_release_lacks_is_missed_with_and_without_helm() {
    let helm = Helm::at(peers::tool("helm"));
    for chart in charts() {
        let names: BTreeSet<Reference> =
            chart.images.iter().map(|image| image.reference.parse().unwrap()).collect();
        for found in [found_in(&chart, None), found_in(&chart, Some(&helm))] {
            assert!(missing(&found, &names).is_empty(), "{}", chart.name);
            for lacking in &names {
                let rest: BTreeSet<Reference> =
                    names.iter().filter(|name| *name != lacking).cloned().collect();
                assert!(!missing(&found, &rest).is_empty(), "{}: nobody misses {lacking}", chart.name);
            }
        }
    }
}

#[test]
fn helm_says_what_our_table_of_expressions_says() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundler/tests/discover");
    let table = fs_err::read_to_string(tests.join("functions.txt")).unwrap();
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    assert!(rows.len() > 100, "{} expressions", rows.len());
    let dir = sealift_tests::scratch();
    let templates = dir.path().join("templates");
    fs_err::create_dir_all(&templates).unwrap();
    fs_err::write(
        dir.path().join("Chart.yaml"),
        "apiVersion: v2\nname: fn\nversion: 1.2.3\nappVersion: \"4.5\"\n",
    )
    .unwrap();
    fs_err::copy(tests.join("functions.yaml"), dir.path().join("values.yaml")).unwrap();
    for (at, (expression, _)) in rows.iter().enumerate() {
        let text = format!(
            "{{{{- define \"e{at}\" }}}}{{{{ {expression} }}}}{{{{ end -}}}}\nv{at}: {{{{ include \"e{at}\" . | toJson }}}}\n"
        );
        fs_err::write(templates.join(format!("{at}.yaml")), text).unwrap();
    }
    let mut helm = Command::new(peers::tool("helm"));
    let text = process::text(
        helm.args(["template", "release-name"]).arg(dir.path()).args(["--kube-version", KUBE_VERSION]),
    );
    for (at, (expression, expected)) in rows.iter().enumerate() {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("v{at}: ")));
        let line =
            line.map(|line| line.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&"));
        assert_eq!(line.as_deref(), Some(*expected), "{expression}");
    }
}

#[test]
fn a_chart_that_helm_refuses_is_read_without_it() {
    let dir = sealift_tests::scratch();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("Chart.yaml", "apiVersion: v2\nname: wants\nversion: 1.0.0\n");
    write("templates/pod.yaml", "kind: Pod\nspec: {containers: [{image: \"ghcr.io/acme/api:1\"}]}\n");
    write("templates/wants.yaml", "image: {{ required \"say which image\" .Values.image }}\n");
    let helm = Helm::at(peers::tool("helm"));
    let settings = Settings { kube_version: Some(KUBE_VERSION), helm: Some(&helm) };
    let found = in_chart(&ChartFiles::read(dir.path()).unwrap(), &[], &settings).unwrap();
    assert_eq!(references(&found), BTreeSet::from(["ghcr.io/acme/api:1"]));
    let said: Vec<String> =
        found.warnings.iter().map(|warning| format!("{}: {}", warning.place, warning.why)).collect();
    assert!(
        said.iter().any(|said| said.contains("helm cannot render it") && said.contains("say which image")),
        "{said:?}"
    );
    assert!(said.iter().any(|said| said.starts_with("templates/wants.yaml:1: ")), "{said:?}");
}
