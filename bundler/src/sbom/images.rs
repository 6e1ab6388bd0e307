//! Which images a release holds, of which layers they are made, and which documents are attached to them: read from its
//! manifests and indexes (OCI image spec 1.1 and Docker's schema 2).

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::release::Kind;
use sealift_archive::{Bundle, Digest, Error, Reference, Release};

use super::Image;
use super::attached::{Interest, interest};
use super::documents::{Descriptor, Documents, Manifest};
use super::package::text;
use crate::image::manifest::{is_image_config, platform_of};

/// How media types of layers begin that are tars.
const LAYERS: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// BuildKit keeps attestations as children of the index, annotated with the digest of the child that they are about.
const BUILDKIT_SUBJECT: &str = "vnd.docker.reference.digest";
/// Endings of the tags under which cosign attaches SBOMs and attestations.
const COSIGN_ENDINGS: [&str; 2] = [".sbom", ".att"];

/// An image as far as its manifest tells, and what is attached to it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) image: Image,
    pub(super) attached: BTreeSet<Attachment>,
}

/// A document that is attached to an image or to its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Attachment {
    pub(super) document: Digest,
    pub(super) subject: Digest,
}

/// The images of a release, by name, or those of one name.
pub(super) fn of(
    bundle: &Bundle,
    release: &Release,
    only: Option<&Reference>,
) -> Result<Vec<Planned>, Error> {
    let mut documents = Documents::default();
    documents.fetch(bundle, release, &release.refs.manifests.keys().copied().collect())?;
    let manifests = release.refs.manifests.keys().filter_map(|digest| documents.read::<Manifest>(digest));
    let configs = manifests
        .filter_map(|m| m.config.filter(|config| is_image_config(&config.media_type))?.carried(release))
        .collect();
    documents.fetch(bundle, release, &configs)?;
    let mut images = Images { release, documents, tagged: tagged(release), found: BTreeMap::new() };
    for (name, descriptor) in &release.refs.images {
        if only.is_none_or(|only| only == name) && Kind::of(name, descriptor) == Kind::Image {
            images.add(name, descriptor.digest);
        }
    }
    let mut found: Vec<Planned> = images.found.into_values().collect();
    found.sort_by(|a, b| {
        let key = |planned: &Planned| (planned.image.names.clone(), planned.image.platform.clone());
        key(a).cmp(&key(b)).then(a.image.digest.cmp(&b.image.digest))
    });
    Ok(found)
}

fn is_layer(layer: &Descriptor) -> bool {
    LAYERS.iter().any(|beginning| layer.media_type.starts_with(beginning))
}

/// What cosign's tags lead to: what it is attached to → manifests.
fn tagged(release: &Release) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let mut tagged: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
    for (name, descriptor) in &release.refs.images {
        let hex = name
            .tag()
            .and_then(|tag| tag.strip_prefix("sha256-"))
            .and_then(|rest| COSIGN_ENDINGS.iter().find_map(|ending| rest.strip_suffix(ending)));
        if let Some(subject) = hex.and_then(Digest::from_hex) {
            tagged.entry(subject).or_default().insert(descriptor.digest);
        }
    }
    tagged
}

/// The images of a release while they are found.
struct Images<'a> {
    release: &'a Release,
    documents: Documents,
    tagged: BTreeMap<Digest, BTreeSet<Digest>>,
    found: BTreeMap<Digest, Planned>,
}

/// Documents that were found to be attached to something, and SBOMs that cannot be read.
#[derive(Clone, Debug, Default)]
struct Attachments {
    documents: BTreeSet<Attachment>,
    warnings: Vec<String>,
}

impl Images<'_> {
    /// Adds what a name leads to: an image, or those children of an index that are carried.
    fn add(&mut self, name: &Reference, digest: Digest) {
        // An index may hold indexes; what is attached to one is about all that it holds.
        let mut ahead = vec![(digest, Attachments::default())];
        let mut seen = BTreeSet::new();
        while let Some((digest, mut attachments)) = ahead.pop() {
            if !seen.insert(digest) {
                continue;
            }
            self.attached_to(digest, &mut attachments);
            let Some(manifest) = self.documents.read::<Manifest>(&digest) else {
                let image = &mut self.image(name, digest).image;
                image.warnings.push("its manifest cannot be read".to_owned());
                continue;
            };
            if let Some(config) = &manifest.config {
                self.add_image(name, digest, config, &manifest.layers, attachments);
                continue;
            }
            let mut attestations: BTreeMap<&str, Vec<Digest>> = BTreeMap::new();
            let mut children = Vec::new();
            for child in &manifest.manifests {
                // Children that are not carried are of platforms that the release is not for.
                let Some(digest) = child.carried(self.release) else { continue };
                match child.annotations.get(BUILDKIT_SUBJECT) {
                    Some(subject) => attestations.entry(subject).or_default().push(digest),
                    None => children.push(digest),
                }
            }
            for child in children {
                let mut attachments = attachments.clone();
                for attestation in attestations.get(child.to_string().as_str()).into_iter().flatten() {
                    self.attach(*attestation, child, &mut attachments);
                }
                ahead.push((child, attachments));
            }
        }
    }

    /// Adds an image, even one that looks like none: to leave it out would be an all-clear that nobody gave.
    fn add_image(
        &mut self,
        name: &Reference,
        digest: Digest,
        config: &Descriptor,
        layers: &[Descriptor],
        attachments: Attachments,
    ) {
        let release = self.release;
        let is_known = is_image_config(&config.media_type);
        let carried = config.carried(release).filter(|_| is_known);
        let platform = carried.and_then(|config| platform_of(self.documents.bytes(&config)?));
        let is_new = !self.found.contains_key(&digest);
        let planned = self.image(name, digest);
        planned.attached.extend(attachments.documents);
        let image = &mut planned.image;
        image.warnings.extend(attachments.warnings);
        image.platform = platform.map(|platform| text(platform.as_bytes()));
        if !is_new {
            return;
        }
        if !is_known {
            let media_type = text(config.media_type.as_bytes());
            image.warnings.push(format!("its configuration is `{media_type}`, which is not an image's"));
        }
        for layer in layers {
            match layer.carried(release) {
                None => image.warnings.push(format!("layer `{}` is not carried", layer.spelled())),
                Some(_) if !is_layer(layer) => image.warnings.push(format!(
                    "layer `{}` cannot be read: it is `{}`, which is not an image's",
                    layer.spelled(),
                    text(layer.media_type.as_bytes())
                )),
                Some(digest) => image.layers.push(digest),
            }
        }
    }

    fn image(&mut self, name: &Reference, digest: Digest) -> &mut Planned {
        let planned = self.found.entry(digest).or_insert_with(|| Planned {
            image: Image {
                names: Vec::new(),
                digest,
                platform: None,
                distribution: None,
                layers: Vec::new(),
                databases: Vec::new(),
                attached: Vec::new(),
                packages: Vec::new(),
                warnings: Vec::new(),
            },
            attached: BTreeSet::new(),
        });
        if !planned.image.names.contains(name) {
            planned.image.names.push(name.clone());
        }
        planned
    }

    /// What refers to a manifest as its subject, or is tagged with its digest.
    fn attached_to(&self, subject: Digest, attachments: &mut Attachments) {
        let referrers = self.release.refs.referrers.get(&subject).into_iter().flatten().map(|d| d.digest);
        let tagged = self.tagged.get(&subject).into_iter().flatten().copied();
        for manifest in referrers.chain(tagged).collect::<BTreeSet<_>>() {
            self.attach(manifest, subject, attachments);
        }
    }

    /// Takes the documents of an attached manifest that are SBOMs or may have one in them.
    fn attach(&self, manifest: Digest, subject: Digest, attachments: &mut Attachments) {
        let Some(manifest) = self.documents.read::<Manifest>(&manifest) else {
            attachments.warnings.push(format!("`{manifest}`, which is attached to it, is no manifest"));
            return;
        };
        // Tools that attach plain files give them any media type; what they say of the whole then counts.
        let of_all = manifest.artifact_type.as_deref().map_or(Interest::None, interest);
        for layer in &manifest.layers {
            let of_this = interest(&layer.media_type);
            match (if of_this == Interest::None { of_all } else { of_this }, layer.carried(self.release)) {
                (Interest::Read, Some(document)) => {
                    attachments.documents.insert(Attachment { document, subject });
                }
                (Interest::None, _) => {}
                (Interest::Read, None) => {
                    attachments.warnings.push(format!("attached SBOM `{}` is not carried", layer.spelled()));
                }
                (Interest::Tell, _) => attachments.warnings.push(format!(
                    "attached SBOM `{}` cannot be read: it is `{}`, and only SPDX and CycloneDX in JSON are read",
                    layer.spelled(),
                    text(layer.media_type.as_bytes())
                )),
            }
        }
    }
}
