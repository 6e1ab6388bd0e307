//! What `gitops/` holds is what Flux, kustomize and Helm make of it, and fits the number of nodes that it is for.

mod checked;
mod fit;
mod keys;
mod rendered;

use std::collections::BTreeSet;
use std::process::Command;

use sealift_tests::{peers, process};
use serde_json::Value;

use crate::rendered::{Rendered, gitops, objects, text};

/// Each overlay, and how many nodes it is for.
const OVERLAYS: [(&str, u64); 2] = [("single-node", 1), ("ha-3node", 3)];
/// Where Flux is, and where `sealift-registry config flux` puts the sources.
const FLUX_SYSTEM: &str = "flux-system";

#[test]
fn every_overlay_fits_its_nodes() {
    for (overlay, nodes) in OVERLAYS {
        let rendered = Rendered::overlay(overlay);
        assert_eq!(fit::faults(&rendered.applied, nodes), Vec::<String>::new(), "{overlay}");
        let kinds: Vec<&str> = rendered.applied.iter().map(|object| text(&object["kind"])).collect();
        assert!(kinds.contains(&"Deployment"), "{overlay} runs something: {kinds:?}");
        assert_eq!(kinds.contains(&"PodDisruptionBudget"), nodes > 1, "{overlay}: {kinds:?}");
        for workload in rendered.applied.iter().filter(|object| object["kind"] == "Deployment") {
            assert_eq!(workload["spec"]["replicas"], nodes, "{overlay}");
        }
    }
}

#[test]
fn every_release_is_of_a_chart_that_is_there_by_the_name_of_its_source() {
    for (overlay, _) in OVERLAYS {
        let rendered = Rendered::overlay(overlay);
        let namespaces: BTreeSet<&str> = rendered
            .objects
            .iter()
            .filter(|object| object["kind"] == "Namespace")
            .map(|object| text(&object["metadata"]["name"]))
            .collect();
        let releases: Vec<&Value> = rendered.releases().collect();
        assert!(!releases.is_empty(), "{overlay}");
        for release in releases {
            let spec = &release["spec"];
            // Held still in activation are those of this namespace, and its sources are found without a word more.
            assert_eq!(release["metadata"]["namespace"], FLUX_SYSTEM, "{overlay}");
            assert_eq!(spec["chartRef"]["kind"], "OCIRepository", "{overlay}");
            assert!(Rendered::chart_of(release).join("Chart.yaml").is_file(), "{overlay}: {release}");
            assert!(namespaces.contains(text(&spec["targetNamespace"])), "{overlay}: {namespaces:?}");
            assert!(spec["valuesFrom"].is_null(), "{overlay}: values are in the delivered folder alone");
        }
    }
}

#[test]
fn an_overlay_changes_listed_keys_alone() {
    let listed = objects(&fs_err::read_to_string(gitops().join("overlay-keys.yaml")).expect("a file"));
    let listed: Vec<&str> = listed[0]["keys"].as_array().expect("keys").iter().map(text).collect();
    let base = rendered::build(&gitops().join("base")).expect("a base that kustomize builds");
    for (overlay, _) in OVERLAYS {
        let changed = keys::changed(&base, &Rendered::overlay(overlay).objects);
        assert!(!changed.is_empty(), "{overlay}");
        let stray: Vec<&String> = changed.iter().filter(|key| !keys::is_listed(key, &listed)).collect();
        assert!(stray.is_empty(), "{overlay}: {stray:?}");
    }
}

#[test]
fn what_flux_is_told_leads_to_an_overlay() {
    for (overlay, _) in OVERLAYS {
        let path = gitops().join(format!("sync/{overlay}.yaml"));
        let [sync] = &objects(&fs_err::read_to_string(&path).expect("a file"))[..] else {
            panic!("`{}` is one object", path.display());
        };
        assert_eq!(sync["apiVersion"], "kustomize.toolkit.fluxcd.io/v1");
        assert_eq!(
            (&sync["kind"], &sync["metadata"]["namespace"]),
            (&"Kustomization".into(), &FLUX_SYSTEM.into())
        );
        assert_eq!(sync["spec"]["path"], format!("./overlays/{overlay}"));
        // A health gate that waits for nothing would pass on anything.
        assert_eq!(sync["spec"]["wait"], true);
        assert!(gitops().join(text(&sync["spec"]["path"])).join("kustomization.yaml").is_file());
    }
}

#[test]
fn a_chart_takes_only_what_it_knows() {
    let charts = fs_err::read_dir(gitops().join("charts")).expect("charts");
    for chart in charts.map(|chart| chart.expect("a chart").path()) {
        let helm = |more: &[&str]| {
            let mut helm = Command::new(peers::tool("helm"));
            helm.arg("lint").arg("--strict").arg(&chart).args(more);
            process::finish(&helm)
        };
        helm(&[]).expect(0);
        let refused = helm(&["--set", "nothing.of.the.kind=1"]).expect(1);
        assert!(refused.stdout().contains("nothing"), "{}", refused.stdout());
    }
}
