//! An import in words: what will be done, and what was.

use std::collections::BTreeSet;

use sealift_archive::trust::KeyId;
use sealift_store::policy::{Passed, Why};
use sealift_store::{State, Subject};

use super::output::{Lines, count, keys, size};
use crate::import::{Action, Containerd, Done, Forecast, Outcome, Plan, Step};

pub(super) fn describe(plan: &Plan) -> Lines {
    let signers: BTreeSet<KeyId> = plan.steps.iter().flat_map(|step| step.signers.iter().copied()).collect();
    let signers = keys(&signers.into_iter().collect::<Vec<_>>());
    let mut lines = Lines::title(plan.release.name())
        .line("from", &plan.source)
        .line("signed by", format_args!("{signers} (trust root version {})", plan.trust_root));
    for needed in &plan.needs {
        lines = lines.line("builds on", needed.name());
    }
    if let [step] = plan.steps.as_slice() {
        lines = lines
            .line("content", format_args!("{}, {}", count(step.blobs, "blob"), size(step.bytes)))
            .line("holds", step.holds);
    }
    let need = &plan.need;
    let room = format!("{} needed, {} free", size(need.needed_bytes), size(need.free_bytes));
    lines = lines
        .line("missing", format_args!("{}, {}", count(need.missing_blobs, "blob"), size(need.missing_bytes)))
        .line_if("disk", plan.work().next().map(|_| room));
    lines = match plan.steps.as_slice() {
        [step] if step.release == plan.release => lines.line("to do", to_do(step.action)),
        steps => steps.iter().fold(lines, |lines, step| lines.line("to do", to_do_with(step))),
    };
    for passed in &plan.passed_over {
        lines = lines.line("passed over", format_args!("{}: {}", passed.release.name(), reason(passed)));
    }
    for (number, switch) in plan.activations.iter().enumerate() {
        let is_only = plan.activations.len() == 1;
        let what = if is_only { "activate it".to_owned() } else { format!("activate {}", switch.to.name()) };
        let back = switch.from.as_ref().filter(|_| number + 1 == plan.activations.len());
        lines = lines.line(
            "then",
            match back {
                Some(from) => format!("{what}; {} can be gone back to", from.name()),
                None => what,
            },
        );
    }
    lines
}

/// What the plan leads to.
pub(super) fn foretell(lines: Lines, forecast: &Forecast) -> Lines {
    let rate = size(forecast.bytes_per_second);
    let mut lines = lines
        .line("time", format_args!("about {} s, if the medium gives {rate}/s", forecast.seconds.max(1)))
        .line("full then", format_args!("{} % of the store's disk", forecast.store_percent));
    if let Some(containerd) = &forecast.containerd {
        let (copied, unpacked) = (size(containerd.copied_bytes), size(containerd.unpacked_bytes));
        let what = format!("{} %, with {copied} kept and {unpacked} unpacked", containerd.percent);
        lines = lines.line("containerd", what);
    }
    warning(forecast).into_iter().fold(lines, Lines::text)
}

/// What somebody should know before the release runs.
pub(super) fn warning(forecast: &Forecast) -> Option<String> {
    let containerd = forecast.containerd.as_ref().filter(|containerd| containerd.is_too_full())?;
    let Containerd { dir, percent, threshold_percent, collectable_bytes, .. } = containerd;
    let help = match collectable_bytes {
        0 => "make room before it is activated".to_owned(),
        bytes => format!("`sealiftctl gc` frees {}", size(*bytes)),
    };
    Some(format!(
        "warning: once it runs, the disk of `{}` is {percent} % full; from {threshold_percent} % on, \
         kubelet removes images that no container uses: {help}",
        dir.display()
    ))
}

fn to_do(action: Action) -> &'static str {
    match action {
        Action::Import => "import",
        Action::Repair => "bring back what is missing",
        Action::Nothing => "nothing: it is here already",
    }
}

fn to_do_with(step: &Step) -> String {
    let name = step.release.name();
    match step.action {
        Action::Import => format!("import {name}: {}, {}", count(step.blobs, "blob"), size(step.bytes)),
        Action::Repair => format!("bring back what is missing of {name}"),
        Action::Nothing => format!("nothing with {name}: it is here already"),
    }
}

fn reason(passed: &Passed) -> String {
    match &passed.why {
        Why::Here => "it is here already".to_owned(),
        Why::Older => "it is below what runs or ran here".to_owned(),
        Why::Withdrawn => "it is below the floor".to_owned(),
        Why::OutOfReach { missing } if missing.is_empty() => "no step leads to it".to_owned(),
        Why::OutOfReach { missing } => {
            let missing: Vec<&str> = missing.iter().map(sealift_archive::Version::as_str).collect();
            format!("no step leads to it without {}", missing.join(" or "))
        }
        _ => "it is not needed".to_owned(),
    }
}

pub(super) fn conclude(done: &Done) -> String {
    let name = done.plan.release.name();
    if !done.activations.is_empty() {
        return Lines::title(format_args!("{name} is active")).next(&["sealiftctl status".to_owned()]);
    }
    let what = |outcome: &Outcome| {
        let of_it = |step: &&Step| step.release == outcome.release;
        let action = done.plan.steps.iter().find(of_it).map_or(Action::Nothing, |step| step.action);
        let (name, state) = (outcome.release.name(), &outcome.state);
        match action {
            Action::Import => format!("{name} is {state}"),
            Action::Repair => format!("{name} is {state} and whole again"),
            Action::Nothing => format!("{name} is {state} already; nothing was to be done"),
        }
    };
    let told: Vec<String> = done.outcomes.iter().map(what).collect();
    let next = done.outcomes.iter().filter(|outcome| outcome.state == State::Staged);
    let next: Vec<String> = next.map(|outcome| activate(&outcome.release)).collect();
    Lines::title(told.join("\n")).next(&next)
}

fn activate(release: &Subject) -> String {
    format!("sealiftctl activate {}", release.version)
}
