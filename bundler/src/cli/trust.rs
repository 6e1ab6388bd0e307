//! `trust init`, `rotate`, `revoke`, `show`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use sealift_archive::bundle::Unverified;
use sealift_archive::trust::{KeyId, RoleName, TrustRoot};

use super::look::short;
use super::output::{Lines, Output, path};
use crate::Error;
use crate::keys::Opener;
use crate::signer::Program;
use crate::trust::{self, Change, Folder, Initialised, Known, Lack, Lapsed, Members, Rotated, Version};

#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Make root, release and pack keys (cosign's format) and version 1 of the trust root
    #[command(after_help = "\
COSIGN_PASSWORD is the password of all keys; without it, a terminal is asked.
Keep root.key offline; give root.json and signatures/ to the appliance image.

Examples:
  sealift trust init trust/
  sealift trust init trust/ --release-key alice.pub --release-key bob.pub --threshold release=2")]
    Init {
        /// Folder for root.json and the keys
        dir: PathBuf,
        #[command(flatten)]
        members: Members,
        #[command(flatten)]
        signer: SignerArgs,
    },
    /// Make the next version of the trust root: other keys, other thresholds
    #[command(after_help = "\
It counts once enough root keys of the version before and of its own have signed it. Until then it
is a draft, root.json stays as it is, and others sign it with `sealift sign DIR`.

Examples:
  sealift trust rotate trust/ --add release=carol.pub --threshold release=2 --root-key root.key
  sealift trust rotate trust/ --add root=new.pub --remove root=old.pub \\
      --root-key old.key --root-key new.key")]
    Rotate(Box<RotateArgs>),
    /// Take a key out of every role
    #[command(after_help = "\
What it has signed no longer counts for appliances that have seen this version. `--known` says what
has to be signed again, with `sealift statement`, `sign`, and `bundle --statement`.

Example:
  sealift trust revoke trust/ alice.pub --replace alice-new.pub --root-key root.key --known out/")]
    Revoke(Box<RevokeArgs>),
    /// Show who may sign, and who has signed that
    #[command(after_help = "\
Of an archive nothing is checked: it shows what it brings.

Examples:
  sealift trust show trust/
  sealift trust show out/acme-1.5.0.tar.zst")]
    Show {
        /// A trust folder, a trust root, or an archive
        path: PathBuf,
    },
}

/// Who signs for keys whose private half is elsewhere.
#[derive(Debug, Args)]
pub(super) struct SignerArgs {
    /// Program that signs for public keys, with arguments: it gets the SHA-256 in hexadecimal and prints DER
    #[arg(long, value_name = "COMMAND")]
    signer: Option<Program>,
}

impl SignerArgs {
    pub(super) fn program(&self) -> Option<Program> {
        self.signer.clone()
    }
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// The trust folder
    dir: PathBuf,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    rest: VersionArgs,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The trust folder
    dir: PathBuf,
    /// Key: its file, its name, or how that begins
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Key that gets the same roles
    #[arg(long, value_name = "KEY")]
    replace: Option<PathBuf>,
    #[command(flatten)]
    rest: VersionArgs,
}

/// What every new version may need.
#[derive(Debug, Args)]
struct VersionArgs {
    /// Root key that signs it, of the version before or of the new one; may be repeated
    #[arg(long, value_name = "KEY")]
    root_key: Vec<PathBuf>,
    #[command(flatten)]
    signer: SignerArgs,
    /// Archive, statement, or folder with some: say which of it has to be signed again
    #[arg(long, value_name = "PATH")]
    known: Vec<PathBuf>,
}

pub(super) fn trust(output: Output, command: &TrustCommand) -> Result<(), Error> {
    match command {
        TrustCommand::Init { dir, members, signer } => init(output, dir, members, signer),
        TrustCommand::Rotate(args) => next(output, &args.dir, &args.rest, |folder, known, opener| {
            trust::rotate(folder, &args.change, &args.rest.root_key, known, opener)
        }),
        TrustCommand::Revoke(args) => next(output, &args.dir, &args.rest, |folder, known, opener| {
            trust::revoke(folder, &args.keys, args.replace.as_deref(), &args.rest.root_key, known, opener)
        }),
        TrustCommand::Show { path } => show(output, path),
    }
}

fn init(output: Output, dir: &Path, members: &Members, signer: &SignerArgs) -> Result<(), Error> {
    let program = signer.program();
    let mut opener = Opener::new(program.clone());
    if program.is_some() {
        opener = opener.watched_by(output.silent_meter("signing")?);
    }
    let made = trust::init(dir, members, &opener)?;
    output.result(&made, || describe_init(dir, &made))
}

fn describe_init(dir: &Path, made: &Initialised) -> String {
    let title = if made.version.is_signed() {
        "Made a trust root, version 1"
    } else {
        "Drafted a trust root, version 1"
    };
    let mut lines = Lines::title(title);
    if made.version.is_signed() {
        lines = lines.line("file", path(&made.root));
    }
    lines = describe_roles(lines.fingerprint(&made.version.fingerprint), &made.version);
    for key in &made.private_keys {
        lines = lines.line("secret", path(key));
    }
    if !made.version.is_signed() {
        return describe_lacks(lines, &made.version.lacks, dir);
    }
    lines.end("Keep the root key offline. Appliances pin root.json, with signatures/ beside it.")
}

/// Makes the next version of a folder's trust root.
fn next(
    output: Output,
    dir: &Path,
    args: &VersionArgs,
    make: impl FnOnce(&mut Folder, &Known, &Opener) -> Result<Rotated, Error>,
) -> Result<(), Error> {
    let mut folder = Folder::read(dir)?;
    let known = Known::read(&args.known)?;
    let opener = Opener::new(args.signer.program());
    opener.ask(&args.root_key)?;
    let opener = opener.watched_by(output.silent_meter("signing")?);
    let rotated = make(&mut folder, &known, &opener)?;
    output.result(&rotated, || describe_rotated(&folder, &rotated))
}

fn describe_rotated(folder: &Folder, rotated: &Rotated) -> String {
    let Rotated { version, lapsed } = rotated;
    let what = if version.is_signed() { "Made" } else { "Drafted" };
    let mut lines = Lines::title(&format!("{what} trust root version {}", version.version));
    if version.is_signed() {
        lines = lines.line("file", path(&folder.newest_file()));
    }
    lines = describe_roles(lines.fingerprint(&version.fingerprint), version);
    lines = lapsed.iter().fold(lines, describe_lapsed);
    if version.is_signed() { lines.text() } else { describe_lacks(lines, &version.lacks, folder.dir()) }
}

fn describe_lapsed(lines: Lines, lapsed: &Lapsed) -> Lines {
    let count = format!("{} of {} signatures", lapsed.have, lapsed.need);
    let place = path(&lapsed.place);
    match &lapsed.release {
        Some(release) => lines.line("sign again", format!("{release} in {place}: {count}")),
        None => lines.line("pack again", format!("{place}: {count}")),
    }
}

fn describe_roles(lines: Lines, version: &Version) -> Lines {
    RoleName::ALL.into_iter().fold(lines, |lines, name| match version.roles.get(&name) {
        Some(role) => {
            let keys: Vec<KeyId> = role.keys.iter().copied().collect();
            lines.line(&name.to_string(), format!("{} of {} ({})", role.threshold, keys.len(), short(&keys)))
        }
        None => lines,
    })
}

/// Whose signatures are still needed, and what they have to do.
pub(super) fn describe_lacks(lines: Lines, lacks: &[Lack], dir: &Path) -> String {
    lacks
        .iter()
        .fold(lines, |lines, lack| {
            let Lack { of_version, have, need, keys } = lack;
            let who =
                format!("{have} of {need} root keys of version {of_version}; still can: {}", short(keys));
            lines.line("to sign", who)
        })
        .end(&format!("next: sealift sign {} --key ROOT.key", path(dir)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    source: PathBuf,
    /// The newest version that counts; none if version 1 is a draft.
    newest: Option<u64>,
    versions: Vec<Version>,
}

fn show(output: Output, source: &Path) -> Result<(), Error> {
    let shown = if is_archive(source) { of_archive(source)? } else { of_folder(source)? };
    output.result(&shown, || describe(&shown))
}

fn is_archive(source: &Path) -> bool {
    source.is_file() && source.extension().is_none_or(|end| end != "json")
}

fn of_archive(source: &Path) -> Result<Shown, Error> {
    let archive = Unverified::open(source)?;
    let head = archive.head();
    let roots: Vec<&TrustRoot> = head.roots.iter().collect();
    let newest = roots.last().map(|root| root.version());
    let versions = Version::of_chain(&roots, &head.signatures);
    Ok(Shown { source: source.to_owned(), newest, versions })
}

fn of_folder(source: &Path) -> Result<Shown, Error> {
    let folder = Folder::read(source)?;
    let newest = folder.trusted().ok().map(|trusted| trusted.newest().version());
    Ok(Shown { source: source.to_owned(), newest, versions: folder.versions() })
}

/// The newest version in full, the ones before it in a line each, and the draft.
fn describe(shown: &Shown) -> String {
    let is_draft = |version: &&Version| shown.newest.is_none_or(|newest| version.version > newest);
    let (mut text, former) =
        match shown.versions.iter().rfind(|version| Some(version.version) == shown.newest) {
            Some(newest) => {
                let title = format!("{}: trust root version {}", path(&shown.source), newest.version);
                let lines = describe_roles(Lines::title(&title).fingerprint(&newest.fingerprint), newest);
                (lines.line("signed by", signers(newest)), newest.version)
            }
            None => (Lines::title(&format!("{}: no version counts yet", path(&shown.source))), 0),
        };
    for version in shown.versions.iter().rev().filter(|version| version.version < former) {
        let what = format!("{}, signed by {}", version.fingerprint.short(), signers(version));
        text = text.line(&format!("version {}", version.version), what);
    }
    let text = text.text();
    let Some(draft) = shown.versions.iter().find(is_draft) else { return text };
    let title = format!("\nversion {} is a draft", draft.version);
    let lines = describe_roles(Lines::title(&title).fingerprint(&draft.fingerprint), draft);
    let lines = lines.line("signed by", signers(draft));
    let dir = if shown.source.is_dir() {
        shown.source.as_path()
    } else {
        shown.source.parent().unwrap_or(&shown.source)
    };
    if draft.is_signed() {
        return text + &lines.end(&format!("next: sealift sign {}", path(dir)));
    }
    text + &describe_lacks(lines, &draft.lacks, dir)
}

pub(super) fn signers(version: &Version) -> String {
    if version.signed.is_empty() { "nobody".to_owned() } else { short(&version.signed) }
}
