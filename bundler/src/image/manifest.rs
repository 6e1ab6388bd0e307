//! Manifests and indexes, read for what they point at (OCI image spec 1.1 and Docker's schema 2). Their bytes are
//! carried as they are; nothing here writes one.

use std::collections::BTreeMap;

use oci_spec::image::{ArtifactManifest, Descriptor, ImageIndex, ImageManifest, MediaType};

use sealift_archive::format::MAX_BLOB_BYTES;
use sealift_archive::{AnyDigest, Blob, Platform, release};

use super::Content;
use crate::{Error, image};

/// Media types of indexes; everything else that is asked for as a manifest must be one of [`MANIFESTS`].
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// Media type of an image's manifest, and of an artifact's since image-spec 1.1.
pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFESTS: [&str; 2] = [IMAGE, "application/vnd.docker.distribution.manifest.v2+json"];
/// What artifacts were for a while before image-spec 1.1. Registries still hold signatures in this form.
const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Media types of what an image is made of.
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// BuildKit's annotations, on an entry of an index that says something about another entry.
const ATTESTATION: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");
const ATTESTED: &str = "vnd.docker.reference.digest";

/// A manifest or index and what it points at.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Itself.
    pub content: Content,
    /// The children of an index.
    pub children: Vec<Named>,
    /// Configuration and layers of a manifest.
    pub blobs: Vec<Named>,
    /// The manifest that it refers to.
    pub subject: Option<AnyDigest>,
    /// What kind of artifact it is: as it says itself, or by its configuration.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Content as a document names it, by whatever digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Media type.
    pub media_type: String,
    /// The digest by which it is named.
    pub digest: AnyDigest,
    /// Size in bytes.
    pub size: u64,
    /// Where it may be had beside its registry.
    pub urls: Vec<String>,
    /// `os/architecture[/variant]`, if the document says so.
    pub platform: Option<String>,
    /// What kind of artifact it is, if the document says so.
    pub artifact_type: Option<String>,
    /// The document's annotations of it.
    pub annotations: BTreeMap<String, String>,
}

impl Named {
    /// Content of which no more is known.
    #[must_use]
    pub fn new(media_type: &str, blob: Blob) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: blob.digest.into(),
            size: blob.size,
            urls: Vec::new(),
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// Says in words what is wrong: a digest of another kind than SHA-256 and SHA-512, or a size that nothing has.
    pub fn read(descriptor: &Descriptor) -> Result<Self, String> {
        let digest = descriptor.digest().to_string();
        if descriptor.size() > MAX_BLOB_BYTES {
            return Err(format!(
                "`{digest}` is said to be {} bytes long, which nothing is",
                descriptor.size()
            ));
        }
        let platform = descriptor.platform().as_ref();
        Ok(Self {
            media_type: descriptor.media_type().to_string(),
            digest: digest
                .parse()
                .map_err(|_| format!("it names `{digest}`, which is neither sha256 nor sha512"))?,
            size: descriptor.size(),
            urls: descriptor.urls().clone().unwrap_or_default(),
            platform: platform.map(|p| {
                spell_platform(&p.os().to_string(), &p.architecture().to_string(), p.variant().as_deref())
            }),
            artifact_type: descriptor.artifact_type().as_ref().map(MediaType::to_string),
            annotations: descriptor
                .annotations()
                .iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        })
    }

    /// How much memory it takes, in bytes; roughly what it takes in a document too.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let options = [&self.platform, &self.artifact_type].into_iter().flatten();
        let pairs = self.annotations.iter().flat_map(|(key, value)| [key, value]);
        let texts = options.chain(pairs).chain(&self.urls).chain([&self.media_type]);
        let lengths: usize = texts.map(|text| size_of::<String>() + text.len()).sum();
        (size_of::<Self>() + lengths) as u64
    }

    /// Whether this is what somebody wants who asks for `platform`. Without a variant every variant is.
    #[must_use]
    pub fn is_for(&self, platform: &Platform) -> bool {
        self.platform.as_deref().is_some_and(|have| is_for(have, platform))
    }

    /// The entry of the same index that this one attests: an SBOM or a provenance that BuildKit made.
    #[must_use]
    pub fn attests(&self) -> Option<AnyDigest> {
        let (key, value) = ATTESTATION;
        let is_attestation = self.annotations.get(key).is_some_and(|found| found == value);
        self.annotations.get(ATTESTED).filter(|_| is_attestation)?.parse().ok()
    }

    /// Whether its registry may not give it away: base layers of Windows.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        is_foreign(&self.media_type)
    }

    /// Whether it is an index or manifest of a kind that we read.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        let media_type = self.media_type.as_str();
        self.is_index() || MANIFESTS.contains(&media_type) || media_type == ARTIFACT
    }

    /// Whether it is an index, and not a manifest.
    #[must_use]
    pub fn is_index(&self) -> bool {
        INDEXES.contains(&self.media_type.as_str())
    }

    /// The content, if it is named by our own kind of digest.
    #[must_use]
    pub fn content(&self) -> Option<Content> {
        let digest = self.digest.sha256()?;
        Some(Content::new(self.media_type.clone(), Blob { digest, size: self.size }))
    }

    /// What a registry says of it when it is asked for referrers, if it is named by our own kind of digest.
    #[must_use]
    pub fn descriptor(&self) -> Option<release::Descriptor> {
        Some(release::Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.sha256()?,
            size: self.size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
        })
    }
}

impl Manifest {
    /// Reads the bytes of a manifest or index; `name` names it in errors.
    ///
    /// # Errors
    /// [`image::Error::BadImage`] for other media types, JSON that is not what it says, and digests of unknown kinds.
    pub fn parse(name: &str, media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::from(image::Error::BadImage { image: name.to_owned(), why });
        let invalid =
            |what: &str, error: &dyn std::error::Error| refuse(format!("its {what} is not valid: {error}"));
        let read = |named: &Descriptor| Named::read(named).map_err(refuse);
        let mut children = Vec::new();
        let mut blobs = Vec::new();
        let (subject, artifact_type, annotations);
        if INDEXES.contains(&media_type) {
            let index = ImageIndex::from_reader(bytes).map_err(|e| invalid("index", &e))?;
            children = index.manifests().iter().map(read).collect::<Result<_, _>>()?;
            artifact_type = index.artifact_type().clone();
            (subject, annotations) = (index.subject().clone(), index.annotations().clone());
        } else if MANIFESTS.contains(&media_type) {
            let manifest = ImageManifest::from_reader(bytes).map_err(|e| invalid("manifest", &e))?;
            let layers = std::iter::once(manifest.config()).chain(manifest.layers());
            blobs = layers.map(read).collect::<Result<_, _>>()?;
            let own = manifest.artifact_type().clone();
            artifact_type = own.or_else(|| Some(manifest.config().media_type().clone()));
            (subject, annotations) = (manifest.subject().clone(), manifest.annotations().clone());
        } else if media_type == ARTIFACT {
            let manifest = ArtifactManifest::from_reader(bytes).map_err(|e| invalid("manifest", &e))?;
            blobs = manifest.blobs().iter().map(read).collect::<Result<_, _>>()?;
            artifact_type = Some(manifest.artifact_type().clone());
            (subject, annotations) = (manifest.subject().clone(), manifest.annotations().clone());
        } else {
            return Err(refuse(format!(
                "`{}` is neither an image nor an index",
                media_type.escape_default()
            )));
        }
        Ok(Self {
            content: Content::new(media_type, Blob::of(bytes)),
            children,
            blobs,
            subject: subject.as_ref().map(|subject| read(subject).map(|named| named.digest)).transpose()?,
            artifact_type: artifact_type.as_ref().map(MediaType::to_string),
            annotations: annotations.unwrap_or_default().into_iter().collect(),
        })
    }

    /// The same, known under this name.
    #[must_use]
    pub fn named(mut self, name: AnyDigest) -> Self {
        if let AnyDigest::Sha512(alias) = name {
            self.content.alias = Some(alias);
        }
        self
    }

    /// The name by which its registry knows it.
    #[must_use]
    pub fn name(&self) -> AnyDigest {
        self.content.name()
    }

    /// What a registry has to say of it when it is asked for referrers (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn descriptor(&self) -> release::Descriptor {
        release::Descriptor {
            media_type: self.content.media_type.clone(),
            digest: self.content.digest,
            size: self.content.size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// Whether something of this media type is the configuration of an image. Artifacts have others, and so may images that are
/// not for a container.
pub(crate) fn is_image_config(media_type: &str) -> bool {
    [CONFIG, DOCKER_CONFIG].contains(&media_type)
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

/// Whether it is the media type of a foreign layer.
#[must_use]
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

/// Whether what is for `have` is for `wanted` as well.
#[must_use]
pub fn is_for(have: &str, wanted: &Platform) -> bool {
    let wanted = wanted.as_str();
    have == wanted
        || have.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
        // arm64 has one variant, and many indexes leave it out.
        || wanted.strip_suffix("/v8").is_some_and(|wanted| have == wanted && have.ends_with("/arm64"))
}

fn spell_platform(os: &str, architecture: &str, variant: Option<&str>) -> String {
    let variant = variant.filter(|v| !v.is_empty()).map_or_else(String::new, |v| format!("/{v}"));
    format!("{os}/{architecture}{variant}")
}

#[cfg(test)]
mod tests {
    use sealift_archive::Sha512;
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn manifest(layer_type: &str, digest: &str) -> Value {
        json!({
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": DIGEST, "size": 5},
            "layers": [{"mediaType": layer_type, "digest": digest, "size": 5}],
        })
    }

    fn parse(media_type: &str, document: &Value) -> Result<Manifest, Error> {
        Manifest::parse("m", media_type, document.to_string().as_bytes())
    }

    #[test]
    fn manifests_are_read_and_odd_ones_refused() {
        let sha512 = Sha512::of(b"hello").to_string();
        let good = parse(MANIFESTS[0], &manifest(LAYER, &sha512)).unwrap();
        let types: Vec<&str> = good.blobs.iter().map(|b| b.media_type.as_str()).collect();
        assert_eq!(types, [CONFIG, LAYER]);
        assert_eq!(good.blobs[1].digest.to_string(), sha512);
        assert!(good.blobs[0].content().is_some() && good.blobs[1].content().is_none());

        let huge = json!({"mediaType": LAYER, "digest": DIGEST, "size": u64::MAX});
        let cases = [
            ("neither sha256 nor sha512", parse(MANIFESTS[0], &manifest(LAYER, "md5:00"))),
            ("which nothing is", parse(INDEXES[0], &json!({"schemaVersion": 2, "manifests": [huge]}))),
            ("not valid", parse(MANIFESTS[0], &json!({}))),
            ("not valid", parse(INDEXES[0], &json!([]))),
            ("not valid", parse(ARTIFACT, &json!({}))),
            ("neither", parse("text/html", &json!({}))),
        ];
        for (expected, result) in cases {
            let said = result.unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn what_refers_to_something_says_what_it_is() {
        let subject = json!({"mediaType": MANIFESTS[0], "digest": DIGEST, "size": 5});
        let with = |mut document: Value, extra: Value| {
            document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            document
        };
        let annotated = json!({"subject": subject, "annotations": {"a": "b"}});
        let typed = json!({"artifactType": "application/x-sbom"});
        let plain = manifest(LAYER, DIGEST);
        let index = json!({"schemaVersion": 2, "manifests": []});
        let artifact = json!({"mediaType": ARTIFACT, "blobs": []});
        let cases = [
            (MANIFESTS[0], with(plain.clone(), annotated.clone()), Some(CONFIG)),
            (MANIFESTS[0], with(with(plain, annotated.clone()), typed.clone()), Some("application/x-sbom")),
            (INDEXES[0], with(index.clone(), annotated.clone()), None),
            (INDEXES[0], with(with(index, annotated.clone()), typed.clone()), Some("application/x-sbom")),
            (ARTIFACT, with(with(artifact, annotated), typed), Some("application/x-sbom")),
        ];
        for (media_type, document, artifact_type) in cases {
            let found = parse(media_type, &document).unwrap();
            assert_eq!(found.subject, Some(DIGEST.parse().unwrap()), "{document}");
            assert_eq!(found.artifact_type.as_deref(), artifact_type, "{document}");
            assert_eq!(
                found.descriptor().annotations,
                [("a".to_owned(), "b".to_owned())].into(),
                "{document}"
            );
        }
    }

    #[test]
    fn foreign_layers_and_attestations_are_known_by_their_marks() {
        let named = |value: Value| Named::read(&serde_json::from_value(value).unwrap()).unwrap();
        let layer = |kind: &str| named(json!({"mediaType": kind, "digest": DIGEST, "size": 5}));
        assert!(layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip").is_foreign());
        assert!(layer("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd").is_foreign());
        assert!(!layer(LAYER).is_foreign());

        let entry = |annotations: Value| {
            named(json!({"mediaType": MANIFESTS[0], "digest": DIGEST, "size": 5, "annotations": annotations}))
        };
        let (key, value) = ATTESTATION;
        assert_eq!(entry(json!({key: value, ATTESTED: DIGEST})).attests(), Some(DIGEST.parse().unwrap()));
        assert_eq!(entry(json!({key: "other", ATTESTED: DIGEST})).attests(), None);
        assert_eq!(entry(json!({key: value, ATTESTED: "sha256:"})).attests(), None);
        assert_eq!(entry(json!({})).attests(), None);
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
        for (have, wanted, expected) in cases {
            assert_eq!(is_for(have, &wanted.parse().unwrap()), expected, "{have} for {wanted}");
        }
    }
}
