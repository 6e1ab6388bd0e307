//! The lab: the whole story on one machine, played with the real programs. A vendor, a courier with sticks, three nodes in network
//! namespaces that reach nobody, a machine whose power goes, and an appliance that is online.
//!
//! Every step has to succeed, or to be refused where it must be; every packet that a node tries to send elsewhere is counted. What
//! was played is written down in a report. Needs root, and what `tests/setup --power` installs.

mod book;
mod chapters;
mod figure;
mod nodes;
mod report;
mod stick;
mod vendor;

use std::io;
use std::path::PathBuf;

use clap::Parser;
use fs_err as fs;
use rustix::process::geteuid;

use crate::actors::Programs;
use crate::gap::Namespace;
use book::Book;
use chapters::Scene;
use nodes::{Cable, NODES, Node};
use report::Report;
use vendor::Vendor;

/// Play the whole story on this machine: vendor, courier, three nodes behind an air gap, a power cut
#[derive(Debug, Parser)]
#[command(
    name = "sealift-lab",
    after_help = "\
Examples:
  sealift-lab                  the whole story; the report is target/lab/report.html
  sealift-lab --without-vm     without the machine whose power goes (it needs user-mode-linux)
  sealift-lab -o /tmp/lab      everything into another folder"
)]
pub struct Options {
    /// Leave out the machine whose power goes
    #[arg(long)]
    without_vm: bool,
    /// Folder for everything; what an earlier run left in it goes
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// What marks a folder as one of ours, which may be emptied.
const MARK: &str = ".sealift-lab";

/// Plays the story and writes the report.
///
/// # Errors
/// Whatever goes wrong, with the output of the program that said so; then there is no report.
pub fn run(options: &Options) -> io::Result<()> {
    if !geteuid().is_root() {
        return Err(io::Error::other("network namespaces need root"));
    }
    let programs = Programs::built()?;
    let dir = fresh(options.output.clone().unwrap_or_else(|| programs.target().join("lab")))?;
    let mut book = Book::begin(
        "One release to an appliance of three nodes that reaches nobody",
        &[&dir, programs.dir(), &std::env::temp_dir()],
    )?;
    let outside = Namespace::new()?;
    let mut online = Node::online(&outside, &programs, &dir.join("online"))?;
    let vendor = Vendor::new(&programs, &dir.join("vendor"), &outside)?;
    let cable = Cable::lay()?;
    let mut nodes = (1..=NODES)
        .map(|number| Node::on(&cable, number, &programs, &dir.join(format!("node-{number}"))))
        .collect::<io::Result<Vec<_>>>()?;

    let root = vendor.root();
    let mut scene = Scene { book: &mut book, programs: &programs, root: &root };
    vendor.hold_key_ceremony(scene.book)?;
    let first = vendor.release(scene.book, "1.0.0", 1, None)?;
    vendor.publish(scene.book, &first, "1.0.0")?;
    let stick = scene.carry(&first)?;
    scene.carry_badly(&first, &dir)?;
    scene.begin(&mut nodes, &stick, &first)?;
    scene.join_online(&mut online, &vendor, &first)?;

    let second = vendor.release(scene.book, "1.1.0", 2, Some(&first.archive))?;
    vendor.publish(scene.book, &second, "1.1.0")?;
    let stick = scene.carry(&second)?;
    if !options.without_vm {
        scene.cut_the_power(&nodes[0], &second, &dir)?;
    }
    scene.upgrade(&nodes, &stick, &second)?;
    scene.follow_online(&online, &vendor, &nodes[0], &second)?;
    scene.go_back(&nodes, &first)?;
    let escaped = scene.count(&nodes, &online)?;

    let chapters =
        book.end(&format!("Nothing left the gap. The report: {}", dir.join("report.html").display()))?;
    let not_played = if options.without_vm { vec![WITHOUT_MACHINE] } else { Vec::new() };
    let not_played = not_played.into_iter().chain(NOT_PLAYED).collect();
    let report = Report { chapters, escaped, not_played };
    fs::write(dir.join("report.html"), report.html())?;
    fs::write(dir.join("report.md"), report.markdown())
}

const WITHOUT_MACHINE: &str = "A power cut in a machine of its own: left out by `--without-vm`.";
/// What the story has no part for.
const NOT_PLAYED: [&str; 3] = [
    "k3s: its binary cannot be had without its makers' site, so containers are pulled and not run.",
    "vSphere and Ubuntu's installer: neither can be had offline; the image's parts are tested apart.",
    "systemd: units are checked, and the programs are started by the lab.",
];

/// The folder, empty. One that is there and not ours is left alone.
fn fresh(dir: PathBuf) -> io::Result<PathBuf> {
    let is_empty = |dir: &PathBuf| Ok::<_, io::Error>(fs::read_dir(dir)?.next().is_none());
    if dir.exists() && !dir.join(MARK).exists() && !is_empty(&dir)? {
        return Err(io::Error::other(format!("`{}` is there and was not made by the lab", dir.display())));
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(MARK), "")?;
    fs::canonicalize(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_others_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let theirs = dir.path().join("theirs");
        fs::create_dir(&theirs).expect("a folder");
        fs::write(theirs.join("notes"), "mine").expect("a file");
        assert!(fresh(theirs.clone()).is_err() && theirs.join("notes").exists());
        let ours = fresh(dir.path().join("ours")).expect("a new one");
        fs::write(ours.join("left"), "over").expect("a file");
        assert!(!fresh(ours).expect("ours").join("left").exists());
    }
}
