//! Who may connect: from an address of the node itself, from an allowed network, and from elsewhere with and without a
//! certificate, over a cable between two namespaces.

use std::path::Path;

use sealift_tests::{Namespace, peers, process};

use crate::node::{Node, PORT};

/// The node, and two addresses of a neighbour: one in a network that is allowed, one that is not.
pub(crate) const NODE: &str = "192.0.2.1";
const ALLOWED: &str = "192.0.2.129";
pub(crate) const STRANGER: &str = "192.0.2.2";
const ALLOWED_NETWORK: &str = "192.0.2.128/25";

/// What curl says of a connection that ended before an answer: nothing received, reset, or TLS's own refusal.
const CLOSED: [i32; 4] = [35, 52, 55, 56];

/// Lays a cable between two namespaces that have nobody else to talk to.
pub(crate) fn connect(node: &Namespace, neighbour: &Namespace) {
    let ip = |namespace: &Namespace, words: &str| {
        process::run(namespace.command(peers::tool("ip")).args(words.split(' ')));
    };
    for namespace in [node, neighbour] {
        process::run(namespace.command(peers::tool("nft")).args(["delete", "table", "inet", "gap"]));
    }
    ip(node, &format!("link add cable0 type veth peer name cable1 netns {}", neighbour.name()));
    ip(node, &format!("addr add {NODE}/24 dev cable0"));
    ip(node, "link set cable0 up");
    for address in [STRANGER, ALLOWED] {
        ip(neighbour, &format!("addr add {address}/24 dev cable1"));
    }
    ip(neighbour, "link set cable1 up");
}

/// Asks the node from an address, and returns what came, or how curl ended.
fn ask(from: &Namespace, address: &str, scheme: &str, ca: &Path, more: &[&str]) -> Result<String, i32> {
    let url = format!("{scheme}://{NODE}:{PORT}/healthz");
    let mut curl = from.command(peers::tool("curl"));
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--interface", address]);
    let ended = process::finish(curl.arg("--cacert").arg(ca).args(more).arg(&url));
    if ended.code() == Some(0) { Ok(ended.stdout()) } else { Err(ended.code().expect("curl ends by itself")) }
}

#[test]
fn who_comes_from_elsewhere_shows_a_certificate_or_is_closed_unread() {
    let (here, there) = (Namespace::new(), Namespace::new());
    connect(&here, &there);
    let (node, other) = (Node::empty(&here), Node::empty(&there));
    node.init(&[NODE]);
    other.init(&[STRANGER]);
    let issue = |of: &Node<'_>, dir: &str| {
        let mut issue = of.registry(&["tls", "issue", "--dir"]);
        process::run(issue.arg(of.path("pki")).arg("--output").arg(of.path(dir)));
        ["node.crt", "node.key"].map(|name| of.path(dir).join(name).display().to_string())
    };
    let ([good, good_key], [bad, bad_key]) = (issue(&other, "id"), issue(&node, "id"));
    let (good, bad) = (["--cert", &good, "--key", &good_key], ["--cert", &bad, "--key", &bad_key]);
    let client_ca = other.ca().display().to_string();
    let ok = || Ok("ok\n".to_owned());

    let plain = node.serve(&["--allow", ALLOWED_NETWORK]);
    assert_eq!(ask(&here, NODE, "http", &node.ca(), &[]), ok(), "the node itself");
    assert_eq!(ask(&there, ALLOWED, "http", &node.ca(), &[]), ok());
    let refused = ask(&there, STRANGER, "http", &node.ca(), &[]).expect_err("a stranger");
    assert!(CLOSED.contains(&refused), "{refused}");
    drop(plain);

    let closed = node.serve_tls(&["--allow", ALLOWED_NETWORK]);
    assert_eq!(ask(&there, ALLOWED, "https", &node.ca(), &[]), ok());
    for identity in [&[][..], &good] {
        let refused = ask(&there, STRANGER, "https", &node.ca(), identity).expect_err("a stranger");
        assert!(CLOSED.contains(&refused), "{refused}");
    }
    drop(closed);

    let _open = node.serve_tls(&["--allow", ALLOWED_NETWORK, "--client-ca", &client_ca]);
    assert_eq!(ask(&here, NODE, "https", &node.ca(), &[]), ok());
    assert_eq!(ask(&there, ALLOWED, "https", &node.ca(), &[]), ok());
    assert_eq!(ask(&there, STRANGER, "https", &node.ca(), &good), ok());
    for identity in [&[][..], &bad] {
        let refused = ask(&there, STRANGER, "https", &node.ca(), identity).expect_err("a stranger");
        assert!(CLOSED.contains(&refused), "{refused}");
    }
    // The authority is taken out, and the certificate that was good is good no more; without a restart.
    fs_err::copy(node.ca(), other.ca()).expect("another authority");
    assert!(ask(&there, STRANGER, "https", &node.ca(), &good).is_err());
    assert_eq!(ask(&there, STRANGER, "https", &node.ca(), &bad), ok());
}
