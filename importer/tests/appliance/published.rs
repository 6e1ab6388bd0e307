//! What a vendor publishes, as names and bytes; put where appliances find it.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use sealift_archive::release::CurrentRelease;
use sealift_archive::release::published::{ENVELOPE_TYPE, Envelope, Published};
use sealift_archive::trust::Signatures;
use sealift_archive::{Channel, ChannelName, Digest};
use sealift_lab::vendor::Registry;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::vendor::{Offer, Vendor};

/// Where it lies on a web server, and what the repository is called.
pub(crate) const PLACE: &str = "acme/releases";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Longer than anybody runs these tests.
pub(crate) const LONG_HENCE: OffsetDateTime = datetime!(2126-11-01 0:00 UTC);

/// All that is published.
#[derive(Clone, Default)]
pub(crate) struct Tree(BTreeMap<Published, Vec<u8>>);

impl Tree {
    /// These releases, the last of which is current in version 1 of channel `stable`.
    pub(crate) fn of(vendor: &Vendor, offers: &[&Offer]) -> Self {
        let mut tree = Self::default();
        for offer in offers {
            tree.add(offer);
        }
        tree.name(vendor, &channel(1, offers));
        tree
    }

    /// Publishes a release that no channel names yet.
    pub(crate) fn add(&mut self, offer: &Offer) {
        let release = &offer.release;
        let signatures = release.signatures.iter().cloned().collect();
        self.put(Published::Release(release.digest()), &release.statement_bytes, &signatures);
        let documents = [release.blob_list.to_text().into_bytes(), release.refs_bytes.clone()];
        for bytes in offer.blobs.values().cloned().chain(documents) {
            self.0.insert(Published::Blob(Digest::of(&bytes)), bytes);
        }
    }

    /// Publishes a channel.
    pub(crate) fn name(&mut self, vendor: &Vendor, channel: &Channel) {
        let bytes = channel.to_bytes();
        self.put(Published::Channel(channel.name), &bytes, &vendor.signature(&bytes));
    }

    /// Puts a document in an envelope there.
    pub(crate) fn put(&mut self, part: Published, document: &[u8], signatures: &Signatures) {
        let envelope = Envelope::new(document.to_vec(), signatures).unwrap();
        self.0.insert(part, envelope.to_bytes());
    }

    /// Puts any bytes there.
    pub(crate) fn put_bytes(&mut self, part: Published, bytes: Vec<u8>) {
        self.0.insert(part, bytes);
    }

    /// What is there.
    pub(crate) fn bytes(&self, part: Published) -> &[u8] {
        &self.0[&part]
    }

    pub(crate) fn remove(&mut self, part: Published) {
        self.0.remove(&part).unwrap();
    }

    /// Writes it into a directory, in place of what is there.
    pub(crate) fn write_to(&self, dir: &Path) {
        let _ = fs::remove_dir_all(dir);
        for (part, bytes) in &self.0 {
            let file = dir.join(part.path());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
    }

    /// Serves it as files.
    pub(crate) fn serve_by(&self, server: &Registry) {
        self.serve_below(server, PLACE);
    }

    /// Serves it as files in this place.
    pub(crate) fn serve_below(&self, server: &Registry, place: &str) {
        for (part, bytes) in &self.0 {
            server.add_file(&format!("/{place}/{}", part.path()), bytes.clone());
        }
    }

    /// Pushes it into a repository; with `inline`, envelopes stand in the manifests too.
    pub(crate) fn push_to(&self, registry: &Registry, inline: bool) {
        let blob = |bytes: &[u8]| registry.add_blob(PLACE, bytes.to_vec()).unwrap();
        let descriptor = |media_type: &str, bytes: &[u8]| {
            let blob = blob(bytes);
            json!({"mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size})
        };
        for (part, bytes) in &self.0 {
            let Some(tag) = part.tag() else {
                blob(bytes);
                continue;
            };
            let mut layer = descriptor(ENVELOPE_TYPE, bytes);
            if inline {
                layer["data"] = base64(bytes).into();
            }
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": ENVELOPE_TYPE,
                "config": descriptor(EMPTY, b"{}"),
                "layers": [layer],
            });
            registry.add_manifest(PLACE, Some(&tag), MANIFEST, manifest.to_string());
        }
    }
}

/// Channel `stable` that names the last of these as current and the others as earlier.
pub(crate) fn channel(version: u64, offers: &[&Offer]) -> Channel {
    let entry = |offer: &&Offer| CurrentRelease {
        version: offer.release.statement.version.clone(),
        sequence: offer.release.statement.sequence,
        statement: offer.release.digest(),
    };
    let mut entries: Vec<CurrentRelease> = offers.iter().map(entry).collect();
    let current = entries.pop().unwrap();
    let product = offers[0].release.statement.product.clone();
    let mut channel = Channel::new(product, ChannelName::Stable, version, current, LONG_HENCE);
    channel.floor = 1.try_into().unwrap();
    channel.earlier = entries;
    channel
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
