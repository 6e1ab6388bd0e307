//! `k3s`: k3s on this node, from the releases of the store.

use clap::{Args, Subcommand};
use sealift_archive::Sequence;
use sealift_fetch::meter::Meter;
use sealift_store::Store;

use super::output::{Lines, Output, instant, size};
use super::{Cli, switch};
use crate::Error;
use crate::k3s::{Node, Plan, Snapshot, Status, Step, Watcher, What, parse_name};

#[derive(Debug, Subcommand)]
pub(super) enum K3sCommand {
    /// Install k3s from a release that is here, or mend what is missing of it
    #[command(after_help = "\
Of the active release, or else of the newest that is staged. Program and script come from the store, by their digests.
A first or single server makes the cluster's token; one that joins needs it in its file. What is as it should be is left
alone; what was cut off goes on with the same command.

Examples:
  sealiftctl k3s install --plan
  sealiftctl k3s install")]
    Install(TargetArgs),
    /// Go to the k3s of the next release; run by `activate`
    #[command(after_help = "\
Before anything changes it is looked whether versions follow each other, etcd is late enough, there is room, and the node is
well. Then token, program and a snapshot of etcd are kept. The point of no return is the first start of the new program.

As a hook of `activate`, in /etc/sealift/appliance.yaml:
  preflight: [{name: k3s, command: [/usr/bin/sealiftctl, k3s, upgrade, --check]}]
  hooks:
  - name: k3s
    command: [/usr/bin/sealiftctl, k3s, upgrade]
    undo: [/usr/bin/sealiftctl, k3s, downgrade]
    timeout: 1h
    pointOfNoReturn: true
    rollbackWarning: what Kubernetes was told since the upgrade is lost

Examples:
  sealiftctl k3s upgrade --release 1.6.0 --plan
  sealiftctl k3s upgrade --release 1.6.0 --check")]
    Upgrade(UpgradeArgs),
    /// Go back to the k3s before an upgrade; run by `rollback`
    #[command(after_help = "\
Only to what an upgrade on this node wrote down. If the new program was ever started, the snapshot of before is restored on a first
or single server, and what Kubernetes was told since is lost; servers that joined wait for the first one, and take its data.

Examples:
  sealiftctl k3s downgrade --release 1.5.0 --plan
  sealiftctl k3s downgrade --release 1.5.0")]
    Downgrade(TargetArgs),
    /// Show how k3s stands on this node
    Status,
    /// Save etcd now, together with the token
    #[command(after_help = "\
Examples:
  sealiftctl k3s snapshot
  sealiftctl k3s snapshot --name before-maintenance")]
    Snapshot {
        /// What it is called
        #[arg(long, default_value = "snapshot", value_parser = parse_name)]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Version or sequence of the release; as a hook, the one that is gone to
    #[arg(long, value_name = "RELEASE", env = "SEALIFT_SEQUENCE")]
    release: Option<String>,
    #[command(flatten)]
    plan: super::PlanArgs,
}

#[derive(Debug, Args)]
pub(super) struct UpgradeArgs {
    /// Version or sequence of the release; as a hook, the one that is gone to
    #[arg(long, value_name = "RELEASE", env = "SEALIFT_SEQUENCE")]
    release: String,
    /// See whether anything is in the way, and stop
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    plan: super::PlanArgs,
}

pub(super) fn k3s(cli: &Cli, output: Output, command: &K3sCommand) -> Result<(), Error> {
    let (config, store) = (cli.config()?, cli.store()?);
    // It shows nothing; it is here for Ctrl-C.
    let meter = Meter::of_command("k3s", 0, true)?;
    let node = match command {
        K3sCommand::Status => Node::look(&store, &config, &meter)?,
        _ => Node::open(&store, &config, &meter)?,
    };
    let release = |text: &Option<String>| text.as_ref().map(|text| find(&store, text)).transpose();
    match command {
        K3sCommand::Install(args) => {
            let plan = node.plan_install(release(&args.release)?)?;
            follow(output, &node, &plan, args.plan.plan)
        }
        K3sCommand::Upgrade(args) => {
            let plan = node.plan_upgrade(find(&store, &args.release)?)?;
            follow(output, &node, &plan, args.plan.plan || args.check)
        }
        K3sCommand::Downgrade(args) => {
            let plan = node.plan_downgrade(release(&args.release)?)?;
            follow(output, &node, &plan, args.plan.plan)
        }
        K3sCommand::Status => {
            let status = node.status()?;
            output.result(&status, || describe(&status))
        }
        K3sCommand::Snapshot { name } => {
            let snapshot = node.save_snapshot(name)?;
            output.result(&snapshot, || saved(&snapshot))
        }
    }
}

fn find(store: &Store, text: &str) -> Result<Sequence, Error> {
    switch::find(store, text)
}

fn follow(output: Output, node: &Node<'_>, plan: &Plan, is_plan: bool) -> Result<(), Error> {
    if !is_plan {
        node.execute(plan, &Told(output))?;
    }
    output.result(plan, || tell(plan, is_plan))
}

/// Tells a person.
struct Told(Output);

impl Watcher for Told {
    fn begin(&self, step: Step, number: usize, of: usize) {
        // If nobody can read it, the work itself still counts.
        let _ = self.0.remark(&format!("k3s {number}/{of} {step}\n"));
    }
}

fn tell(plan: &Plan, is_plan: bool) -> String {
    let Some(to) = &plan.to else { return "The release brings no k3s: nothing is to be done\n".to_owned() };
    let version = &to.version;
    if plan.steps.is_empty() {
        return format!("k3s {version} is as it should be: nothing is to be done\n");
    }
    if !is_plan {
        return format!("k3s {version} runs on node {}, and is well\n", plan.node);
    }
    let title = match (plan.what, &plan.from) {
        (What::Upgrade, Some(from)) => format!("Upgrade k3s {} to {version}", from.version),
        (What::Downgrade, Some(from)) => format!("Go back from k3s {} to {version}", from.version),
        _ => format!("Install k3s {version}"),
    };
    let is_point = |step: &Step| match plan.what {
        What::Upgrade => *step == Step::Start && !plan.is_beyond,
        What::Downgrade => matches!(step, Step::Restore | Step::Rejoin),
        What::Install => false,
    };
    let lines = plan.steps.iter().fold(Lines::title(title), |lines, step| {
        let point = if is_point(step) { "; the point of no return" } else { "" };
        lines.text(format_args!("  {step}{point}"))
    });
    lines.end()
}

fn describe(status: &Status) -> String {
    let title = match &status.installed {
        Some(installed) => format!("k3s {} on node {}", installed.version, status.node),
        None => format!("k3s is not installed on node {}", status.node),
    };
    let standing = match (status.is_active, &status.lacks) {
        (false, _) => "it does not run".to_owned(),
        (true, None) => "it runs, and is well".to_owned(),
        (true, Some(why)) => format!("it runs, and is not well: {why}"),
    };
    let changed = (status.installed.is_some() && !status.is_whole)
        .then_some("the program is not the one that was installed");
    let under_way = status.under_way.as_ref().map(|work| format!("{} to {}", work.what, work.to.version));
    let back = status.back.iter().map(|edition| edition.version.to_string()).collect::<Vec<_>>().join(", ");
    let scheduled = format!("{} by k3s, in {}", status.scheduled, status.scheduled_in.display());
    let lines = Lines::title(title)
        .line("role", status.role)
        .line("standing", standing)
        .line_if("wrong", changed)
        .line_if("etcd", status.etcd.as_ref())
        .line_if("under way", under_way)
        .line_if("back to", (!back.is_empty()).then_some(back))
        .line("snapshots", scheduled);
    let lines = status.snapshots.iter().fold(lines, |lines, snapshot| {
        let text = format!(
            "{}, {}, {}",
            snapshot.folder.display(),
            size(snapshot.content.size),
            instant(snapshot.time)
        );
        lines.line("", text)
    });
    lines.end()
}

fn saved(snapshot: &Snapshot) -> String {
    Lines::title("Saved etcd and its token")
        .line("folder", snapshot.folder.display())
        .line("size", size(snapshot.content.size))
        .text("The token opens what is in it: keep both as you keep a password.")
        .end()
}
