//! `import`.

use sealift_archive::{Bundle, Unwatched};
use sealift_store::Store;

use super::output::Output;
use super::told::{conclude, describe};
use super::{Cli, ImportArgs};
use crate::Error;
use crate::import::{Plan, execute, plan, record_refusal};

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
        if plan.work().next().is_none() {
            return execute(&writer, &bundle, plan, &Unwatched);
        }
        let meter = cli.meter("importing", plan.need.missing_bytes)?;
        let done = execute(&writer, &bundle, plan, &meter)?;
        meter.finish();
        Ok(done)
    });
    if let Err(error) = &done {
        // The refusal itself is the news, even where it cannot be written down.
        if let Err(unwritten) = record_refusal(&writer, &source, error) {
            output.remark(&format!("the audit log could not be written: {unwritten}\n"))?;
        }
    }
    let done = done?;
    output.result(&done, || conclude(&done))
}

fn open(store: &Store, args: &ImportArgs, source: &str) -> Result<(Bundle, Plan), Error> {
    let bundle = Bundle::open(&args.bundle, store.trust()?)?;
    let mut plan = plan(store, &bundle, args.activate)?;
    source.clone_into(&mut plan.source);
    Ok((bundle, plan))
}
