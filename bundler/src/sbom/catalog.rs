//! A bill by what it names instead of by where that was found, for documents: each package once, however many images
//! hold it. And what the documents say in common.

use std::collections::{BTreeMap, BTreeSet};

use sealift_archive::Digest;

use super::package::purl;
use super::{Bill, Distribution, Found, Image, OtherKind, Package};

/// How much of a digest tells things of one document apart, in hexadecimal characters.
const ID_LEN: usize = 32;

/// Everything that a bill names, each thing once, in a fixed order.
#[derive(Debug)]
pub(super) struct Catalog<'a> {
    /// Id → system.
    pub(super) systems: BTreeMap<String, &'a Distribution>,
    /// Id → package.
    pub(super) packages: BTreeMap<String, Entry<'a>>,
}

/// A package and where it was found.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) package: &'a Package,
    pub(super) purl: Option<&'a str>,
    pub(super) places: Vec<(&'a Image, &'a Found)>,
}

impl<'a> Catalog<'a> {
    pub(super) fn of(bill: &'a Bill) -> Self {
        let mut catalog = Self { systems: BTreeMap::new(), packages: BTreeMap::new() };
        for image in &bill.images {
            if let Some(system) = &image.distribution {
                catalog.systems.insert(system_id(system), system);
            }
            for found in &image.packages {
                let entry = catalog.packages.entry(package_id(found)).or_insert_with(|| Entry {
                    package: &found.package,
                    purl: found.purl.as_deref(),
                    places: Vec::new(),
                });
                entry.places.push((image, found));
            }
        }
        catalog
    }
}

/// The ids of all that an image holds.
pub(super) fn held_by(image: &Image) -> BTreeSet<String> {
    image.distribution.iter().map(system_id).chain(image.packages.iter().map(package_id)).collect()
}

/// One id for each package that differs in anything but where it was found.
pub(super) fn package_id(found: &Found) -> String {
    let Package { name, version, epoch, kind, architecture, source, license } = &found.package;
    let source = source.as_ref().map(|s| (&s.name, &s.version));
    // Debug quotes and escapes, so no two packages are spelled alike.
    id("package", &format!("{:?}", (name, version, epoch, kind, architecture, source, license, &found.purl)))
}

fn system_id(system: &Distribution) -> String {
    id("system", &format!("{system:?}"))
}

/// The id of an image.
pub(super) fn image_id(image: &Image) -> String {
    format!("image-{}", &image.digest.hex()[..ID_LEN])
}

/// The id of something that is no image.
pub(super) fn other_id(kind: OtherKind, name: &str) -> String {
    id("other", &format!("{:?}", (kind, name)))
}

fn id(what: &str, spelled: &str) -> String {
    format!("{what}-{}", &Digest::of(spelled.as_bytes()).hex()[..ID_LEN])
}

/// A digest that stands for the document: it differs wherever two documents do, but for their date.
pub(super) fn document_digest(bill: &Bill, format: &str) -> Digest {
    let only = bill.only.as_ref().map(ToString::to_string).unwrap_or_default();
    Digest::of(format!("{format} {} {} {only}", bill.digest, env!("CARGO_PKG_VERSION")).as_bytes())
}

/// The name of the document.
pub(super) fn title(bill: &Bill) -> String {
    match &bill.only {
        Some(image) => image.to_string(),
        None => format!("{}-{}", bill.release.product, bill.release.version),
    }
}

/// What has this manifest in a registry as a package URL (purl specification, type oci).
pub(super) fn oci_purl(name: &str, digest: &Digest, platform: Option<&str>) -> Option<String> {
    let name: sealift_archive::Reference = name.parse().ok()?;
    let last = name.repository().rsplit('/').next()?;
    let mut qualifiers = BTreeMap::from([("repository_url", name.name())]);
    qualifiers.extend(name.tag().map(|tag| ("tag", tag.to_owned())));
    // `linux/arm64/v8`
    qualifiers.extend(platform.and_then(|p| p.split('/').nth(1)).map(|arch| ("arch", arch.to_owned())));
    purl("oci", None, last, &digest.to_string(), &qualifiers)
}

/// Why an image may hold more than is listed.
pub(super) fn uncertainties(image: &Image) -> Vec<String> {
    let opaque =
        image.is_opaque().then(|| "no package database was found, and no SBOM is attached".to_owned());
    opaque.into_iter().chain(image.warnings.iter().cloned()).collect()
}

/// What there is to say about an image besides its name and digest, in sentences.
pub(super) fn remarks(image: &Image) -> Vec<String> {
    let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
    let names = format!("Named {}.", names.join(", "));
    let platform = image.platform.iter().map(|platform| format!("For {platform}."));
    let uncertain = uncertainties(image).into_iter().map(|why| format!("It may hold more: {why}."));
    std::iter::once(names).chain(platform).chain(uncertain).collect()
}

/// Where a package was found, a place a line.
pub(super) fn places(entry: &Entry<'_>) -> Vec<String> {
    let mut places = BTreeSet::new();
    for (image, found) in &entry.places {
        let layer = found.layer.iter().map(|layer| format!("layer {layer}"));
        let attached = found.attached.iter().map(|document| format!("attached SBOM {document}"));
        places.extend(layer.chain(attached).map(|place| format!("image {}, {place}", image.digest)));
    }
    places.into_iter().collect()
}
