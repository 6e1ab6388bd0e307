//! A registry, a folder with a definition, and what a lock of it says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use fs_err as fs;
use sealift_archive::{Digest, Refs, Unwatched};
use sealift_bundler::definition::Definition;
use sealift_bundler::image::{Content, LockedImage};
use sealift_bundler::lock::{Lock, resolve};
use sealift_bundler::{Error, statement};
use sealift_fetch::{Client, Options, Retry};
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_lab::vendor::{Config, Image, Registry};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The command that bundles a release.
pub(crate) const BUNDLE: [&str; 10] = [
    "bundle",
    "RELEASE.yaml",
    "--trust",
    "trust/root.json",
    "--release-key",
    "trust/release.key",
    "--pack-key",
    "trust/pack.key",
    "-o",
    "out",
];

/// Everything that a test needs.
pub(crate) struct Setting {
    pub(crate) registry: Registry,
    dir: TempDir,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Setting {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        let retry = Retry {
            tries: 2,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(1),
            ..Retry::default()
        };
        let docker_config = Some(dir.path().to_owned());
        let client = Client::new(Options { docker_config, retry, ..Options::default() }).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { registry: Registry::start_with(config).unwrap(), dir, client, runtime }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Resolves these images, each a line of YAML in which `REGISTRY` stands for the registry.
    pub(crate) fn lock(&self, platforms: &str, images: &[&str]) -> Result<Lock, Error> {
        let text = self.definition(platforms, images);
        let lock = self.resolve(&text)?;
        let file = self.path("RELEASE.yaml");
        let definition = Definition::parse(&file, &text)?;
        // Whatever is locked can be told to a registry, and is written and read without a loss.
        statement::draft(&definition, &lock)?;
        lock.write(&file)?;
        assert_eq!(Lock::read(&file, &definition)?, lock);
        Ok(lock)
    }

    /// Resolves a definition, and writes nothing.
    pub(crate) fn resolve(&self, text: &str) -> Result<Lock, Error> {
        let file = self.path("RELEASE.yaml");
        let definition = Definition::parse(&file, text)?;
        let order = resolve::Order {
            client: &self.client,
            definition: &definition,
            file: &file,
            previous: None,
            date: 0,
            plain_http: false,
            progress: Arc::new(Unwatched),
        };
        self.runtime.block_on(resolve::resolve(&order))
    }

    /// The definition of a release with these images.
    pub(crate) fn definition(&self, platforms: &str, images: &[&str]) -> String {
        let images = format!("  - {}\n", images.join("\n  - "));
        format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: acme\nversion: 1.0.0\nsequence: 1\n\
             platforms: {platforms}\nimages:\n{}",
            images.replace("REGISTRY", &self.registry.addr().to_string())
        )
    }

    /// The same of one image.
    pub(crate) fn image(&self, platforms: &str, image: &str) -> LockedImage {
        self.lock(platforms, &[image]).unwrap_or_else(|error| panic!("{error}")).images.remove(0)
    }

    /// What is wrong with one image, as people read it.
    pub(crate) fn refusal(&self, platforms: &str, image: &str) -> String {
        sealift_archive::report(&self.lock(platforms, &[image]).unwrap_err())
    }

    /// Forgets the lock, so that nothing is known from it.
    pub(crate) fn forget_lock(&self) {
        let _ = fs::remove_file(Lock::path_of(&self.path("RELEASE.yaml")));
    }

    /// Adds an artifact that refers to `subject`.
    pub(crate) fn attach(&self, repository: &str, subject: &Image, content: &str) -> Image {
        let referrer = Image::referrer(subject, SIGNATURE, content.to_owned());
        for blob in referrer.blobs() {
            self.registry.add_blob(repository, blob.clone()).unwrap();
        }
        self.registry.add_manifest(repository, None, MANIFEST, referrer.manifest().clone());
        referrer
    }

    /// Adds a manifest that nothing but a tag connects with others, as cosign's are.
    pub(crate) fn tag(&self, repository: &str, tag: &str, content: &str) -> Digest {
        let blob = self.registry.add_blob(repository, content.to_owned()).unwrap();
        let part = json!({"mediaType": "application/x-part", "digest": blob.digest, "size": blob.size});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": []});
        self.registry.add_manifest(repository, Some(tag), MANIFEST, manifest.to_string()).digest
    }

    /// Adds a document as a manifest.
    pub(crate) fn put(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        document: &Value,
    ) -> Value {
        let bytes = document.to_string();
        let blob = self.registry.add_manifest(repository, tag, media_type, bytes);
        json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
    }

    /// Locks what `RELEASE.yaml` says, bundles it and exports the bundle.
    pub(crate) fn bundle_and_export(&self) {
        self.sealift(&["trust", "init", "trust"]);
        self.sealift(&["lock", "RELEASE.yaml"]);
        self.sealift(&BUNDLE);
        self.sealift(&["export", "out/acme-1.0.0.tar.zst", "-o", "exported", "--trust", "trust/root.json"]);
    }

    /// What came out.
    pub(crate) fn exported(&self, digest: Digest) -> Vec<u8> {
        fs::read(self.path("exported").join(digest.blob_path())).unwrap()
    }

    /// Runs `sealift`, which has to succeed, in the definition's folder.
    pub(crate) fn sealift(&self, arguments: &[&str]) {
        let mut command = Command::cargo_bin("sealift").unwrap();
        command.env("COSIGN_PASSWORD", "secret").env("DOCKER_CONFIG", self.dir.path());
        let output = command.current_dir(self.dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The methods and ends of paths of all requests, sorted.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked: Vec<String> =
            self.registry.seen().into_iter().map(|s| format!("{} {}", s.method, s.path)).collect();
        asked.sort();
        asked
    }
}

/// An image with a layer of its own.
pub(crate) fn image(platform: &str, seed: u64) -> Image {
    let layer = Layer::of(&[File::plain("data", noise(seed, 2000))]).unwrap();
    Image::new(platform, &[layer], &["/data"])
}

pub(crate) fn digests<'a>(contents: impl IntoIterator<Item = &'a Content>) -> Vec<Digest> {
    contents.into_iter().map(|content| content.digest).collect()
}

/// A tag made of a digest.
pub(crate) fn tag_of(digest: Digest, suffix: &str) -> String {
    format!("sha256-{}{suffix}", digest.hex())
}

/// What a registry is told about an image.
pub(crate) fn refs(image: &LockedImage) -> Refs {
    let mut refs = Refs::default();
    image.add_to(&mut refs).unwrap();
    refs
}

/// Each manifest comes behind all that it names.
pub(crate) fn assert_order(image: &LockedImage, before: &[(Digest, Digest)]) {
    let place = |digest: &Digest| {
        let found = image.manifests.iter().position(|m| m.digest == *digest);
        found.unwrap_or_else(|| panic!("{digest} is not there"))
    };
    for (first, second) in before {
        assert!(place(first) < place(second), "{first} has to come before {second}");
    }
}
