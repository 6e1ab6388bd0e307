//! The command line of `sealiftctl`.

mod appliance;
mod cluster;
mod gc;
mod history;
mod import;
mod k3s;
mod media;
mod mirror;
mod output;
mod peer;
mod receipt;
mod repair;
mod screen;
mod setup;
mod status;
mod support;
mod switch;
mod told;
mod trust;
mod verify;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use sealift_fetch::meter::Meter;
use sealift_store::{Store, Writer};

use crate::Error;
use crate::config::Config;
use output::Output;

/// Takes releases from a stick into an appliance's store, and says which one runs
#[derive(Debug, Parser)]
#[command(
    name = "sealiftctl",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sealiftctl trust pin root.json                    trust a vendor, once
  sealiftctl import /media/usb/acme-1.5.0.tar.zst   verify and load a release
  sealiftctl activate 1.5.0                         let it run
  sealiftctl rollback                               back to what ran before
  sealiftctl status                                 what runs, and what to do next

Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 refused (damage, signatures, order),
4 no space, 5 busy, 6 unreachable, 7 further volumes are needed, 130 interrupted."
)]
pub struct Cli {
    /// The store's directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SEALIFT_STORE",
        default_value = "/var/lib/sealift"
    )]
    store: PathBuf,
    /// The appliance's configuration; without it, /etc/sealift/appliance.yaml if there is one
    #[arg(long, global = true, value_name = "FILE", env = "SEALIFT_CONFIG")]
    config: Option<PathBuf>,
    /// Print results, plans and errors as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an appliance of this machine, from a seed or from what is answered at the console
    #[command(after_help = "\
Step by step: name and network, firewall, trust, store, registry, configuration, release, k3s, Flux. Each looks first at
what is there; what was cut off goes on with the same command, and where all is done nothing changes.

Answers come from cloud-init's user-data and meta-data (`sealift:`), from OVF's properties in VMware's guestinfo
or on a disc, from earlier answers in /etc/sealift/setup, else from whoever sits at the terminal. For each
answer the first of these counts; who disagrees is told.

Examples:
  sealiftctl setup --plan     what this machine would be, and what would be done
  sealiftctl setup            do it
  sealiftctl setup --ask      change answers: what was answered is offered")]
    Setup(setup::SetupArgs),
    /// Say whose releases are taken
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Verify a release and load it into the store
    Import(ImportArgs),
    /// What sticks offer that announce themselves
    #[command(subcommand)]
    Media(media::MediaCommand),
    /// Take new releases from where the vendor publishes them, as the configuration says
    Mirror(MirrorArgs),
    /// Write whole copies of the damaged and missing files of an archive, by its parity
    Repair(repair::RepairArgs),
    /// Show what runs, what can follow, what is wrong and what to do next
    Status(status::StatusArgs),
    /// Show what was verified, by which key, from where, when and by whom
    History(history::HistoryArgs),
    /// Make a release that is here the active one, or go on with that
    #[command(after_help = "\
What fails before the point of no return is undone by itself. What fails behind it stops: the same
command tries again from there, and `sealiftctl rollback` goes back.")]
    Activate(ActivateArgs),
    /// Go back to the release that was active before, or to an earlier one
    #[command(after_help = "\
What was gone back from stays here: `sealiftctl activate` makes it the active one again.
An activation that was interrupted, or has stopped, is given up by a rollback.")]
    Rollback(RollbackArgs),
    /// k3s on this node
    #[command(subcommand)]
    K3s(k3s::K3sCommand),
    /// This node's part in a cluster of several
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Go on with an activation that was interrupted; run at every start of the machine
    ///
    /// A node of a cluster goes on once it has heard what all nodes agree on (sealift-cluster.service)
    Resume {
        /// Go on without the other nodes, where Kubernetes does not come up until this node has
        #[arg(long)]
        alone: bool,
    },
    /// Do one thing that only root may do, for a process on the other end of standard input
    #[command(hide = true)]
    HostHelper,
    /// Write down what is here, so that the vendor can leave it out of the next bundle
    Receipt(receipt::ReceiptArgs),
    /// Read the whole store, and say whether it is whole
    Verify(VerifyArgs),
    /// Give back the room of what nothing needs any more
    Gc(gc::GcArgs),
    /// Collect what somebody who helps from afar needs to see, without secrets
    SupportBundle(support::SupportArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Pin a vendor's trust root; it can never be replaced
    #[command(after_help = "\
Makes the store if there is none. A folder `signatures` beside the file is checked.
Compare the fingerprint that is printed with the vendor's, by another way than the file came.")]
    Pin {
        /// The trust root
        #[arg(value_name = "ROOT.json")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
An import that was interrupted goes on where it stopped: run the same command again.
Until a release is activated, nothing that runs is changed.

Of an archive with several releases, those are taken that lead from the active one to the newest
that can be reached, in their order; an appliance without an active one takes the newest. A delta
is taken if what it leaves out is here.

Volumes on several sticks come one after the other, in any order. On a terminal the import waits for
the next one; otherwise it ends with exit status 7, what is loaded stays, and the next one goes on.

Examples:
  sealiftctl import /media/usb/acme-1.5.0.tar.zst --plan
  sealiftctl import /media/usb/acme-1.5.0.tar.zst --activate
  sealiftctl import /media/usb/acme-1.6.0.from-1.5.0.tar.zst
  sealiftctl import /media/stick               the first stick, and each one that follows
  sealiftctl import /media/stick1 /media/stick2
  sealiftctl import /media/stick --wait=600    ten minutes for each")]
struct ImportArgs {
    /// The archive, its volumes, or the folders that they are in, such as mount points
    #[arg(value_name = "PATH", required = true)]
    sources: Vec<PathBuf>,
    /// Wait for volumes that are not there yet, for each so many seconds or without an end; 0 not at all
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "forever")]
    wait: Option<import::Patience>,
    /// Make it the active release as well; of several, one after the other
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads `mirror` in the configuration: who is asked, for which channel, and whether what comes is activated
as well or only staged. What is here is not fetched again; what was begun goes on where it stopped.
A timer runs this command (sealift-mirror.timer); whatever it is refused is told by `sealiftctl status`.

Examples:
  sealiftctl mirror --plan     ask what is new, and say what would be done
  sealiftctl mirror --once     take it now

With `--peer` a release is staged from other nodes instead, which are asked in turn. It is verified as ever,
against the trust root that is pinned here; which one it is has to be known from elsewhere.
  sealiftctl mirror --peer https://node-b:5443 --ca-file nodes.crt --release sha256:…")]
struct MirrorArgs {
    /// Do not try again if the vendor cannot be reached, or somebody else changes the store
    #[arg(long, conflicts_with = "peer")]
    once: bool,
    #[command(flatten)]
    peer: peer::PeerArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
struct ActivateArgs {
    /// Version or sequence of the release
    version: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
struct RollbackArgs {
    /// Version or sequence of a release that was active before; without it, the newest of them
    version: Option<String>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Debug, Args)]
struct ConsentArgs {
    /// Go back even where that means something for data; without it, this is said first
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealiftctl verify                          read everything, list the damage
  sealiftctl verify --repair /media/stick    and bring back what is damaged from the archive there
  sealiftctl verify --repair                 without one: remove what has changed, mend Git mirrors

What is brought back is verified like any import; nothing else changes, and what runs keeps running.")]
struct VerifyArgs {
    /// Mend what is damaged, from the archive, volumes or folders that are named, as `import` takes them
    #[arg(long, num_args = 0.., value_name = "PATH")]
    repair: Option<Vec<PathBuf>>,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// What went wrong, to be shown by [`Cli::describe`].
    pub fn run(&self) -> Result<(), Error> {
        let output = Output { json: self.json };
        match &self.command {
            Command::Trust(TrustCommand::Pin { file }) => trust::pin(self, output, file),
            Command::Setup(args) => setup::setup(self, output, args),
            Command::Import(args) => import::import(self, output, args),
            Command::Media(command) => media::media(self, output, command),
            Command::Mirror(args) if args.peer.is_given() => peer::mirror(self, output, args),
            Command::Mirror(args) => mirror::mirror(self, output, args),
            Command::Repair(args) => repair::repair(self, output, args),
            Command::Status(args) => status::status(self, output, args),
            Command::History(args) => history::history(self, output, args),
            Command::Activate(args) => switch::activate(self, output, args),
            Command::Rollback(args) => switch::rollback(self, output, args),
            Command::Receipt(args) => receipt::receipt(self, output, args),
            Command::Cluster(command) => cluster::cluster(self, output, command),
            Command::K3s(command) => k3s::k3s(self, output, command),
            Command::Resume { alone } => switch::resume(self, output, *alone),
            Command::HostHelper => switch::host_helper(self),
            Command::Verify(args) => verify::verify(self, output, args),
            Command::Gc(args) => gc::gc(self, output, args),
            Command::SupportBundle(args) => support::bundle(self, output, args),
            Command::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut Self::command(), "sealiftctl", &mut text);
                output.bytes(&text)
            }
            Command::Man { dir } => {
                fs_err::create_dir_all(dir)?;
                Ok(clap_mangen::generate_to(Self::command(), dir)?)
            }
        }
    }

    /// An error as this command line wants to see it.
    #[must_use]
    pub fn describe(&self, error: &Error) -> String {
        if self.json { sealift_archive::report_json(error) } else { sealift_archive::report(error) }
    }

    /// A meter for long work on so many bytes; Ctrl-C stops what it watches.
    fn meter(&self, what: &str, bytes: u64) -> Result<Meter, Error> {
        Ok(Meter::of_command(what, bytes, self.json)?)
    }

    fn config(&self) -> Result<Config, Error> {
        Config::read(self.config.as_deref())
    }

    fn store(&self) -> Result<Store, Error> {
        Ok(Store::open(&self.store)?)
    }

    /// The store, locked; `command` is what somebody else is told who comes meanwhile.
    fn writer(&self, command: &str) -> Result<Writer, Error> {
        Ok(self.store()?.lock(&format!("sealiftctl {command}"))?)
    }
}
