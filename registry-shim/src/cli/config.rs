//! `sealift-registry config`: files for the registry's clients.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealift_store::Store;

use super::tls::DEFAULT_CA;
use crate::Error;
use crate::configure::flux::{Active, Flux, Interval, Key, Node};
use crate::configure::{Endpoint, containerd, deliver, k3s};
use crate::tls::DnsName;

/// Where the registry is asked on its own node, as its units have it.
const DEFAULT_ENDPOINT: &str = "https://127.0.0.1:5443";
/// The port of its units.
const DEFAULT_PORT: u16 = 5443;

/// Write what k3s, containerd or Flux have to be told.
///
/// Without `--output` the files are written to standard output, each behind its name if there are several.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    K3s(K3s),
    Containerd(Containerd),
    Flux(FluxOptions),
}

/// Write k3s's `registries.yaml`, by which every image comes from the registry of its own node.
#[derive(Args, Debug)]
#[command(after_help = K3S_EXAMPLES)]
pub(super) struct K3s {
    #[command(flatten)]
    node: NodeOptions,
}

const K3S_EXAMPLES: &str = "\
Examples:
  sealift-registry config k3s
  sealift-registry config k3s --output /etc/rancher/k3s      then start k3s again, on every node";

/// Write containerd's `certs.d`, where k3s is not there to do so.
#[derive(Args, Debug)]
#[command(after_help = CONTAINERD_EXAMPLES)]
pub(super) struct Containerd {
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    store: StoreOption,
}

const CONTAINERD_EXAMPLES: &str = "\
Examples:
  sealift-registry config containerd --output /etc/containerd
  sealift-registry config containerd --endpoint http://127.0.0.1:5000";

/// What an own node's clients need.
#[derive(Args, Debug)]
struct NodeOptions {
    /// Where clients on this node ask the registry.
    #[arg(long, value_name = "URL", default_value = DEFAULT_ENDPOINT)]
    endpoint: Endpoint,
    /// Certificate of this node's authority, where the clients find it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CA)]
    ca: PathBuf,
    /// Write the files into this folder.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct StoreOption {
    /// The store's directory.
    #[arg(long, value_name = "DIR", env = "SEALIFT_STORE", default_value = "/var/lib/sealift")]
    store: PathBuf,
}

/// Write how pods reach the registry of their own node, and for Flux a source for each Git mirror, chart and artifact of
/// the active release.
///
/// Run it again when nodes come or go, and when a release brings new repositories, charts or artifacts; that a release
/// brings newer ones, Flux sees by itself.
#[derive(Args, Debug)]
#[command(after_help = FLUX_EXAMPLES)]
pub(super) struct FluxOptions {
    /// A node and an address at which pods reach its registry; may be repeated.
    #[arg(long, value_name = "NAME=ADDRESS", required = true)]
    node: Vec<Node>,
    /// Certificate of a node's authority; once for each node.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CA)]
    ca: Vec<PathBuf>,
    /// The port of the nodes' registries.
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
    /// The namespace that Flux's objects belong to.
    #[arg(long, value_name = "NAME", default_value = "flux-system")]
    namespace: DnsName,
    /// How often Flux looks for what is new.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    interval: Interval,
    /// Public key NAME.asc or NAME.sshpub by which Flux verifies each mirror whose commit is signed, or this mirror alone;
    /// may be repeated.
    #[arg(long, value_name = "[MIRROR=]FILE")]
    git_key: Vec<Key>,
    /// Public key NAME.pub by which Flux verifies each chart and artifact that cosign has signed, or this one alone; may be
    /// repeated. What is not verified is told on standard error and at the head of what is written.
    #[arg(long, value_name = "[REPOSITORY=]FILE")]
    cosign_key: Vec<Key>,
    #[command(flatten)]
    store: StoreOption,
    /// Write the file into this folder.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

const FLUX_EXAMPLES: &str = "\
Examples:
  sealift-registry config flux --node node-a=10.0.0.11 | kubectl apply --server-side -f -
  sealift-registry config flux --node a=10.0.0.11 --node b=10.0.0.12 --ca a.crt --ca b.crt --output .
  sealift-registry config flux --node node-a=10.0.0.11 --git-key fleet=alice.asc --cosign-key charts/web=vendor.pub \\
    | kubectl apply --server-side -f -      refused if one of these is not signed";

impl Command {
    /// Does what was asked, says on `out` what came of it, and on `err` what should be known besides.
    pub(super) fn run(self, out: &mut impl Write, err: &mut impl Write) -> Result<(), Error> {
        let (documents, folder) = match self {
            Self::K3s(K3s { node }) => (k3s::documents(&node.endpoint, &node.ca), node.output),
            Self::Containerd(Containerd { node, store }) => {
                // An appliance may be set up before it has a store; `_default` is there for everybody.
                let hosts = match Store::open(&store.store) {
                    Ok(store) => containerd::hosts(&store)?,
                    Err(_) if !store.store.exists() => BTreeSet::new(),
                    Err(error) => return Err(error.into()),
                };
                (containerd::documents(&node.endpoint, &node.ca, &hosts), node.output)
            }
            Self::Flux(options) => {
                let active = Active::of(&Store::open(&options.store.store)?)?;
                let flux = Flux {
                    nodes: options.node,
                    port: options.port,
                    authorities: options.ca,
                    namespace: options.namespace,
                    interval: options.interval,
                    git_keys: options.git_key,
                    cosign_keys: options.cosign_key,
                };
                let (documents, unverified) = flux.documents(active.as_ref())?;
                for source in unverified {
                    writeln!(err, "warning: Flux does not verify {source}")?;
                }
                (documents, options.output)
            }
        };
        Ok(deliver(&documents, folder.as_deref(), out)?)
    }
}
