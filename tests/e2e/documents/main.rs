//! What the documents say about the code is so.

mod commands;
mod excerpt;
mod programs;
mod shell;

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

/// Every `error.rs` below a folder: a room with many errors keeps those of each of its parts there.
fn error_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(error_files(&path));
        } else if path.ends_with("error.rs") {
            found.push(path);
        }
    }
    found
}

/// The codes that a source file gives: in each `fn code`, `Self::Name { .. } => 101,`.
fn codes(file: &Path) -> Vec<u16> {
    let text = fs::read_to_string(file).expect("a source file");
    let code = |line: &str| line.trim().strip_suffix(',')?.split_once(" => ")?.1.parse().ok();
    text.lines().filter_map(code).collect()
}

#[test]
fn every_error_code_is_documented_and_every_documented_one_exists() {
    let mut in_code = BTreeSet::new();
    for file in ROOMS.iter().flat_map(|room| error_files(&root().join(room).join("src"))) {
        let codes = codes(&file);
        assert!(!codes.is_empty(), "codes are found in {}", file.display());
        for code in codes {
            assert!(in_code.insert(code), "{code} has one meaning only: {}", file.display());
        }
    }
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

/// The name by which a heading is linked.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

#[test]
fn every_page_and_heading_that_is_linked_is_there() {
    let pages = commands::files(&root().join("docs"), ".md");
    let in_docs = pages.iter().map(|page| page.strip_prefix(root()).expect("a page of the repository"));
    let in_docs = in_docs.map(|page| page.display().to_string());
    let others =
        ["README.md", "CONTRIBUTING.md", "packer/README.md", "gitops/README.md", "cloud-init/README.md"];
    let mut headings_linked = 0;
    for page in in_docs.chain(others.map(str::to_owned)) {
        for target in read(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&page).parent().expect("a folder");
            let file = if path.is_empty() { PathBuf::from(&page) } else { folder.join(path) };
            assert!(root().join(&file).exists(), "{page} links to {target}");
            if !heading.is_empty() {
                let text = read(file.to_str().expect("a path"));
                let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|found| found == heading), "{page} links to {target}");
                headings_linked += 1;
            }
        }
    }
    assert!(headings_linked > 10, "only {headings_linked} headings are linked");
}

#[test]
fn every_place_that_the_threat_model_names_is_there() {
    let page = read("docs/threat-model.md");
    let code = |part: (usize, &'_ str)| (part.0 % 2 == 1).then_some(part.1.to_owned());
    let mut tests = 0;
    for place in page.split("```").step_by(2).flat_map(|prose| prose.split('`').enumerate().filter_map(code))
    {
        let (file, test) = place.split_once("::").unwrap_or((&place, ""));
        let folder = file.split_once('/').map(|(folder, _)| root().join(folder));
        if folder.is_none_or(|folder| !folder.is_dir()) {
            continue;
        }
        assert!(root().join(file).exists(), "{place}");
        if !test.is_empty() {
            assert!(read(file).contains(&format!("fn {test}()")), "{place}");
            tests += 1;
        }
    }
    assert!(tests > 20, "only {tests} tests are named");
}
