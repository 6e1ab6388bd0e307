//! Releases that come on several sticks: in any order, in one run or in several, cut, swapped, pulled out.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal};
use sealift_archive::split::{Order, plan_split};
use sealift_archive::{Bundle, Explain as _, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::Engine;
use sealift_importer::import::{execute, plan};
use sealift_importer::volumes::Search;
use sealift_store::{RootFile, Store};
use tempfile::TempDir;

use crate::vendor::{ACME, OTHER, Offer, Vendor, contents};

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// The volumes of a release, each in a folder of its own, and an appliance.
struct Courier {
    dir: TempDir,
    offer: Offer,
    volumes: Vec<PathBuf>,
}

impl Courier {
    /// Volumes of 300 KiB, with a few small blobs in each.
    fn small() -> Self {
        Self::of(contents(0..30, 40_000), 300 << 10)
    }

    /// Volumes of 5 MB, with blobs that lie in two of them.
    fn large() -> Self {
        Self::of(contents(0..2, 6 * MIB), 5_000_000)
    }

    fn of(contents: Vec<Vec<u8>>, volume_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let offer = Offer::new(&ACME, 1, contents);
        let volumes = split(&offer, &ACME, dir.path(), volume_bytes);
        assert!(volumes.len() > 2, "{volumes:?}");
        ACME.write_root(dir.path());
        let courier = Self { dir, offer, volumes };
        courier.expect(&["trust", "pin", "root.json"], 0);
        courier
    }

    /// A stick with these volumes, counted from 1.
    fn stick(&self, name: &str, numbers: &[usize]) -> PathBuf {
        let stick = self.dir.path().join(name);
        fs::create_dir(&stick).unwrap();
        self.fill(&stick, numbers);
        stick
    }

    fn fill(&self, stick: &Path, numbers: &[usize]) {
        for &number in numbers {
            let volume = &self.volumes[number - 1];
            fs::copy(volume, stick.join(volume.file_name().unwrap())).unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("sealiftctl"));
        command.current_dir(self.dir.path()).args(["--store", "store"]).args(args);
        command.env_remove("SEALIFT_STORE").stdin(Stdio::null());
        command
    }

    /// What was said on standard error by a run that ends so.
    fn expect(&self, args: &[&str], status: i32) -> String {
        let Output { status: ended, stderr, .. } = self.command(args).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(ended.code(), Some(status), "{args:?}: {said}");
        said
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("store")).unwrap()
    }

    fn is_staged(&self) -> bool {
        !self.store().releases().unwrap().is_empty()
    }

    fn expect_whole(&self) {
        assert!(self.is_staged());
        assert!(self.store().verify(&Unwatched).unwrap().is_whole());
        for part in ["parts", "incoming"] {
            assert_eq!(fs::read_dir(self.dir.path().join("store").join(part)).unwrap().count(), 0, "{part}");
        }
    }
}

/// Packs an offer and cuts it into volumes, in a folder of its own.
pub(crate) fn split(offer: &Offer, vendor: &Vendor, dir: &Path, volume_bytes: u64) -> Vec<PathBuf> {
    let archive = offer.pack(vendor, dir);
    let bundle = Bundle::open(&archive, &vendor.root).unwrap();
    let folder = dir.join(format!("volumes-of-{}", bundle.packing_digest().short()));
    let size = volume_bytes.to_string().parse().unwrap();
    let order = Order { dir: &folder, name: "acme", size, only: None };
    let done = plan_split(&bundle, &order).unwrap().execute(&Unwatched).unwrap();
    done.files.into_iter().map(|file| file.path).collect()
}

#[test]
fn sticks_come_one_after_the_other_in_runs_of_their_own() {
    let courier = Courier::large();
    let count = courier.volumes.len();
    for number in 1..count {
        let name = number.to_string();
        courier.stick(&name, &[number]);
        let plan = courier.command(&["--json", "import", &name, "--plan"]).output().unwrap();
        let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["volumes"]["count"], count);
        assert_eq!(plan["volumes"]["missing"].as_array().unwrap().len(), count - 1);
        assert!(plan["volumes"]["atHandBytes"].as_u64().unwrap() > 0, "{plan}");
        let said = courier.expect(&["import", &name], 7);
        assert!(said.contains("error[SL0513]"), "{said}");
        assert!(said.contains(&format!("1 of {count} at hand, still needed: ")), "{said}");
        assert!(!courier.is_staged(), "after volume {number}");
    }
    assert!(fs::read_dir(courier.dir.path().join("store/parts")).unwrap().next().is_some(), "a part is kept");
    courier.stick("last", &[count]);
    courier.expect(&["import", "last"], 0);
    courier.expect_whole();
}

#[test]
fn a_revocation_counts_from_the_first_stick_on() {
    let courier = Courier::small();
    let revoked = courier.offer.pack(&ACME, courier.dir.path());
    let later = ACME.with_another_key();
    let offer = Offer::new(&later, 2, contents(30..60, 40_000));
    let volumes = split(&offer, &later, courier.dir.path(), 300 << 10);
    courier.expect(&["import", revoked.to_str().unwrap(), "--plan"], 0);
    let stick = courier.dir.path().join("stick");
    fs::create_dir(&stick).unwrap();
    fs::copy(&volumes[0], stick.join("acme.001.tar.zst")).unwrap();
    courier.expect(&["import", "stick", "--plan"], 0);
    assert_eq!(courier.store().trust().unwrap().newest().version(), 1, "a plan changes nothing");
    courier.expect(&["import", "stick"], 7);
    assert_eq!(courier.store().trust().unwrap().newest().version(), 2);
    courier.expect(&["import", revoked.to_str().unwrap()], 3);
    assert!(!courier.is_staged());
}

#[test]
fn a_front_that_was_damaged_is_kept_anew() {
    let courier = Courier::small();
    let rest: Vec<usize> = (2..=courier.volumes.len()).collect();
    courier.stick("1", &[1]);
    courier.expect(&["import", "1"], 7);
    let incoming = courier.dir.path().join("store/incoming");
    let front = incoming.join(courier.offer.release.digest().hex()).join("front");
    let good = fs::read(&front).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&front, bad).unwrap();
    courier.expect(&["import", "1"], 7);
    assert!(fs::read(&front).unwrap() == good);
    courier.stick("rest", &rest);
    courier.expect(&["import", "rest"], 0);
    courier.expect_whole();
}

#[test]
fn once_a_set_was_found_no_other_archive_stands_for_it() {
    let courier = Courier::small();
    let stick = courier.stick("stick", &[1]);
    let mut search = Search::new(vec![stick.clone()]);
    search.open(&courier.store()).unwrap();
    fs::remove_dir_all(&stick).unwrap();
    fs::create_dir(&stick).unwrap();
    Offer::new(&ACME, 2, contents(60..62, 40_000)).pack(&ACME, &stick);
    assert!(search.is_gone());
    assert_eq!(search.open(&courier.store()).unwrap_err().code().to_string(), "SL0164");
    courier.fill(&stick, &[2]);
    assert_eq!(search.open(&courier.store()).unwrap().parts().unwrap().missing[0], 1);
}

#[test]
fn sticks_come_in_any_order() {
    let courier = Courier::large();
    let count = courier.volumes.len();
    for number in 1..=count {
        courier.stick(&number.to_string(), &[number]);
    }
    // Nothing can be said without the first.
    let said = courier.expect(&["import", "2"], 7);
    assert!(said.contains("SL0513") && said.contains("volume 1 of"), "{said}");
    let mut rounds = 0;
    let mut seen = Vec::new();
    let mut next = vec![1, count];
    while let Some(number) = next.pop() {
        rounds += 1;
        seen.push(number);
        assert!(rounds < 3 * count, "it comes to an end");
        let output = courier.command(&["import", &number.to_string()]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => break,
            Some(7) if next.is_empty() => {
                // Whoever brings what is asked for is done soon.
                let asked = said.split("error[SL0513]: volume").nth(1).unwrap();
                let asked = asked.trim_start_matches('s').trim_start();
                let digits: String = asked.chars().take_while(char::is_ascii_digit).collect();
                let asked: usize = digits.parse().unwrap();
                // Of what has come before nobody asks for more than the end of a blob that begins elsewhere.
                assert!(seen.iter().filter(|&&seen| seen == asked).count() < 2, "{said}");
                next.push(asked);
            }
            Some(7) => {}
            other => panic!("{other:?}: {said}"),
        }
        assert!(!courier.is_staged());
    }
    courier.expect_whole();
}

#[test]
fn all_sticks_at_once_are_one_import() {
    let courier = Courier::small();
    let all: Vec<usize> = (1..=courier.volumes.len()).collect();
    courier.stick("even", &all.iter().copied().filter(|n| n % 2 == 0).collect::<Vec<_>>());
    courier.stick("odd", &all.iter().copied().filter(|n| n % 2 == 1).collect::<Vec<_>>());
    fs::write(courier.dir.path().join("odd/._acme.001.tar.zst"), [0, 5, 22, 7]).unwrap();
    let foreign =
        split(&Offer::new(&OTHER, 7, contents(90..120, 40_000)), &OTHER, courier.dir.path(), 300 << 10);
    fs::copy(&foreign[1], courier.dir.path().join("odd/acme.009.tar.zst")).unwrap();
    // Which of the two is meant has to be said where folders hold both.
    assert!(courier.expect(&["import", "even", "odd"], 2).contains("SL0163"));
    let said = courier.expect(&["import", "even", "odd/acme.001.tar.zst"], 0);
    assert!(said.contains("is macOS's own") && said.contains("is a volume of another set"), "{said}");
    courier.expect_whole();
}

/// A run that is watched.
struct Watched {
    child: Child,
    log: PathBuf,
}

impl Watched {
    fn start(courier: &Courier, args: &[&str]) -> Self {
        let log = courier.dir.path().join("log");
        let mut command = courier.command(args);
        let child = command
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap().into_parts().0)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until it has said something so often.
    fn await_said(&mut self, what: &str, times: usize) {
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap();
            if said.matches(what).count() >= times {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "`{what}` was not said: {said}");
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {said}");
            std::thread::yield_now();
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let code = self.child.wait().unwrap().code();
        fs::File::open(&self.log).unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

#[test]
fn an_import_waits_for_the_next_stick() {
    let courier = Courier::large();
    let stick = courier.stick("stick", &[1]);
    let first = stick.join("acme.001.tar.zst");
    let mut import = Watched::start(&courier, &["import", first.to_str().unwrap(), "--wait=60"]);
    for number in 2..=courier.volumes.len() {
        import.await_said("waiting for the next stick", number - 1);
        // The stick is taken out, and another one put in.
        fs::remove_dir_all(&stick).unwrap();
        fs::create_dir(&stick).unwrap();
        courier.fill(&stick, &[number]);
    }
    let (code, said) = import.end();
    assert_eq!(code, Some(0), "{said}");
    courier.expect_whole();
}

#[test]
fn whoever_waits_can_be_stopped_and_what_is_loaded_stays() {
    let courier = Courier::large();
    courier.stick("1", &[1]);
    let mut import = Watched::start(&courier, &["import", "1", "--wait"]);
    import.await_said("waiting for the next stick", 1);
    rustix::process::kill_process(Pid::from_child(&import.child), Signal::INT).unwrap();
    let (code, said) = import.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("error[SL0120]"), "{said}");
    // Nobody waits longer than was said.
    let said = courier.expect(&["import", "1", "--wait=1"], 7);
    assert!(said.contains("waiting") && said.contains("SL0513"), "{said}");
    courier.stick("rest", &(2..=courier.volumes.len()).collect::<Vec<_>>());
    courier.expect(&["import", "rest"], 0);
    courier.expect_whole();
}

/// Imports what lies in a folder into a store of its own; says whether it was staged.
fn import(courier: &Courier, place: &Path) -> Result<(), Error> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let root = RootFile { name: "root.json".to_owned(), root: ACME.root.clone(), signatures: None };
    let writer = store.lock("test").unwrap();
    writer.pin(&root).unwrap();
    let mut search = Search::new(vec![place.to_owned()]);
    let imported = search.open(&store).and_then(|medium| {
        let unverified = sealift_archive::bundle::Unverified::on(medium)?;
        let bundle = unverified.verify(store.trust()?)?;
        let plan = plan(&store, &bundle, false)?;
        search.keep(&writer, &bundle, plan.work().map(|step| &step.release.digest))?;
        execute(&writer, &bundle, plan, &Unwatched, &Engine::plain())
    });
    drop(writer);
    let staged = store.releases().unwrap();
    assert_eq!(imported.is_ok(), staged.len() == 1, "staged is what was imported");
    if imported.is_ok() {
        assert!(store.verify(&Unwatched).unwrap().is_whole());
        assert_eq!(staged[0].digest(), courier.offer.release.digest());
    }
    imported.map(drop)
}

#[test]
fn a_hundred_cut_volumes_are_never_staged() {
    const CASES: usize = 100;
    let courier = Courier::small();
    let stick = courier.stick("stick", &(1..=courier.volumes.len()).collect::<Vec<_>>());
    for case in 0..CASES {
        let good = &courier.volumes[case % courier.volumes.len()];
        let bad = stick.join(good.file_name().unwrap());
        let bytes = fs::read(good).unwrap();
        fs::write(&bad, &bytes[..case * (bytes.len() - 1) / (CASES - 1)]).unwrap();
        let error = import(&courier, &stick).unwrap_err();
        let code = error.code().to_string();
        assert!(["SL0112", "SL0160"].contains(&code.as_str()), "case {case}: {error}");
        let named = error.to_string();
        assert!(named.contains(bad.to_str().unwrap()) || code == "SL0160", "case {case}: {named}");
        fs::write(&bad, &bytes).unwrap();
    }
    import(&courier, &stick).unwrap();
}

#[test]
fn a_hundred_confused_sticks_are_staged_right_or_not_at_all() {
    const CASES: usize = 100;
    let courier = Courier::small();
    let count = courier.volumes.len();
    let foreign =
        split(&Offer::new(&ACME, 2, contents(60..90, 40_000)), &ACME, courier.dir.path(), 300 << 10);
    let good: Vec<Vec<u8>> = courier.volumes.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut staged = 0;
    for case in 0..CASES {
        let stick = courier.stick(&format!("stick{case}"), &(1..=count).collect::<Vec<_>>());
        let path = |number: usize| stick.join(courier.volumes[number].file_name().unwrap());
        let one = 1 + case % (count - 1);
        let other = 1 + (one + case / count) % (count - 1);
        match case % 5 {
            // Swapped.
            0 => {
                fs::write(path(one), &good[other]).unwrap();
                fs::write(path(other), &good[one]).unwrap();
            }
            // One in the place of another.
            1 => fs::write(path(one), &good[other]).unwrap(),
            // Another release's in its place.
            2 => drop(fs::copy(&foreign[one % foreign.len()], path(one)).unwrap()),
            // The header of one, the content of another.
            3 => fs::write(path(one), [&good[one][..176], &good[other][176..]].concat()).unwrap(),
            // Twice, and damaged the first time.
            _ => {
                let mut bad = good[one].clone();
                let middle = bad.len() / 2;
                bad[middle] ^= 1;
                fs::write(path(one), bad).unwrap();
                fs::write(stick.join("zzz.tar.zst"), &good[one]).unwrap();
            }
        }
        // By its first volume, so that it is clear what is meant.
        let outcome = import(&courier, &path(0));
        staged += usize::from(outcome.is_ok());
        let is_right = one == other || matches!(case % 5, 0);
        assert!(outcome.is_err() || is_right, "case {case} was staged");
        if let Err(error) = outcome {
            let code = error.code().to_string();
            assert!(["SL0112", "SL0160"].contains(&code.as_str()), "case {case}: {error}");
        }
        fs::remove_dir_all(&stick).unwrap();
    }
    assert!(staged >= CASES / 5, "those that are only swapped are good: {staged}");
}

#[test]
fn a_repair_takes_one_stick_after_the_other() {
    let courier = Courier::small();
    let all: Vec<usize> = (1..=courier.volumes.len()).collect();
    let (first, rest) = (courier.stick("first", &all[..1]), courier.stick("rest", &all[1..]));
    courier.expect(&["import", first.to_str().unwrap(), rest.to_str().unwrap()], 0);
    for blob in courier.offer.release.blob_list.iter() {
        fs::remove_file(courier.store().blob_path(&blob.digest)).unwrap();
    }
    let said = courier.expect(&["verify", "--repair", first.to_str().unwrap()], 7);
    assert!(said.contains("put in a stick with one of them"), "{said}");
    // The other one is enough now: what the first one held is here.
    courier.expect(&["verify", "--repair", rest.to_str().unwrap()], 0);
    courier.expect(&["verify"], 0);
    assert_eq!(fs::read_dir(courier.dir.path().join("store/incoming")).unwrap().count(), 0);
}
