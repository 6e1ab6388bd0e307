//! `mirror --peer`.

use std::path::PathBuf;

use clap::Args;
use sealift_archive::Digest;
use sealift_fetch::{Meter, Url};
use sealift_store::{State, Subject};
use serde::Serialize;

use super::output::{Lines, Output};
use super::told::{conclude, describe};
use super::{Cli, MirrorArgs};
use crate::Error;
use crate::config::{PeerAccess, PeerIdentity, parse_peer};
use crate::import::{Done, Plan};
use crate::online::{Peers, Taken, Wanted, Witness};

/// Which release, and from whom.
#[derive(Debug, Args)]
pub(super) struct PeerArgs {
    /// Another node's registry; may be repeated: they are asked in this order
    #[arg(long, value_name = "URL", value_parser = parse_peer, requires = "release")]
    peer: Vec<Url>,
    /// The release that is wanted of them: the digest of its statement
    #[arg(long, value_name = "DIGEST", requires = "peer")]
    release: Option<Digest>,
    /// Certificates of the nodes' authorities, in PEM
    #[arg(long, value_name = "FILE", requires = "peer")]
    ca_file: Option<PathBuf>,
    /// Our certificate, for nodes that ask for one; without it, this node's own authority makes one
    #[arg(long, value_name = "FILE", requires_all = ["peer", "client_key"])]
    client_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Plain HTTP will do; what comes is verified all the same
    #[arg(long, requires = "peer")]
    plain_http: bool,
}

impl PeerArgs {
    pub(super) fn is_given(&self) -> bool {
        self.release.is_some()
    }

    /// What the configuration says, unless it is said here.
    fn access(&self, configured: PeerAccess) -> PeerAccess {
        let identity = self.client_cert.clone().zip(self.client_key.clone());
        let identity = identity.map(|(certificate, key)| PeerIdentity { certificate, key });
        PeerAccess {
            ca_file: self.ca_file.clone().or(configured.ca_file),
            identity: identity.or(configured.identity),
            plain_http: self.plain_http || configured.plain_http,
            ..configured
        }
    }
}

/// What came of it.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Told {
    /// It is here.
    Here {
        release: Subject,
        #[serde(flatten)]
        state: State,
    },
    /// What would be done.
    Planned { plan: Box<Plan> },
    /// What was done.
    Done { done: Box<Done> },
}

pub(super) fn mirror(cli: &Cli, output: Output, args: &MirrorArgs) -> Result<(), Error> {
    let release = args.peer.release.expect("whoever comes here names a release");
    let (mut peers, wanted) = (Peers::default(), Wanted::new(release, &[]));
    let configured = cli.config()?.cluster.map(|cluster| cluster.peers).unwrap_or_default();
    let access = args.peer.access(configured);
    for url in &args.peer.peer {
        peers.add(url, &access)?;
    }
    // It shows nothing; it is here for Ctrl-C.
    let waiting = Meter::of_command("waiting", 0, true)?;
    let witness = OnScreen { cli, output };
    let told = if args.plan.plan {
        let store = cli.store()?;
        match peers.plan(&store, wanted, &witness, &waiting)? {
            Some(plan) => Told::Planned { plan: Box::new(plan) },
            None => here(cli, release)?,
        }
    } else {
        let writer = cli.writer(&format!("mirror {release}"))?;
        match peers.take(&writer, wanted, &witness, &waiting)? {
            Taken::Done(done) => Told::Done { done },
            Taken::Here(_) => here(cli, release)?,
        }
    };
    output.result(&told, || told.describe())
}

fn here(cli: &Cli, digest: Digest) -> Result<Told, Error> {
    let situation = cli.store()?.situation()?;
    let found = situation.releases.iter().find(|known| known.digest == digest);
    let found =
        found.ok_or_else(|| Error::NoSuchVersion { wanted: digest.to_string(), known: Vec::new() })?;
    Ok(Told::Here { release: found.subject(), state: found.state.clone() })
}

/// Tells a person.
struct OnScreen<'a> {
    cli: &'a Cli,
    output: Output,
}

impl Witness for OnScreen<'_> {
    fn fails(&self, peer: &str, error: &Error) -> Result<(), Error> {
        self.output.remark(&format!("from {peer} nothing can be taken:\n{}\n", self.cli.describe(error)))
    }

    fn begins(&self, plan: &Plan) -> Result<Meter, Error> {
        self.output.remark(&describe(plan).end())?;
        self.cli.meter("mirroring", plan.need.missing_bytes.saturating_sub(plan.need.begun_bytes))
    }
}

impl Told {
    fn describe(&self) -> String {
        match self {
            Self::Here { release, state } => {
                let lines = Lines::title(release.name());
                lines.line("to do", format_args!("nothing: it is here, {state}")).end()
            }
            Self::Planned { plan } => describe(plan).end(),
            Self::Done { done } => conclude(done),
        }
    }
}
