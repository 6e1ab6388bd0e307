//! From an image's reference to everything that it is, pinned.

use std::collections::HashMap;
use std::path::Path;

use futures_util::future::join_all;

use sealift_archive::{Digest, Platform, digest_tag};
use sealift_fetch::Client;

use super::gather::{Gathered, gather};
use super::layout::MAX_MANIFEST_BYTES;
use super::manifest::{self, Manifest, is_foreign, platform_of};
use super::referrers::attached;
use super::source::Source;
use super::{Content, LockedImage, pin};
use crate::definition::{ForeignLayers, Image, ImageSource};
use crate::{Error, image};

/// What all images of a release are resolved with.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Asks registries.
    pub client: &'a Client,
    /// Which children of an index are carried; all, if there are none.
    pub platforms: Option<&'a [Platform]>,
    /// What paths are relative to.
    pub base: &'a Path,
    /// Images that an earlier lock resolved for the same platforms, by what they lead to.
    pub known: &'a HashMap<Digest, LockedImage>,
}

/// Finds all that belongs to an image, and pins it.
///
/// An image that leads to what a known one led to is taken from there, unless what refers to it has changed.
///
/// # Errors
/// All that a registry, layout or archive does not have or does not give, that cannot be carried, or that was not asked
/// for.
pub async fn resolve_image(scope: Scope<'_>, image: &Image) -> Result<LockedImage, Vec<Error>> {
    let (source, top) = Source::open(scope.client, image, scope.base).await.map_err(one)?;
    let target = top.content.clone();
    if image.name.digest().is_some_and(|named| named != target.digest.into() && named != target.name()) {
        let why = format!("it leads to {}", target.digest);
        return Err(one(image::Error::BadImage { image: image.name.to_string(), why }.into()));
    }
    if let Some(known) = scope.known.get(&target.digest).filter(|known| known.target == target)
        && is_as_known(&source, image, known).await?
    {
        return Ok(LockedImage { name: image.name.clone(), source: image.source.clone(), ..known.clone() });
    }
    expect_platform(&source, image, &top, scope.platforms).await.map_err(one)?;
    let Gathered { manifests, tags, referrers } = gather(&source, image, scope.platforms, top).await?;
    let blobs = pin::blobs(scope.client, &source, image, &manifests).await?;
    Ok(LockedImage {
        name: image.name.clone(),
        source: image.source.clone(),
        target,
        manifests: manifests.into_iter().map(|manifest| manifest.content).collect(),
        blobs,
        tags,
        referrers,
    })
}

fn one(error: Error) -> Vec<Error> {
    vec![error]
}

/// Whether nothing has changed about an image that leads to what `known` led to. Its content cannot; what refers to it
/// may have come or gone, and what the definition asks for may be another thing now.
async fn is_as_known(source: &Source<'_>, image: &Image, known: &LockedImage) -> Result<bool, Vec<Error>> {
    let is_bound = |content: &Content| content.alias.is_some() || content.url.is_some();
    let is_foreign = |content: &Content| is_foreign(&content.media_type);
    let is_elsewhere = known.source != image.source && known.contents().any(is_bound);
    let is_refused = image.foreign_layers == ForeignLayers::Refuse && known.contents().any(is_foreign);
    let is_on_disk = !matches!(image.source, ImageSource::Registry(_));
    // On this machine it costs nothing to look again, and what was there may be gone.
    if is_elsewhere || is_refused || is_on_disk {
        return Ok(false);
    }
    if !image.referrers {
        return Ok(known.tags.is_empty() && known.referrers.is_empty());
    }
    let indexes: Vec<Digest> =
        known.manifests.iter().filter_map(|m| known.tags.get(&digest_tag::of(m.name())).copied()).collect();
    let subjects = known.manifests.iter().filter(|manifest| !indexes.contains(&manifest.digest));
    let answers =
        join_all(subjects.map(|subject| async move { (subject, attached(source, subject).await) })).await;
    let mut errors = Vec::new();
    let (mut is_same, mut tags) = (true, 0);
    for (subject, answer) in answers {
        match answer {
            Err(more) => errors.extend(more),
            Ok(found) => {
                tags += found.all_tags().count();
                is_same &= found.is_listed_in(known, subject)
                    && found.all_tags().all(|(tag, digest)| known.tags.get(tag) == Some(&digest));
            }
        }
    }
    if errors.is_empty() { Ok(is_same && tags == known.tags.len()) } else { Err(errors) }
}

/// Refuses an image without an index that is for none of the chosen platforms.
async fn expect_platform(
    source: &Source<'_>,
    image: &Image,
    top: &Manifest,
    platforms: Option<&[Platform]>,
) -> Result<(), Error> {
    let (Some(platforms), Some(config)) = (platforms, top.blobs.first()) else { return Ok(()) };
    if config.size > MAX_MANIFEST_BYTES {
        let why = format!("its configuration is {} bytes long", config.size);
        return Err(image::Error::BadImage { image: image.name.to_string(), why }.into());
    }
    // Artifacts have configurations of other kinds, and belong to every platform.
    let Some(has) = platform_of(&source.small(config).await?) else { return Ok(()) };
    match platforms.first() {
        Some(wanted) if !platforms.iter().any(|platform| manifest::is_for(&has, platform)) => {
            Err(image::Error::NoPlatform { image: image.name.to_string(), platform: wanted.clone(), has }
                .into())
        }
        _ => Ok(()),
    }
}
