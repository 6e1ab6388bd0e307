//! An overlay as it comes out of kustomize and Helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::{peers, process, scratch};
use serde_json::Value;

/// What `sealift-registry config flux` puts before the name of a chart, in the name of its source.
const CHART_SOURCE: &str = "charts-";

/// What an overlay comes to.
pub(crate) struct Rendered {
    /// What kustomize makes of it.
    pub(crate) objects: Vec<Value>,
    /// What runs in the end: those objects, and those of the charts that they release.
    pub(crate) applied: Vec<Value>,
}

impl Rendered {
    pub(crate) fn overlay(name: &str) -> Self {
        let built = build(&gitops().join("overlays").join(name)).expect("an overlay that kustomize builds");
        let mut applied = built.clone();
        for release in releases(&built) {
            applied.extend(install(release));
        }
        Self { objects: built, applied }
    }

    pub(crate) fn releases(&self) -> impl Iterator<Item = &Value> {
        releases(&self.objects)
    }

    /// The folder of the chart that a release is of.
    pub(crate) fn chart_of(release: &Value) -> PathBuf {
        let source = text(&release["spec"]["chartRef"]["name"]);
        let chart = source.strip_prefix(CHART_SOURCE).unwrap_or_else(|| panic!("`{source}` is no chart's"));
        gitops().join("charts").join(chart)
    }
}

/// The folder under test.
pub(crate) fn gitops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gitops")
}

/// What kustomize builds of a folder, or what it says against it.
pub(crate) fn build(folder: &Path) -> Result<Vec<Value>, String> {
    let mut kustomize = Command::new(peers::tool("kustomize"));
    let ended = process::finish(kustomize.arg("build").arg(folder));
    if ended.code() == Some(0) { Ok(objects(&ended.stdout())) } else { Err(ended.stderr()) }
}

/// The objects of a YAML text.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    let read = |text| serde_saphyr::from_str::<Value>(text).expect("YAML");
    yaml.split("---\n").map(read).filter(Value::is_object).collect()
}

/// A text of an object; none is empty.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn releases(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| object["kind"] == "HelmRelease")
}

/// The objects of a release, as Helm makes them of chart and values.
fn install(release: &Value) -> Vec<Value> {
    let (spec, dir) = (&release["spec"], scratch());
    let values = dir.path().join("values.yaml");
    // JSON is YAML.
    fs_err::write(&values, spec["values"].to_string()).expect("room for a file");
    let mut helm = Command::new(peers::tool("helm"));
    helm.args(["template", text(&spec["releaseName"])]).arg(Rendered::chart_of(release));
    helm.args(["--namespace", text(&spec["targetNamespace"]), "--values"]).arg(&values);
    objects(&process::text(&mut helm))
}
