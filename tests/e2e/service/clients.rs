//! Clients of every TLS library that the appliance has, each told only what `sealift-registry` writes for it: Go's (containerd,
//! crane, Helm, Flux), `GnuTLS`'s or OpenSSL's (git, curl). Go's is the strictest about name constraints.

use sealift_tests::process;
use sealift_tests::vendor::HOST;
use sealift_tests::{Containerd, Namespace, fixture};

use crate::node::{IMAGE, Node, PORT, SERVICE};

#[test]
fn clients_that_were_told_pull_over_tls_and_ask_nobody_else() {
    let namespace = Namespace::new();
    let node = Node::new(&namespace);
    node.init(&[]);
    let _registry = node.serve_tls(&[]);
    let images = fixture::images();

    let (store, ca) = (node.appliance.store().display().to_string(), node.ca().display().to_string());
    let told = node.path("etc").display().to_string();
    let mut config =
        node.registry(&["config", "containerd", "--store", &store, "--ca", &ca, "--output", &told]);
    process::run(&mut config);
    let certs = node.path("etc/certs.d");
    let containerd = Containerd::start(&namespace);
    let name = format!("{HOST}/{IMAGE}");
    containerd.pull(&name, &certs);
    assert_eq!(containerd.digest(&name), images.digest("tools"));
    // A host that no release knows is answered by `_default`, with no, and not asked itself.
    assert!(!containerd.try_pull("ghcr.io/acme/unknown:1", &certs));
    let expect_quiet = |who: &str| assert_eq!(namespace.escaped_packets(), 0, "{who} asked somebody else");
    expect_quiet("containerd");

    let by_name = format!("{SERVICE}:{PORT}");
    for place in [&by_name, &format!("localhost:{PORT}"), &format!("127.0.0.1:{PORT}")] {
        let digest = process::text(node.client("crane").args(["digest", &format!("{place}/{name}")]));
        assert_eq!(digest.trim(), images.digest("tools"), "{place}");
    }
    expect_quiet("crane");
    let chart = format!("oci://{by_name}/charts/web");
    process::run(
        node.client("helm").args(["pull", &chart, "--version", "1.2.3", "--destination"]).arg(node.path("")),
    );
    assert!(node.path("web-1.2.3.tgz").is_file());
    expect_quiet("Helm");
    let artifact = format!("oci://{by_name}/flux/apps:1.0.0");
    process::run(node.client("fluxoci").args(["pull", &artifact]).arg(node.path("apps")));
    assert!(node.path("apps/clusters/appliance/app.yaml").is_file());
    expect_quiet("Flux");
    let mirror = format!("https://{by_name}/git/fleet.git");
    process::run(node.client("git").args(["clone", "--quiet", &mirror]).arg(node.path("fleet")));
    assert!(node.path("fleet/clusters/appliance/app.yaml").is_file());
    expect_quiet("git");

    // Whoever has not been told trusts nobody by this name.
    let url = format!("https://{by_name}/healthz");
    let mut untold = node.client("curl");
    assert!(!process::attempt(untold.args(["--silent", "--noproxy", "*", "--cacert", "/dev/null", &url])));
    let mut curl = node.client("curl");
    assert_eq!(process::text(curl.args(["--silent", "--noproxy", "*", "--cacert", &ca, &url])), "ok\n");
    expect_quiet("curl");
}
