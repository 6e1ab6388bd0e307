//! The registry of a node as its unit runs it: TLS by the node's own authority, for the node itself and for its pods.

use std::path::PathBuf;
use std::process::Command;

use sealift_tests::gap::OWN_ADDRESS;
use sealift_tests::process::{self, Daemon};
use sealift_tests::{Appliance, Namespace, binaries};

/// What pods know it by.
pub(crate) const SERVICE: &str = "sealift-registry.sealift-system.svc";
/// Where it listens; free for sure, because the namespace is new.
const PORT: u16 = 5443;

/// `sealift-registry` behind the gap.
pub(crate) fn command(gap: &Namespace) -> Command {
    let mut command = gap.command(binaries::path("sealift-registry"));
    command.env_remove("SEALIFT_STORE").env_remove("RUST_LOG");
    command
}

/// Makes the node's authority, and serves what the appliance has activated.
pub(crate) fn serve(gap: &Namespace, appliance: &Appliance<'_>) -> Daemon {
    let pki = appliance.path("pki");
    process::run(command(gap).args(["tls", "init", "--address", OWN_ADDRESS, "--dir"]).arg(&pki));
    let mut serve = command(gap);
    serve.arg("--store").arg(appliance.store()).arg("--tls-dir").arg(pki);
    serve.args(["--listen", &format!("0.0.0.0:{PORT}"), "--allow", &format!("{OWN_ADDRESS}/32")]);
    let mut daemon = Daemon::start("sealift-registry", &serve, &appliance.path("."));
    daemon.await_ready(|log| log.contains("ready http"));
    daemon
}

/// The certificate of its authority.
pub(crate) fn ca(appliance: &Appliance<'_>) -> PathBuf {
    appliance.path("pki/ca.crt")
}
