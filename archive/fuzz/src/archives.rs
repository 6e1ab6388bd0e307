//! Small archives as our own writer makes them: what fuzzing begins with.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sealift_archive::bundle::Unverified;
use sealift_archive::format::layout::{Layout, LeftOut, Storing};
use sealift_archive::packer::{Front, Packer};
use sealift_archive::release::{BlobListSummary, Descriptor, GitRepository, ManifestInfo};
use sealift_archive::{
    Blob, BlobList, BlobSink as _, Bundle, Digest, Refs, Release, ReleaseName, Sha512, Statement, Unwatched,
};

use super::memory::Memory;
use super::vendor::VENDOR;

const LEVEL: i32 = 3;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// One release; two of them; the second alone, for those who have the first.
pub(super) static ARCHIVES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let [first, second] = [1, 2].map(Content::of);
    let [one, two] = [[first.release.clone()], [second.release.clone()]];
    let both = [one[0].clone(), two[0].clone()];
    let content: BTreeMap<Digest, Part> = first.parts.into_iter().chain(second.parts).collect();
    let delta = LeftOut {
        needs: vec![(&one[0]).into()],
        blobs: one[0].blob_list.iter().map(|blob| blob.digest).collect(),
    };
    [
        pack(&one, LeftOut::default(), &content),
        pack(&both, LeftOut::default(), &content),
        pack(&two, delta, &content),
    ]
});

/// A blob and how it is kept.
#[derive(Clone)]
struct Part {
    bytes: Vec<u8>,
    storing: Storing,
}

/// A release and what it carries.
struct Content {
    release: Release,
    parts: BTreeMap<Digest, Part>,
}

impl Content {
    /// The release of this sequence: an image with a referrer, an empty file, a text, a pack. Most of it is in all releases.
    fn of(sequence: u64) -> Self {
        let mut parts = BTreeMap::new();
        let mut add = |bytes: Vec<u8>, storing| {
            let blob = Blob::of(&bytes);
            parts.insert(blob.digest, Part { bytes, storing });
            blob
        };
        let layer = add(b"a layer that is packed already, ".repeat(100), Storing::Stored);
        let manifest = format!("{{\"layers\": [\"{}\"], \"config\": {sequence}}}", layer.digest);
        let manifest = add(manifest.into_bytes(), Storing::Squeezed);
        let referrer = add(b"{\"subject\": \"the manifest\"}".to_vec(), Storing::Squeezed);
        let empty = add(Vec::new(), Storing::Stored);
        let text = add(b"text that shrinks, ".repeat(200), Storing::Squeezed);
        let pack = add(format!("PACK {sequence}").into_bytes(), Storing::Stored);

        let mut refs = Refs::default();
        let name = |text: &str| format!("registry.example.com/acme/app{text}").parse().expect("a reference");
        for tag in [":1.0".to_owned(), format!(":1.0@{}", manifest.digest)] {
            refs.images.insert(name(&tag), descriptor(MANIFEST, manifest));
        }
        for Blob { digest, size } in [manifest, referrer] {
            refs.manifests.insert(digest, ManifestInfo { media_type: MANIFEST.to_owned(), size });
        }
        refs.referrers.insert(manifest.digest, vec![descriptor(MANIFEST, referrer)]);
        refs.aliases.insert(Sha512::of(b""), empty.digest);
        refs.files.insert("docs/README.txt".parse().expect("a name"), descriptor("text/plain", text));
        refs.git.insert("fleet".parse().expect("a name"), repository(pack));
        Self { release: release(sequence, refs, &parts), parts }
    }
}

fn descriptor(media_type: &str, Blob { digest, size }: Blob) -> Descriptor {
    let annotations = BTreeMap::from([("org.example.note".to_owned(), "a note".to_owned())]);
    Descriptor { media_type: media_type.to_owned(), digest, size, artifact_type: None, annotations }
}

fn repository(pack: Blob) -> GitRepository {
    let head = "refs/heads/main".to_owned();
    let object = "0123456789012345678901234567890123456789".parse().expect("an object id");
    GitRepository { refs: [(head.clone(), object)].into(), head, packs: vec![pack.digest] }
}

fn release(sequence: u64, refs: Refs, parts: &BTreeMap<Digest, Part>) -> Release {
    let mut blob_list = BlobList::default();
    for part in parts.values() {
        blob_list.insert(Blob::of(&part.bytes)).expect("a digest has one size");
    }
    let name = ReleaseName {
        product: "acme".parse().expect("a product"),
        version: format!("{sequence}.0").parse().expect("a version"),
        sequence: sequence.try_into().expect("a sequence"),
    };
    let refs_bytes = refs.to_bytes();
    let statement = Statement::new(name, BlobListSummary::of(&blob_list), Blob::of(&refs_bytes));
    let statement_bytes = statement.to_bytes();
    Release { statement, statement_bytes, signatures: vec![], signers: vec![], blob_list, refs, refs_bytes }
}

/// Opens one of the archives.
pub(super) fn open(archive: &[u8]) -> Bundle {
    let opened = Unverified::on(Box::new(Memory(archive.to_owned())));
    opened.and_then(|archive| archive.verify(&VENDOR.root)).expect("our own archive")
}

fn pack(releases: &[Release], left_out: LeftOut, content: &BTreeMap<Digest, Part>) -> Vec<u8> {
    let dir = tempfile::TempDir::new().expect("a folder");
    let path = dir.path().join("archive.tar.zst");
    let layout = Layout::plan_delta(releases, left_out, |digest| content[digest].storing).expect("a layout");
    let packer = Packer::open(&path, layout, &Unwatched).expect("room for an archive");
    for blob in packer.missing() {
        let mut writer = packer.open(blob).expect("a planned blob");
        writer.write(&content[&blob.digest].bytes).and_then(|()| writer.finish()).expect("room for a blob");
    }
    let statements = releases.iter().map(|release| VENDOR.sign(&release.statement_bytes));
    let signatures = [VENDOR.root_signature.clone()].into_iter().chain(statements).collect();
    let front = Front { releases, roots: VENDOR.roots(), signatures };
    packer.finish(front, LEVEL, |packing| Ok(vec![VENDOR.sign(packing)]), &Unwatched).expect("an archive");
    fs_err::read(&path).expect("the archive")
}
