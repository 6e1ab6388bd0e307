//! The testbed itself: were the gap leaky or its counter blind, the end-to-end tests would prove nothing.

use sealift_tests::containerd::write_hosts_toml;
use sealift_tests::{Containerd, Namespace, Registry, Side, fixture, peers, process, scratch};

#[test]
fn every_way_out_is_shut_and_counted() {
    let attempts = [
        ("a connection by IPv4", "echo > /dev/tcp/198.51.100.7/443"),
        ("a connection by IPv6", "echo > /dev/tcp/2001:db8:1::7/443"),
        ("a datagram", "echo > /dev/udp/198.51.100.7/9"),
        ("a question to a resolver on loopback", "echo > /dev/udp/127.0.0.53/53"),
        ("the gateway", "echo > /dev/tcp/203.0.113.254/80"),
    ];
    let namespace = Namespace::new();
    for (name, script) in attempts {
        let before = namespace.escaped_packets();
        // One second is enough for the first packet, which is all that has to be counted.
        let mut shell = namespace.command("timeout");
        shell.args(["1", "bash", "-c", script]);
        assert!(!process::attempt(&mut shell), "{name}: got through");
        assert!(namespace.escaped_packets() > before, "{name}: not counted");
    }
}

#[test]
fn what_stays_inside_is_not_counted() {
    let namespace = Namespace::new();
    // Refused by nobody listening there, not by the gap.
    for script in ["echo > /dev/tcp/127.0.0.1/9", "echo > /dev/tcp/::1/9", "echo > /dev/tcp/203.0.113.1/9"] {
        let error = process::refusal(namespace.command("bash").args(["-c", script]));
        assert!(error.contains("Connection refused"), "{script}: {error}");
    }
    assert_eq!(namespace.escaped_packets(), 0);
}

#[test]
fn containerd_pulls_through_a_mirror_and_runs_the_image_behind_the_gap() {
    const NAME: &str = "registry.example.com/acme/app:1.0";
    let namespace = Namespace::new();
    let registry = Registry::start(Side::Appliance(&namespace));
    let images = fixture::images();
    registry.push(&images, "app", "acme/app:1.0");

    let containerd = Containerd::start(&namespace);
    let hosts = scratch();
    write_hosts_toml(hosts.path(), "registry.example.com", &format!("http://{}", registry.authority()));
    containerd.pull(NAME, hosts.path());

    let index = images.digest("app");
    assert_eq!(containerd.digest(NAME), index);
    for digest in images.closure(&index, "amd64") {
        assert!(containerd.blob(&digest) == images.blob(&digest), "`{digest}` arrived changed");
    }
    assert_eq!(containerd.run(NAME), fixture::GREETING);
    assert_eq!(namespace.escaped_packets(), 0, "something tried to leave");
}

#[test]
fn cosign_checks_its_own_signature_behind_the_gap() {
    let dir = scratch();
    let namespace = Namespace::new();
    let cosign = || {
        let mut command = namespace.command(peers::tool("cosign"));
        command.env("COSIGN_PASSWORD", "a password").current_dir(dir.path());
        command
    };
    fs_err::write(dir.path().join("document"), "signed").expect("a document");
    process::run(cosign().args(["generate-key-pair"]));
    process::run(cosign().args([
        "sign-blob",
        "--key=cosign.key",
        "--bundle=document.sigstore.json",
        "--use-signing-config=false",
        "--tlog-upload=false",
        "--yes",
        "document",
    ]));
    let verify =
        ["verify-blob", "--key=cosign.pub", "--bundle=document.sigstore.json", "--insecure-ignore-tlog=true"];
    process::run(cosign().args(verify).arg("document"));

    fs_err::write(dir.path().join("document"), "Signed").expect("a document");
    process::refusal(cosign().args(verify).arg("document"));
    assert_eq!(namespace.escaped_packets(), 0, "cosign tried to leave");
}
