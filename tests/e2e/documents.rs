//! What the documents say about the code is so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Rooms whose errors have codes.
const ROOMS: [&str; 6] = ["archive", "fetch", "store", "bundler", "importer", "registry-shim"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

#[test]
fn every_error_code_is_documented_and_every_documented_one_exists() {
    // In each `fn code`: `Self::Name { .. } => 101,`
    let in_code: BTreeSet<u16> = ROOMS
        .iter()
        .flat_map(|room| {
            let text = read(&format!("{room}/src/error.rs"));
            let codes = text
                .lines()
                .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" => ")?.1.parse().ok());
            codes.collect::<Vec<u16>>()
        })
        .collect();
    let documented: BTreeSet<u16> = read("docs/errors.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| SL0")?.split_once(' ')?.0.parse().ok())
        .collect();
    assert!(in_code.len() > 50, "codes are found: {in_code:?}");
    assert_eq!(in_code, documented);
}

#[test]
fn the_readme_opens_with_the_two_commands() {
    let readme = read("README.md");
    let opening: Vec<&str> = readme.lines().take(10).collect();
    for command in ["make demo", "make test"] {
        assert!(opening.iter().any(|line| line.starts_with(command)), "{command} in {opening:?}");
    }
}

#[test]
fn every_page_that_is_linked_is_there() {
    for page in ["README.md", "CONTRIBUTING.md"] {
        for target in read(page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root().join(target).exists(), "{page} links to {target}");
        }
    }
}
