//! `import`.

use sealift_archive::{Bundle, Unwatched};
use sealift_store::{State, Store};

use super::output::{Lines, Output, count, keys, size};
use super::repair::{WithHealed, warn};
use super::{Cli, ImportArgs};
use crate::Error;
use crate::import::{Action, Done, Plan, execute, plan, record_refusal};

pub(super) fn import(cli: &Cli, output: Output, args: &ImportArgs) -> Result<(), Error> {
    // The journal and the audit log are read in other directories than the command was typed in.
    let source = std::path::absolute(&args.bundle)?.display().to_string();
    if args.plan.plan {
        let (_, plan) = open(&cli.store()?, args, &source)?;
        return output.result(&plan, || describe(&plan).end());
    }
    let writer = cli.writer(&format!("import {source}"))?;
    let done = open(&writer, args, &source).and_then(|(bundle, plan)| {
        output.remark(&describe(&plan).end())?;
        if plan.action == Action::Nothing {
            return Ok((execute(&writer, &bundle, plan, &Unwatched)?, bundle.medium().healed()));
        }
        let meter = cli.meter("importing", plan.need.missing_bytes)?;
        let done = execute(&writer, &bundle, plan, &meter)?;
        meter.finish();
        Ok((done, bundle.medium().healed()))
    });
    if let Err(error) = &done {
        // The refusal itself is the news, even where it cannot be written down.
        if let Err(unwritten) = record_refusal(&writer, &source, error) {
            output.remark(&format!("the audit log could not be written: {unwritten}\n"))?;
        }
    }
    let (done, healed) = done?;
    output.result(&WithHealed::new(&done, &healed), || conclude(&done))?;
    warn(output, &healed)
}

fn open(store: &Store, args: &ImportArgs, source: &str) -> Result<(Bundle, Plan), Error> {
    let bundle = Bundle::open(&args.bundle, store.trust()?)?;
    let mut plan = plan(store, &bundle, args.activate)?;
    source.clone_into(&mut plan.source);
    Ok((bundle, plan))
}

fn describe(plan: &Plan) -> Lines {
    let action = match plan.action {
        Action::Import => "import",
        Action::Repair => "bring back what is missing",
        Action::Nothing => "nothing: it is here already",
    };
    let need = &plan.need;
    let room = format!("{} needed, {} free", size(need.needed_bytes), size(need.free_bytes));
    let switch = plan.activation.as_ref().map(|switch| match &switch.from {
        Some(from) => format!("activate it; {} can be gone back to", from.name()),
        None => "activate it".to_owned(),
    });
    Lines::title(plan.release.name())
        .line("from", &plan.source)
        .line("signed by", format_args!("{} (trust root version {})", keys(&plan.signers), plan.trust_root))
        .line("content", format_args!("{}, {}", count(plan.blobs, "blob"), size(plan.bytes)))
        .line("holds", plan.holds)
        .line("missing", format_args!("{}, {}", count(need.missing_blobs, "blob"), size(need.missing_bytes)))
        .line_if("disk", (plan.action != Action::Nothing).then_some(room))
        .line("to do", action)
        .line_if("then", switch)
}

fn conclude(done: &Done) -> String {
    let name = done.plan.release.name();
    if done.activation.is_some() {
        return Lines::title(format_args!("{name} is active")).next(&["sealiftctl status".to_owned()]);
    }
    let title = match done.plan.action {
        Action::Import => format!("{name} is {}", done.state),
        Action::Repair => format!("{name} is {} and whole again", done.state),
        Action::Nothing => format!("{name} is {} already; nothing was to be done", done.state),
    };
    let next = match done.state {
        State::Staged => vec![format!("sealiftctl activate {}", done.plan.release.version)],
        _ => Vec::new(),
    };
    Lines::title(title).next(&next)
}
