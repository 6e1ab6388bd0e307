//! Damage of all kinds, and repairing it into another folder.

use super::*;

#[test]
fn what_is_whole_needs_no_repair() {
    let bench = Bench::new("10%", None);
    let survey = bench.mender().survey(&Unwatched).unwrap();
    assert!(survey.is_whole() && survey.is_repairable(), "{survey:?}");
    let (groups, pieces, recovery) = (bench.plan.groups, bench.plan.group_pieces, bench.plan.recovery);
    assert_eq!((groups, pieces, recovery), (2, 245, 25));
    let repaired = bench.mender().repair(&bench.dir.path().join("into"), &Unwatched).unwrap().keep().unwrap();
    assert!(repaired.files.is_empty() && repaired.pieces == 0);
}

#[test]
fn a_thousand_flipped_bits_are_mended() {
    const CASES: usize = 25;
    const FLIPS: usize = 40;
    let bench = Bench::new("10%", None);
    let mut dice = Dice(7);
    for case in 0..CASES {
        for _ in 0..FLIPS {
            let number = 1 + dice.below(3);
            let (at, bit) = (dice.below(LENGTHS[number - 1]), dice.below(8));
            bench.change(number, |bytes| bytes[at] ^= 1 << bit);
        }
        let repaired = bench.expect_repaired(&format!("case {case}"));
        assert!((20..=FLIPS).contains(&repaired.pieces), "{case}: {}", repaired.pieces);
    }
}

#[test]
fn runs_of_zeros_and_cuts_are_mended() {
    let bench = Bench::new("10%", None);
    let mut dice = Dice(11);
    for case in 0..10 {
        for _ in 0..5 {
            let number = 1 + dice.below(3);
            let at = dice.below(LENGTHS[number - 1] - PIECE);
            bench.change(number, |bytes| bytes[at..at + PIECE].fill(0));
        }
        let repaired = bench.expect_repaired(&format!("zeros, case {case}"));
        assert!((5..=10).contains(&repaired.pieces), "{case}: {}", repaired.pieces);
    }
    // A group can lose 25 pieces, so both together lose 50 in one run.
    for cut in [1, 100, PIECE, 10 * PIECE, 49 * PIECE] {
        for number in 1..=3 {
            bench.change(number, |bytes| bytes.truncate(bytes.len() - cut));
            let repaired = bench.expect_repaired(&format!("{number} without its last {cut} bytes"));
            assert_eq!(repaired.files.len(), 1);
        }
    }
    bench.change(2, |bytes| bytes.extend_from_slice(b"more"));
    let repaired = bench.expect_repaired("something behind the end");
    assert_eq!((repaired.files.len(), repaired.pieces), (1, 0));
    bench.change(1, |bytes| bytes[100 * PIECE..149 * PIECE].fill(7));
    assert_eq!(bench.expect_repaired("a long run").pieces, 49);
}

#[test]
fn any_so_many_files_can_be_lost() {
    let bench = Bench::new("2", None);
    for lost in [&[1][..], &[2], &[3], &[1, 2], &[1, 3], &[2, 3]] {
        for &number in lost {
            fs::remove_file(bench.volume(number)).unwrap();
        }
        let repaired = bench.expect_repaired(&format!("{lost:?}"));
        let numbers: Vec<usize> = repaired.files.iter().map(|file| file.number).collect();
        assert_eq!(numbers, lost);
    }
}

#[test]
fn parity_that_is_damaged_itself_still_mends() {
    let bench = Bench::new("10%", Some(60_000));
    assert_eq!(bench.plan.recovery, 25);
    let good: Vec<Vec<u8>> = bench.plan.files.iter().map(|file| fs::read(&file.path).unwrap()).collect();
    let mut dice = Dice(23);
    for case in 0..10 {
        // One file is lost, the others have lost some pieces and pages.
        fs::remove_file(&bench.plan.files[1].path).unwrap();
        for file in [0, 2, 3] {
            let mut bytes = good[file].clone();
            for _ in 0..2 {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1;
            }
            fs::write(&bench.plan.files[file].path, bytes).unwrap();
        }
        for _ in 0..10 {
            let at = dice.below(LENGTHS[0]);
            bench.change(1, |bytes| bytes[at] ^= 0x40);
        }
        let mut mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
        let survey = mender.survey(&Unwatched).unwrap();
        assert!(survey.is_repairable() && !survey.parity_damages.is_empty(), "{case}: {survey:?}");
        assert!(survey.parity_damages.iter().any(|damage| damage.is_missing), "{case}");
        // Not more of them than bits were flipped, and none of the file that is not there.
        let flipped: usize = survey.parity_damages.iter().filter(|d| !d.is_missing).map(|d| d.pieces).sum();
        assert!((4..=6).contains(&flipped), "{case}: {survey:?}");
        let into = bench.dir.path().join("into");
        let repaired = mender.repair(&into, &Unwatched).unwrap().keep().unwrap();
        assert!(fs::read(&repaired.files[0].path).unwrap() == bench.content[0], "{case}");
        fs::remove_dir_all(&into).unwrap();
        bench.restore();
        for (file, bytes) in bench.plan.files.iter().zip(&good) {
            fs::write(&file.path, bytes).unwrap();
        }
    }
}

#[test]
fn beyond_its_power_it_says_what_is_lost() {
    let bench = Bench::new("10%", None);
    // 52 pieces in one run: 26 of each group, one too many.
    bench.change(1, |bytes| bytes[..52 * PIECE].fill(0));
    let survey = bench.mender().survey(&Unwatched).unwrap();
    let lacks: Vec<(u32, u32)> = survey.beyond.groups.iter().map(|lack| (lack.lost, lack.lacking)).collect();
    assert_eq!(lacks, [(26, 1), (26, 1)]);
    assert_eq!((survey.pieces, survey.beyond.pieces, survey.beyond.bytes), (52, 2, 52 * PIECE as u64));
    let into = bench.dir.path().join("into");
    let error = bench.mender().repair(&into, &Unwatched).unwrap_err();
    assert!(matches!(error, Error::BeyondParity { .. }));
    let said = error.to_string();
    for word in ["212992 bytes", "acme.001.tar.zst", "group 0 lacks 1 of 26", "group 1 lacks 1 of 26"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!into.exists(), "nothing is written");
    // One group within its power is no help to the other, and only the other is lost.
    bench.change(1, |bytes| bytes[..PIECE].copy_from_slice(&bench.content[0][..PIECE]));
    let survey = bench.mender().survey(&Unwatched).unwrap();
    assert_eq!((survey.beyond.groups.len(), survey.beyond.bytes), (1, 26 * PIECE as u64));
}

#[test]
fn what_one_copy_has_lost_another_may_have() {
    let bench = Bench::new("1%", None);
    let copy = bench.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(bench.volume(1), copy.join("acme.001.tar.zst")).unwrap();
    bench.change(1, |bytes| bytes[..100 * PIECE].fill(0));
    let damaged = copy.join("acme.001.tar.zst");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100 * PIECE..].fill(0);
    fs::write(&damaged, bytes).unwrap();
    let alone = Mender::find(&[bench.dir.path()], None).unwrap().unwrap().survey(&Unwatched).unwrap();
    assert!(!alone.is_repairable());
    let mut mender = Mender::find(&[bench.dir.path(), copy.as_path()], None).unwrap().unwrap();
    let repaired = mender.repair(&bench.dir.path().join("into"), &Unwatched).unwrap().keep().unwrap();
    assert_eq!((repaired.files.len(), repaired.pieces), (1, 0));
    assert!(fs::read(&repaired.files[0].path).unwrap() == bench.content[0]);
}

#[test]
fn a_volume_is_known_by_its_content_when_its_header_is_lost() {
    let bench = Bench::new("10%", None);
    // Names are swapped, and mean nothing.
    fs::rename(bench.volume(1), bench.dir.path().join("x.zst")).unwrap();
    fs::rename(bench.volume(2), bench.volume(1)).unwrap();
    fs::rename(bench.dir.path().join("x.zst"), bench.volume(2)).unwrap();
    for number in 1..=3 {
        bench.change(number, |bytes| bytes[..HEADER_BYTES].fill(0));
    }
    let mut mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
    let survey = mender.survey(&Unwatched).unwrap();
    assert_eq!(survey.pieces, 3, "{survey:?}");
    let into = bench.dir.path().join("into");
    for file in mender.repair(&into, &Unwatched).unwrap().keep().unwrap().files {
        assert!(fs::read(&file.path).unwrap() == bench.content[file.number - 1], "{file:?}");
    }
}

#[test]
fn an_interrupted_repair_leaves_nothing_that_counts() {
    let bench = Bench::new("10%", None);
    bench.change(2, |bytes| bytes[5000] ^= 1);
    let into = bench.dir.path().join("into");
    let mut mender = bench.mender();
    let files = {
        mender.survey(&Unwatched).unwrap();
        mender.repairs(&into)
    };
    let stop = StopAfter(AtomicU64::new(mender.repair_bytes(&files) / 2));
    assert!(matches!(mender.repair(&into, &stop), Err(Error::Interrupted)));
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
    // Nor does one whose result nobody wants, as it did not verify.
    drop(mender.repair(&into, &Unwatched).unwrap());
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
    bench.expect_repaired("at the second try");
}

#[test]
fn what_is_in_the_way_stays() {
    let bench = Bench::new("10%", None);
    bench.change(2, |bytes| bytes[5000] ^= 1);
    let damaged = fs::read(bench.volume(2)).unwrap();
    let error = bench.mender().repair(bench.dir.path(), &Unwatched).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert!(fs::read(bench.volume(2)).unwrap() == damaged);
}

#[test]
fn a_repair_goes_on_where_it_was_interrupted() {
    let bench = Bench::new("10%", None);
    let into = bench.dir.path().join("into");
    fs::create_dir(&into).unwrap();
    for number in [1, 2] {
        bench.change(number, |bytes| bytes[5000] ^= 1);
    }
    // The first copy has its name; of the second there is what a power cut left, and of a packer what it goes on with.
    let [first, second] = [1, 2].map(|number| into.join(bench.volume(number).file_name().unwrap()));
    fs::write(&first, &bench.content[0]).unwrap();
    fs::write(into.join("acme.002.tar.zst.repairing"), vec![7; 1_000_000]).unwrap();
    fs::write(into.join("acme.002.tar.zst.partial"), "packed").unwrap();
    let repaired = bench.mender().repair(&into, &Unwatched).unwrap().keep().unwrap();
    assert_eq!(repaired.files.len(), 2);
    assert!(fs::read(&first).unwrap() == bench.content[0] && fs::read(second).unwrap() == bench.content[1]);
    assert_eq!(fs::read(into.join("acme.002.tar.zst.partial")).unwrap(), b"packed");
    assert_eq!(fs::read_dir(&into).unwrap().count(), 3);
}

#[test]
fn volumes_of_one_name_in_different_folders_are_told_apart() {
    let bench = Bench::new("10%", None);
    for number in [1, 2] {
        let folder = bench.dir.path().join(format!("s{number}"));
        fs::create_dir(&folder).unwrap();
        bench.change(number, |bytes| bytes[5000] ^= 1);
        fs::rename(bench.volume(number), folder.join("v.tar.zst")).unwrap();
    }
    let places = [bench.dir.path().to_owned(), bench.dir.path().join("s1"), bench.dir.path().join("s2")];
    let mut mender = Mender::find(&places, None).unwrap().unwrap();
    let into = bench.dir.path().join("into");
    let repaired = mender.repair(&into, &Unwatched).unwrap().keep().unwrap();
    assert_eq!(repaired.files.len(), 2);
    for file in repaired.files {
        assert!(fs::read(&file.path).unwrap() == bench.content[file.number - 1], "{file:?}");
    }
}
