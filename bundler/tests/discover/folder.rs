//! Images of folders that become Git repositories.

use std::fmt::Write as _;
use std::path::Path;

use sealift_bundler::discover::{Found, Kind, Settings, in_folder};

fn found_in(files: &[(&str, &str)]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    in_folder(dir.path(), &Settings::default()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// What was found: references, then warnings, a line each.
fn said(found: &Found) -> String {
    let mut text = String::new();
    for mention in &found.mentions {
        let artifact = if mention.kind == Kind::Artifact { " (artifact)" } else { "" };
        writeln!(text, "{:?} {}{artifact} at {}", mention.need, mention.reference, mention.place).unwrap();
    }
    for warning in &found.warnings {
        writeln!(text, "warning at {}: {}", warning.place, warning.why).unwrap();
    }
    text
}

/// A deployment of one container.
fn pod(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n    - name: p\n      image: {image}\n"
    )
}

#[test]
fn manifests_count_as_they_stand() {
    let two = format!("{}---\n{}", pod("ghcr.io/acme/one:1"), pod("ghcr.io/acme/two:1"));
    let found = found_in(&[
        ("apps/two.yaml", &two),
        (
            "apps/list.yml",
            "apiVersion: v1\nkind: List\nitems: [{kind: Pod, spec: {containers: [{image: busybox}]}}]\n",
        ),
        (".github/workflows/ci.yaml", "jobs: {a: {container: {image: \"ghcr.io/acme/ci:1\"}}}\n"),
        ("compose.yaml", "services: {db: {image: \"postgres:16\"}}\n"),
        ("readme.md", "image: ghcr.io/acme/never:1\n"),
        (".sops.yaml", "image: ghcr.io/acme/never:2\n"),
        (
            "policy.yaml",
            "kind: ClusterPolicy\nspec: {pattern: {spec: {containers: [{image: \"!*:latest\"}]}}}\n",
        ),
        ("broken.yaml", "kind: Pod\nspec: {containers: [{image: \"ghcr.io/acme/broken:1\"}\n"),
    ]);
    insta::assert_snapshot!(said(&found));
}

#[test]
fn an_overlay_changes_what_its_base_names() {
    let found = found_in(&[
        (
            "base/kustomization.yaml",
            "resources: [pod.yaml, other.yaml]\nimages: [{name: worker, newName: ghcr.io/acme/worker}]\n",
        ),
        ("base/pod.yaml", &pod("nginx:1.25")),
        ("base/other.yaml", &pod("worker:1")),
        (
            "overlays/prod/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\nimages:\n  - {name: nginx, newName: ghcr.io/acme/nginx, newTag: '2'}\n  - {name: ghcr.io/acme/worker, digest: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'}\npatches:\n  - path: patch.yaml\n  - target: {kind: Pod}\n    patch: |\n      - {op: replace, path: /spec/initContainers/0/image, value: \"ghcr.io/acme/init:3\"}\nconfigMapGenerator:\n  - name: config\n    files: [jobs=files/jobs.yaml]\n    literals: [\"HELPER_IMAGE=ghcr.io/acme/helper:4\"]\n",
        ),
        ("overlays/prod/patch.yaml", "spec: {containers: [{name: side, image: \"ghcr.io/acme/side:1\"}]}\n"),
        ("overlays/prod/files/jobs.yaml", "jobs:\n  - image: ghcr.io/acme/job:5\n"),
        ("overlays/prod/unused.yaml", &pod("ghcr.io/acme/loose:1")),
    ]);
    insta::assert_snapshot!(said(&found));
}

#[test]
fn flux_says_what_is_deployed_and_how() {
    let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec:\n  path: ./apps\n  images: [{name: web, newName: ghcr.io/acme/web, newTag: '3'}]\n  postBuild:\n    substitute: {api_tag: '7.1'}\n";
    let found = found_in(&[
        ("clusters/prod/apps.yaml", flux),
        ("apps/web.yaml", &pod("web:latest")),
        ("apps/api.yaml", &pod("ghcr.io/acme/api:${api_tag}")),
        ("apps/worker.yaml", &pod("ghcr.io/acme/worker:${worker_tag:=2.0}")),
        ("apps/cache.yaml", &pod("ghcr.io/acme/cache:${cache_tag}")),
        ("apps/inner/kustomization.yaml", "resources: [pod.yaml]\nimages: [{name: inner, newTag: '9'}]\n"),
        ("apps/inner/pod.yaml", &pod("inner")),
        (
            "sources.yaml",
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: charts}\nspec: {url: \"oci://ghcr.io/acme/charts/api\", ref: {tag: 1.5.0}}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: range}\nspec: {url: \"oci://ghcr.io/acme/charts/web\", ref: {semver: \">=1\"}}\n---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: scan}\nspec: {image: ghcr.io/acme/scanned}\n",
        ),
    ]);
    insta::assert_snapshot!(said(&found));
}

#[test]
fn a_helm_release_brings_values() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec:\n  chart:\n    spec:\n      chart: ./charts/web\n      sourceRef: {kind: GitRepository, name: fleet}\n  valuesFrom: [{kind: ConfigMap, name: more}]\n  values:\n    image: {tag: \"2.0\"}\n    sidecar: {enabled: true}\n";
    let remote = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: redis}\nspec:\n  chartRef: {kind: OCIRepository, name: redis}\n  values:\n    image: {registry: ghcr.io, repository: acme/redis, tag: \"7\"}\n    exporter: {image: {tag: \"1.9\"}}\n    proxy: {image: {repository: ghcr.io/acme/proxy}}\n  postRenderers:\n    - kustomize: {images: [{name: x, newName: ghcr.io/acme/x, newTag: \"1\"}]}\n";
    let found = found_in(&[
        ("releases/web.yaml", release),
        ("releases/redis.yaml", remote),
        ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        (
            "charts/web/values.yaml",
            "image: {repository: ghcr.io/acme/web, tag: \"1.0\"}\nsidecar: {enabled: false}\n",
        ),
        (
            "charts/web/templates/pod.yaml",
            "kind: Pod\nspec:\n  containers:\n    - image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n    {{- if .Values.sidecar.enabled }}\n    - image: ghcr.io/acme/sidecar:1\n    {{- end }}\n",
        ),
        ("charts/alone/Chart.yaml", "apiVersion: v2\nname: alone\nversion: 1.0.0\n"),
        ("charts/alone/templates/pod.yaml", &pod("ghcr.io/acme/alone:1")),
    ]);
    insta::assert_snapshot!(said(&found));
}

#[test]
fn what_is_not_there_is_told_of() {
    let found = found_in(&[
        (
            "kustomization.yaml",
            "resources:\n  - https://github.com/acme/base?ref=v1\n  - gone.yaml\n  - ../outside\n  - self\nhelmCharts: [{name: redis, repo: \"https://charts.example.com\"}]\n",
        ),
        ("self/kustomization.yaml", "resources: [../self, ..]\n"),
        ("api.yaml", &pod("ghcr.io/acme/api:${TAG}")),
    ]);
    insta::assert_snapshot!(said(&found));
}

#[test]
fn a_chart_that_does_not_parse_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        write(dir.path(), &format!("charts/{name}/Chart.yaml"), "apiVersion: v2\nname: x\nversion: 1.0.0\n");
        write(dir.path(), &format!("charts/{name}/values.yaml"), "a: [1\nb: 2\n");
    }
    let said = sealift_archive::report(&in_folder(dir.path(), &Settings::default()).unwrap_err());
    assert!(said.ends_with("2 things are wrong"), "{said}");
    assert!(said.contains("`charts/one/values.yaml` line 2"), "{said}");
}
