//! The containerd that k3s has, told by `sealift-registry config containerd` alone.

use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Containerd, Namespace, Vendor, fixture, process, scratch};

use crate::registry;

#[test]
fn containerd_pulls_over_tls_and_falls_back_to_nobody() {
    let (vendor, images) = (Vendor::new(&ACME), fixture::images());
    let name = format!("{HOST}/acme/tools:1.0");
    let image = format!("{{ociLayout: '{}', reference: tools, name: '{name}'}}", images.dir().display());
    vendor.define("1.0.0", 1, &format!("images: [{image}]\n"));
    vendor.lock();
    let (gap, root) = (Namespace::new(), scratch());
    ACME.write_root(root.path());
    let appliance = Appliance::behind(&gap, root.path());
    appliance.activate(&vendor.bundle());
    let _registry = registry::serve(&gap, &appliance);

    let mut config = registry::command(&gap);
    config.args(["config", "containerd", "--store"]).arg(appliance.store());
    config.arg("--ca").arg(registry::ca(&appliance)).arg("--output").arg(appliance.path("etc"));
    process::run(&mut config);
    let certs = appliance.path("etc/certs.d");
    let containerd = Containerd::start_newer(&gap);
    containerd.pull(&name, &certs);
    assert_eq!(containerd.digest(&name), images.digest("tools"));
    // What the release lacks, of a host that it knows and of one that it does not.
    for unknown in [format!("{HOST}/acme/unknown:1"), "ghcr.io/acme/unknown:1".to_owned()] {
        assert!(!containerd.try_pull(&unknown, &certs), "{unknown}");
    }
    assert_eq!(gap.escaped_packets(), 0, "containerd asked somebody else");

    // Whoever has not been told asks the host itself, and that is counted.
    assert!(!containerd.try_pull(&name, scratch().path()));
    assert_ne!(gap.escaped_packets(), 0);
}
