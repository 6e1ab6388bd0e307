//! Images of charts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use sealift_archive::Reference;
use sealift_bundler::Error;
use sealift_bundler::discover::{ChartFiles, Found, How, Need, Settings, in_chart, missing, unnamed};

use crate::charts::{TestChart, all, packed};

/// What every chart is told of; some choose by it.
const SETTINGS: Settings<'static> = Settings { kube_version: Some("v1.36.0"), helm: None };

fn charts() -> Vec<TestChart> {
    all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/discover/charts"))
}

fn chart(name: &str) -> TestChart {
    charts().into_iter().find(|chart| chart.name.ends_with(name)).unwrap()
}

fn found_in(chart: &TestChart, values: &[(&str, &str)]) -> Found {
    let values: Vec<(String, Vec<u8>)> =
        values.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    in_chart(&ChartFiles::read(chart.path()).unwrap(), &values, &SETTINGS).unwrap()
}

fn required(found: &Found) -> BTreeSet<&str> {
    found
        .mentions
        .iter()
        .filter(|mention| mention.need == Need::Required)
        .map(|mention| mention.reference.as_str())
        .collect()
}

/// Everything found, a line each.
fn listed(found: &Found) -> String {
    let mut text = String::new();
    for mention in &found.mentions {
        writeln!(text, "{:?} {:?} {} at {}", mention.need, mention.how, mention.reference, mention.place)
            .unwrap();
    }
    for warning in &found.warnings {
        writeln!(text, "warning at {}: {}", warning.place, warning.why).unwrap();
    }
    text
}

#[test]
fn every_image_is_found_and_nothing_else() {
    for chart in charts() {
        let found = found_in(&chart, &[]);
        assert_eq!(required(&found), chart.references(), "{}", chart.name);
        assert!(found.warnings.is_empty(), "{}: {:?}", chart.name, found.warnings);
    }
}

#[test]
fn whichever_image_a_release_lacks_is_missed() {
    for chart in charts() {
        let found = found_in(&chart, &[]);
        let names: BTreeSet<Reference> =
            chart.images.iter().map(|image| image.reference.parse().unwrap()).collect();
        assert!(missing(&found, &names).is_empty(), "{}", chart.name);
        assert!(unnamed(&found, &names).is_empty(), "{}", chart.name);
        for lacking in &names {
            let rest: BTreeSet<Reference> = names.iter().filter(|name| *name != lacking).cloned().collect();
            let missed = missing(&found, &rest);
            assert!(!missed.is_empty(), "{}: nobody misses {lacking}", chart.name);
            assert!(
                missed.iter().all(|mention| mention.reference.parse::<Reference>().unwrap() == *lacking),
                "{}",
                chart.name
            );
        }
    }
}

#[test]
fn an_archive_says_the_same_as_its_folder() {
    for chart in charts() {
        let archive = ChartFiles::from_archive(&chart.name, &packed(chart.path())).unwrap();
        assert_eq!(archive, ChartFiles::read(chart.path()).unwrap(), "{}", chart.name);
    }
}

#[test]
fn places_lead_to_the_line() {
    let listed: String = [
        "02-parts",
        "09-subchart-archive",
        "13-app-version",
        "17-config-map",
        "19-off-by-default",
        "20-annotations",
    ]
    .map(|name| format!("{name}\n{}\n", listed(&found_in(&chart(name), &[]))))
    .concat();
    insta::assert_snapshot!(listed);
}

#[test]
fn values_files_decide() {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("01-string", &["image: ghcr.io/acme/api:2"], &["ghcr.io/acme/api:2"]),
        ("01-string", &["image: a/b:1", "image: a/b:2"], &["a/b:2"]),
        (
            "19-off-by-default",
            &["metrics: {enabled: true}"],
            &["ghcr.io/acme/api:19", "ghcr.io/acme/exporter:1.9"],
        ),
        (
            "08-subchart-folder",
            &["queue: {enabled: false}\nsearch: {enabled: true}\nsessions: {image: {tag: null}}"],
            &[
                "ghcr.io/acme/api:8",
                "ghcr.io/acme/cache:7.0",
                "ghcr.io/acme/cache:%!s(<nil>)",
                "ghcr.io/acme/search:9",
            ],
        ),
        (
            "03-global-registry",
            &["global: {imageRegistry: null}"],
            &["docker.io/acme/api:3.0", "docker.io/acme/shell:1.2"],
        ),
        ("15-sidecars", &["sidecars: []\ninitContainers: null"], &["ghcr.io/acme/api:15"]),
    ];
    for (name, values, expected) in cases {
        let values: Vec<(&str, &str)> = values.iter().map(|text| ("values.yaml", *text)).collect();
        let found = found_in(&chart(name), &values);
        let expected: BTreeSet<&str> =
            expected.iter().copied().filter(|reference| !reference.contains('%')).collect();
        assert_eq!(required(&found), expected, "{name} with {values:?}\n{}", listed(&found));
    }
}

#[test]
fn what_cannot_be_rendered_is_told_of_and_searched() {
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: odd\nversion: 1.0.0\ndependencies: [{name: gone, version: 1.0.0}]\n",
        ),
        (
            "values.yaml",
            "image: ghcr.io/acme/api:1\nyear: 20240131\nextra: {enabled: false, image: {repository: ghcr.io/acme/extra, tag: '1'}}\n",
        ),
        (
            "templates/unknown.yaml",
            "spec:\n  containers:\n    - image: ghcr.io/acme/before:1\n    - image: {{ frobnicate .Values.image }}\n    - image: \"ghcr.io/acme/after:1\"\n",
        ),
        ("templates/broken.yaml", "spec: {containers: [{image: \"ghcr.io/acme/broken:1\"\n"),
        ("templates/unclosed.yaml", "{{ if .Values.image }}\nimage: {{ .Values.image }\n"),
        (
            "templates/empty.yaml",
            "kind: Pod\nspec: {containers: [{name: a, image: \"{{ .Values.nothing }}\"}, {name: b, image: \"ghcr.io/acme/year:{{ .Values.year }}\"}]}\n",
        ),
        ("templates/fails.yaml", "{{ fail \"say what you want\" }}\n"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let found = in_chart(&ChartFiles::read(dir.path()).unwrap(), &[], &SETTINGS).unwrap();
    insta::assert_snapshot!(listed(&found));
}

#[test]
fn all_that_does_not_parse_is_told_of_at_once() {
    let files = ChartFiles::read(chart("01-string").path()).unwrap();
    let values = [
        ("good.yaml", "a: 1"),
        ("bad.yaml", "a: 1\nb: [1, 2\nc: 3"),
        ("list.yaml", "- a\n"),
        ("dup.yaml", "\u{1}"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let error = in_chart(&files, &values, &SETTINGS).unwrap_err();
    assert!(matches!(&error, Error::Several(errors) if errors.len() == 3), "{error}");
    let said = sealift_archive::report(&error);
    for expected in ["`bad.yaml` line 3", "`list.yaml` line 1, column 1", "`dup.yaml` line 1"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_hostile_chart_ends_in_a_warning() {
    let deep = "{{- define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}";
    let cases = [
        ("endless include", deep),
        ("endless tpl", "{{ $_ := set .Values \"x\" \"{{ tpl .Values.x . }}\" }}{{ tpl .Values.x . }}"),
        ("many repetitions", "{{ range until 99999 }}{{ range until 99999 }}{{ end }}{{ end }}"),
        ("long text", "{{ repeat 99999999 \"long\" }}"),
        (
            "growing text",
            "{{ $x := \"0123456789\" }}{{ range until 60 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
        ),
        ("growing list", "{{ $x := list 1 }}{{ range until 60 }}{{ $x = concat $x $x }}{{ end }}"),
        ("map in itself", "{{ $x := dict }}{{ $_ := set $x \"x\" $x }}{{ toYaml $x }}"),
        ("many numbers", "{{ untilStep 0 9999999999 1 }}"),
        ("costly pattern", "{{ regexMatch \"((((a{99}){99}){99}){99})\" \"a\" }}"),
        (
            "yaml bomb",
            "{{ range (fromYaml \"a: &a [x,x,x,x,x,x,x,x,x]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\") }}{{ . }}{{ fail \"was read\" }}{{ end }}",
        ),
        ("deep yaml", "{{ repeat 5000 \"[\" | fromYaml | toYaml }}{{ fail \"was read\" }}"),
    ];
    for (name, template) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("templates")).unwrap();
        fs_err::write(dir.path().join("Chart.yaml"), "apiVersion: v2\nname: hostile\nversion: 1.0.0\n")
            .unwrap();
        fs_err::write(dir.path().join("templates/a.yaml"), template).unwrap();
        let found = in_chart(&ChartFiles::read(dir.path()).unwrap(), &[], &SETTINGS).unwrap();
        assert!(!found.warnings.is_empty(), "{name}: no warning");
    }
}

#[test]
fn what_is_found_says_how() {
    for chart in charts() {
        let found = found_in(&chart, &[]);
        for image in &chart.images {
            let mut mentions = found.mentions.iter().filter(|mention| mention.reference == image.reference);
            let by_author = mentions.all(|mention| mention.how == How::Annotation);
            assert_eq!(by_author, image.hidden.as_deref() == Some("annotation"), "{}", image.reference);
        }
    }
    let found = found_in(&chart("20-annotations"), &[]);
    let how = |reference: &str| {
        found
            .mentions
            .iter()
            .find(|mention| mention.reference == reference)
            .map(|mention| (mention.how, mention.need))
    };
    assert_eq!(how("ghcr.io/acme/operand:20"), Some((How::Annotation, Need::Required)));
    // The author's list is older than the chart: what is rendered counts.
    assert_eq!(how("ghcr.io/acme/api:19"), Some((How::Annotation, Need::Optional)));
    assert_eq!(how("ghcr.io/acme/proxy:1.20"), Some((How::Scanned, Need::Required)));
}
