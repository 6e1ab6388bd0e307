//! `setup`.

use std::collections::BTreeMap;
use std::io::{self, BufReader, IsTerminal as _, Write as _};

use clap::Args;
use serde::Serialize;

use super::Cli;
use super::output::Output;
use crate::Error;
use crate::setup::answers::{Answers, Decision, Known, Overruled, decide};
use crate::setup::console::{self, Lines, Person};
use crate::setup::given::Given;
use crate::setup::kept::Kept;
use crate::setup::places::Places;
use crate::setup::sources::{Origin, listen};
use crate::setup::{self, told};

/// What setup is told on its command line.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// Say what this appliance would be, from which sources, and stop
    #[arg(long, required = true)]
    plan: bool,
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
    heard: &'a BTreeMap<Origin, Given>,
}

pub(super) fn setup(_cli: &Cli, output: Output, args: &SetupArgs) -> Result<(), Error> {
    let places = Places::default();
    let known = setup::known(&places, false)?;
    let kept = Kept::read(&places)?;
    let mut decision = decide(&listen(&places), kept.as_ref())?;
    let answers = answer(output, args.ask, &mut decision, &known)?;
    let plan = Plan {
        answers: answers.to_given(),
        has_token: answers.has_token(),
        origins: &decision.origins,
        overruled: &decision.overruled,
        unheard: &decision.unheard,
        heard: &decision.heard,
    };
    output.result(&plan, || told::decision(&answers, &decision))
}

/// The answers of all sources; what they leave open is asked for.
fn answer(output: Output, ask: bool, decision: &mut Decision, known: &Known) -> Result<Answers, Error> {
    let is_open = decision.given.role.is_none();
    if ask || is_open {
        let is_watched = !output.json && io::stdin().is_terminal();
        if !ask && !is_watched {
            return Err(setup::Error::NobodyToAsk.into());
        }
        for unheard in &decision.unheard {
            output.remark(&format!("note: {unheard}\n"))?;
        }
        decision.given = if io::stdin().is_terminal() {
            console::ask(&mut Terminal, &decision.given, known)?
        } else {
            let mut person = Lines { from: BufReader::new(io::stdin()), to: io::stderr() };
            console::ask(&mut person, &decision.given, known)?
        };
        decision.origins = vec![Origin::Console];
    }
    Ok(Answers::new(decision.given.clone(), known)?)
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

    fn hear_secret(&mut self) -> io::Result<Option<String>> {
        match rpassword::read_password() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            line => Ok(Some(line?)),
        }
    }
}
