//! Looking at an archive that carries everything: `inspect` and `export`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use fs_err as fs;
use sealift_archive::format::layout::{Layout, LeftOut, Storing};
use sealift_archive::format::packing::NeededRelease;
use sealift_archive::packer::{Front, Packer};
use sealift_archive::release::{
    API_VERSION, BlobListSummary, CHART_TYPE, Descriptor, FLUX_TYPE, GitRepository, ManifestInfo,
    OperatingSystem,
};
use sealift_archive::trust::{RoleName, RootChain, SecretKey, Signature, Signatures, TrustRoot};
use sealift_archive::{
    Blob, BlobList, Digest, Refs, Release, ReleaseName, Sha512, Statement, Unwatched, copy_blob,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const FILE: &str = "a plain file\n";
/// A plain file that is a layer of an image as well.
const SHARED: &str = "a layer that is a file, too\n";

/// A release in the making.
#[derive(Clone, Default)]
struct Content {
    refs: Refs,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Content {
    fn blob(&mut self, content: &str) -> Blob {
        let blob = Blob::of(content.as_bytes());
        self.blobs.insert(blob.digest, content.as_bytes().to_vec());
        blob
    }

    /// A manifest of a configuration and layers; `subject` is what it refers to.
    fn manifest(&mut self, config_type: &str, layers: &[&str], subject: Option<&Value>) -> Value {
        let config = self.blob(&format!("{{\"of\": \"{}\"}}", layers.concat().trim()));
        let layers: Vec<Value> =
            layers.iter().map(|layer| self.blob(layer)).map(|b| value(LAYER, b)).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": value(config_type, config), "layers": layers,
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        self.document(MANIFEST, &manifest)
    }

    fn document(&mut self, media_type: &str, document: &Value) -> Value {
        let blob = self.blob(&document.to_string());
        let info = ManifestInfo { media_type: media_type.to_owned(), size: blob.size };
        self.refs.manifests.insert(blob.digest, info);
        value(media_type, blob)
    }

    fn name(&mut self, name: &str, found: &Value, artifact_type: Option<&str>) {
        let mut found = descriptor(found);
        found.artifact_type = artifact_type.map(str::to_owned);
        self.refs.images.insert(name.parse().unwrap(), found);
    }

    fn refer(&mut self, subject: &Value, referrer: &Value) {
        let mut referrer = descriptor(referrer);
        referrer.artifact_type = Some(BUNDLE.to_owned());
        referrer.annotations.insert("made-by".to_owned(), "cosign".to_owned());
        // What others wrote there must not become a name of ours.
        referrer.annotations.insert("org.opencontainers.image.ref.name".to_owned(), "latest".to_owned());
        self.refs.referrers.entry(descriptor(subject).digest).or_default().push(referrer);
    }

    fn file(&mut self, name: &str, content: &str) {
        let blob = self.blob(content);
        self.refs.files.insert(name.parse().unwrap(), descriptor(&value("text/plain", blob)));
    }
}

fn value(media_type: &str, blob: Blob) -> Value {
    json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
}

fn descriptor(value: &Value) -> Descriptor {
    serde_json::from_value(value.clone()).unwrap()
}

/// A release with one thing of every kind.
fn everything() -> Content {
    let mut content = Content::default();
    let children: Vec<Value> = ["amd64", "arm64"]
        .iter()
        .map(|architecture| {
            let mut child = content.manifest(CONFIG, &[&format!("layer for {architecture}\n"), SHARED], None);
            child["platform"] = json!({"os": "linux", "architecture": architecture});
            child
        })
        .collect();
    let index =
        content.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}));
    content.name("ghcr.io/acme/api:1.5.0", &index, None);
    let signature = content.manifest(BUNDLE, &["a signature of the index"], Some(&index));
    content.refer(&index, &signature);
    let counter = content.manifest(BUNDLE, &["a signature of the signature"], Some(&signature));
    content.refer(&signature, &counter);
    let by_tag = content.manifest(CONFIG, &["a signature in a tag"], None);
    let tag = format!("ghcr.io/acme/api:sha256-{}.sig", descriptor(&index).digest.hex());
    content.name(&tag, &by_tag, None);

    // An image that knows its layer by SHA-512, and is known by it.
    let layer = content.blob("a layer of another kind\n");
    let mut layer_512 = value(LAYER, layer);
    layer_512["digest"] = Sha512::of(b"a layer of another kind\n").to_string().into();
    let config = content.blob("{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": value(CONFIG, config), "layers": [layer_512],
    });
    let web = content.document(MANIFEST, &manifest);
    let web_512 = Sha512::of(manifest.to_string().as_bytes());
    content.name(&format!("registry.example.com/acme/a-team/with/a/long/path/web@{web_512}"), &web, None);
    content.refs.aliases.insert(web_512, descriptor(&web).digest);
    content.refs.aliases.insert(Sha512::of(b"a layer of another kind\n"), layer.digest);

    let chart = content.manifest(CHART_TYPE, &["a chart"], None);
    content.name("ghcr.io/acme/charts/web:1.0.0_build.7", &chart, Some(CHART_TYPE));
    content.name("sealift.internal/charts/web:1.0.0_build.7", &chart, Some(CHART_TYPE));
    let apps = content.manifest(FLUX_TYPE, &["apps for Flux"], None);
    content.name("sealift.internal/flux/apps:1.5.0", &apps, Some(FLUX_TYPE));

    content.file("docs/operator.txt", FILE);
    content.file("docs/same.txt", FILE);
    content.file("shared.tar", SHARED);
    let pack = content.blob("a pack");
    let main = ("refs/heads/main".to_owned(), "0123456789abcdef0123456789abcdef01234567".parse().unwrap());
    let fleet =
        GitRepository { head: "refs/heads/main".to_owned(), refs: [main].into(), packs: vec![pack.digest] };
    content.refs.git.insert("fleet".parse().unwrap(), fleet);
    content
}

/// A folder with `acme.tar.zst`, which carries these releases, and the trust root that it is signed under.
fn packed(contents: Vec<Content>) -> TempDir {
    packed_on(0, contents)
}

/// The same, but the first releases are not carried: the others build on them.
fn packed_on(bases: usize, contents: Vec<Content>) -> TempDir {
    let [root_key, key] = [(); 2].map(|()| SecretKey::generate(b"").unwrap().0);
    let members = [(RoleName::Root, &root_key), (RoleName::Release, &key), (RoleName::Pack, &key)];
    let members = members.map(|(role, key)| (role, vec![key.public().clone()]));
    let root = TrustRoot::first(&members.into()).unwrap();
    let sign = |bytes: &[u8]| Signature::sign(bytes, &key).unwrap();
    let mut blobs = BTreeMap::new();
    let mut releases = Vec::new();
    for (content, sequence) in contents.into_iter().zip(15..) {
        let mut blob_list = BlobList::default();
        for bytes in content.blobs.values() {
            blob_list.insert(Blob::of(bytes)).unwrap();
        }
        blobs.extend(content.blobs);
        let summary = BlobListSummary::of(&blob_list);
        let name = ReleaseName {
            product: "acme".parse().unwrap(),
            version: format!("1.{sequence}").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
        };
        let (refs, refs_bytes) = (content.refs.clone(), content.refs.to_bytes());
        let mut statement = Statement::new(name, summary, Blob::of(&refs_bytes));
        let artifacts = [("acme.qcow2".parse().unwrap(), Blob { size: 3_000_000_000, ..Blob::of(b"vm") })];
        statement.os = Some(OperatingSystem { base: "ubuntu-24.04".to_owned(), artifacts: artifacts.into() });
        let statement_bytes = statement.to_bytes();
        let (signatures, signers) = (vec![sign(&statement_bytes)], vec![key.public().id()]);
        let release =
            Release { statement, statement_bytes, signatures, signers, blob_list, refs, refs_bytes };
        releases.push(release);
    }
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("root.json"), root.bytes()).unwrap();
    let root_signature = Signature::sign(root.bytes(), &root_key).unwrap();
    let mut signatures: Signatures = [root_signature].into_iter().collect();
    signatures.write_to(dir.path()).unwrap();
    let bases: Vec<Release> = releases.drain(..bases).collect();
    let left_out = LeftOut {
        needs: bases.iter().map(NeededRelease::from).collect(),
        blobs: bases.iter().flat_map(|base| base.blob_list.iter()).map(|blob| blob.digest).collect(),
    };
    let layout = Layout::plan_delta(&releases, left_out, |_| Storing::Stored).unwrap();
    let packer = Packer::open(&dir.path().join("acme.tar.zst"), layout, &Unwatched).unwrap();
    for blob in packer.missing() {
        copy_blob(blob, &mut blobs[&blob.digest].as_slice(), &packer, &Unwatched).unwrap();
    }
    let mut roots = RootChain::default();
    roots.insert("root.json", root.clone()).unwrap();
    releases.iter().flat_map(|release| &release.signatures).for_each(|one| signatures.push(one.clone()));
    let front = Front { releases: &releases, roots, signatures };
    packer.finish(front, 1, |packing| Ok(vec![Signature::sign(packing, &key)?]), &Unwatched).unwrap();
    fs::write(dir.path().join("key"), key.public().id().short()).unwrap();
    dir
}

/// Runs `sealift` on the archive of a folder.
fn sealift(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("sealift").unwrap();
    let output = command.current_dir(dir).args(arguments).output().unwrap();
    let key = fs::read_to_string(dir.join("key")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&key, "[key]");
    // How long something took is no business of a snapshot.
    let said = text(output.stderr);
    let said: Vec<&str> = said.lines().map(|line| line.split(" in ").next().unwrap()).collect();
    let said = if said.is_empty() { String::new() } else { said.join("\n") + "\n" };
    let status = output.status.code().unwrap();
    format!("$ sealift {}\n{}--- stderr\n{said}--- exit {status}\n", arguments.join(" "), text(output.stdout))
}

fn json_of(dir: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::cargo_bin("sealift").unwrap();
    let output = command.current_dir(dir).arg("--json").args(arguments).output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    serde_json::from_slice(&said).unwrap()
}

const TRUST: [&str; 2] = ["--trust", "root.json"];
const LAYOUT: [&str; 6] = ["export", "acme.tar.zst", "--trust", "root.json", "-o", "layout"];
const FILES: [&str; 8] =
    ["export", "acme.tar.zst", "--trust", "root.json", "--format", "files", "-o", "files"];

#[test]
fn inspect_shows_what_there_is_in_a_table() {
    let dir = packed(vec![everything()]);
    let told = sealift(dir.path(), &[&["inspect", "acme.tar.zst"], &TRUST[..]].concat());
    insta::assert_snapshot!("inspect", told);
    for line in told.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let inspected = json_of(dir.path(), &["inspect", "acme.tar.zst"]);
    let release = &inspected["releases"][0];
    let holds = json!({
        "images": 2, "charts": 1, "fluxArtifacts": 1, "otherArtifacts": 0, "files": 3, "gitRepositories": 1,
        "attachments": 3,
    });
    assert_eq!(release["holds"], holds);
    assert_eq!(release["refs"]["files"]["docs/operator.txt"]["size"], FILE.len());
    assert_eq!(release["refs"]["aliases"].as_object().unwrap().len(), 2);
}

/// The content of a layout: path below it → bytes.
fn blobs_in(layout: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut blobs = BTreeMap::new();
    for algorithm in ["sha256", "sha512"] {
        for entry in fs::read_dir(layout.join("blobs").join(algorithm)).unwrap() {
            let entry = entry.unwrap();
            let digest = format!("{algorithm}:{}", entry.file_name().to_str().unwrap());
            blobs.insert(digest, fs::read(entry.path()).unwrap());
        }
    }
    blobs
}

/// All that can be reached from a list of descriptors.
fn closure(blobs: &BTreeMap<String, Vec<u8>>, descriptors: &Value, into: &mut BTreeSet<String>) {
    for descriptor in descriptors.as_array().into_iter().flatten() {
        let digest = descriptor["digest"].as_str().unwrap();
        let content = blobs.get(digest).unwrap_or_else(|| panic!("{digest} is not in the layout"));
        assert_eq!(descriptor["size"], content.len(), "{digest}");
        into.insert(digest.to_owned());
        if let Ok(document) = serde_json::from_slice::<Value>(content) {
            closure(blobs, &document["manifests"], into);
            closure(blobs, &document["layers"], into);
            if !document["config"].is_null() {
                closure(blobs, &json!([document["config"]]), into);
            }
        }
    }
}

#[test]
fn a_layout_holds_what_its_index_leads_to_and_nothing_else() {
    let content = everything();
    let (refs, carried) = (content.refs.clone(), content.blobs.clone());
    let dir = packed(vec![content]);
    insta::assert_snapshot!("export-layout", sealift(dir.path(), &LAYOUT));
    let layout = dir.path().join("layout");
    let blobs = blobs_in(&layout);
    for (digest, bytes) in &blobs {
        let found = if digest.starts_with("sha256") {
            Digest::of(bytes).to_string()
        } else {
            Sha512::of(bytes).to_string()
        };
        assert_eq!(*digest, found);
    }
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&2.into(), &INDEX.into()));
    let mut reached = BTreeSet::new();
    closure(&blobs, &index["manifests"], &mut reached);
    let by_name_only: BTreeSet<String> =
        refs.aliases.iter().flat_map(|(alias, digest)| [alias.to_string(), digest.to_string()]).collect();
    let surplus: Vec<_> =
        blobs.keys().filter(|digest| !reached.contains(*digest) && !by_name_only.contains(*digest)).collect();
    assert!(surplus.is_empty(), "{surplus:?}");
    assert_eq!(
        blobs.len(),
        carried.len() - 2 + refs.aliases.len(),
        "all but a file and a pack, and two names more"
    );
    assert!(!blobs.contains_key(&Digest::of(FILE.as_bytes()).to_string()));
    assert!(blobs.contains_key(&Digest::of(SHARED.as_bytes()).to_string()), "an image needs it");

    let entries = index["manifests"].as_array().unwrap();
    let names: BTreeMap<&str, &Value> = entries
        .iter()
        .filter_map(|entry| {
            Some((entry["annotations"]["org.opencontainers.image.ref.name"].as_str()?, entry))
        })
        .collect();
    assert_eq!(names.len(), refs.images.len());
    for (name, found) in &refs.images {
        let entry = names[name.to_string().as_str()];
        assert_eq!(entry["digest"], found.digest.to_string(), "{name}");
        assert_eq!(entry["artifactType"].as_str(), found.artifact_type.as_deref(), "{name}");
        assert_eq!(entry["annotations"]["io.containerd.image.name"], name.to_string());
    }
    let unnamed: Vec<&Value> = entries[names.len()..].iter().collect();
    let referrers: BTreeSet<Digest> =
        refs.referrers.values().flatten().map(|referrer| referrer.digest).collect();
    assert_eq!(unnamed.iter().map(|entry| descriptor(entry).digest).collect::<BTreeSet<_>>(), referrers);
    for entry in unnamed {
        assert_eq!(
            (&entry["artifactType"], &entry["annotations"]),
            (&BUNDLE.into(), &json!({"made-by": "cosign"}))
        );
    }
    // One copy under both names, where the file system can.
    let (alias, digest) = refs.aliases.iter().next().unwrap();
    let inode = |name: String| fs::metadata(layout.join("blobs").join(name.replace(':', "/"))).unwrap().ino();
    assert_eq!(inode(alias.to_string()), inode(digest.to_string()));
    assert!(!layout.join("blobs/sha256").read_dir().unwrap().any(|e| e.unwrap().file_name().len() != 64));
}

#[test]
fn an_interrupted_export_is_finished_by_the_next() {
    let dir = packed(vec![everything()]);
    sealift(dir.path(), &LAYOUT);
    let layout = dir.path().join("layout");
    let whole = (blobs_in(&layout), fs::read(layout.join("index.json")).unwrap());
    let again = json_of(dir.path(), &LAYOUT);
    assert_eq!(again["error"]["code"], "SL0411");

    fs::remove_file(layout.join("index.json")).unwrap();
    for (number, name) in whole.0.keys().enumerate() {
        let path = layout.join("blobs").join(name.replace(':', "/"));
        match number % 3 {
            0 => fs::remove_file(path).unwrap(),
            1 => {
                fs::remove_file(&path).unwrap();
                fs::write(path, "torn").unwrap();
            }
            _ => {}
        }
    }
    let exported = json_of(dir.path(), &LAYOUT);
    assert_eq!(exported["releases"][0]["exported"]["charts"], 1);
    assert_eq!(exported["releases"][0]["leftOut"]["files"], 3);
    assert_eq!((blobs_in(&layout), fs::read(layout.join("index.json")).unwrap()), whole);
}

#[test]
fn plain_files_come_out_under_their_names() {
    let dir = packed(vec![everything()]);
    insta::assert_snapshot!("export-files", sealift(dir.path(), &FILES));
    let files = dir.path().join("files");
    let read = |name: &str| fs::read_to_string(files.join(name)).unwrap();
    assert_eq!((read("docs/operator.txt").as_str(), read("docs/same.txt").as_str()), (FILE, FILE));
    assert_eq!(read("shared.tar"), SHARED);
    let names: Vec<PathBuf> = [files.clone(), files.join("docs")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");

    // What is right is kept, what is missing comes back, and nothing of others is touched.
    let inode = || fs::metadata(files.join("shared.tar")).unwrap().ino();
    let before = inode();
    fs::remove_file(files.join("docs/same.txt")).unwrap();
    assert_eq!(json_of(dir.path(), &FILES)["files"].as_array().unwrap().len(), 3);
    assert_eq!((inode(), read("docs/same.txt").as_str()), (before, FILE));
    fs::write(files.join("docs/operator.txt"), "my notes").unwrap();
    fs::remove_file(files.join("shared.tar")).unwrap();
    let refused = json_of(dir.path(), &FILES);
    assert_eq!(refused["error"]["code"], "SL0411");
    assert!(refused["error"]["message"].as_str().unwrap().contains("files/docs/operator.txt"), "{refused}");
    assert!(!files.join("shared.tar").exists() && read("docs/operator.txt") == "my notes");
}

#[test]
fn what_is_no_file_is_in_the_way() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 4] = [
        ("docs/operator.txt", |path| fs::create_dir_all(path).unwrap()),
        ("docs/operator.txt", |path| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::os::unix::fs::symlink("nowhere", path).unwrap();
        }),
        ("docs", |path| {
            fs::create_dir_all(path.parent().unwrap().join("of-others")).unwrap();
            fs_err::os::unix::fs::symlink("of-others", path).unwrap();
        }),
        ("shared.tar", |path| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }),
    ];
    let dir = packed(vec![everything()]);
    for (name, make) in cases {
        let path = dir.path().join("files").join(name);
        make(&path);
        let refused = json_of(dir.path(), &FILES);
        assert_eq!(refused["error"]["code"], "SL0411", "{name}: {refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(name), "{name}: {refused}");
        assert!(!dir.path().join("files/docs/same.txt").exists(), "{name}: nothing is written");
        fs::remove_dir_all(dir.path().join("files")).unwrap();
    }
}

#[test]
fn each_of_several_releases_has_a_folder_for_its_files() {
    let mut other = everything();
    other.file("docs/operator.txt", "of another release\n");
    let dir = packed(vec![everything(), other]);
    json_of(dir.path(), &FILES);
    let read = |name: &str| fs::read_to_string(dir.path().join("files").join(name)).unwrap();
    assert_eq!(read("15/docs/operator.txt"), FILE);
    assert_eq!(
        (read("16/docs/operator.txt").as_str(), read("16/docs/same.txt").as_str()),
        ("of another release\n", FILE)
    );
    sealift(dir.path(), &LAYOUT);
    let index = fs::read(dir.path().join("layout/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 6 + 2, "what both have stands there once");
}

/// The same with another file, and with an image more.
fn next() -> Content {
    let mut next = everything();
    next.file("docs/operator.txt", "of another release\n");
    let image = next.manifest(CONFIG, &["a layer of a later release"], None);
    next.name("ghcr.io/acme/later:1.0", &image, None);
    next
}

#[test]
fn one_of_several_releases_is_chosen() {
    let dir = packed(vec![everything(), next()]);
    insta::assert_snapshot!(
        "inspect-several",
        sealift(dir.path(), &[&["inspect", "acme.tar.zst"], &TRUST[..]].concat())
    );
    let inspected = json_of(dir.path(), &["inspect", "acme.tar.zst"]);
    assert_eq!(
        inspected["releases"][1]["adds"]["blobs"], 4,
        "a file, a manifest, its configuration and its layer"
    );

    let chosen = |arguments: &[&str]| json_of(dir.path(), &[arguments, &["--release", "1.15"]].concat());
    chosen(&FILES);
    assert_eq!(fs::read_to_string(dir.path().join("files/docs/operator.txt")).unwrap(), FILE);
    let exported = chosen(&LAYOUT);
    assert_eq!(exported["releases"].as_array().unwrap().len(), 1);
    let sbom = ["sbom", "acme.tar.zst", "--trust", "root.json", "--format", "spdx"];
    assert_eq!(json_of(dir.path(), &sbom)["error"]["code"], "SL0423");
    assert!(chosen(&sbom)["name"].as_str().unwrap().contains("1.15"));
    let diff = ["diff", "acme.tar.zst", "acme.tar.zst", "--trust", "root.json"];
    let changed =
        json_of(dir.path(), &[&diff[..], &["--from-release", "15", "--to-release", "1.16"]].concat());
    assert_eq!(changed["content"]["added"]["blobs"], 4);
    let unchanged = json_of(dir.path(), &diff);
    assert_eq!(unchanged["content"]["added"]["blobs"], 0, "the newest of both");

    insta::assert_snapshot!(
        "no-such-release",
        sealift(dir.path(), &[&FILES[..], &["--release", "1.4"]].concat())
    );
    let refused = json_of(dir.path(), &["diff", "x.json", "acme.tar.zst", "--from-release", "1.4"]);
    assert_eq!(refused["error"]["code"], "SL0494");
}

#[test]
fn a_delta_says_what_it_has_not() {
    let dir = packed_on(1, vec![everything(), next()]);
    let run = |arguments: &[&str]| sealift(dir.path(), &[arguments, &TRUST[..]].concat());
    insta::assert_snapshot!("verify-delta", run(&["verify", "acme.tar.zst"]));
    insta::assert_snapshot!("inspect-delta", run(&["inspect", "acme.tar.zst"]));
    let refused: [&[&str]; 5] = [
        &["export", "acme.tar.zst", "-o", "layout"],
        &["export", "acme.tar.zst", "-o", "files", "--format", "files"],
        &["sbom", "acme.tar.zst"],
        &["sbom", "acme.tar.zst", "--image", "ghcr.io/acme/api:1.5.0"],
        &["diff", "acme.tar.zst", "acme.tar.zst"],
    ];
    for arguments in refused {
        let said = json_of(dir.path(), &[arguments, &TRUST[..]].concat());
        assert_eq!(said["error"]["code"], "SL0130", "{arguments:?}: {said}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("that is content of acme 1.15 (sequence 15)"), "{message}");
    }
    assert!(!dir.path().join("layout").exists() && !dir.path().join("files").exists(), "nothing is begun");
}

#[test]
fn a_lock_and_its_archive_weigh_the_same() {
    let content = everything();
    let sizes: BTreeMap<Digest, u64> =
        content.blobs.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)).collect();
    let refs = content.refs.clone();
    let piece = |media_type: &str, digest: &Digest| json!({"mediaType": media_type, "digest": digest, "size": sizes[digest]});
    let image = |name: &str, target: &Value, manifests: &[Value]| {
        let mut blobs = BTreeSet::new();
        for manifest in manifests {
            let digest: Digest = manifest["digest"].as_str().unwrap().parse().unwrap();
            let document: Value = serde_json::from_slice(&content.blobs[&digest]).unwrap();
            let layers = document["layers"].as_array().into_iter().flatten();
            blobs.extend(
                layers
                    .chain([&document["config"]])
                    .filter_map(|d| d["digest"].as_str()?.parse::<Digest>().ok()),
            );
        }
        let blobs: Vec<Value> = blobs.iter().map(|digest| piece(LAYER, digest)).collect();
        json!({
            "name": name, "source": "made", "target": target, "manifests": manifests,
            "blobs": blobs,
        })
    };
    let target = |name: &str| {
        let found = &refs.images[&name.parse().unwrap()];
        piece(&found.media_type, &found.digest)
    };
    let (api, chart, apps) = (
        "ghcr.io/acme/api:1.5.0",
        "ghcr.io/acme/charts/web:1.0.0_build.7",
        "sealift.internal/flux/apps:1.5.0",
    );
    // All manifests but those of the others belong to the first image.
    let others: Vec<Digest> = refs
        .images
        .iter()
        .filter(|(name, _)| !name.to_string().contains("acme/api"))
        .map(|(_, found)| found.digest)
        .collect();
    let manifests: Vec<Value> = refs
        .manifests
        .iter()
        .filter(|(digest, _)| !others.contains(digest))
        .map(|(digest, info)| piece(&info.media_type, digest))
        .collect();
    let lock = |images: Value, charts: Value, flux: Value| {
        json!({
            "apiVersion": API_VERSION, "kind": "Lock", "definition": Digest::of(b""), "images": images,
            "charts": charts, "flux": flux, "git": [],
        })
    };
    let of_chart = image(chart, &target(chart), &[target(chart)]);
    let of_apps = image(apps, &target(apps), &[target(apps)]);
    let full = lock(
        json!([image(api, &target(api), &manifests)]),
        json!([{
            "name": "web", "version": "1.0.0+build.7", "source": {"path": "web"},
            "served": "sealift.internal/charts/web:1.0.0_build.7", "image": of_chart,
        }]),
        json!([{"path": "apps", "source": "apps", "revision": "1.5.0", "image": of_apps}]),
    );
    let dir = packed(vec![content.clone()]);
    fs::write(dir.path().join("none.json"), lock(json!([]), json!([]), json!([])).to_string()).unwrap();
    fs::write(dir.path().join("full.json"), full.to_string()).unwrap();
    let weights = |to: &str| {
        let difference = json_of(dir.path(), &["diff", "none.json", to, "--trust", "root.json"]);
        let kinds = ["images", "charts", "artifacts"].map(|kind| difference[kind].clone());
        let changes = kinds
            .iter()
            .flat_map(|changes| changes.as_array().unwrap_or_else(|| panic!("{difference}")).clone());
        let weight = |change: Value| {
            (change["name"].as_str().unwrap().to_owned(), change["to"]["bytes"].as_u64().unwrap())
        };
        changes.map(weight).filter(|(name, _)| !name.ends_with("long/path/web")).collect::<BTreeMap<_, _>>()
    };
    let weights = [weights("full.json"), weights("acme.tar.zst")];
    assert_eq!(weights[0], weights[1]);
    assert!(weights[0].len() == 4 && weights[0].values().all(|&bytes| bytes > 0), "{weights:?}");
}
