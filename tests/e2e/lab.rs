//! The lab is played to its end, without the machine whose power goes (`make lab` has that one): every step as it should be,
//! nothing that tried to leave, and a report of it.

use std::process::Command;

use sealift_tests::{binaries, process, scratch};

#[test]
fn the_whole_story_is_played_and_nothing_leaves_the_gap() {
    let dir = scratch();
    let folder = dir.path().join("lab");
    let mut lab = Command::new(binaries::path("sealift-lab"));
    let told = process::text(lab.args(["--without-vm", "-o"]).arg(&folder));
    for wanted in [
        "alice and bob sign releases",
        "1.1.0 is what stable names",
        "the archive as it was, byte for byte",
        "1.1.0 is active on every node",
        "what came by stick and by network is the same",
        "0 packets tried to leave",
        "who does try is counted",
    ] {
        assert!(told.contains(wanted), "{wanted}:\n{told}");
    }
    let read = |name: &str| fs_err::read_to_string(folder.join(name)).expect("a report");
    let (page, text) = (read("report.html"), read("report.md"));
    for place in ["node 1", "node 2", "node 3", "online"] {
        assert!(text.contains(&format!("- {place}: 0\n")), "{place}: {text}");
    }
    for wanted in ["<svg", "sealiftctl --store node-1/store import", "left out by `--without-vm`"] {
        assert!(page.contains(wanted), "{wanted} is not in the report");
    }

    // A folder of somebody else is left alone.
    let theirs = dir.path().join("theirs");
    fs_err::create_dir(&theirs).expect("a folder");
    fs_err::write(theirs.join("notes"), "mine").expect("a file");
    let mut lab = Command::new(binaries::path("sealift-lab"));
    let refused = process::refusal(lab.args(["--without-vm", "-o"]).arg(&theirs));
    assert!(refused.contains("was not made by the lab") && theirs.join("notes").exists(), "{refused}");
}
