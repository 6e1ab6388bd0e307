//! Nodes that show each other certificates: each makes its own of its own authority, and knows the others' by what they have
//! said in the cluster; over a cable between two namespaces, from addresses that nobody allows.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, Issuer, KeyPair};
use sealift_store::{PeerAuthorities, Store};
use sealift_tests::trust::ACME;
use sealift_tests::{Namespace, Vendor, fixture, peers, process};

use crate::access::{NODE, STRANGER, connect};
use crate::node::{Node, PORT};

/// More than what lies in the buffers of a connection, in bytes.
const BIG_FILE_BYTES: usize = 64 << 20;
/// As much of it as is surely under way, in bytes.
const BEGINNING_BYTES: usize = 1 << 20;

/// No peer could be used.
const NO_PEER: &str = "SL0582";
/// A peer does not take the certificate, or misses one.
const CLOSED_OUT: &str = "SL0650";
/// What `sealiftctl` exits with then.
const UNREACHABLE: i32 = 6;

impl Node<'_> {
    /// Writes what the node is called, and how it knows the registry of another one.
    fn configure(&self, name: &str, other: &Node<'_>) {
        let (pki, ca) = (self.path("pki").display().to_string(), other.ca().display().to_string());
        let text = format!(
            "apiVersion: sealift/v1\nkind: Appliance\ncluster:\n  node: {name}\n  kubeconfig: /nonexistent\n  \
             address: 'https://{name}:{PORT}'\n  peers: {{authority: '{pki}', caFile: '{ca}'}}\n"
        );
        fixture::write(&self.path("appliance.yaml"), text.as_bytes());
    }

    /// Notes what nodes have said in the cluster, as `sealiftctl cluster run` does.
    fn hear(&self, nodes: &[(&str, &Node<'_>)]) {
        let read = |node: &Node<'_>| fs_err::read_to_string(node.ca()).expect("an authority");
        let said: PeerAuthorities = nodes.iter().map(|(name, node)| (name, read(node))).collect();
        let store = Store::open(self.appliance.store()).expect("a store");
        store.write_peer_authorities(&said).expect("it is written down");
    }

    /// `sealiftctl mirror --peer` of this release.
    fn mirror(&self, peers: &[&str], release: &str, more: &[&str]) -> Command {
        let mut command = self.appliance.sealiftctl();
        command.arg("--config").arg(self.path("appliance.yaml")).args(["mirror", "--release", release]);
        for peer in peers {
            command.args(["--peer", &format!("https://{peer}:{PORT}")]);
        }
        command.args(more);
        command
    }

    /// Writes a certificate of the node's own authority that ended long ago, and its key.
    fn issue_expired(&self) -> [String; 2] {
        let read = |name| fs_err::read_to_string(self.path("pki").join(name)).expect("a file");
        let keys = KeyPair::from_pem(&read("ca.key")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), keys).expect("an authority");
        let mut parameters = CertificateParams::default();
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2001, 1, 31);
        let keys = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&keys, &issuer).expect("a certificate");
        [("expired.crt", certificate.pem()), ("expired.key", keys.serialize_pem())].map(|(name, text)| {
            fixture::write(&self.path(name), text.as_bytes());
            self.path(name).display().to_string()
        })
    }

    /// Makes the authority anew, as whoever gives the node another name does.
    fn begin_anew(&self, addresses: &[&str]) {
        for name in ["ca.crt", "ca.key"] {
            fs_err::remove_file(self.path("pki").join(name)).expect("the old one");
        }
        self.init(addresses);
    }
}

/// A node on which a release runs, and the digest of that.
fn running(namespace: &Namespace) -> (Node<'_>, String) {
    let vendor = Vendor::new(&ACME);
    let big: Vec<u8> = (0..BIG_FILE_BYTES / 8).flat_map(usize::to_le_bytes).collect();
    fixture::write(&vendor.path("big.bin"), &big);
    vendor.define("1.0.0", 1, "files:\n- {path: big.bin, name: big.bin}\n");
    vendor.lock();
    let node = Node::empty(namespace);
    node.appliance.activate(&vendor.bundle());
    let release = node.appliance.status()["active"]["digest"].as_str().expect("a digest").to_owned();
    (node, release)
}

fn issue(node: &Node<'_>, dir: &str) -> [String; 2] {
    let mut issue = node.registry(&["tls", "issue", "--dir"]);
    process::run(issue.arg(node.path("pki")).arg("--output").arg(node.path(dir)));
    ["node.crt", "node.key"].map(|name| node.path(dir).join(name).display().to_string())
}

#[test]
fn nodes_let_each_other_in_without_a_person_and_nobody_else() {
    let (here, there) = (Namespace::new(), Namespace::new());
    connect(&here, &there);
    let (one, release) = running(&here);
    let (two, three, stranger) = (Node::empty(&there), Node::empty(&here), Node::empty(&there));
    one.init(&[NODE]);
    two.init(&[STRANGER]);
    three.init(&[]);
    stranger.init(&[]);
    two.configure("two", &one);
    three.configure("three", &two);
    let _serving = one.serve_tls(&[]);
    let plan = |more: &[&str]| process::finish(&two.mirror(&[NODE], &release, &[&["--plan"], more].concat()));

    // Nobody has heard of anybody: closed unread.
    plan(&[]).expect(UNREACHABLE).expect_said(&[NO_PEER, "SL0204"]);
    one.hear(&[("one", &one), ("two", &two)]);
    plan(&[]).expect(0);

    let (foreign, expired) = (issue(&stranger, "id"), two.issue_expired());
    let good = issue(&two, "id");
    for (identity, told) in [(&foreign, "UnknownCA"), (&expired, "CertificateExpired")] {
        let refused = plan(&["--client-cert", &identity[0], "--client-key", &identity[1]]);
        let hint = "SEALIFT_REGISTRY_CLIENT_CA";
        refused.expect(UNREACHABLE).expect_said(&[NO_PEER, CLOSED_OUT, told, hint]);
    }
    plan(&["--client-cert", &good[0], "--client-key", &good[1]]).expect(0);
    let keys = two.path("pki/ca.key");
    fs_err::rename(&keys, two.path("aside")).expect("no authority any more");
    plan(&[]).expect(UNREACHABLE).expect_said(&[NO_PEER, CLOSED_OUT, "CertificateRequired"]);
    fs_err::rename(two.path("aside"), &keys).expect("the authority again");

    // It takes all of it; then it gives it to the third, as soon as it has heard of that.
    process::run(&mut two.mirror(&[NODE], &release, &[]));
    assert_eq!(two.appliance.status()["releases"][0]["state"], "staged");
    let _second = two.serve_tls(&[]);
    two.hear(&[("one", &one)]);
    let refused = process::finish(&three.mirror(&[STRANGER], &release, &[]));
    refused.expect(UNREACHABLE).expect_said(&[CLOSED_OUT]);
    two.hear(&[("one", &one), ("three", &three)]);
    process::run(&mut three.mirror(&[STRANGER], &release, &[]));
    assert_eq!(three.appliance.status()["releases"][0]["state"], "staged");
    for node in [&two, &three] {
        node.appliance.expect_whole();
    }
}

#[test]
fn a_node_that_is_renewed_drops_no_connection() {
    let (here, there) = (Namespace::new(), Namespace::new());
    connect(&here, &there);
    let (one, release) = running(&here);
    let two = Node::empty(&there);
    one.init(&[NODE]);
    two.init(&[STRANGER]);
    two.configure("two", &one);
    one.hear(&[("two", &two)]);
    let _serving = one.serve_tls(&[]);
    let old = issue(&two, "old");

    let mut curl = there.command(peers::tool("curl"));
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--interface", STRANGER]);
    curl.arg("--cacert").arg(one.ca()).args(["--cert", &old[0], "--key", &old[1]]);
    curl.arg(format!("https://{NODE}:{PORT}/files/big.bin"));
    let mut download = curl.stdout(Stdio::piped()).spawn().expect("curl");
    let mut came = download.stdout.take().expect("its output");
    let mut file = vec![0; BEGINNING_BYTES];
    came.read_exact(&mut file).expect("the beginning");

    // Another authority, and another certificate; what the old ones let in goes on, and is let in no more.
    let plan = |more: &[&str]| process::finish(&two.mirror(&[NODE], &release, &[&["--plan"], more].concat()));
    plan(&[]).expect(0);
    two.begin_anew(&[STRANGER]);
    plan(&[]).expect(UNREACHABLE).expect_said(&[CLOSED_OUT]);
    one.hear(&[("two", &two)]);
    plan(&[]).expect(0);
    plan(&["--client-cert", &old[0], "--client-key", &old[1]]).expect(UNREACHABLE).expect_said(&[CLOSED_OUT]);

    came.read_to_end(&mut file).expect("the rest");
    assert!(download.wait().expect("curl ends").success());
    assert_eq!(file, fs_err::read(find(one.appliance.store())).expect("the file"));
}

/// The one blob of a store that is as large as the file.
fn find(store: &Path) -> PathBuf {
    let blobs = fs_err::read_dir(store.join("blobs/sha256")).expect("blobs").map(|entry| entry.expect("one"));
    let is_file = |entry: &fs_err::DirEntry| entry.metadata().expect("a file").len() == BIG_FILE_BYTES as u64;
    blobs.into_iter().find(is_file).expect("the file").path()
}
