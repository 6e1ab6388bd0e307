//! The corpus of the fuzz targets is replayed: no promise is broken, and what fuzzing begins with is still what an honest
//! writer makes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a crate of its own to the fuzz targets")]
mod fuzz;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;
use fuzz::seeds::{self, Seed};

/// Set to write the seeds into the corpus anew, when the format has changed.
const WRITE_SEEDS: &str = "SEALIFT_WRITE_SEEDS";
/// The largest that the corpus may grow: everybody who clones the project has it.
const MAX_CORPUS_BYTES: u64 = 300 << 10;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn target(name: &str) -> fn(&[u8]) -> bool {
    TARGETS.into_iter().find(|(target, _)| *target == name).unwrap().1
}

/// The entries of the corpus: target, file, content.
fn corpus() -> Vec<(String, PathBuf, Vec<u8>)> {
    let list = |dir: &Path| fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let of_target = |folder: PathBuf| {
        let target = folder.file_name().unwrap().to_str().unwrap().to_owned();
        list(&folder)
            .map(move |file| (target.clone(), file.clone(), fs_err::read(file).unwrap()))
            .collect::<Vec<_>>()
    };
    list(&fuzz_folder().join("corpus")).flat_map(of_target).collect()
}

#[test]
fn seeds_are_told_apart() {
    for Seed { target: name, name: seed, bytes, is_honest } in seeds::all() {
        assert_eq!(target(name)(&bytes), is_honest, "{name}/{seed}");
    }
}

#[test]
fn the_corpus_breaks_no_promise_and_has_all_seeds() {
    let folder = fuzz_folder().join("corpus");
    if std::env::var_os(WRITE_SEEDS).is_some() {
        for seed in seeds::all() {
            let folder = folder.join(seed.target);
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join(seed.name), seed.bytes).unwrap();
        }
    }
    let corpus = corpus();
    for (name, file, bytes) in &corpus {
        let is_taken = target(name)(bytes);
        let is_honest = file.file_name().unwrap().to_str().unwrap().starts_with("honest-");
        assert!(is_taken || !is_honest, "`{}` is refused; {WRITE_SEEDS}=1 renews the seeds", file.display());
    }
    let there: BTreeSet<PathBuf> = corpus.iter().map(|(_, file, _)| file.clone()).collect();
    for seed in seeds::all() {
        let file = folder.join(seed.target).join(seed.name);
        assert!(there.contains(&file), "`{}` is missing; {WRITE_SEEDS}=1 writes the seeds", file.display());
    }
    let bytes: u64 = corpus.iter().map(|(_, _, bytes)| bytes.len() as u64).sum();
    assert!(bytes <= MAX_CORPUS_BYTES, "{bytes}");
}

#[test]
fn every_target_has_a_program() {
    let list = fs_err::read_dir(fuzz_folder().join("fuzz_targets")).unwrap();
    let programs: BTreeSet<String> =
        list.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(programs, TARGETS.map(|(name, _)| name.to_owned()).into());
    let manifest = fs_err::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let program = fs_err::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("sealift_archive_fuzz::{name}(bytes)")), "{name}: {program}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
