//! `import`.

use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sealift_archive::bundle::Unverified;
use sealift_archive::medium::Healed;
use sealift_archive::trust::Signatures;
use sealift_archive::{Bundle, Digest, Error as ArchiveError, Source as _, Unwatched};
use sealift_fetch::meter::Meter;
use sealift_store::{Store, Writer};
use serde::Serialize;

use super::appliance::Appliance;
use super::output::{Lines, Output};
use super::repair::{WithHealed, warn};
use super::switch::leave_cluster;
use super::told::{conclude, describe, foretell, warning};
use super::{Cli, ImportArgs};
use crate::Error;
use crate::activation::Engine;
use crate::cluster;
use crate::config::Config;
use crate::import::{Done, Forecast, Plan, execute, forecast, plan, record_refusal};
use crate::media;
use crate::volumes::{Search, Volumes};

pub(super) fn import(cli: &Cli, output: Output, args: &ImportArgs) -> Result<(), Error> {
    let config = cli.config()?;
    if args.plan.plan {
        let source = source_name(&args.sources)?;
        let mut search = Search::new(args.sources.clone());
        let store = cli.store()?;
        let bundle = open(&store, &mut search, output)?;
        let plan = plan_from(&store, &bundle, args, &source)?;
        let volumes = Volumes::of(&bundle, &plan);
        let forecast = forecast(&store, &bundle, &plan, &config.disk)?;
        let told = Told { plan: &plan, volumes: volumes.as_ref(), forecast: forecast.as_ref() };
        return output.result(&told, || {
            let lines = describe_all(&plan, volumes.as_ref());
            forecast.iter().fold(lines, foretell).end()
        });
    }
    take(cli, output, &config, args, None)
}

/// Imports what is there; if `only` is given, refuses what leads to another release.
pub(super) fn take(
    cli: &Cli,
    output: Output,
    config: &Config,
    args: &ImportArgs,
    only: Option<Digest>,
) -> Result<(), Error> {
    if args.activate && config.cluster.is_some() {
        return Err(cluster::Error::OneAlone.into());
    }
    let source = source_name(&args.sources)?;
    let mut search = Search::new(args.sources.clone());
    let writer = cli.writer(&format!("import {source}"))?;
    if args.activate {
        leave_cluster(config, &writer)?;
    }
    let appliance = Appliance::new(cli, output, &writer, &config.activation)?;
    let mut import = Import {
        cli,
        config,
        only,
        engine: appliance.engine(false),
        output,
        args,
        writer: &writer,
        source: &source,
        is_told: false,
        healed: Healed::default(),
    };
    let done = import.stick_after_stick(&mut search);
    if let Err(error) = &done {
        // The refusal itself is the news, even where it cannot be written down.
        if let Err(unwritten) = record_refusal(&writer, &source, error) {
            output.remark(&format!("the audit log could not be written: {unwritten}\n"))?;
        }
    }
    let (done, healed) = (done?, import.healed);
    output.result(&WithHealed::new(&done, &healed), || conclude(&done))?;
    warn(output, &healed)
}

/// What the journal and the audit log call a source: they are read in other directories than the command was typed in.
pub(super) fn source_name(places: &[PathBuf]) -> Result<String, Error> {
    let absolute = places.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
    Ok(absolute.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" "))
}

/// How long to wait for a stick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Forever,
    Seconds(u64),
}

impl FromStr for Patience {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "forever" { Ok(Self::Forever) } else { text.parse().map(Self::Seconds) }
    }
}

/// A plan, and what of its content is at hand.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    volumes: Option<&'a Volumes>,
    forecast: Option<&'a Forecast>,
}

/// An import from a source that may come in several parts.
struct Import<'a> {
    cli: &'a Cli,
    config: &'a Config,
    /// The statement that somebody has confirmed.
    only: Option<Digest>,
    engine: Engine<'a>,
    output: Output,
    args: &'a ImportArgs,
    writer: &'a Writer,
    source: &'a str,
    /// Whether the plan has been told.
    is_told: bool,
    /// What all sticks had to make again.
    healed: Healed,
}

impl Import<'_> {
    /// Loads what is at hand, and waits for the rest if that was asked for.
    fn stick_after_stick(&mut self, search: &mut Search) -> Result<Done, Error> {
        let mut waited_for = None;
        loop {
            let missing = match (self.load(search), waited_for.take()) {
                (Err(Error::Archive(missing @ ArchiveError::VolumesMissing { .. })), _) => missing,
                // Taken out again before it was read.
                (Err(_), Some(missing)) if search.is_gone() => missing,
                (done, _) => return done,
            };
            let ArchiveError::VolumesMissing { numbers, .. } = &missing else { return Err(missing.into()) };
            if !self.wait(search, numbers, &missing)? {
                return Err(Error::FurtherVolumes { missing });
            }
            waited_for = Some(missing);
        }
    }

    fn load(&mut self, search: &mut Search) -> Result<Done, Error> {
        let (output, writer) = (self.output, self.writer);
        let bundle = open(writer, search, output)?;
        // Who may sign no longer is known from now on, whatever becomes of this import.
        let signatures: Signatures = bundle.signatures().into_iter().collect();
        writer.remember_roots(self.source, bundle.trusted(), &signatures)?;
        let plan = plan_from(writer, &bundle, self.args, self.source)?;
        if let Some(confirmed) = self.only.filter(|only| *only != plan.release.digest) {
            let (place, found) = (self.source.to_owned(), Box::new(plan.release));
            return Err(media::Error::Changed { place, confirmed, found }.into());
        }
        let volumes = Volumes::of(&bundle, &plan);
        if !self.is_told {
            let forecast = forecast(writer, &bundle, &plan, &self.config.disk)?;
            let warning = forecast.as_ref().and_then(warning).map(|warning| warning + "\n");
            let lines = describe_all(&plan, volumes.as_ref()).end();
            output.remark(&(lines + &warning.unwrap_or_default()))?;
            self.is_told = true;
        }
        if plan.work().next().is_none() {
            return execute(writer, &bundle, plan, &Unwatched, &self.engine);
        }
        search.keep(writer, &bundle, plan.work().map(|step| &step.release.digest))?;
        let to_come = volumes.map_or(plan.need.missing_bytes, |volumes| volumes.at_hand_bytes);
        let meter = self.cli.meter("importing", to_come.saturating_sub(plan.need.begun_bytes))?;
        let done = execute(writer, &bundle, plan, &meter, &self.engine);
        self.healed.join(bundle.medium().healed());
        let done = done?;
        meter.finish();
        Ok(done)
    }

    /// Waits for one of these volumes; `false` if nobody asked for that, or none came in time.
    fn wait(&self, search: &Search, numbers: &[u32], missing: &ArchiveError) -> Result<bool, Error> {
        let deadline = match self.args.wait {
            Some(Patience::Seconds(0)) => return Ok(false),
            Some(Patience::Seconds(seconds)) => Instant::now().checked_add(Duration::from_secs(seconds)),
            Some(Patience::Forever) => None,
            None if self.output.is_watched() => None,
            None => return Ok(false),
        };
        self.output.remark(&format!(
            "{missing}\nwaiting for the next stick; Ctrl-C stops, and what is loaded stays\n"
        ))?;
        // It shows nothing; it is here for Ctrl-C.
        let meter = Meter::of_command("waiting", 0, true)?;
        search.wait_for(numbers, deadline, &meter, |what| self.output.remark(&format!("{what}\n")))
    }
}

pub(super) fn open(store: &Store, search: &mut Search, output: Output) -> Result<Bundle, Error> {
    let medium = search.open(store)?;
    for remark in medium.remarks() {
        output.remark(&format!("note: {remark}\n"))?;
    }
    Ok(Unverified::on(medium)?.verify(store.trust()?)?)
}

fn plan_from(store: &Store, bundle: &Bundle, args: &ImportArgs, source: &str) -> Result<Plan, Error> {
    let mut plan = plan(store, bundle, args.activate)?;
    source.clone_into(&mut plan.source);
    Ok(plan)
}

fn describe_all(plan: &Plan, volumes: Option<&Volumes>) -> Lines {
    describe(plan).line_if("volumes", volumes)
}
