//! The command line of `sealift`.

mod bundle;
mod check;
mod choice;
mod diff;
mod export;
mod inspect;
mod look;
mod output;
mod ova;
mod parity;
mod publish;
mod sbom;
mod sign;
mod split;
mod trust;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;

use sealift_archive::parity::Amount;
use sealift_archive::split::VolumeSize;
use sealift_fetch::meter::Stderr;

use crate::Error;
use crate::definition::Definition;
use crate::discover::Helm;
use output::Output;
use trust::{SignerArgs, TrustCommand};

/// What is logged if `RUST_LOG` says nothing.
const DEFAULT_LOG_FILTER: &str = "warn";
/// Reproducible builds say with this variable what time it is, in seconds since 1970.
const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// Packs software releases into one signed archive for places without internet
#[derive(Debug, Parser)]
#[command(
    name = "sealift",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sealift trust init trust/                            make keys and a trust root, once
  sealift lock RELEASE.yaml                            pin every reference to a digest
  sealift bundle RELEASE.yaml --trust trust/ \\
      --release-key trust/release.key --pack-key trust/pack.key -o out/
  sealift verify out/acme-1.5.0.tar.zst --trust trust/

Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 refused (damage, signatures),
4 no space, 5 busy, 6 a registry did not answer, 7 volumes are missing, 130 interrupted."
)]
pub struct Cli {
    /// Print results, plans and errors as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make and change the trust root that appliances pin: who may sign what
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Pin every reference of a definition to a digest, in `RELEASE.lock.json`
    Lock(LockArgs),
    /// See whether a locked release has every image that its charts and folders name
    Check(CheckArgs),
    /// Write the statement of a locked release, to be signed apart
    Statement(StatementArgs),
    /// Sign a statement, the next version of the trust root, or the draft of a channel
    Sign(SignArgs),
    /// Fetch what the lock names, sign it, and pack it into one archive
    Bundle(Box<BundleArgs>),
    /// Check every signature and every byte of an archive
    Verify(VerifyArgs),
    /// Cut an archive into volumes that fit a stick
    Split(SplitArgs),
    /// Put the volumes of an archive together again
    Join(JoinArgs),
    /// Make parity files, by which lost parts of an archive come back
    Parity(parity::ParityArgs),
    /// Write whole copies of the damaged and missing files of an archive, by its parity
    Repair(parity::RepairArgs),
    /// Put the releases of an archive where appliances that are online fetch them
    Publish(publish::PublishArgs),
    /// Say which published release is current for those who follow a channel
    Promote(Box<publish::PromoteArgs>),
    /// Look at published channels
    #[command(subcommand)]
    Channel(publish::ChannelCommand),
    /// Show what an archive carries
    Inspect(InspectArgs),
    /// Write what an archive carries in a form for other tools
    Export(ExportArgs),
    /// Show what changed between two locks or archives
    Diff(DiffArgs),
    /// Show which packages the images of an archive hold, or write its SBOM
    Sbom(sbom::SbomArgs),
    /// Make an appliance for vSphere (OVA) of a disk image
    Ova(Box<ova::OvaArgs>),
    /// Print the JSON schema of `RELEASE.yaml`
    Schema,
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

#[derive(Debug, Args)]
struct LockArgs {
    /// The definition
    #[arg(value_name = "RELEASE.yaml")]
    definition: PathBuf,
    /// Lock the images too that charts and folders name and the definition does not
    #[arg(long)]
    discover: bool,
    #[command(flatten)]
    rendering: RenderingArgs,
    /// The lock of the release before: Git repositories keep its packs and add small ones
    #[arg(long, value_name = "LOCK.json")]
    previous: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// How charts are read for the images that they name.
#[derive(Debug, Args)]
struct RenderingArgs {
    /// The program that renders charts; without it, `helm` if it is there
    #[arg(long, value_name = "PROGRAM")]
    helm: Option<PathBuf>,
    /// Read charts without rendering them
    #[arg(long, conflicts_with = "helm")]
    no_helm: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status 1 if an image is missing, or if something looks like an image and cannot be read as one.

Examples:
  sealift check RELEASE.yaml
  sealift lock --discover RELEASE.yaml    lock what is missing too")]
struct CheckArgs {
    /// The definition
    #[arg(value_name = "RELEASE.yaml")]
    definition: PathBuf,
    /// Let it pass that something looks like an image and cannot be read as one
    #[arg(long)]
    allow_unclear: bool,
    #[command(flatten)]
    rendering: RenderingArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// How registries are reached.
#[derive(Debug, Args)]
struct NetworkArgs {
    /// Speak plain HTTP also to hosts that are not this machine
    #[arg(long)]
    plain_http: bool,
    /// Trust this certificate authority too (PEM); may be repeated
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// Requests under way at a time
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

#[derive(Debug, Args)]
struct StatementArgs {
    /// The definition
    #[arg(value_name = "RELEASE.yaml")]
    definition: PathBuf,
    /// Folder for release.json, the blob list and refs.json
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each person runs it with a key of their own and sends the folder on. A trust root counts as soon as
enough have signed it; without `--key`, the signatures that others have put there are counted.

Examples:
  sealift sign statement/ --key alice.key --trust trust/
  sealift sign statement/ --key alice.pub --signer \"my-hsm-sign --slot 1\"
  sealift sign trust/ --key root-bob.key
  sealift sign channel-stable-8.draft.json --key bob.key")]
struct SignArgs {
    /// The folder that `sealift statement` or `export --format statement` wrote, a trust folder, or
    /// the draft of a channel
    dir: PathBuf,
    /// Key to sign with; may be repeated. A public one if `--signer` signs for it
    #[arg(long, value_name = "KEY")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Check first that the keys may sign the statement
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealift bundle RELEASE.yaml --trust trust/ --release-key trust/release.key \\
      --pack-key trust/pack.key -o out/
One stick for all appliances from N-2 up:
  … --with out/acme-1.4.0.tar.zst --with out/acme-1.3.0.tar.zst
Only what an appliance does not have:
  … --base out/acme-1.4.0.tar.zst
  … --base acme-1.4.0.receipt.json --known out/")]
struct BundleArgs {
    /// The definition
    #[arg(value_name = "RELEASE.yaml")]
    definition: PathBuf,
    /// The trust folder, or root.json in it: all versions go along
    #[arg(long, value_name = "TRUST")]
    trust: PathBuf,
    /// Key of role `release`; may be repeated; not needed with `--statement`
    #[arg(long, value_name = "KEY", required_unless_present = "statement")]
    release_key: Vec<PathBuf>,
    /// Key of role `pack`; may be repeated
    #[arg(long, value_name = "KEY", required = true)]
    pack_key: Vec<PathBuf>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Folder with a statement that was signed apart
    #[arg(long, value_name = "DIR")]
    statement: Option<PathBuf>,
    /// An earlier bundle: what it holds is not fetched again
    #[arg(long, value_name = "BUNDLE")]
    previous: Option<PathBuf>,
    /// A bundle of older releases: they travel along, as they were signed; may be repeated
    #[arg(long = "with", value_name = "BUNDLE")]
    older: Vec<PathBuf>,
    /// What is there already and is left out: a bundle (its newest release), a folder with a statement,
    /// or a receipt; may be repeated
    #[arg(long, value_name = "BUNDLE|DIR|RECEIPT")]
    base: Vec<PathBuf>,
    /// File with the key that encrypted receipts are for, as `age-keygen` writes it
    #[arg(long, value_name = "FILE", env = "SEALIFT_AGE_IDENTITY", hide_env_values = true)]
    identity: Option<PathBuf>,
    /// Folder in which the releases of a receipt are looked for, and new signatures over older
    /// statements; may be repeated
    #[arg(long, value_name = "DIR")]
    known: Vec<PathBuf>,
    /// Folder for the archive
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Cut the archive into volumes of at most this size, for example `fat32` (4 GiB - 1)
    #[arg(long, value_name = "SIZE")]
    volume_size: Option<VolumeSize>,
    /// Make parity: `10%` of the archive, or so much that any so many volumes may be lost (`1`)
    #[arg(long, value_name = "AMOUNT")]
    parity: Option<Amount>,
    /// How hard to squeeze what is not compressed yet
    #[arg(long, value_name = "1..19", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Everything is read, and from the medium, not from memory. Volumes are looked for beside the one
that is named; name several folders if they are not in one. Exit status 7 if some are missing.

Examples:
  sealift verify acme-1.5.0.tar.zst --trust trust/
  sealift verify /media/stick --trust trust/")]
struct VerifyArgs {
    /// The archive, a volume of it, or a folder that holds one; may be several
    #[arg(value_name = "ARCHIVE", required = true)]
    bundle: Vec<PathBuf>,
    /// The trust folder, or root.json in it
    #[arg(long, value_name = "TRUST")]
    trust: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every volume is checked while it is copied and read back before it gets its name; what is there
and right is not written again. The volumes one behind the other are still one zstd stream:
  cat acme-1.5.0.[0-9]*.tar.zst | zstd -dc | tar t

Examples:
  sealift split acme-1.5.0.tar.zst -o out/                           for FAT32
  sealift split acme-1.5.0.tar.zst -o out/ --volume-size 650MiB --parity 10%
  sealift split acme-1.5.0.tar.zst -o /media/stick --only 2          one stick at a time")]
struct SplitArgs {
    /// The archive, or its volumes
    #[arg(value_name = "ARCHIVE", required = true)]
    bundle: Vec<PathBuf>,
    /// Folder for the volumes
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Largest volume: `fat32` (4 GiB - 1), bytes, or a number with `M`, `G`, `MiB`, `GiB`
    #[arg(long, value_name = "SIZE", default_value_t)]
    volume_size: VolumeSize,
    /// Write only these volumes: `2`, `2-4`
    #[arg(long, value_name = "NUMBERS")]
    only: Option<split::Numbers>,
    /// Make parity: `10%` of the archive, or so much that any so many volumes may be lost (`1`)
    #[arg(long, value_name = "AMOUNT", conflicts_with = "only")]
    parity: Option<Amount>,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is, byte for byte, the one that was split.

Examples:
  sealift join /media/stick -o .
  sealift join /media/stick1 /media/stick2 -o acme.tar.zst")]
struct JoinArgs {
    /// A volume, or the folders that they are in
    #[arg(value_name = "VOLUME|DIR", required = true)]
    volumes: Vec<PathBuf>,
    /// Folder for the archive, or its name
    #[arg(short, long, value_name = "DIR|FILE", default_value = ".")]
    output: PathBuf,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// The archive
    bundle: PathBuf,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The archive
    bundle: PathBuf,
    /// The trust folder, or root.json in it; without it, the archive is believed about who made it
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// What to turn it into
    #[arg(long, value_enum, default_value_t = Format::OciLayout)]
    format: Format,
    #[command(flatten)]
    choice: choice::Choice,
    /// Folder to be made
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each side is an archive, a lock, or a definition, whose lock is meant:
  sealift diff acme-1.4.0.tar.zst acme-1.5.0.tar.zst --trust trust/
  git show HEAD:RELEASE.lock.json > before.json && sealift diff before.json RELEASE.yaml
Two releases of one archive:
  sealift diff acme-1.5.0.tar.zst acme-1.5.0.tar.zst --from-release 1.4.0")]
struct DiffArgs {
    /// What was
    from: PathBuf,
    /// What is
    to: PathBuf,
    /// The trust folder, or root.json in it, for archives; without it, they are believed about who made them
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    /// Do not look into layers for packages
    #[arg(long)]
    no_packages: bool,
    /// The release that is meant of the first archive, by version or sequence; without it, its newest
    #[arg(long, value_name = "VERSION")]
    from_release: Option<String>,
    /// The release that is meant of the second archive; without it, its newest
    #[arg(long, value_name = "VERSION")]
    to_release: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Images, charts, Flux artifacts and their signatures, as a directory in the OCI image layout
    OciLayout,
    /// The plain files, under their names
    Files,
    /// The statement with its documents and signatures, to be signed again
    Statement,
}

impl RenderingArgs {
    fn helm(&self) -> Option<Helm> {
        match &self.helm {
            Some(program) => Some(Helm::at(program.clone())),
            None if self.no_helm => None,
            None => Helm::find(),
        }
    }
}

impl Cli {
    /// Lets the libraries speak on standard error: that a registry wants us to wait, say. `RUST_LOG` says how much.
    pub fn start_logging(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG_FILTER));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(|| Stderr);
        if self.json { log.json().init() } else { log.without_time().with_ansi(false).init() }
    }

    /// Does what the command line says.
    ///
    /// # Errors
    /// What went wrong, to be shown by [`Cli::describe`].
    pub fn run(&self) -> Result<(), Error> {
        let output = Output { json: self.json };
        match &self.command {
            Command::Trust(command) => trust::trust(output, command),
            Command::Lock(args) => bundle::lock(output, args),
            Command::Check(args) => check::check(output, args),
            Command::Statement(args) => sign::statement(output, args),
            Command::Sign(args) => sign::sign(output, args),
            Command::Bundle(args) => bundle::bundle(output, args),
            Command::Verify(args) => look::verify(output, args),
            Command::Split(args) => split::split(output, args),
            Command::Join(args) => split::join(output, args),
            Command::Parity(args) => parity::parity(output, args),
            Command::Repair(args) => parity::repair(output, args),
            Command::Publish(args) => publish::publish(output, args),
            Command::Promote(args) => publish::promote(output, args),
            Command::Channel(command) => publish::channel(output, command),
            Command::Inspect(args) => inspect::inspect(output, args),
            Command::Export(args) => export::export(output, args),
            Command::Diff(args) => diff::diff(output, args),
            Command::Sbom(args) => sbom::sbom(output, args),
            Command::Ova(args) => ova::ova(output, args),
            Command::Schema => output.document(&Definition::schema()),
            Command::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut Self::command(), "sealift", &mut text);
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
}
