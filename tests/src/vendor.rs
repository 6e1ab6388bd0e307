//! A vendor at work: a registry that can be told to fail, a trust folder, a definition, and the commands of `sealift`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_lab::vendor::{Registry, Seen};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::trust::{PASSWORD, Trust};
use crate::{binaries, layout, process, scratch};

/// The registry that images are known by in a release. Nobody answers for it.
pub const HOST: &str = "registry.example.com";
/// The product of all releases.
pub const PRODUCT: &str = "acme-appliance";

/// What the signed head of an archive measures. Signatures differ from run to run; what follows must not.
const HEAD_BYTES: usize = 256 << 10;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A vendor's workplace, removed with its registry when dropped.
#[derive(Debug)]
pub struct Vendor {
    registry: Registry,
    authority: String,
    dir: TempDir,
}

impl Vendor {
    /// A vendor with this trust, an empty registry and no release.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        let registry = Registry::start().expect("a free port");
        let dir = scratch();
        trust.write(&dir.path().join("trust"));
        let authority = registry.addr().to_string();
        Self { registry, authority, dir }
    }

    /// The same, but everybody who fetches goes by way of this address.
    #[must_use]
    pub fn reached_by(self, address: SocketAddr) -> Self {
        Self { authority: address.to_string(), ..self }
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Offers an image whose layers are just these bytes, of this media type; returns the digests of all its parts, the
    /// manifest first.
    #[expect(clippy::must_use_candidate, reason = "most callers know what they offered")]
    pub fn offer(&self, repository: &str, tag: &str, media_type: &str, layers: &[Vec<u8>]) -> Vec<String> {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layout::digest(layer)).collect();
        let config = json!({
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()),
            "layers": layers.iter().map(|layer| descriptor(media_type, layer)).collect::<Vec<_>>(),
        });
        let manifest = self.registry.add_manifest(repository, Some(tag), MANIFEST, manifest.to_string());
        let blobs = std::iter::once(config.into_bytes()).chain(layers.iter().cloned());
        let blobs = blobs.map(|blob| self.registry.add_blob(repository, blob).expect("room in memory"));
        std::iter::once(manifest).chain(blobs).map(|blob| blob.digest.to_string()).collect()
    }

    /// An entry of `images:` for what this registry has as `name` (such as `acme/app:1.0`), carried as [`HOST`]'s.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("- {{reference: '{}/{name}', name: '{HOST}/{name}'}}\n", self.authority)
    }

    /// Writes the definition of a release for `linux/amd64`; `rest` is what follows its name.
    pub fn define(&self, version: &str, sequence: u64, rest: &str) {
        self.define_for("[linux/amd64]", version, sequence, rest);
    }

    /// The same for other platforms.
    pub fn define_for(&self, platforms: &str, version: &str, sequence: u64, rest: &str) {
        let text = format!(
            "apiVersion: sealift/v1\n\
             kind: Release\n\
             product: {PRODUCT}\n\
             version: {version}\n\
             sequence: {sequence}\n\
             platforms: {platforms}\n\
             {rest}"
        );
        fs_err::write(self.path("RELEASE.yaml"), text).expect("the release definition");
    }

    /// Locks the release.
    pub fn lock(&self) {
        process::run(self.sealift().args(["lock", "RELEASE.yaml"]));
    }

    /// Bundles the locked release; returns the archive.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.bundle_by(&mut self.bundling())
    }

    /// The same by a command of the caller's, which has to succeed.
    #[must_use]
    pub fn bundle_by(&self, bundling: &mut Command) -> PathBuf {
        let told = process::json(bundling.arg("--json"));
        self.path(told["archive"]["path"].as_str().expect("the path of the archive"))
    }

    /// The command that bundles the locked release with the vendor's keys.
    #[must_use]
    pub fn bundling(&self) -> Command {
        self.bundling_into(Path::new("out"))
    }

    /// The same into another folder.
    #[must_use]
    pub fn bundling_into(&self, out: &Path) -> Command {
        let mut command = self.sealift();
        command.args(["bundle", "RELEASE.yaml", "--trust", "trust/root.json"]);
        command.args(["--release-key", "trust/release.key", "--pack-key", "trust/pack.key", "-o"]).arg(out);
        command
    }

    /// `sealift` in the vendor's directory, with the password of the keys.
    #[must_use]
    pub fn sealift(&self) -> Command {
        let mut command = Command::new(binaries::path("sealift"));
        command.current_dir(self.dir.path()).env("COSIGN_PASSWORD", PASSWORD).env_remove("SOURCE_DATE_EPOCH");
        // Neither this user's accounts nor a proxy.
        command.env("DOCKER_CONFIG", self.dir.path()).env_remove("RUST_LOG");
        command
    }

    /// The digests of what was fetched since the log was last forgotten: blobs and manifests, each once.
    #[must_use]
    pub fn fetched(&self) -> BTreeSet<String> {
        let seen = self.registry.seen().into_iter().filter(|seen| seen.method == "GET" && seen.status < 300);
        let digests = seen.filter_map(|seen| Some(seen.path.split_once("/sha256:")?.1.to_owned()));
        digests.map(|hex| format!("sha256:{hex}")).collect()
    }

    /// All requests for a blob or manifest since the log was last forgotten.
    #[must_use]
    pub fn requests_for(&self, digest: &str) -> Vec<Seen> {
        let mut seen = self.registry.seen();
        seen.retain(|seen| seen.path.ends_with(&format!("/{digest}")));
        seen
    }

    /// A path in the vendor's directory.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": layout::digest(bytes), "size": bytes.len()})
}

/// The bytes of an archive that follow its signed head: the same whenever the same release is packed.
#[must_use]
pub fn behind_head(archive: &Path) -> Vec<u8> {
    fs_err::read(archive).expect("the archive").split_off(HEAD_BYTES)
}
