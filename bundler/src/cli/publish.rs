//! `publish`, `promote` and `channel show`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use sealift_archive::release::CurrentRelease;
use sealift_archive::trust::{KeyId, RoleName, Trusted};
use sealift_archive::{Channel, ChannelName, Progress, ReleaseName, Sequence, Version};

use super::NetworkArgs;
use super::look::{open_all, short};
use super::output::{Lines, Output, count, path, size};
use super::trust::SignerArgs;
use crate::Error;
use crate::bundle::Tally;
use crate::keys::Opener;
use crate::publish::{
    self, Change, Draft, Lifetime, Outcome, Place, Plan, Promoted, Purpose, Shown, Standing,
};
use crate::trust::{Folder, Lack};

/// What is told to whoever looks at channels without a trust root.
const UNTRUSTED: &str =
    "note: without --trust, nothing says that these channels are from whom they claim to be from";

#[derive(Debug, Args)]
#[command(after_help = "\
PLACE is a folder that a web server serves, or a repository of an OCI registry. What is there is
checked and kept; only what is missing or damaged is written, and read back. No channel moves.
Interrupted, it goes on with the same command.

Examples:
  sealift publish out/acme-1.5.0.tar.zst /srv/releases --trust trust/
  sealift publish out/ oci://registry.example.com/acme/appliance --trust trust/
  sealift promote 1.5.0 --to stable /srv/releases --trust trust/ --key channel.key")]
pub(super) struct PublishArgs {
    /// The archive, a volume of it, or a folder that holds one; may be several
    #[arg(value_name = "ARCHIVE", required = true)]
    bundle: Vec<PathBuf>,
    /// A folder, or `oci://REGISTRY/REPOSITORY`
    #[arg(value_name = "PLACE")]
    place: String,
    /// The trust folder, or root.json in it: its versions are published too
    #[arg(long, value_name = "TRUST")]
    trust: PathBuf,
    /// Say what would be done, and stop
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Args)]
#[command(override_usage = "\
sealift promote VERSION --to CHANNEL PLACE --trust TRUST --key KEY [OPTIONS]
       sealift promote --refresh --to CHANNEL PLACE --trust TRUST --key KEY [OPTIONS]
       sealift promote --draft FILE PLACE --trust TRUST [OPTIONS]")]
#[command(after_help = "\
The release has to be published, whole, and not below the one that the channel names. The channel
also names the releases from which its `upgradeFrom` leads there, as far as they are published.
If the trust root asks for more keys than are named, a draft is written and nothing published.

Examples:
  sealift promote 1.5.0 --to candidate /srv/releases --trust trust/ --key channel.key
  sealift promote --refresh --to stable /srv/releases --trust trust/ --key channel.key
With two keys, of two people:
  sealift promote 1.5.0 --to stable /srv/releases --trust trust/ --key alice.key
  sealift sign channel-stable-8.draft.json --key bob.key
  sealift promote --draft channel-stable-8.draft.json /srv/releases --trust trust/")]
pub(super) struct PromoteArgs {
    /// The version of a release that is published, and where: a folder, or `oci://REGISTRY/REPOSITORY`.
    /// With `--refresh` or `--draft` only where
    #[arg(value_name = "VERSION|PLACE", required = true)]
    what: Vec<String>,
    /// The channel: `candidate` or `stable`
    #[arg(long = "to", value_name = "CHANNEL", required_unless_present = "draft", conflicts_with = "draft")]
    channel: Option<ChannelName>,
    /// The trust folder, or root.json in it
    #[arg(long, value_name = "TRUST")]
    trust: PathBuf,
    /// Key of role `channel`; may be repeated. A public one if `--signer` signs for it
    #[arg(long, value_name = "KEY")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    signer: SignerArgs,
    /// How long appliances that are online may believe it: `36h`, `14d`, `2w`
    #[arg(long, value_name = "TIME", default_value = "14d", conflicts_with = "draft")]
    expires: Lifetime,
    /// Withdraw all releases below this sequence; the floor only rises
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "draft")]
    floor: Option<Sequence>,
    /// Sign what the channel says again, for longer
    #[arg(long, conflicts_with = "draft")]
    refresh: bool,
    /// Publish a draft that others have signed
    #[arg(long, value_name = "FILE")]
    draft: Option<PathBuf>,
    /// Where a draft is written [default: channel-CHANNEL-VERSION.draft.json]
    #[arg(short, long, value_name = "FILE", conflicts_with = "draft")]
    output: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// Show what each channel says, who signed it and when it expires
    #[command(after_help = "\
Examples:
  sealift channel show /srv/releases --trust trust/
  sealift channel show oci://registry.example.com/acme/appliance --trust trust/ --json")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A folder, or `oci://REGISTRY/REPOSITORY`
    #[arg(value_name = "PLACE")]
    place: String,
    /// The trust folder, or root.json in it; without it, the one that is published is believed
    #[arg(long, value_name = "TRUST")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

fn open(
    output: Output,
    place: &str,
    purpose: Purpose,
    network: &NetworkArgs,
) -> Result<Box<dyn Place>, Error> {
    publish::open(place, purpose, || network.client(), output.silent_meter("asking")?)
}

pub(super) fn publish(output: Output, args: &PublishArgs) -> Result<(), Error> {
    let trust = Folder::read(&args.trust)?;
    let bundle = open_all(&args.bundle, Some(&args.trust), output)?;
    let purpose = if args.plan { Purpose::Plan } else { Purpose::Write };
    let place = open(output, &args.place, purpose, &args.network)?;
    let meter = output.meter("looking", publish::content_bytes(&bundle))?;
    let planned = publish::plan(bundle, &*place, &meter)?;
    meter.finish();
    if args.plan {
        return output.result(&planned.plan, || describe_plan(&planned.plan).text());
    }
    let meter = Arc::new(output.meter("publishing", place.passes() * planned.plan.to_bring.bytes)?);
    let done = planned.execute(&trust, &*place, &(Arc::clone(&meter) as Arc<dyn Progress>))?;
    if let Some(meter) = Arc::into_inner(meter) {
        meter.finish();
    }
    output.result(&done, || {
        let lines = describe_plan(&done.plan);
        let lines =
            done.statements.iter().fold(lines, |lines, digest| lines.line("statement", digest.short()));
        let written = match done.envelopes.len() {
            0 => "nothing: all of it was there".to_owned(),
            number => count(number, "envelope"),
        };
        let newest =
            done.plan.releases.last().map_or_else(String::new, |release| release.version.to_string());
        let Plan { place, .. } = &done.plan;
        let trust = path(&args.trust);
        lines.line("written", written).end(&format!(
            "next: sealift promote {newest} --to candidate {place} --trust {trust} --key CHANNEL.key"
        ))
    })
}

fn describe_plan(plan: &Plan) -> Lines {
    let tally = |tally: &Tally| format!("{}, {}", count(tally.blobs, "blob"), size(tally.bytes));
    let lines = Lines::title(&plan.place);
    let lines = plan.releases.iter().fold(lines, |lines, release| lines.line("release", release));
    lines.line("content", tally(&plan.content)).line("to bring", tally(&plan.to_bring))
}

impl PromoteArgs {
    /// The version, unless nothing new is to be named, and the place.
    fn version_and_place(&self) -> Result<(Option<Version>, &str), Error> {
        let names_release = !self.refresh && self.draft.is_none();
        match self.what.as_slice() {
            [version, place] if names_release => Ok((Some(version.parse()?), place)),
            [place] if !names_release => Ok((None, place)),
            _ => Err(publish::Error::WrongWords { names_release }.into()),
        }
    }
}

pub(super) fn promote(output: Output, args: &PromoteArgs) -> Result<(), Error> {
    let (version, place) = args.version_and_place()?;
    let trust = Folder::read(&args.trust)?;
    let opener = Opener::new(args.signer.program());
    opener.ask(&args.key)?;
    let progress = output.silent_meter("promoting")?;
    let opener = opener.watched_by(Arc::clone(&progress));
    let place = open(output, place, Purpose::Write, &args.network)?;
    let signers = opener.open_all(&args.key, RoleName::Channel)?;
    let outcome = if let Some(file) = &args.draft {
        publish::publish_draft(&*place, &trust, file, Draft::read(file)?, &signers, &progress)?
    } else {
        let change = Change {
            channel: args.channel.expect("the command line has it if there is no draft"),
            version,
            floor: args.floor,
            lifetime: args.expires,
        };
        publish::promote(&*place, &trust, &change, &signers, &progress)?
    };
    match &outcome {
        Outcome::Draft(draft, lacks) => told_draft(output, args, place.name(), draft, lacks),
        Outcome::Promoted(promoted) => told(output, promoted, true),
        Outcome::Unchanged(promoted) => told(output, promoted, false),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drafted<'a> {
    draft: &'a Path,
    channel: &'a Channel,
    lacks: &'a Lack,
}

/// Keeps a draft where the next one who signs finds it.
fn told_draft(
    output: Output,
    args: &PromoteArgs,
    place: &str,
    draft: &Draft,
    lacks: &Lack,
) -> Result<(), Error> {
    let file = match (&args.draft, &args.output) {
        (Some(file), _) => file.clone(),
        (None, chosen) => {
            let file = chosen.clone().unwrap_or_else(|| draft.file_name());
            // It may have the signatures of others.
            if file.exists() {
                return Err(Error::Exists { path: file });
            }
            file
        }
    };
    draft.write(&file)?;
    let channel = &draft.channel;
    output.result(&Drafted { draft: &file, channel, lacks }, || {
        let title = format!("Drafted version {} of channel {}: nothing is published yet", channel.version, channel.name);
        let Lack { of_version, have, need, keys } = lacks;
        let who = format!("{have} of {need} channel keys of version {of_version}; still can: {}", short(keys));
        let file = path(&file);
        describe_channel(Lines::title(&title), channel).line("draft", &file).line("to sign", who).end(&format!(
            "next: sealift sign {file} --key CHANNEL.key\n      sealift promote --draft {file} {place} --trust {}",
            path(&args.trust)
        ))
    })
}

#[derive(Serialize)]
struct Moved<'a> {
    /// Whether anything was written.
    changed: bool,
    #[serde(flatten)]
    promoted: &'a Promoted,
}

fn told(output: Output, promoted: &Promoted, changed: bool) -> Result<(), Error> {
    if let Some(behind) = &promoted.behind {
        output.remark(&format!("note: {behind}; what is there now is above both"))?;
    }
    for why in &promoted.refused {
        output.remark(&format!("note: passed over: {why}"))?;
    }
    output.result(&Moved { changed, promoted }, || {
        let Promoted { channel, before, signers, place, .. } = promoted;
        let title = if changed {
            format!("Channel {} is at version {}", channel.name, channel.version)
        } else {
            format!("Channel {} says so already; `--refresh` signs it again", channel.name)
        };
        let before = before.as_ref().filter(|before| **before != channel.release);
        describe_channel(Lines::title(&title), channel)
            .line_if(
                "before",
                before.map(|before| format!("{} (sequence {})", before.version, before.sequence)),
            )
            .line("signed by", short(signers))
            .line("place", place)
            .text()
    })
}

/// What a channel says.
pub(super) fn describe_channel(lines: Lines, channel: &Channel) -> Lines {
    let CurrentRelease { version, sequence, statement } = channel.release.clone();
    let name = ReleaseName { product: channel.product.clone(), version, sequence };
    let earlier: Vec<&str> = channel.earlier.iter().map(|release| release.version.as_str()).collect();
    lines
        .line("release", format!("{name}, {}", statement.short()))
        .line_if("earlier", (!earlier.is_empty()).then(|| earlier.join(", ")))
        .line("floor", channel.floor)
        .line("expires", format!("{} UTC", minute(channel.expires)))
}

/// `2026-12-07 12:30`
fn minute(time: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]");
    time.format(form).unwrap_or_else(|_| time.to_string())
}

#[derive(Serialize)]
struct Channels<'a> {
    place: &'a str,
    channels: &'a [Shown],
}

pub(super) fn channel(output: Output, command: &ChannelCommand) -> Result<(), Error> {
    let ChannelCommand::Show(args) = command;
    let trust = args.trust.as_deref().map(Folder::read).transpose()?;
    let trusted: Option<&Trusted> = trust.as_ref().map(Folder::trusted).transpose()?;
    if trusted.is_none() {
        output.remark(UNTRUSTED)?;
    }
    let place = open(output, &args.place, Purpose::Read, &args.network)?;
    let channels = publish::show(&*place, trusted, OffsetDateTime::now_utc())?;
    output.result(&Channels { place: place.name(), channels: &channels }, || describe_channels(&channels))
}

/// A table of at most 80 columns, unless versions are long; each key that signed has a line.
fn describe_channels(channels: &[Shown]) -> String {
    if channels.is_empty() {
        return "no channel is published\n".to_owned();
    }
    let row = |cells: [&str; 7]| cells.map(str::to_owned);
    let mut rows =
        vec![row(["channel", "no.", "release", "sequence", "floor", "expires (UTC)", "signed by"])];
    let mut remarks = Vec::new();
    for Shown { channel, signers, standing } in channels {
        let mut keys = signers.iter().map(KeyId::short);
        rows.push([
            channel.name.to_string(),
            channel.version.to_string(),
            channel.release.version.to_string(),
            channel.release.sequence.to_string(),
            channel.floor.to_string(),
            minute(channel.expires),
            keys.next().unwrap_or_else(|| "nobody".to_owned()),
        ]);
        rows.extend(keys.map(|key| row(["", "", "", "", "", "", &key])));
        let name = channel.name;
        match standing {
            Standing::Good => {}
            Standing::Expired => {
                remarks.push(format!("{name} has EXPIRED: appliances that are online refuse it\n"));
            }
            Standing::SignedByFormer => {
                remarks.push(format!("{name} is signed by keys that have lost the role: sign it again\n"));
            }
        }
    }
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default()).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).chain(remarks).collect()
}
