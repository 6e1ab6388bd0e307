//! A registry client that is not ours: `oci-client`, which checks every digest by itself.

use std::collections::BTreeMap;
use std::io;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

/// What a client pulled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// Different blobs, manifests not counted.
    pub(crate) blobs: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
}

const ACCEPTED: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// Pulls images (full name, digest of the manifest) from a registry that mirrors them.
pub(crate) fn pull(address: &str, images: &[(String, String)]) -> io::Result<Pulled> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(pull_all(address, images))
}

async fn pull_all(address: &str, images: &[(String, String)]) -> io::Result<Pulled> {
    let protocol = ClientProtocol::Http;
    let client = Client::new(ClientConfig { protocol, ..ClientConfig::default() });
    let mut blobs: BTreeMap<String, u64> = BTreeMap::new();
    for (name, digest) in images {
        let named: Reference = name.parse().map_err(io::Error::other)?;
        let mirrored = format!("{address}/{}/{}@{digest}", named.registry(), named.repository());
        let mirrored: Reference = mirrored.parse().map_err(io::Error::other)?;
        let (manifest, pulled) = client
            .pull_manifest_raw(&mirrored, &RegistryAuth::Anonymous, &ACCEPTED)
            .await
            .map_err(io::Error::other)?;
        if pulled != *digest {
            return Err(io::Error::other(format!("`{mirrored}` came as {pulled}")));
        }
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for descriptor in std::iter::once(&manifest["config"]).chain(layers) {
            let descriptor: OciDescriptor = serde_json::from_value(descriptor.clone())?;
            if blobs.contains_key(&descriptor.digest) {
                continue;
            }
            let mut content = Vec::new();
            client.pull_blob(&mirrored, &descriptor, &mut content).await.map_err(io::Error::other)?;
            blobs.insert(descriptor.digest, content.len() as u64);
        }
    }
    Ok(Pulled { blobs: blobs.len(), bytes: blobs.values().sum() })
}
