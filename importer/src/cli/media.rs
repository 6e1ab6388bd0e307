//! `media`: sticks that announce themselves.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift_archive::{Class, Digest, Explain as _, Source as _};
use sealift_store::{Brings, Device, Offer, OfferState, Store, shown};
use serde::Serialize;

use super::import::{self, Patience};
use super::output::{Lines, Output, size};
use super::told::describe;
use super::{Cli, ImportArgs, PlanArgs};
use crate::Error;
use crate::config::{Config, Policy};
use crate::import::{Action, Plan, plan};
use crate::media::{self, Prefix, choose};
use crate::volumes::Search;

#[derive(Debug, Subcommand)]
pub(super) enum MediaCommand {
    /// Look at a stick that was plugged in, and say what it offers
    #[command(after_help = "\
Run by sealift-media@.service for every stick whose label begins with SEALIFT. Verifies the stick's beginning and plans its
import; what `media.policy` in the configuration says then happens: `ask` (default) loads nothing before
somebody confirms it, `stage` loads it, `activate` also activates what is new.")]
    Offer(OfferArgs),
    /// Show what the sticks that are plugged in offer
    List,
    /// Load what a stick offers
    #[command(after_help = "\
The stick is looked at again: if it brings another release than the one that is confirmed, it is refused.

Example:
  sealiftctl media confirm 0f7a2b9c41de --activate")]
    Confirm(ConfirmArgs),
    /// Forget what a stick offered; run when it is pulled out
    Gone {
        /// The kernel's name of the device
        #[arg(value_name = "DEVICE")]
        device: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct OfferArgs {
    /// Where the stick is mounted
    path: PathBuf,
    /// The kernel's name of the device, such as sda1; without it, the last part of the path
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The label of its file system
    #[arg(long)]
    label: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    /// The release: at least the first 12 hexadecimal digits of its digest
    #[arg(value_name = "DIGEST")]
    release: String,
    /// Make it the active release as well
    #[arg(long)]
    activate: bool,
}

/// What `media list` tells.
#[derive(Serialize)]
struct Listed {
    offers: Vec<Offer>,
}

pub(super) fn media(cli: &Cli, output: Output, command: &MediaCommand) -> Result<(), Error> {
    match command {
        MediaCommand::Offer(args) => offer(cli, output, args),
        MediaCommand::List => list(cli, output),
        MediaCommand::Confirm(args) => confirm(cli, output, args),
        MediaCommand::Gone { device } => Ok(cli.store()?.remove_offer(&media::device(device)?).map(drop)?),
    }
}

fn offer(cli: &Cli, output: Output, args: &OfferArgs) -> Result<(), Error> {
    let (store, config) = (cli.store()?, cli.config()?);
    let mut offer = offer_of(args)?;
    let plan = match look(&store, output, &offer.path) {
        Ok((plan, archive)) => {
            offer.brings = Some(brings(&plan, &archive));
            if plan.work().next().is_none() {
                offer.state = OfferState::Done;
            }
            plan
        }
        Err(error) => {
            offer.state = OfferState::refused(&error);
            keep(output, store.write_offer(&offer).map_err(Error::from))?;
            return Err(error);
        }
    };
    keep(output, store.write_offer(&offer).map_err(Error::from))?;
    let goes_on = offer.is_open() && config.media.policy != Policy::Ask;
    if !goes_on {
        return output.result(&offer, || describe_offer(&offer, &plan));
    }
    // What was here before, and does not run, is so for a reason: it failed its checks, or somebody went back.
    let is_new = plan.steps.iter().any(|step| step.action == Action::Import);
    load(cli, output, &config, &offer, config.media.policy == Policy::Activate && is_new)
}

fn confirm(cli: &Cli, output: Output, args: &ConfirmArgs) -> Result<(), Error> {
    let prefix: Prefix = args.release.parse()?;
    let offer = choose(cli.store()?.offers()?, &prefix)?;
    load(cli, output, &cli.config()?, &offer, args.activate)
}

fn list(cli: &Cli, output: Output) -> Result<(), Error> {
    let listed = Listed { offers: cli.store()?.offers()? };
    output.result(&listed, || match listed.offers.as_slice() {
        [] => "no stick is plugged in\n".to_owned(),
        offers => offers.iter().map(list_one).collect(),
    })
}

fn offer_of(args: &OfferArgs) -> Result<Offer, Error> {
    let path = std::path::absolute(&args.path)?.into_os_string().into_string().map_err(|path| {
        let name = shown(&path.to_string_lossy());
        media::Error::BadName { name, why: "it is not UTF-8".to_owned() }
    })?;
    let last = || Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let device = media::device(&args.device.clone().unwrap_or_else(last))?;
    Ok(Offer::new(device, path, args.label.as_deref()))
}

/// Verifies the beginning of a stick, which is all that opening reads, and plans its import.
fn look(store: &Store, output: Output, path: &str) -> Result<(Plan, String), Error> {
    let bundle = import::open(store, &mut Search::new(vec![path.into()]), output)?;
    let archive = bundle.name();
    let archive = archive.strip_prefix(path).map_or(archive, |name| name.trim_start_matches('/'));
    Ok((plan(store, &bundle, false)?, shown(archive)))
}

fn brings(plan: &Plan, archive: &str) -> Brings {
    Brings {
        release: plan.release.clone(),
        archive: archive.to_owned(),
        steps: plan.work().count(),
        missing_bytes: plan.need.missing_bytes,
        needed_bytes: plan.need.needed_bytes,
        free_bytes: plan.need.free_bytes,
    }
}

/// Loads what an offer brings, and says what has become of it.
fn load(cli: &Cli, output: Output, config: &Config, offer: &Offer, activate: bool) -> Result<(), Error> {
    let Some(release) = offer.digest() else { return Ok(()) };
    let store = cli.store()?;
    let settle = |device: &Device, state| store.settle_offer(device, state).map_err(Error::from);
    keep(output, settle(&offer.device, OfferState::Loading))?;
    let args = ImportArgs {
        sources: vec![PathBuf::from(&offer.path)],
        wait: Some(Patience::Seconds(0)),
        activate,
        plan: PlanArgs { plan: false },
    };
    let loaded = import::take(cli, output, config, &args, Some(release));
    let state = match &loaded {
        Ok(()) | Err(Error::FurtherVolumes { .. }) => OfferState::Done,
        // What has failed since then is not the stick's fault.
        Err(_) if is_here(&store, &release) => OfferState::Done,
        Err(error) if error.class() == Class::Refused => OfferState::refused(error),
        Err(_) => OfferState::Waiting,
    };
    keep(output, settle(&offer.device, state))?;
    // What other sticks offer of the same release is not needed any more.
    let others = if loaded.is_ok() { store.offers().unwrap_or_default() } else { Vec::new() };
    for other in others.iter().filter(|other| other.is_open() && other.digest() == Some(release)) {
        keep(output, settle(&other.device, OfferState::Done))?;
    }
    loaded
}

fn is_here(store: &Store, release: &Digest) -> bool {
    let is_it = |here: &sealift_store::StoredRelease| here.digest() == *release && here.state().is_served();
    store.releases().is_ok_and(|releases| releases.iter().any(is_it))
}

/// What is told elsewhere too need not be written down for the rest to count: the disk may be full.
fn keep(output: Output, written: Result<(), Error>) -> Result<(), Error> {
    match written {
        Ok(()) => Ok(()),
        Err(error) => output.remark(&format!("the offer could not be recorded: {error}\n")),
    }
}

fn describe_offer(offer: &Offer, plan: &Plan) -> String {
    let lines = describe(plan).line("stick", offer.name()).line("digest", plan.release.digest);
    lines.next(&offer.next().into_iter().collect::<Vec<_>>())
}

fn list_one(offer: &Offer) -> String {
    let lines = Lines::title(offer.name()).line("at", &offer.path);
    let lines = match &offer.brings {
        Some(Brings { release, archive, missing_bytes, .. }) => lines
            .line("offers", format_args!("{}, {} missing here", release.name(), size(*missing_bytes)))
            .line("archive", archive)
            .line("digest", release.digest),
        None => lines,
    };
    let lines = lines.line("state", &offer.state);
    match &offer.state {
        OfferState::Refused(failure) => lines.line_if("hint", failure.hint.as_ref()).end(),
        _ => lines.next(&offer.next().into_iter().collect::<Vec<_>>()),
    }
}
