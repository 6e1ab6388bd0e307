//! Collections on real stores: with Git repositories, and cut short anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::LazyLock;

use fs_err as fs;
use sealift_archive::{BlobSink as _, Digest, Refs, RepositoryName, Unwatched};

use super::*;
use crate::fixture::{Content, Place, fleet_in_packs};
use crate::git::Git;
use crate::mirror;

/// As many releases as there are in the tests.
pub(super) const RELEASES: u64 = 7;
/// Those that have no Git repository.
pub(super) const WITHOUT_GIT: [u64; 2] = [4, 5];

/// Release N shares content with all, with a neighbour, and with nobody; its repository has all commits up to its own, a pack
/// each.
pub(super) static CONTENTS: LazyLock<BTreeMap<u64, Content>> = LazyLock::new(|| {
    let content = |number: u64| {
        let mut refs = Refs::default();
        let mut contents =
            vec![b"common".to_vec(), format!("pair {}", number / 2).into(), format!("own {number}").into()];
        if !WITHOUT_GIT.contains(&number) {
            let (repository, packs) = fleet_in_packs(&vec![1; usize::try_from(number).unwrap()]);
            refs.git.insert(fleet(), repository);
            contents.extend(packs);
        }
        let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let from_all = |statement: &mut sealift_archive::Statement| {
            statement.upgrade_from = (1..=RELEASES).map(|n| format!("1.{n}").parse().unwrap()).collect();
        };
        Content::with(number, &contents, refs, from_all)
    };
    (1..=RELEASES).map(|number| (number, content(number))).collect()
});

pub(super) fn fleet() -> RepositoryName {
    "fleet".parse().unwrap()
}

pub(super) fn sequence(number: u64) -> Sequence {
    number.try_into().unwrap()
}

/// A store where these releases ran, one after the other.
fn place_after(numbers: impl IntoIterator<Item = u64>) -> Place {
    let place = Place::new();
    run(&place, numbers);
    place
}

/// Lets these releases run, one after the other.
pub(super) fn run(place: &Place, numbers: impl IntoIterator<Item = u64>) {
    let writer = place.writer();
    for number in numbers {
        CONTENTS[&number].stage(&writer).unwrap();
        writer.activate(sequence(number)).unwrap();
    }
}

/// A store where four releases ran, each with one pack that no other has.
fn place_with_packs_of_their_own() -> Place {
    let place = Place::new();
    let writer = place.writer();
    for (number, commits) in [(1, 4), (2, 3), (3, 2), (4, 1)] {
        Content::with_git(number, commits).stage(&writer).unwrap();
        writer.activate(sequence(number)).unwrap();
    }
    place
}

fn collect(place: &Place) -> Collection {
    place.writer().collector(GiveUp::Expired).unwrap().collect().unwrap()
}

/// Begins the import of a release, loads its first blob and breaks off.
pub(super) fn begin(writer: &Writer, number: u64) {
    let content = &CONTENTS[&number];
    let need = writer.need(&[&content.release]).unwrap();
    let incoming = writer.begin(&content.release, "a stick", &need).unwrap();
    let Some(first) = need.missing.first() else { return };
    let intake = incoming.intake().unwrap();
    let mut blob = intake.open(*first).unwrap();
    blob.write(&content.blobs[&first.digest]).unwrap();
    blob.finish().unwrap();
    intake.finish().unwrap();
}

pub(super) fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(super) fn blobs(place: &Place) -> BTreeSet<Digest> {
    names(&place.store.blobs_dir()).iter().map(|hex| Digest::from_hex(hex).unwrap()).collect()
}

/// What the mirror has: its namespaces and packs, with the number of names that each of them has.
pub(super) fn git(place: &Place) -> Option<(BTreeSet<String>, Vec<u64>)> {
    let dir = place.store.git_path(&fleet());
    if !dir.exists() {
        return None;
    }
    let refs = mirror::refs_outside(&Git { dir: dir.clone(), repository: fleet() }, |_| false).unwrap();
    let namespaces = refs.iter().map(|name| name.split('/').nth(2).unwrap().to_owned()).collect();
    let packs = mirror::pack_stems(&dir).unwrap();
    let pack = |stem: &String| dir.join(format!("objects/pack/pack-{stem}.pack"));
    Some((namespaces, packs.iter().map(|stem| fs::metadata(pack(stem)).unwrap().nlink()).collect()))
}

fn expect_whole(place: &Place, when: &str) {
    let verdict = place.store.verify(&Unwatched).unwrap();
    assert!(verdict.is_whole(), "{when}: {:?}", verdict.findings);
}

/// What all files take, each once, apart from those that a collection does not count.
fn allocated(place: &Place) -> u64 {
    fn walk(dir: &Path, files: &mut BTreeMap<u64, u64>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() && entry.file_name() != "refs" {
                walk(&entry.path(), files);
            } else if entry.file_type().unwrap().is_file() && entry.file_name() != "audit.jsonl" {
                let meta = entry.metadata().unwrap();
                files.insert(meta.ino(), meta.blocks() * 512);
            }
        }
    }
    rustix::fs::syncfs(fs::File::open(place.dir.path()).unwrap().file()).unwrap();
    let mut files = BTreeMap::new();
    walk(place.dir.path(), &mut files);
    files.values().sum()
}

#[test]
fn what_no_release_needs_goes_and_is_counted() {
    let place = place_after(1..=3);
    let nothing = collect(&place);
    assert!(nothing.is_empty() && nothing.steps.is_empty(), "{nothing:?}");
    assert!(!place.store.audit().unwrap().iter().any(|r| matches!(r.event, Event::Collected { .. })));

    for number in [6, 7] {
        CONTENTS[&number].stage(&place.writer()).unwrap();
        place.writer().activate(sequence(number)).unwrap();
    }
    let before = allocated(&place);
    let done = collect(&place);
    assert_eq!(before - allocated(&place), done.freed_bytes, "{done:?}");
    assert_eq!(place.states(), ["3 retained", "6 retained", "7 active"]);
    let lists = [3, 6, 7].map(|number| CONTENTS[&number].blobs.keys().copied());
    assert_eq!(blobs(&place), lists.into_iter().flatten().collect());
    let namespaces = ["3", "6", "7"].map(str::to_owned).into();
    assert_eq!(git(&place), Some((namespaces, vec![2; 7])), "all packs are those of release 7");
    let whats: Vec<String> = done.items.iter().map(|item| format!("{:?}", item.what)).collect();
    assert_eq!(whats.len(), 3, "{whats:?}");
    assert!(whats[2].contains("packs: 0, is_whole: false"), "{whats:?}");
    expect_whole(&place, "after it");
    assert!(collect(&place).is_empty(), "a second one has nothing to do");
    let told = place.store.audit().unwrap().into_iter().filter_map(|record| match record.event {
        Event::Collected { releases, .. } => Some(releases.len()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [2]);
    let back = place.writer().roll_back().unwrap();
    assert_eq!(back.to.sequence.get(), 6);
    expect_whole(&place, "after the way back");
}

#[test]
fn packs_go_once_no_release_has_them_and_count_once() {
    let place = place_with_packs_of_their_own();
    let repository = Git { dir: place.store.git_path(&fleet()), repository: fleet() };
    repository.run("pack-refs", &["--all"], "").unwrap();
    let plan = place.store.plan_collection(GiveUp::Expired).unwrap();
    let freed: Vec<u64> = plan.items.iter().map(|item| item.freed_bytes).collect();
    let pack = fs::metadata(place.store.blob_path(Content::with_git(1, 4).blobs.keys().next().unwrap()));
    assert!(freed[0] >= pack.unwrap().blocks() * 512, "the pack with its release: {freed:?}");
    let before = allocated(&place);
    let done = collect(&place);
    // Git writes the packed refs again.
    let packed_refs = 4096;
    assert!((before - allocated(&place)).abs_diff(done.freed_bytes) <= packed_refs);
    assert_eq!(git(&place), Some((["2", "3", "4"].map(str::to_owned).into(), vec![2; 3])));
    assert!(!fs::read_to_string(repository.dir.join("packed-refs")).unwrap().contains("namespaces/1/"));
    expect_whole(&place, "after it");
}

#[test]
fn a_repository_that_no_release_has_goes() {
    let place = place_after([1, 4, 5]);
    let without = Content::new(8, &[b"eight"]);
    // Release 1 is the third that ran, so it and its repository stay.
    assert!(collect(&place).is_empty());
    without.stage(&place.writer()).unwrap();
    Content::new(6, &[b"six"]).stage(&place.writer()).unwrap();
    place.writer().activate(sequence(6)).unwrap();
    let done = collect(&place);
    assert_eq!(place.states(), ["4 retained", "5 retained", "6 active", "8 staged"]);
    assert!(matches!(done.items.last().unwrap().what, What::Repository { packs: 1, is_whole: true, .. }));
    assert_eq!(names(&place.store.git_dir()).len(), 0);
    expect_whole(&place, "after it");
}

#[test]
fn an_unfinished_import_is_kept_until_it_expires_or_is_given_up() {
    let later = |days| audit::now() + time::Duration::days(days);
    let place = place_after([1]);
    begin(&place.writer(), 2);
    let loaded = blobs(&place);
    let to_come = place.store.missing(&CONTENTS[&2].release.blob_list)[0].digest;
    for begun in [to_come, Digest::of(b"nobody")] {
        fs::write(place.store.parts_dir().join(format!("{}.7", begun.hex())), b"content").unwrap();
    }
    fs::write(place.store.blob_path(&Digest::of(b"nobody's")), b"nobody's").unwrap();
    let done = collect(&place);
    assert!(
        matches!(
            done.items.iter().map(|item| &item.what).collect::<Vec<_>>().as_slice(),
            [What::Beginnings { count: 1 }, What::Content { blobs: 1 }]
        ),
        "{done:?}"
    );
    assert_eq!(done.unfinished.len(), 1);
    assert_eq!((blobs(&place), names(&place.store.parts_dir()).len()), (loaded.clone(), 1));

    assert!(place.store.plan_collection_at(later(13), GiveUp::Expired).unwrap().is_empty());
    let expired = place.store.plan_collection_at(later(15), GiveUp::Expired).unwrap();
    assert!(matches!(expired.items[0].what, What::Import { is_expired: true, .. }), "{expired:?}");
    let done = place.writer().collector(GiveUp::All).unwrap().collect().unwrap();
    assert!(matches!(done.items[0].what, What::Import { is_expired: false, .. }), "{done:?}");
    assert_eq!(blobs(&place), CONTENTS[&1].blobs.keys().copied().collect());
    assert_eq!((names(&place.store.parts_dir()).len(), names(&place.store.incoming_dir()).len()), (0, 0));
    expect_whole(&place, "after it");
    CONTENTS[&2].stage(&place.writer()).unwrap();
    expect_whole(&place, "after another try");
}

#[test]
fn an_import_does_not_keep_the_refs_of_another_release_of_its_sequence() {
    let place = place_with_packs_of_their_own();
    let writer = place.writer();
    let plan = writer.plan_collection(GiveUp::Expired).unwrap();
    assert!(matches!(plan.steps[0], steps::Step::Retire(_)), "release 1 goes first");
    plan.steps[0].take(&writer).unwrap();
    begin(&writer, 1);
    drop(writer);
    collect(&place);
    assert_eq!(git(&place).unwrap().0, ["2", "3", "4"].map(str::to_owned).into());
    CONTENTS[&1].stage(&place.writer()).unwrap();
    expect_whole(&place, "after the import");
}

#[test]
fn wherever_it_is_cut_short_the_store_is_whole_and_the_next_one_ends_it() {
    let begin_with = place_after([1, 2, 3, 6, 7]);
    begin(&begin_with.writer(), 5);
    let repository = Git { dir: begin_with.store.git_path(&fleet()), repository: fleet() };
    repository.run("pack-refs", &["--all"], "").unwrap();
    fs::write(begin_with.store.blob_path(&Digest::of(b"nobody's")), b"nobody's").unwrap();
    let whole = begin_with.copy();
    let steps = whole.writer().collector(GiveUp::All).unwrap().collect().unwrap().steps.len();
    assert!(steps > 10, "{steps}");
    for taken in 0..=steps {
        let place = begin_with.copy();
        let writer = place.writer();
        let plan = writer.plan_collection(GiveUp::All).unwrap();
        plan.steps[..taken].iter().try_for_each(|step| step.take(&writer)).unwrap();
        drop(writer);
        expect_whole(&place, &format!("after {taken} steps"));
        place.writer().collector(GiveUp::All).unwrap().collect().unwrap();
        assert_eq!(
            (place.states(), blobs(&place), git(&place)),
            (whole.states(), blobs(&whole), git(&whole)),
            "after {taken} steps"
        );
        for dir in ["releases", "git", "incoming"] {
            let left = names(&place.dir.path().join(dir));
            assert_eq!(left, names(&whole.dir.path().join(dir)), "after {taken} steps");
        }
        place.writer().roll_back().unwrap();
        expect_whole(&place, &format!("after {taken} steps and the way back"));
    }
}

#[test]
fn nothing_goes_if_it_is_not_known_what_stays() {
    let place = place_after(1..=4);
    let damage = |name: &str, content: &str| {
        let copy = place.copy();
        let file = copy.dir.path().join(name);
        fs::remove_file(&file).unwrap();
        fs::write(&file, content).unwrap();
        copy
    };
    for name in ["releases/3/blobs", "releases/4/release.json", "releases/2/refs.json"] {
        let error = damage(name, "{}").store.plan_collection(GiveUp::Expired).unwrap_err();
        assert!(matches!(error, Error::Unaccounted { is_import: false, .. }), "{name}: {error}");
    }
    // What goes anyway need not be read, and a state that cannot be read may have been any.
    for (name, gone) in [("releases/1/blobs", true), ("releases/1/state", false)] {
        let copy = damage(name, "{}");
        collect(&copy);
        assert_eq!(copy.store.release(sequence(1)).is_err(), gone, "{name}");
        assert!(copy.store.blob_path(&Digest::of(b"own 4")).exists());
    }
    let lost = damage("releases/4/state", "");
    fs::remove_file(lost.store.current_link()).unwrap();
    std::os::unix::fs::symlink("releases/9", lost.store.current_link()).unwrap();
    assert!(matches!(lost.store.plan_collection(GiveUp::Expired), Err(Error::BadPointer { .. })));

    begin(&place.writer(), 5);
    let import = place.store.incoming_dir().join(CONTENTS[&5].release.digest().hex());
    fs::write(import.join("release/blobs"), "").unwrap();
    let error = place.store.plan_collection(GiveUp::Expired).unwrap_err();
    assert!(matches!(error, Error::Unaccounted { is_import: true, .. }), "{error}");
    place.writer().collector(GiveUp::All).unwrap().collect().unwrap();
    expect_whole(&place, "after the import was given up");
}

#[test]
fn packs_are_left_alone_where_one_that_stays_has_no_name() {
    let place = place_with_packs_of_their_own();
    let pack = *Content::with_git(4, 1).blobs.keys().next().unwrap();
    fs::remove_file(place.store.blob_path(&pack)).unwrap();
    collect(&place);
    let (namespaces, packs) = git(&place).unwrap();
    assert_eq!((namespaces, packs.len()), (["2", "3", "4"].map(str::to_owned).into(), 4));
}

#[test]
fn who_reads_meanwhile_notices_nothing() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    let place = place_after([1, 2, 3, 6, 7]);
    let is_done = AtomicBool::new(false);
    let read = |number: u64| {
        let release = place.store.release(sequence(number)).unwrap();
        let refs = release.refs().unwrap();
        for blob in release.blob_list().unwrap().iter() {
            assert_eq!(Digest::of(&fs::read(place.store.blob_path(&blob.digest)).unwrap()), blob.digest);
        }
        let git = Git { dir: place.store.git_path(&fleet()), repository: fleet() };
        let main = format!("refs/namespaces/{number}/{}", refs.git[&fleet()].head);
        let objects = git.run("rev-list", &["--objects", &main], "").unwrap();
        assert!(objects.lines().count() >= 3 * usize::try_from(number).unwrap(), "{objects}");
        assert!(place.store.releases().unwrap().len() >= 3);
    };
    std::thread::scope(|scope| {
        for number in [3, 6, 7] {
            let (is_done, read) = (&is_done, &read);
            scope.spawn(move || {
                while !is_done.load(SeqCst) {
                    read(number);
                }
                read(number);
            });
        }
        let collected = place.writer().collector(GiveUp::Expired).unwrap().collect();
        is_done.store(true, SeqCst);
        assert!(!collected.unwrap().is_empty());
    });
}
