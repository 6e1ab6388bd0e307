//! `setup`.

use std::collections::BTreeSet;
use std::io::{self, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sealift_fetch::meter::Meter;
use sealift_store::Store;
use serde::Serialize;

use super::appliance::InTurn;
use super::output::{Lines as Said, Output};
use super::{Cli, PlanArgs};
use crate::Error;
use crate::activation::{Flux, Trouble, wait_until_well};
use crate::config::{Config, DEFAULT_PATH};
use crate::setup::answers::{Answers, Decision, Known, Overruled, decide};
use crate::setup::console::{self, Lines, Person};
use crate::setup::given::Given;
use crate::setup::journal::Journal;
use crate::setup::kept::{self, Kept};
use crate::setup::places::Places;
use crate::setup::plan::{Step, StepName, plan};
use crate::setup::sources::{Origin, listen};
use crate::setup::{self, Guard, News, Site, Watcher, execute, told};

/// Where this node's status page is.
const STATUS_PAGE: &str = "https://127.0.0.1:5443/";

/// What setup is told on its command line.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Ask at the console, also where all is answered; what was answered is offered
    #[arg(long)]
    ask: bool,
}

/// What would be done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan<'a> {
    answers: Given,
    has_token: bool,
    origins: &'a [Origin],
    overruled: &'a [Overruled],
    unheard: &'a [String],
    steps: Vec<Step>,
}

/// What was done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    answers: Given,
    steps: BTreeSet<StepName>,
    status_page: &'static str,
}

pub(super) fn setup(cli: &Cli, output: Output, args: &SetupArgs) -> Result<(), Error> {
    let places = Places::default();
    let guard = if args.plan.plan { None } else { Some(open(&places)?) };
    let has_joined = Journal::read(&places)?.has_ever(StepName::K3s);
    let known = setup::known(&places, has_joined)?;
    let kept = Kept::read(&places)?;
    let mut decision = decide(&listen(&places), kept.as_ref())?;
    let answers = answer(output, args.ask, &mut decision, &known)?;
    let site = Site::new(places, cli.store.clone(), answers, programs()?);
    let Some(guard) = guard else {
        let steps = plan(&site)?;
        let plan = Plan {
            answers: site.answers.to_given(),
            has_token: site.answers.has_token(),
            origins: &decision.origins,
            overruled: &decision.overruled,
            unheard: &decision.unheard,
            steps,
        };
        return output.result(&plan, || told::decision(&site.answers, &decision) + &told::steps(&plan.steps));
    };
    // What cannot be followed changes nothing, not even what is kept.
    setup::follow(&site)?;
    output.remark(&told::decision(&site.answers, &decision))?;
    keep(&site, &decision)?;
    let person = ToPerson { output, site: &site };
    let steps = execute(&site, &person, &guard)?;
    let done = Done { answers: site.answers.to_given(), steps, status_page: STATUS_PAGE };
    output.result(&done, || conclude(&done, &site))
}

fn open(places: &Places) -> Result<Guard, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(setup::Error::NotRoot.into());
    }
    Ok(Guard::new(places)?)
}

/// Where our own programs are: beside this one.
fn programs() -> Result<PathBuf, Error> {
    let this = std::env::current_exe()?;
    Ok(this.parent().map(PathBuf::from).unwrap_or_default())
}

/// Keeps the answers before anything follows from them: whoever is cut off goes on with the same ones, and asks nobody again.
fn keep(site: &Site, decision: &Decision) -> Result<(), Error> {
    if let setup::answers::Role::Join { token: Some(token), .. } = &site.answers.role {
        kept::keep_token(&site.places, token)?;
    }
    Ok(Kept::new(&site.answers.to_given(), &decision.heard).write(&site.places)?)
}

/// The answers of all sources; what they leave open is asked for.
fn answer(output: Output, ask: bool, decision: &mut Decision, known: &Known) -> Result<Answers, Error> {
    let is_terminal = io::stdin().is_terminal();
    if ask || decision.given.role.is_none() {
        if !ask && (output.json || !is_terminal) {
            return Err(setup::Error::NobodyToAsk.into());
        }
        for unheard in &decision.unheard {
            output.remark(&format!("note: {unheard}\n"))?;
        }
        decision.given = if is_terminal {
            console::ask(&mut Terminal, &decision.given, known)?
        } else {
            let mut person = Lines { from: BufReader::new(io::stdin()), to: io::stderr() };
            console::ask(&mut person, &decision.given, known)?
        };
        decision.origins = vec![Origin::Console];
    }
    Ok(Answers::new(decision.given.clone(), known)?)
}

fn conclude(done: &Done, site: &Site) -> String {
    let title = if done.steps.is_empty() {
        "This appliance is set up; nothing was to be done"
    } else {
        "This appliance is set up"
    };
    Said::title(title)
        .line("name", &site.answers.hostname)
        .line("role", site.answers.role.name().as_str())
        .line("status page", format_args!("{STATUS_PAGE} on this machine"))
        .next(&["sealiftctl status".to_owned()])
}

/// Whoever watches.
struct ToPerson<'a> {
    output: Output,
    site: &'a Site,
}

impl Watcher for ToPerson<'_> {
    fn tell(&self, news: &News<'_>) {
        let line = match news {
            News::Begins { step, number, of } => format!("step {number} of {of}: {}\n", step.title()),
            News::Does(what) => format!("  $ {what}\n"),
            News::Says(line) => format!("    {line}\n"),
            News::Note(note) => format!("  note: {note}\n"),
        };
        // If nobody can read it, the work itself still counts.
        let _ = self.output.remark(&line);
    }

    fn await_health(&self) -> Result<(), String> {
        self.wait().map_err(|error| error.to_string())
    }
}

impl ToPerson<'_> {
    fn wait(&self) -> Result<(), Error> {
        let config = Config::read(Some(&self.site.places.at(DEFAULT_PATH)))?.activation;
        let store = Store::open(&self.site.store)?;
        let Some(active) = store.active()? else { return Ok(()) };
        let flux = config.flux.as_ref().map(InTurn);
        // It shows nothing; it is here for Ctrl-C.
        let meter = Meter::of_command("setup", 0, true)?;
        let flux = flux.as_ref().map(|flux| flux as &dyn Flux);
        wait_until_well(&store, &config.health, active, flux, &meter).map_err(|trouble| match trouble {
            Trouble::Failed(why) => io::Error::other(why).into(),
            Trouble::Halted(error) => error,
        })
    }
}

/// Whoever sits at the terminal. What is asked goes there and not to standard error, which may go elsewhere, line by line.
struct Terminal;

impl Person for Terminal {
    fn tell(&mut self, text: &str) -> io::Result<()> {
        fs_err::OpenOptions::new().write(true).open("/dev/tty")?.write_all(text.as_bytes())
    }

    fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        Ok((io::stdin().read_line(&mut line)? > 0).then(|| line.trim().to_owned()))
    }

    fn hear_secret(&mut self, question: &str) -> io::Result<Option<String>> {
        // Before the question is there: some type faster than a terminal is told.
        let quiet = Quiet::new()?;
        self.tell(question)?;
        let line = self.hear();
        drop(quiet);
        self.tell("\n")?;
        line
    }
}

/// The terminal shows nothing of what is typed, as long as this lives.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If it is gone, nobody sees anything.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
