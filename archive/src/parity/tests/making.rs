//! Making parity files, and finding their index again.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_same_files_make_the_same_parity() {
    let (one, other) = (Bench::new("10%", Some(60_000)), Bench::new("10%", Some(60_000)));
    assert!(one.plan.files.len() > 2);
    for (one, other) in one.plan.files.iter().zip(&other.plan.files) {
        let bytes = fs::read(&one.path).unwrap();
        assert!(bytes == fs::read(&other.path).unwrap());
        assert!(bytes.len() as u64 == one.bytes && one.bytes <= 60_000);
    }
    let left: BTreeSet<_> = fs::read_dir(one.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), LENGTHS.len() + one.plan.files.len(), "{left:?}");
}

#[test]
fn pages_of_the_index_are_found_at_either_end_of_any_file() {
    let bench = Bench::new("10%", Some(60_000));
    let index = bench.index();
    let pages = index.to_pages(1).len();
    let good: Vec<Vec<u8>> = bench.plan.files.iter().map(|file| fs::read(&file.path).unwrap()).collect();
    // All but one place of each page are wiped, each page in another place.
    for shift in 0..2 * good.len() {
        for (number, (file, bytes)) in bench.plan.files.iter().zip(&good).enumerate() {
            let mut bytes = bytes.clone();
            for page in 0..pages {
                for end in 0..2 {
                    if (page + shift) % (2 * good.len()) != 2 * number + end {
                        let at = if end == 0 { page * PIECE } else { bytes.len() - (page + 1) * PIECE };
                        bytes[at..at + PIECE].fill(0);
                    }
                }
            }
            fs::write(&file.path, bytes).unwrap();
        }
        let mender = Mender::find(&[bench.dir.path()], None).unwrap().unwrap();
        assert_eq!(mender.index, index, "{shift}");
        assert!(mender.parity.iter().all(|copies| copies.len() == 1), "{shift}: each knows which it is");
    }
    // One page in no place at all.
    for (file, bytes) in bench.plan.files.iter().zip(&good) {
        let mut bytes = bytes.clone();
        let len = bytes.len();
        bytes[PIECE] ^= 1;
        bytes[len - 2 * PIECE] ^= 1;
        fs::write(&file.path, bytes).unwrap();
    }
    let found = Mender::find(&[bench.dir.path()], Some(index.grid.set()));
    assert!(matches!(found, Err(Error::BadParity { .. })), "{found:?}");
}

#[test]
fn an_interrupted_making_goes_on_where_it_stopped() {
    let dir = TempDir::new().unwrap();
    // So many pieces that they are not all in memory at a time: 8,000 in 18 groups.
    let path = dir.path().join("acme.tar.zst");
    let content = noise(3, 8000 * PIECE - 5);
    fs::write(&path, &content).unwrap();
    let files = || Files::of(Digest::of(b"set"), 0, vec![(path.clone(), content.len() as u64)], "acme");
    let plan = |out: &str| {
        let out = dir.path().join(out);
        fs::create_dir_all(&out).unwrap();
        Plan::new(files(), "10%".parse().unwrap(), &out, None).unwrap()
    };
    let whole = plan("whole");
    whole.make(&Unwatched).unwrap();
    let expected = fs::read(&whole.files[0].path).unwrap();

    let again = plan("again");
    let stop = StopAfter(AtomicU64::new(again.archive_bytes * 9 / 10));
    assert!(matches!(again.make(&stop), Err(Error::Interrupted)));
    assert!(!again.files[0].path.exists());
    let partial = dir.path().join("again/acme.p01.par.partial");
    let journal = fs::read_to_string(dir.path().join("again/acme.p01.par.partial.journal")).unwrap();
    assert!(journal.lines().count() > 5, "{}", journal.lines().count());
    // A power cut took something of a group that the journal says is done; it is made again, and only it.
    let mut bytes = fs::read(&partial).unwrap();
    let place = usize::try_from(bytes.len() as u64 / 2).unwrap();
    bytes[place..place + PIECE].fill(0);
    fs::write(&partial, bytes).unwrap();
    again.make(&Unwatched).unwrap();
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
    let left = fs::read_dir(dir.path().join("again")).unwrap().count();
    assert_eq!(left, 1);
    // And once more, over what is there: the same. Over anything else: nothing.
    again.make(&Unwatched).unwrap();
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
    let other = Plan::new(files(), "5%".parse().unwrap(), &dir.path().join("again"), None).unwrap();
    assert!(matches!(other.make(&Unwatched), Err(Error::Occupied { .. })));
    assert!(fs::read(&again.files[0].path).unwrap() == expected);
}
