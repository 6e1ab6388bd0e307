//! Manifests and indexes, read for what they point at (OCI image spec 1.1 and Docker's schema 2). Their bytes are
//! carried as they are; nothing here writes one.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use sealift_archive::format::MAX_BLOB_BYTES;
use sealift_archive::{Digest, Platform};

use crate::Error;
use crate::lock::Content;

/// Media types of indexes; everything else that is asked for as a manifest must be one of [`MANIFESTS`].
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// A manifest or index and what it points at.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Itself.
    pub content: Content,
    /// The children of an index.
    pub children: Vec<Child>,
    /// Configuration and layers of a manifest.
    pub blobs: Vec<Content>,
}

/// A child of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The manifest.
    pub content: Content,
    /// `os/architecture[/variant]`, if the index names one.
    pub platform: Option<String>,
}

impl Child {
    /// Whether this is what somebody wants who asks for `platform`. Without a variant every variant is.
    #[must_use]
    pub fn is_for(&self, platform: &Platform) -> bool {
        let wanted = platform.as_str();
        self.platform.as_deref().is_some_and(|have| {
            have == wanted
                || have.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
                // arm64 has one variant, and many indexes leave it out.
                || wanted.strip_suffix("/v8").is_some_and(|wanted| have == wanted && have.ends_with("/arm64"))
        })
    }
}

/// The platform that an image's configuration names (image spec, config.md); `None` if it names none, as artifacts do.
#[must_use]
pub fn platform_of(config: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    let Config { os, architecture, variant } = serde_json::from_slice(config).ok()?;
    Some(spell_platform(&os, &architecture, variant.as_deref()))
}

fn spell_platform(os: &str, architecture: &str, variant: Option<&str>) -> String {
    let variant = variant.filter(|v| !v.is_empty()).map_or_else(String::new, |v| format!("/{v}"));
    format!("{os}/{architecture}{variant}")
}

impl Manifest {
    /// Reads the bytes of a manifest or index; `name` names it in errors.
    ///
    /// # Errors
    /// [`Error::BadImage`] for other media types, JSON that is not what it says, foreign layers, and digests other than
    /// SHA-256.
    pub fn parse(name: &str, media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::BadImage { image: name.to_owned(), why };
        let content = Content {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        if INDEXES.contains(&media_type) {
            let index =
                ImageIndex::from_reader(bytes).map_err(|e| refuse(format!("its index is not valid: {e}")))?;
            let child = |descriptor: &Descriptor| {
                let platform = descriptor.platform().as_ref().map(|p| {
                    spell_platform(&p.os().to_string(), &p.architecture().to_string(), p.variant().as_deref())
                });
                Ok(Child { content: content_of(descriptor).map_err(refuse)?, platform })
            };
            let children = index.manifests().iter().map(child).collect::<Result<_, Error>>()?;
            Ok(Self { content, children, blobs: Vec::new() })
        } else if MANIFESTS.contains(&media_type) {
            let manifest = ImageManifest::from_reader(bytes)
                .map_err(|e| refuse(format!("its manifest is not valid: {e}")))?;
            let mut blobs = vec![content_of(manifest.config()).map_err(refuse)?];
            for layer in manifest.layers() {
                if is_foreign(layer) {
                    let why = "it has a foreign layer, whose content is kept elsewhere";
                    return Err(refuse(why.to_owned()));
                }
                blobs.push(content_of(layer).map_err(refuse)?);
            }
            Ok(Self { content, children: Vec::new(), blobs })
        } else {
            Err(refuse(format!("`{media_type}` is neither an image nor an index")))
        }
    }
}

fn content_of(descriptor: &Descriptor) -> Result<Content, String> {
    let digest = descriptor.digest().to_string();
    if descriptor.size() > MAX_BLOB_BYTES {
        return Err(format!("`{digest}` is said to be {} bytes long, which nothing is", descriptor.size()));
    }
    Ok(Content {
        media_type: descriptor.media_type().to_string(),
        digest: digest.parse().map_err(|_| format!("it names `{digest}`, and only sha256 is carried yet"))?,
        size: descriptor.size(),
    })
}

fn is_foreign(layer: &Descriptor) -> bool {
    let media_type = layer.media_type().to_string();
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn manifest(layer_type: &str, digest: &str) -> Vec<u8> {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{DIGEST}","size":5}},
            "layers":[{{"mediaType":"{layer_type}","digest":"{digest}","size":5}}]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn manifests_are_read_and_odd_ones_refused() {
        const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
        let good = Manifest::parse("m", MANIFESTS[0], &manifest(LAYER, DIGEST)).unwrap();
        let types: Vec<&str> = good.blobs.iter().map(|b| b.media_type.as_str()).collect();
        assert_eq!(types, ["application/vnd.oci.image.config.v1+json", LAYER]);

        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let sha512 = format!("sha512:{}", "0".repeat(128));
        let cases = [
            ("foreign layer", Manifest::parse("m", MANIFESTS[1], &manifest(foreign, DIGEST))),
            ("only sha256", Manifest::parse("m", MANIFESTS[0], &manifest(LAYER, &sha512))),
            ("not valid", Manifest::parse("m", MANIFESTS[0], b"{}")),
            ("not valid", Manifest::parse("m", INDEXES[0], b"[")),
            ("neither", Manifest::parse("m", "text/html", b"<html>")),
        ];
        for (expected, result) in cases {
            let said = result.unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn a_platform_is_chosen_with_or_without_its_variant() {
        let cases = [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/amd64", "linux/arm64", false),
            ("linux/arm64", "linux/arm", false),
        ];
        let content = Content { media_type: String::new(), digest: DIGEST.parse().unwrap(), size: 0 };
        for (have, wanted, is_for) in cases {
            let child = Child { content: content.clone(), platform: Some(have.to_owned()) };
            assert_eq!(child.is_for(&wanted.parse().unwrap()), is_for, "{have} for {wanted}");
        }
    }
}
