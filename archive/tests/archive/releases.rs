//! Several releases in one file, and files that leave out what is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sealift_archive::format::HEAD_BYTES;
use sealift_archive::format::head::Head;
use sealift_archive::format::layout::{Layout, LeftOut, Storing};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::packer::{Front, Packer};
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, TrustRoot};
use sealift_archive::{
    Blob, BlobList, Bundle, Digest, Error, Explain as _, Release, ReleaseName, Source as _, Unwatched,
    copy_blob,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Memory, release_of};
use crate::other_reader::SecondReader;

/// One key for the trust root and one for everything else; making one takes half a second.
static ROOT_KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::generate(b"").unwrap().0);
static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::generate(b"").unwrap().0);
static ROOT: LazyLock<TrustRoot> = LazyLock::new(|| {
    let roles = [(RoleName::Root, &ROOT_KEY), (RoleName::Release, &KEY), (RoleName::Pack, &KEY)];
    TrustRoot::first(&roles.map(|(role, key)| (role, vec![key.public().clone()])).into()).unwrap()
});

/// Some content: stored if its number is even, else squeezed.
fn content(number: u8) -> Vec<u8> {
    let mut content = vec![number; 5000 * usize::from(number)];
    content.push(number);
    content
}

fn storing(digest: &Digest) -> Storing {
    let is_stored = (0..=20).step_by(2).any(|number| Digest::of(&content(number)) == *digest);
    if is_stored { Storing::Stored } else { Storing::Squeezed }
}

fn digests(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<Digest> {
    numbers.into_iter().map(|number| Digest::of(&content(number))).collect()
}

/// `acme 1.N` with sequence N and these contents.
fn release(sequence: u64, numbers: impl IntoIterator<Item = u8>) -> Release {
    named("acme", &format!("1.{sequence}"), sequence, numbers)
}

fn named(product: &str, version: &str, sequence: u64, numbers: impl IntoIterator<Item = u8>) -> Release {
    let mut blob_list = BlobList::default();
    numbers.into_iter().for_each(|number| blob_list.insert(Blob::of(&content(number))).unwrap());
    let name = ReleaseName {
        product: product.parse().unwrap(),
        version: version.parse().unwrap(),
        sequence: sequence.try_into().unwrap(),
    };
    release_of(name, blob_list)
}

fn left_out(needs: &[&Release], numbers: impl IntoIterator<Item = u8>) -> LeftOut {
    LeftOut { needs: needs.iter().map(|&r| NeededRelease::from(r)).collect(), blobs: digests(numbers) }
}

/// Packs what was planned, under the names of these releases.
fn pack(dir: &TempDir, name: &str, layout: Layout, releases: &[Release]) -> PathBuf {
    let path = dir.path().join(name);
    let packer = Packer::open(&path, layout, &Unwatched).unwrap();
    let contents: BTreeMap<Digest, Vec<u8>> =
        (0..=20).map(|n| (Digest::of(&content(n)), content(n))).collect();
    for blob in packer.missing() {
        copy_blob(blob, &mut contents[&blob.digest].as_slice(), &packer, &Unwatched).unwrap();
    }
    let mut roots = RootChain::default();
    roots.insert("root", ROOT.clone()).unwrap();
    let statements = releases.iter().map(|release| Signature::sign(&release.statement_bytes, &*KEY).unwrap());
    let signatures = statements.chain([Signature::sign(ROOT.bytes(), &*ROOT_KEY).unwrap()]).collect();
    let front = Front { releases, roots, signatures };
    packer.finish(front, 3, |packing| Ok(vec![Signature::sign(packing, &*KEY)?]), &Unwatched).unwrap().path
}

fn open(path: &Path) -> Result<Bundle, Error> {
    Bundle::open(path, &*ROOT)
}

#[test]
fn several_releases_share_their_content() {
    let dir = TempDir::new().unwrap();
    let releases = [release(3, 1..6), release(4, 3..8), release(6, 5..10)];
    let layout = Layout::plan(&releases, storing).unwrap();
    let bundle = open(&pack(&dir, "acme.tar.zst", layout, &releases)).unwrap();
    let names: Vec<String> = bundle.releases().iter().map(|r| r.statement.name().to_string()).collect();
    assert_eq!(names, ["acme 1.3 (sequence 3)", "acme 1.4 (sequence 4)", "acme 1.6 (sequence 6)"]);
    assert_eq!(bundle.contents().entries.len(), 9, "each once");
    assert!(bundle.needs().is_empty() && bundle.absent().is_empty());
    let added =
        |index: usize| bundle.added_by(&bundle.releases()[index]).map(|b| b.digest).collect::<BTreeSet<_>>();
    assert_eq!([added(0), added(1), added(2)], [digests(1..6), digests(6..8), digests(8..10)]);
    for number in 1..10 {
        let digest = Digest::of(&content(number));
        assert_eq!(bundle.storing(&digest), Some(storing(&digest)), "{number}");
    }
    assert!(bundle.check(&Unwatched).unwrap().damages.is_empty());
    let memory = Memory::default();
    bundle.copy_blobs(&digests(5..10), &memory, &Unwatched).unwrap();
    assert_eq!(memory.0.into_inner().unwrap().into_keys().collect::<BTreeSet<_>>(), digests(5..10));
}

#[test]
fn a_delta_says_what_it_leaves_to_whom() {
    let dir = TempDir::new().unwrap();
    let (base, next, newest) = (release(3, 1..8), release(4, 4..10), release(5, 6..12));
    let releases = [next, newest];
    let layout = Layout::plan_delta(&releases, left_out(&[&base], 1..8), storing).unwrap();
    let path = pack(&dir, "delta.tar.zst", layout, &releases);
    let bundle = open(&path).unwrap();
    assert_eq!(bundle.needs(), [NeededRelease::from(&base)]);
    assert_eq!(bundle.contents().entries.len(), 4);
    let absent: BTreeSet<Digest> = bundle.absent().iter().map(|blob| blob.digest).collect();
    assert_eq!(absent, digests(4..8));
    let of =
        |index: usize| bundle.absent_of(&bundle.releases()[index]).map(|b| b.digest).collect::<BTreeSet<_>>();
    assert_eq!([of(0), of(1)], [digests(4..8), digests(6..8)]);
    assert!(bundle.check(&Unwatched).unwrap().damages.is_empty(), "what is not carried is no damage");
    let second = SecondReader::trusting(&ROOT);
    let verdicts = second.verdicts(std::slice::from_ref(&path));
    assert_eq!(verdicts, [Ok(vec!["acme 1.4, blobs: 6".to_owned(), "acme 1.5, blobs: 6".to_owned()])]);
    bundle.copy_blobs(&digests(8..12), &Memory::default(), &Unwatched).unwrap();

    let (carried, absent, unknown) = (content(8), Digest::of(&content(4)), Digest::of(b"?"));
    assert!(bundle.carries(&Digest::of(&carried)) && !bundle.carries(&absent) && !bundle.carries(&unknown));
    assert!(second.blob(&path, &Digest::of(&carried).to_string()).unwrap() == carried);
    assert!(second.blob(&path, &absent.to_string()).unwrap_err().contains("is not in it"));
    let refusals = [
        bundle.copy_blobs(&digests([4, 8]), &Memory::default(), &Unwatched).unwrap_err(),
        bundle.read_blob(&absent, &mut Vec::new()).unwrap_err(),
        bundle.stream_blob(&absent, &Unwatched).map(drop).unwrap_err(),
    ];
    for error in refusals {
        let said = error.to_string();
        assert!(said.contains(&absent.to_string()) && said.contains("acme 1.3 (sequence 3)"), "{said}");
        assert_eq!(error.code().to_string(), "SL0130");
    }
    let error = bundle.read_blob(&unknown, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::MissingBlob { .. }), "{error}");
}

#[test]
fn a_delta_may_carry_nothing_but_its_front() {
    let dir = TempDir::new().unwrap();
    // The emergency return: the content of an old release under a new statement.
    let (old, again) = (release(3, 1..8), release(9, 1..8));
    let releases = [again];
    let layout = Layout::plan_delta(&releases, left_out(&[&old], 1..8), storing).unwrap();
    let path = pack(&dir, "delta.tar.zst", layout, &releases);
    let bundle = open(&path).unwrap();
    assert_eq!((bundle.contents().frames.len(), bundle.absent().len()), (0, 7));
    let findings = bundle.check(&Unwatched).unwrap();
    assert_eq!((findings.damages.len(), findings.blobs), (0, 0));
    bundle.copy_blobs(&BTreeSet::new(), &Memory::default(), &Unwatched).unwrap();
    assert!(zstd::decode_all(fs_err::File::open(&path).unwrap()).unwrap().ends_with(&[0; 1024]));
}

#[test]
fn what_was_begun_for_another_base_is_not_gone_on_with() {
    let dir = TempDir::new().unwrap();
    let (one, other, next) = (release(2, 1..5), release(3, 1..5), release(4, 1..8));
    let plan = |base: &Release| {
        Layout::plan_delta(std::slice::from_ref(&next), left_out(&[base], 1..5), storing).unwrap()
    };
    let path = dir.path().join("acme.tar.zst");
    let packer = Packer::open(&path, plan(&one), &Unwatched).unwrap();
    let blob = Blob::of(&content(6));
    copy_blob(blob, &mut content(6).as_slice(), &packer, &Unwatched).unwrap();
    drop(packer);
    assert_eq!(Packer::open(&path, plan(&one), &Unwatched).unwrap().missing().len(), 2);
    assert_eq!(Packer::open(&path, plan(&other), &Unwatched).unwrap().missing().len(), 3);
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let (three, four) = (release(3, 1..3), release(4, 1..3));
    let cases = [
        ("two products", vec![three.clone(), named("other", "1.4", 4, 1..3)], vec![], "SL0131"),
        ("not in order", vec![four.clone(), three.clone()], vec![], "SL0131"),
        ("one sequence", vec![four.clone(), named("acme", "1.4a", 4, 1..3)], vec![], "SL0131"),
        ("one version", vec![three.clone(), named("acme", "1.3", 4, 1..3)], vec![], "SL0131"),
        ("itself", vec![three.clone(), four.clone()], vec![three.clone()], "SL0132"),
        ("its sequence", vec![four.clone()], vec![named("acme", "1.4a", 4, 2..3)], "SL0132"),
        ("another product", vec![four.clone()], vec![named("other", "1.3", 3, 1..3)], "SL0132"),
        ("twice", vec![four.clone()], vec![three.clone(), three.clone()], "SL0132"),
        ("nobody has it", vec![four.clone()], vec![], "SL0107"),
        ("fine", vec![four], vec![three], "ok"),
    ];
    for (name, releases, needs, expected) in cases {
        let needs: Vec<&Release> = needs.iter().collect();
        let numbers = if expected == "SL0131" { 0..0 } else { 1..3 };
        let planned = Layout::plan_delta(&releases, left_out(&needs, numbers), storing);
        let said = planned.map_or_else(|error| error.code().to_string(), |_| "ok".to_owned());
        assert_eq!(said, expected, "{name}");
    }
}

/// Changes the packing of an archive, and signs it again: what a packing key could do.
fn pack_again(path: &Path, change: impl FnOnce(&mut Value)) {
    let bytes = fs_err::read(path).unwrap();
    let area = usize::try_from(HEAD_BYTES).unwrap();
    let mut head = Head::parse("archive", &bytes[..area]).unwrap();
    let mut packing: Value = serde_json::from_slice(&head.packing).unwrap();
    change(&mut packing);
    head.packing = serde_json::to_vec(&packing).unwrap();
    head.signatures.push(Signature::sign(&head.packing, &*KEY).unwrap());
    let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    file.file().write_all_at(&head.encode().unwrap(), 0).unwrap();
}

#[test]
fn whoever_holds_the_packing_key_cannot_make_a_delta_lie() {
    type Change = fn(&mut Value);
    let dir = TempDir::new().unwrap();
    let (base, releases) = (release(3, 1..3), [release(4, 1..4), release(5, 2..6)]);
    let cases: [(&str, Change, &str); 8] = [
        ("as it was", |_| (), "ok"),
        ("needs nothing", |v| v["needs"] = json!([]), "SL0113"),
        ("needs itself", |v| v["needs"][0]["statement"] = v["statements"][1].clone(), "SL0132"),
        ("needs its sequence", |v| v["needs"][0]["sequence"] = 5.into(), "SL0132"),
        ("another product", |v| v["needs"][0]["product"] = "other".into(), "SL0132"),
        ("twice", |v| v["needs"] = json!([v["needs"][0], v["needs"][0]]), "SL0132"),
        ("no release", |v| v["needs"][0]["sequence"] = 0.into(), "SL0106"),
        ("needs more", |v| v["needs"][0]["host"] = "x".into(), "SL0106"),
    ];
    for (name, change, expected) in cases {
        let layout = Layout::plan_delta(&releases, left_out(&[&base], 1..3), storing).unwrap();
        let path = pack(&dir, "delta.tar.zst", layout, &releases);
        pack_again(&path, change);
        let said = open(&path).map_or_else(|error| error.code().to_string(), |_| "ok".to_owned());
        assert_eq!(said, expected, "{name}");
    }
}

#[test]
fn releases_that_do_not_belong_together_are_refused_though_they_are_signed() {
    let dir = TempDir::new().unwrap();
    let good = [release(3, 1..3), release(4, 1..4)];
    // One digest, two sizes of as many digits: the place of everything stays.
    let mut other_size = BlobList::default();
    good[1].blob_list.iter().for_each(|blob| {
        let size = if blob == Blob::of(&content(2)) { blob.size + 1 } else { blob.size };
        other_size.insert(Blob { size, ..blob }).unwrap();
    });
    let lying = release_of(good[1].statement.name(), other_size);
    let cases = [
        ("two products", [good[0].clone(), named("acne", "1.4", 4, 1..4)], "SL0131"),
        ("one version", [good[0].clone(), named("acme", "1.3", 4, 1..4)], "SL0131"),
        ("two sizes", [good[0].clone(), lying], "SL0107"),
        ("fine", good.clone(), "ok"),
    ];
    for (name, releases, expected) in cases {
        let layout = Layout::plan(&good, storing).unwrap();
        let path = pack(&dir, "archive.tar.zst", layout, &releases);
        let said = open(&path).map_or_else(|error| error.code().to_string(), |_| "ok".to_owned());
        assert_eq!(said, expected, "{name}");
    }
}
