//! `gc` as an operator uses it: it says what it will do, then does that and nothing else.

use fs_err as fs;
use serde_json::Value;

use crate::sealiftctl::Appliance;
use crate::vendor::{ACME, Offer, contents};

/// Widest line for people, in characters.
const MAX_WIDTH: usize = 80;

/// A run: exit status, standard output, standard error.
fn run(appliance: &Appliance, args: &[&str]) -> (i32, String, String) {
    let output = appliance.run(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.lines().all(|line| line.chars().count() <= MAX_WIDTH), "{said}");
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json(appliance: &Appliance, args: &[&str]) -> Value {
    serde_json::from_slice(&appliance.run(&[&["--json"], args].concat()).stdout).unwrap()
}

/// Words of a row, without the sizes, which are the file system's.
fn rows(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with("  "));
    let words = |row: &str| {
        row.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    rows.map(|row| words(row).join(" | ")).collect()
}

#[test]
fn what_goes_is_told_and_then_gone() {
    let appliance = Appliance::with_releases(1..=5);
    let table = [
        "GOES | WHY",
        "acme 1.2 (sequence 2) | it ran before those that stay",
        "acme 1.1 (sequence 1) | it ran before those that stay",
        "STAYS | WHY",
        "acme 1.3 (sequence 3) | one of the last that ran",
        "acme 1.4 (sequence 4) | a rollback leads to it",
        "acme 1.5 (sequence 5) | it runs",
    ];
    let (status, told, _) = run(&appliance, &["gc", "--plan"]);
    assert_eq!((status, rows(&told)), (0, strings(&table)), "{told}");
    assert!(run(&appliance, &["status"]).1.contains("\n  gc          would free "));
    let plan = json(&appliance, &["gc", "--plan"]);
    assert_eq!(appliance.store().releases().unwrap().len(), 5, "and nothing is done");

    let blobs = || fs::read_dir(appliance.path("store/blobs/sha256")).unwrap().count();
    // Each release has three blobs, two of them also in the next one.
    assert_eq!(blobs(), 7);
    let (status, done, told) = run(&appliance, &["gc"]);
    assert_eq!((status, rows(&told)), (0, strings(&table)), "{told}");
    assert!(done.starts_with("Freed ") && blobs() == 5, "{done}");
    assert!(plan["freedBytes"].as_u64().unwrap() >= 200_000, "{plan}");
    assert_eq!(plan["items"][0]["why"], "old");
    assert_eq!(plan["stays"][2]["why"], "active");

    appliance.done(&["verify"]);
    let (status, done, told) = run(&appliance, &["gc"]);
    assert_eq!((status, told.as_str()), (0, ""));
    assert!(done.starts_with("Nothing can be removed\n"), "{done}");
    assert!(run(&appliance, &["history"]).1.contains("acme 1.2 (sequence 2), acme 1.1 (sequence 1)"));
    assert!(!run(&appliance, &["status"]).1.contains("would free"));
    appliance.done(&["rollback"]);
    appliance.done(&["verify"]);
}

#[test]
fn an_import_goes_only_if_it_is_given_up() {
    let appliance = Appliance::with_releases(1..=1);
    // Its last content is damaged, so it stops after the first.
    let bundle = Offer::new(&ACME, 2, contents(40..60, 100_000)).pack(&ACME, appliance.dir.path());
    crate::sealiftctl::flip_a_byte(&bundle);
    let bundle = bundle.to_str().unwrap();
    assert_eq!(appliance.run(&["import", bundle]).status.code(), Some(3));
    let (status, told, _) = run(&appliance, &["gc"]);
    assert_eq!(status, 0);
    assert!(told.contains("import of acme 1.2 ") && told.contains("Nothing can be removed"), "{told}");
    let (status, _, told) = run(&appliance, &["gc", "--unfinished"]);
    assert_eq!((status, rows(&told)[1].as_str()), (0, "import of acme 1.2 | given up"), "{told}");
    assert_eq!(fs::read_dir(appliance.path("store/incoming")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(appliance.path("store/blobs/sha256")).unwrap().count(), 3);
    appliance.done(&["verify"]);
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
