//! `mirror`.

use sealift_archive::Progress;
use sealift_archive::release::CurrentRelease;
use sealift_archive::{Channel, ChannelName, Class, Digest, Explain as _, Product, ReleaseName};
use sealift_fetch::meter::Meter;
use sealift_store::policy::Reach;
use sealift_store::{State, Store, Writer};
use serde::Serialize;
use time::OffsetDateTime;

use super::appliance::Appliance;
use super::output::{Lines, Output, instant};
use super::told::{conclude, describe};
use super::{Cli, MirrorArgs};
use crate::Error;
use crate::config::activation::Activation;
use crate::config::{Config, Mirror};
use crate::import::{Done, Plan, execute, plan};
use crate::online::{self, Endpoint, Heard, News, Offer, Patience, Trust, unwrapped};

pub(super) fn mirror(cli: &Cli, output: Output, args: &MirrorArgs) -> Result<(), Error> {
    let Config { activation, mirror, .. } = cli.config()?;
    let config = mirror.ok_or(online::Error::NotConfigured)?;
    let endpoint = Endpoint::open(&config)?;
    // It shows nothing; it is here for Ctrl-C.
    let waiting = Meter::of_command("waiting", 0, true)?;
    let run = Run {
        cli,
        output,
        config: &config,
        activation: &activation,
        endpoint: &endpoint,
        progress: &waiting,
    };
    if args.plan.plan {
        let told = run.plan()?;
        return output.result(&told, || told.describe());
    }
    let patience = if args.once { Patience::NONE } else { Patience::OF_A_TIMER };
    let tell = |error: &Error, wait: std::time::Duration| {
        output.remark(&format!("{}\ntrying again in {} s\n", cli.describe(error), wait.as_secs()))
    };
    let told = patience.exercise(&waiting, tell, || run.once())?;
    output.result(&told, || told.describe())
}

/// One run.
struct Run<'a> {
    cli: &'a Cli,
    output: Output,
    config: &'a Mirror,
    activation: &'a Activation,
    endpoint: &'a Endpoint,
    progress: &'a dyn Progress,
}

/// What was heard, and what came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    source: String,
    channel: ChannelName,
    version: u64,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    product: Product,
    release: CurrentRelease,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Outcome {
    /// The current release is here.
    Here {
        #[serde(flatten)]
        state: State,
    },
    /// A later one runs.
    Older { active: String },
    /// What would be done.
    Planned { plan: Box<Plan> },
    /// What was done.
    Done { done: Box<Done> },
}

impl Run<'_> {
    /// Says what a run would do, and changes nothing.
    fn plan(&self) -> Result<Told, Error> {
        let store = self.cli.store()?;
        let mut trust = Trust::new(store.trust()?);
        let Heard { channel, digest, .. } = self.listen(&mut trust)?;
        let now = OffsetDateTime::now_utc();
        store.situation()?.judge_channel(&channel, digest, Reach::Online, now)?;
        let activate = self.config.activate && online::may_activate(&store, &channel.release.statement);
        let outcome = match self.endpoint.news(&store, &trust, &channel, activate, self.progress)? {
            News::Offer(offer) => Outcome::Planned { plan: Box::new(plan_of(&store, &offer, activate)?) },
            News::Here(state) => Outcome::Here { state },
            News::Older(active) => Outcome::older(&active),
        };
        Ok(self.told(channel, outcome))
    }

    /// Hears what there is, takes it, and records how that went.
    fn once(&self) -> Result<Told, Error> {
        let source = self.endpoint.name();
        let (trust, heard, writer) = loop {
            let mut trust = Trust::new(self.cli.store()?.trust()?);
            // The store is left to others until there is something to write.
            let heard = self.listen(&mut trust);
            let writer = self.cli.writer(&format!("mirror {source}"))?;
            // Who may sign can have changed meanwhile, and an endpoint that is slow may keep that back.
            if writer.trust()?.newest().version() <= trust.trusted.newest().version() {
                break (trust, heard, writer);
            }
        };
        // Who may sign no longer is known from now on, whatever becomes of the rest.
        writer.remember_roots(source, &trust.trusted, &trust.signatures)?;
        let told = heard.and_then(|heard| self.follow(&writer, &trust, heard));
        let recorded = online::record(&writer, source, self.config.channel, told.as_ref().err());
        if let (Err(_), Err(unwritten)) = (&told, &recorded) {
            // What went wrong is the news, even where it cannot be written down.
            self.output.remark(&format!("it could not be recorded: {unwritten}\n"))?;
            return told;
        }
        recorded.and(told)
    }

    fn listen(&self, trust: &mut Trust) -> Result<Heard, Error> {
        self.endpoint.hear(trust, self.config.channel, self.progress)
    }

    fn follow(&self, writer: &Writer, trust: &Trust, heard: Heard) -> Result<Told, Error> {
        let Heard { channel, digest, .. } = heard;
        writer.take_channel(&channel, digest, Reach::Online)?;
        let statement = channel.release.statement;
        if self.config.activate && writer.activation_journal().exists() {
            self.output
                .remark("an activation is under way, and waits for somebody: what is new is only staged\n")?;
        }
        let activate = self.config.activate && online::may_activate(writer, &statement);
        let outcome = match self.endpoint.news(writer, trust, &channel, activate, self.progress)? {
            News::Offer(offer) => {
                Outcome::Done { done: Box::new(self.take(writer, &offer, activate, statement)?) }
            }
            News::Here(state) => Outcome::Here { state },
            News::Older(active) => Outcome::older(&active),
        };
        Ok(self.told(channel, outcome))
    }

    /// Stages what is offered; then, if that is wanted, activates it, once.
    fn take(
        &self,
        writer: &Writer,
        offer: &Offer<'_>,
        activate: bool,
        newest: Digest,
    ) -> Result<Done, Error> {
        let plan = plan_of(writer, offer, false)?;
        self.output.remark(&describe(&plan).end())?;
        let meter =
            self.cli.meter("mirroring", plan.need.missing_bytes.saturating_sub(plan.need.begun_bytes))?;
        let appliance = Appliance::new(self.cli, self.output, writer, self.activation)?;
        let engine = appliance.engine(false);
        let done = execute(writer, offer, plan, &meter, &engine).map_err(unwrapped)?;
        meter.finish();
        if !activate {
            return Ok(done);
        }
        let plan = plan_of(writer, offer, true)?;
        online::record_activation(writer, self.endpoint.name(), self.config.channel, newest)?;
        let version = plan.release.version.clone();
        execute(writer, offer, plan, self.progress, &engine).map_err(|cause| match cause.class() {
            Class::Interrupted => cause,
            _ => online::Error::NotActivated { version, cause: Box::new(cause) }.into(),
        })
    }

    fn told(&self, channel: Channel, outcome: Outcome) -> Told {
        let Channel { name, version, expires, product, release, .. } = channel;
        Told {
            source: self.endpoint.name().to_owned(),
            channel: name,
            version,
            expires,
            product,
            release,
            outcome,
        }
    }
}

fn plan_of(store: &Store, offer: &Offer<'_>, activate: bool) -> Result<Plan, Error> {
    let mut plan = plan(store, offer, activate)?;
    plan.passed_over.extend(offer.passed.iter().cloned());
    Ok(plan)
}

impl Outcome {
    fn older(active: &ReleaseName) -> Self {
        Self::Older { active: active.to_string() }
    }
}

impl Told {
    fn describe(&self) -> String {
        let CurrentRelease { version, sequence, .. } = &self.release;
        let name =
            ReleaseName { product: self.product.clone(), version: version.clone(), sequence: *sequence };
        let lines = Lines::title(format_args!("{name} is current in channel `{}`", self.channel))
            .line("from", &self.source)
            .line("edition", format_args!("version {}, until {}", self.version, instant(self.expires)));
        match &self.outcome {
            Outcome::Here { state: State::Staged } => lines
                .line("to do", "nothing: it is here, staged")
                .next(&[format!("sealiftctl activate {version}")]),
            Outcome::Here { state } => {
                lines.line("to do", format_args!("nothing: it is here, {state}")).end()
            }
            Outcome::Older { active } => {
                lines.line("to do", format_args!("nothing: it is below {active}, which is active")).end()
            }
            Outcome::Planned { plan } => format!("{}{}", lines.end(), describe(plan).end()),
            Outcome::Done { done } => format!("{}{}", lines.end(), conclude(done)),
        }
    }
}
