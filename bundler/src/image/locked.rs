//! An image as the lock pins it, and what a release says about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use sealift_archive::release::{Descriptor, ManifestInfo};
use sealift_archive::{AnyDigest, Blob, Digest, Reference, Refs, Sha512};
use sealift_fetch::{Kind, Origin, Wanted};

use crate::definition::ImageSource;
use crate::{Error, image};

/// An image, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedImage {
    /// The reference under which the appliance serves it.
    pub name: Reference,
    /// Where its content is.
    pub source: ImageSource,
    /// The index or manifest that the reference led to.
    pub target: Content,
    /// All manifests that are carried, the target and all referrers among them, in an order in which they may be
    /// pushed: children before their indexes, subjects before their referrers.
    pub manifests: Vec<Content>,
    /// Configurations, layers and the like, each once.
    pub blobs: Vec<Content>,
    /// Further tags of the repository by which clients find what refers to a manifest: cosign's, and those of
    /// registries without a referrers API.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Digest>,
    /// What the registry is to answer when it is asked what refers to a manifest, in the order of the source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub referrers: BTreeMap<Digest, Vec<Descriptor>>,
}

/// A piece of content with its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// The name under which a manifest, and so its registry, knows it, if that is not the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Sha512>,
    /// The address of a foreign layer that its registry does not keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Content {
    /// Content that is named by its digest.
    #[must_use]
    pub fn new(media_type: impl Into<String>, blob: Blob) -> Self {
        let Blob { digest, size } = blob;
        Self { media_type: media_type.into(), digest, size, alias: None, url: None }
    }

    /// Digest and size.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob { digest: self.digest, size: self.size }
    }

    /// The name under which its registry knows it.
    #[must_use]
    pub fn name(&self) -> AnyDigest {
        self.alias.map_or(self.digest.into(), AnyDigest::from)
    }

    /// What the registry says of it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest,
            size: self.size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl LockedImage {
    /// All its content, manifests first.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.manifests.iter().chain(&self.blobs)
    }

    /// How many signatures, SBOMs and attestations come along: manifests that refer to one of the image's, or that a tag
    /// made of a digest leads to. Lists of them are none.
    #[must_use]
    pub fn attached(&self) -> usize {
        let listed = self.referrers.values().flatten().map(|referrer| referrer.digest);
        let tagged = self.tags.iter().filter(|(tag, _)| tag.contains('.')).map(|(_, digest)| *digest);
        listed.chain(tagged).collect::<BTreeSet<_>>().len()
    }

    /// The content that lies on this machine.
    pub fn local(&self) -> impl Iterator<Item = &Content> {
        let is_local = !matches!(self.source, ImageSource::Registry(_));
        self.contents().filter(move |content| is_local && content.url.is_none())
    }

    /// The content that is fetched, and from where.
    ///
    /// # Errors
    /// [`image::Error::BadImage`] for an address that is none.
    pub fn wanted(&self) -> Result<Vec<Wanted>, Error> {
        let manifests = self.manifests.iter().map(|content| (content, Kind::Manifest));
        let blobs = self.blobs.iter().map(|content| (content, Kind::Blob));
        let mut wanted = Vec::new();
        for (content, kind) in manifests.chain(blobs) {
            let origin = match (&content.url, &self.source) {
                (Some(url), _) => Origin::Url(url.parse().map_err(|_| {
                    let why = format!("`{}` is not the address of a layer", url.escape_default());
                    image::Error::BadImage { image: self.name.to_string(), why }
                })?),
                (None, ImageSource::Registry(reference)) => {
                    Origin::Registry { reference: reference.clone(), kind }
                }
                (None, _) => continue,
            };
            // Only registries know names of content.
            let alias = content.alias.filter(|_| content.url.is_none());
            wanted.push(Wanted { blob: content.blob(), alias, origin });
        }
        Ok(wanted)
    }

    /// Adds what the registry has to say about this image.
    ///
    /// # Errors
    /// [`image::Error::TagTwice`] if another image of the release uses one of its tags for something else.
    pub fn add_to(&self, refs: &mut Refs) -> Result<(), Error> {
        let manifests: HashMap<Digest, &Content> = self.manifests.iter().map(|m| (m.digest, m)).collect();
        let mut name = |name: Reference, target: &Content| match refs.of_tag(&name) {
            Some(other) if other.digest != target.digest => {
                Err(image::Error::TagTwice { name: Box::new(name), one: other.digest, other: target.digest })
            }
            _ => {
                refs.images.insert(name, target.descriptor());
                Ok(())
            }
        };
        name(self.name.clone(), &self.target)?;
        for (tag, digest) in &self.tags {
            let Some(target) = manifests.get(digest) else {
                let why = format!("its tag `{tag}` names {digest}, which is not among its manifests");
                return Err(image::Error::BadImage { image: self.name.to_string(), why }.into());
            };
            name(self.name.tagged(tag)?, target)?;
        }
        for manifest in &self.manifests {
            let info = ManifestInfo { media_type: manifest.media_type.clone(), size: manifest.size };
            refs.manifests.insert(manifest.digest, info);
        }
        for (&subject, referrers) in &self.referrers {
            let known = refs.referrers.entry(subject).or_default();
            for referrer in referrers {
                if known.iter().all(|known| known.digest != referrer.digest) {
                    known.push(referrer.clone());
                }
            }
        }
        for content in self.contents() {
            if let Some(alias) = content.alias {
                refs.aliases.insert(alias, content.digest);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Explain as _;

    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn content(text: &str) -> Content {
        Content::new(MANIFEST, Blob::of(text.as_bytes()))
    }

    /// An image with a signature, and another one that shares both.
    fn image(name: &str, signature: &str) -> LockedImage {
        let (target, signature) = (content("image"), content(signature));
        let tag = format!("sha256-{}.sig", target.digest.hex());
        LockedImage {
            name: name.parse().unwrap(),
            source: ImageSource::Registry(name.parse().unwrap()),
            tags: [(tag, signature.digest)].into(),
            referrers: [(target.digest, vec![signature.descriptor()])].into(),
            manifests: vec![target.clone(), signature],
            target,
            blobs: vec![Content { alias: Some(Sha512::of(b"layer")), ..content("layer") }],
        }
    }

    #[test]
    fn what_two_images_share_is_said_once_and_contradictions_are_refused() {
        let mut refs = Refs::default();
        image("ghcr.io/acme/api:1", "signature").add_to(&mut refs).unwrap();
        image("ghcr.io/acme/api:2", "signature").add_to(&mut refs).unwrap();
        assert_eq!(image("ghcr.io/acme/api:1", "signature").attached(), 1, "found in two ways");
        // Of another repository it may be another one, and then both refer to the image.
        image("ghcr.io/acme/web:1", "another").add_to(&mut refs).unwrap();
        assert_eq!((refs.images.len(), refs.manifests.len(), refs.aliases.len()), (5, 3, 1));
        let referrers: Vec<Digest> =
            refs.referrers[&content("image").digest].iter().map(|r| r.digest).collect();
        assert_eq!(referrers, [content("signature").digest, content("another").digest]);

        let said = image("ghcr.io/acme/api:3", "another").add_to(&mut refs).unwrap_err().to_string();
        assert!(said.contains(".sig") && said.contains(&content("signature").digest.to_string()), "{said}");

        // A digest behind a tag does not make it another tag: the appliance has one answer to it.
        let pinned = |text: &str| {
            let (name, target) = (format!("ghcr.io/acme/cache:1@{}", content(text).digest), content(text));
            LockedImage {
                target: target.clone(),
                manifests: vec![target],
                tags: BTreeMap::new(),
                ..image(&name, "")
            }
        };
        pinned("one").add_to(&mut refs).unwrap();
        pinned("one").add_to(&mut refs).unwrap();
        let error = pinned("two").add_to(&mut refs).unwrap_err();
        let digests = ["one", "two"].map(|text| content(text).digest.to_string());
        assert!(digests.iter().all(|digest| error.to_string().contains(digest)), "{error}");
        assert!(error.hint().unwrap().contains("without the tag"), "{error}");
    }

    #[test]
    fn a_lock_of_before_is_read_and_written_as_it_was() {
        let text = format!(r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":5}}"#, Digest::of(b"hello"));
        let read: Content = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn content_is_fetched_from_where_it_is() {
        let mut image = image("ghcr.io/acme/api:1", "signature");
        image.blobs[0].url = Some("https://example.com/layer".to_owned());
        let origins: Vec<String> = image.wanted().unwrap().iter().map(|w| w.origin.to_string()).collect();
        assert_eq!(origins, ["ghcr.io/acme/api:1", "ghcr.io/acme/api:1", "https://example.com/layer"]);
        assert_eq!(image.local().count(), 0);

        image.source = ImageSource::OciLayout { path: "layout".into(), reference: None };
        assert_eq!((image.wanted().unwrap().len(), image.local().count()), (1, 2));
        image.blobs[0].url = Some("no address".to_owned());
        assert!(image.wanted().unwrap_err().to_string().contains("no address"));
    }
}
