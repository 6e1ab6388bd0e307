//! Archives of `docker save`, in all forms that are about, and in forms that nobody should take.

use std::io::Write as _;
use std::path::Path;

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use sealift_archive::{Blob, Digest};
use sealift_bundler::image::LockedImage;
use sealift_lab::vendor::Image;
use serde_json::{Value, json};
use tar::EntryType;

use crate::setting::{BUNDLE, INDEX, MANIFEST, SIGNATURE, Setting, digests, image};

/// A tar archive in the making.
#[derive(Default)]
struct Tar(Vec<(EntryType, String, Vec<u8>)>);

impl Tar {
    fn file(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((EntryType::Regular, name.into(), bytes.into()));
        self
    }

    fn json(self, name: impl Into<String>, document: &Value) -> Self {
        self.file(name, document.to_string())
    }

    fn link(mut self, name: impl Into<String>, target: &str) -> Self {
        self.0.push((EntryType::Symlink, name.into(), target.into()));
        self
    }

    /// The members of an OCI layout with these blobs.
    fn layout<'a>(mut self, entries: &Value, blobs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        for bytes in blobs {
            self = self.file(Digest::of(bytes).blob_path(), bytes);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.json("index.json", &index).json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            if *kind == EntryType::Symlink {
                header.set_size(0);
                builder.append_link(&mut header, name, std::str::from_utf8(bytes).unwrap()).unwrap();
            } else {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, name, &bytes[..]).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn write(&self, path: &Path) {
        fs::write(path, self.bytes()).unwrap();
    }
}

/// A layer, which is a tar archive itself.
fn layer(content: &str) -> Vec<u8> {
    Tar::default().file("etc/content", content).bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
}

fn entry(config: &str, tags: &[&str], layers: &[&str]) -> Value {
    json!({"Config": config, "RepoTags": tags, "Layers": layers})
}

/// As Docker wrote it before version 25: a folder for each layer, and a link where a layer stands twice.
fn old(layers: [&[u8]; 2]) -> Tar {
    old_with("id.json", layers)
}

/// The same with this name of the configuration.
fn old_with(config_name: &str, layers: [&[u8]; 2]) -> Tar {
    let names = ["a/layer.tar", "b/layer.tar", "c/layer.tar"];
    Tar::default()
        .file("a/VERSION", "1.0")
        .file(names[0], layers[0])
        .file(names[1], layers[1])
        .link(names[2], "../a/layer.tar")
        .json(config_name, &config(&[layers[0], layers[1], layers[0]]))
        .json("manifest.json", &json!([entry(config_name, &["acme/tools:1.0"], &names)]))
}

const TOOLS: &str = "{dockerArchive: tools.tar, name: \"ghcr.io/acme/tools:1.0\"}";

/// Locks the one image of an archive.
fn lock(setting: &Setting, tar: &Tar) -> LockedImage {
    tar.write(&setting.path("tools.tar"));
    setting.forget_lock();
    setting.image("[linux/amd64]", TOOLS)
}

fn refusal(setting: &Setting, tar: &Tar) -> String {
    tar.write(&setting.path("tools.tar"));
    setting.refusal("[linux/amd64]", TOOLS)
}

#[test]
fn an_old_archive_gets_the_same_manifest_every_time() {
    let setting = Setting::new();
    let (one, two) = (layer("one"), layer("two"));
    let locked = lock(&setting, &old([&one, &two]));
    let config = config(&[&one, &two, &one]).to_string();
    assert_eq!(digests(&locked.blobs), [Digest::of(config.as_bytes()), Digest::of(&one), Digest::of(&two)]);
    // Written out, so that a change of the form does not go unseen: locks and signatures depend on it.
    let part = |media_type: &str, bytes: &[u8]| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
    };
    let plain = "application/vnd.oci.image.layer.v1.tar";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{},{},{}]}}"#,
        part("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        part(plain, &one),
        part(plain, &two),
        part(plain, &one),
    );
    assert_eq!(locked.target.blob(), Blob::of(manifest.as_bytes()));
    assert_eq!(digests(&locked.manifests), [locked.target.digest]);

    // The order of members, and where they are, is of no account.
    let mut other = old([&one, &two]);
    other.0.reverse();
    assert_eq!(lock(&setting, &other), locked);
}

#[test]
fn layers_may_be_compressed_inside_as_others_write_them() {
    let setting = Setting::new();
    let plain = layer("one");
    let packed = gzip(&plain);
    let tar = Tar::default()
        .file("x.tar.gz", packed.clone())
        .json("sha256:0", &config(&[&plain]))
        .json("manifest.json", &json!([entry("sha256:0", &["acme/tools:1.0"], &["x.tar.gz"])]));
    let locked = lock(&setting, &tar);
    assert_eq!(locked.blobs[1].blob(), Blob::of(&packed));
    assert_eq!(locked.blobs[1].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
}

/// As Docker has written it since version 25, with an image that it got from a registry.
fn new(image: &Image, extra: &[&Image]) -> Tar {
    let entry = |image: &Image, name: Option<&str>| {
        let mut entry = json!({"mediaType": image.media_type(), "digest": image.digest(), "size": image.manifest().len()});
        if let Some(name) = name {
            entry["annotations"] =
                json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1.0"});
        }
        entry
    };
    let mut entries = vec![entry(image, Some("docker.io/acme/tools:1.0"))];
    entries.extend(extra.iter().map(|image| entry(image, None)));
    let all = || std::iter::once(image).chain(extra.iter().copied()).chain(image.children());
    let blobs = all().flat_map(|image| std::iter::once(image.manifest()).chain(image.blobs()));
    Tar::default().layout(&json!(entries), blobs.map(|bytes| &bytes[..]))
}

#[test]
fn the_layout_in_a_new_archive_is_taken_as_it_is() {
    let setting = Setting::new();
    let image = Image::index(&[image("linux/amd64", 1), image("linux/arm64", 2)]);
    let signature = Image::referrer(&image, SIGNATURE, "signature");
    let manifest_json = json!([entry("nowhere", &["acme/tools:1.0"], &[])]);
    let tar = new(&image, &[&signature]).json("manifest.json", &manifest_json);
    let locked = lock(&setting, &tar);
    let child = image.children()[0].digest();
    assert_eq!(digests(&locked.manifests), [child, image.digest(), signature.digest()]);
    assert_eq!(locked.referrers[&image.digest()][0].digest, signature.digest());
    for reference in ["1.0", "acme/tools:1.0", "docker.io/acme/tools:1.0", &image.digest().to_string()] {
        let named = format!(
            "{{dockerArchive: tools.tar, reference: \"{reference}\", name: \"ghcr.io/acme/tools:1.0\"}}"
        );
        assert_eq!(setting.image("[linux/amd64]", &named).target, locked.target, "{reference}");
    }
}

#[test]
fn archives_in_which_docker_left_something_out_are_read_the_older_way() {
    let setting = Setting::new();
    let (one, two) = (layer("one"), layer("two"));
    let config = config(&[&one, &two]);
    let bytes = config.to_string().into_bytes();
    let paths = [&bytes, &one, &two].map(|bytes| Digest::of(bytes).blob_path());
    let legacy = json!([entry(&paths[0], &["acme/tools:1.0"], &[&paths[1], &paths[2]])]);
    let blobs = [&bytes[..], &one, &two];
    let part = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()});
    let bare = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": part("application/vnd.oci.image.config.v1+json", &bytes),
    });
    let bare = bare.to_string().into_bytes();
    let without_layers =
        Tar::default().layout(&json!([part(MANIFEST, &bare)]), blobs.into_iter().chain([&bare[..]]));
    let null = Tar::default().layout(&Value::Null, blobs);
    let empty = Tar::default().layout(&json!([]), blobs);
    let mut found = Vec::new();
    for tar in [without_layers, null, empty] {
        found.push(lock(&setting, &tar.json("manifest.json", &legacy)));
    }
    assert_eq!(digests(&found[0].blobs), [&bytes, &one, &two].map(|bytes| Digest::of(bytes)));
    assert!(found.iter().all(|locked| locked == &found[0]));
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let setting = Setting::new();
    let (one, two) = (layer("one"), layer("two"));
    let good = || old([&one, &two]);
    let replaced = |name: &str, bytes: &[u8]| good().file(name, bytes);
    let without = |name: &str| {
        let mut tar = good();
        tar.0.retain(|(_, found, _)| found != name);
        tar
    };
    let two_images = || {
        let entries =
            json!([entry("id.json", &["acme/tools:1.0"], &["a/layer.tar"]), entry("b.json", &[], &[])]);
        good().json("b.json", &config(&[])).json("id.json", &config(&[&one])).json("manifest.json", &entries)
    };
    let image = image("linux/amd64", 1);
    let mut partial = new(&image, &[]);
    partial.0.retain(|(_, name, _)| *name != Digest::of(&image.blobs()[1]).blob_path());
    let other = Digest::of(&layer("other"));
    let cases: Vec<(Tar, Vec<String>)> = vec![
        (
            replaced("b/layer.tar", &layer("other")),
            vec![format!("layer `b/layer.tar` is {other}"), Digest::of(&two).to_string()],
        ),
        (replaced("b/layer.tar", &gzip(b"")[..15]), vec!["layer `b/layer.tar` cannot be read".into()]),
        (without("b/layer.tar"), vec!["lacks layer `b/layer.tar`".into()]),
        (without("a/layer.tar"), vec!["lacks layer `a/layer.tar`".into()]),
        (without("id.json"), vec!["lacks `id.json`".into()]),
        (without("manifest.json"), vec!["neither `manifest.json` nor `index.json`".into()]),
        (replaced("id.json", b"{}"), vec!["`id.json` is no image's configuration".into()]),
        (
            old_with(&format!("{}.json", Digest::of(b"other").hex()), [&one, &two]),
            vec![format!(
                ".json` is really {}",
                Digest::of(config(&[&one, &two, &one]).to_string().as_bytes())
            )],
        ),
        (replaced("manifest.json", b"[{}]"), vec!["`manifest.json` is not valid".into()]),
        (
            replaced("manifest.json", &vec![b' '; 5 << 20]),
            vec!["`manifest.json` is larger than 4194304 bytes".into()],
        ),
        (good().json("id.json", &config(&[&one])), vec!["3 layers and 1 of their digests".into()]),
        (two_images(), vec!["which of its images is meant; it holds acme/tools:1.0, sha256:".into()]),
        (partial, vec![format!("lacks {}", Digest::of(&image.blobs()[1]))]),
        (Tar::default(), vec!["neither".into()]),
    ];
    for (tar, words) in cases {
        let said = refusal(&setting, &tar);
        assert!(said.starts_with("error[SL0476]: docker archive `"), "{said}");
        for word in words {
            assert!(said.contains(&word), "`{word}` is not in {said}");
        }
    }
    let named = |reference: &str| {
        format!("{{dockerArchive: tools.tar, reference: \"{reference}\", name: \"ghcr.io/acme/tools:1.0\"}}")
    };
    two_images().write(&setting.path("tools.tar"));
    let id = Digest::of(config(&[&one]).to_string().as_bytes()).to_string();
    for reference in ["acme/tools:1.0", "1.0", "docker.io/acme/tools:1.0", &id] {
        setting.image("[linux/amd64]", &named(reference));
    }
    let said = setting.refusal("[linux/amd64]", &named("acme/tools:2.0"));
    assert!(said.contains("holds no `acme/tools:2.0`; it holds acme/tools:1.0, "), "{said}");
    let said = setting.refusal("[linux/arm64]", &named("1.0"));
    assert!(said.contains("SL0405") && said.contains("linux/amd64"), "{said}");

    fs::write(setting.path("tools.tar"), gzip(&good().bytes())).unwrap();
    let said = setting.refusal("[linux/amd64]", TOOLS);
    assert!(
        said.contains("SL0477") && said.contains("compressed with gzip") && said.contains("`gunzip "),
        "{said}"
    );
    fs::remove_file(setting.path("tools.tar")).unwrap();
    assert!(setting.refusal("[linux/amd64]", TOOLS).contains("tools.tar"));
}

#[test]
fn a_damaged_archive_is_refused_or_was_not_damaged_where_it_matters() {
    let setting = Setting::new();
    let (one, two) = (layer("one"), layer("two"));
    // As Docker writes it, the name of the configuration says what it is.
    let id = Digest::of(config(&[&one, &two, &one]).to_string().as_bytes()).hex();
    let good = old_with(&format!("{id}.json"), [&one, &two]);
    let locked = lock(&setting, &good);
    let good = good.bytes();
    let definition = setting.definition("[linux/amd64]", &[TOOLS]);
    let mut refused = 0;
    // Every field of every header, and a byte of all that lies between them.
    for place in (0..good.len()).step_by(7) {
        let mut damaged = good.clone();
        damaged[place] ^= 0x55;
        fs::write(setting.path("tools.tar"), &damaged).unwrap();
        match setting.resolve(&definition) {
            Ok(lock) => assert_eq!(lock.images[0].target, locked.target, "byte {place}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
    for end in (0..good.len()).step_by(256) {
        fs::write(setting.path("tools.tar"), &good[..end]).unwrap();
        if let Ok(lock) = setting.resolve(&definition) {
            assert_eq!(lock.images[0].target, locked.target, "the first {end} bytes");
        }
    }
}

#[test]
fn an_archive_goes_into_a_bundle_in_place_and_comes_out_as_a_layout() {
    let setting = Setting::new();
    let (one, two) = (layer("one"), layer("two"));
    let index = Image::index(&[image("linux/amd64", 1)]);
    let signature = Image::referrer(&index, SIGNATURE, "signature");
    old([&one, &two]).write(&setting.path("old.tar"));
    new(&index, &[&signature]).write(&setting.path("new.tar"));
    let dir = setting.path("");
    let definition = "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.0.0\nsequence: 1\n\
        platforms: all\nimages:\n  - {dockerArchive: old.tar, name: \"ghcr.io/acme/old:1\"}\n  \
        - {dockerArchive: new.tar, reference: \"1.0\", name: \"ghcr.io/acme/new:1\"}\n";
    fs::write(dir.join("RELEASE.yaml"), definition).unwrap();
    setting.bundle_and_export();

    let exported = |digest| setting.exported(digest);
    for bytes in [&one, &two] {
        assert_eq!(exported(Digest::of(bytes)), *bytes);
    }
    for image in [&index, &index.children()[0], &signature] {
        assert_eq!(exported(image.digest()), image.manifest()[..]);
    }
    // What is exported can be taken in again, with what refers to it.
    let again = "{ociLayout: exported, reference: \"ghcr.io/acme/new:1\", name: \"ghcr.io/acme/new:1\"}";
    let locked = setting.image("all", again);
    assert_eq!(
        digests(&locked.manifests),
        [index.children()[0].digest(), index.digest(), signature.digest()]
    );
    assert_eq!(locked.referrers[&index.digest()][0].artifact_type.as_deref(), Some(SIGNATURE));

    // Another archive in its place is not what was locked.
    fs::write(dir.join("RELEASE.yaml"), definition).unwrap();
    setting.sealift(&["lock", "RELEASE.yaml"]);
    old([&two, &one]).write(&setting.path("old.tar"));
    let mut command = Command::cargo_bin("sealift").unwrap();
    let output = command.current_dir(&dir).args([&BUNDLE[..], &["--plan"]].concat()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SL0404") && said.contains("`old.tar` holds another"), "{said}");
}
