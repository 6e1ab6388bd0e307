//! From what manifests say of their blobs to content that can be fetched: names by SHA-512 become our own, and foreign
//! layers are refused or found.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use sealift_archive::{AnyDigest, Unwatched};
use sealift_fetch::{self as fetch, Client, Origin, Url};

use super::Content;
use super::manifest::{Manifest, Named};
use super::source::{Source, blobs_of};
use crate::definition::{ForeignLayers, Image};
use crate::{Error, image};

/// Blobs that are looked for at a time.
const BLOBS_AT_A_TIME: usize = 16;

/// The blobs of all these manifests, each once, in the order in which they are named.
///
/// # Errors
/// All that went wrong.
pub(super) async fn blobs(
    client: &Client,
    source: &Source<'_>,
    image: &Image,
    manifests: &[Manifest],
) -> Result<Vec<Content>, Vec<Error>> {
    let mut seen = HashSet::new();
    let named: Vec<&Named> = manifests
        .iter()
        .flat_map(|manifest| &manifest.blobs)
        .filter(|named| seen.insert(named.digest))
        .collect();
    let pinning = Pinning { client, source, image };
    let mut pinned = stream::iter(named).map(|named| pinning.content(named)).buffered(BLOBS_AT_A_TIME);
    let mut contents: Vec<Content> = Vec::new();
    let mut places = HashMap::new();
    let mut errors = Vec::new();
    while let Some(pinned) = pinned.next().await {
        match pinned {
            Err(error) => errors.push(error),
            Ok(content) => match places.entry(content.digest) {
                Entry::Vacant(place) => {
                    place.insert(contents.len());
                    contents.push(content);
                }
                // Named by both kinds of digest, it has both names.
                Entry::Occupied(place) => {
                    let known = &mut contents[*place.get()];
                    known.alias = known.alias.or(content.alias);
                }
            },
        }
    }
    if errors.is_empty() { Ok(contents) } else { Err(errors) }
}

struct Pinning<'a> {
    client: &'a Client,
    source: &'a Source<'a>,
    image: &'a Image,
}

impl Pinning<'_> {
    async fn content(&self, named: &Named) -> Result<Content, Error> {
        let url = if named.is_foreign() { self.foreign(named).await? } else { None };
        if url.is_none() {
            self.expect_there(named)?;
        }
        let mut content = match (named.content(), named.digest) {
            (Some(content), _) => content,
            (None, name) => self.identify(named, name, url.as_ref()).await?,
        };
        content.url = url.map(String::from);
        Ok(content)
    }

    /// Whether a foreign layer is carried, and from where if not from where the image is.
    async fn foreign(&self, named: &Named) -> Result<Option<Url>, Error> {
        let image = self.image.name.to_string();
        let layer = named.digest;
        if self.image.foreign_layers == ForeignLayers::Refuse {
            return Err(image::Error::ForeignLayer { image, layer: Box::new(layer) }.into());
        }
        let is_there = match self.source {
            Source::Registry { client, reference } => {
                client.offers(&blobs_of(reference), layer, named.size).await?
            }
            Source::Local(layout) => layout.size(layer).is_some(),
        };
        if is_there {
            return Ok(None);
        }
        let mut failed = None;
        for url in &named.urls {
            let Ok(url) = url.parse::<Url>() else { continue };
            match self.client.offers(&Origin::Url(url.clone()), layer, named.size).await {
                Ok(true) => return Ok(Some(url)),
                // From some addresses nothing is fetched, whatever is there.
                Ok(false) | Err(fetch::Error::BadUrl { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        // Where it could not be asked for, it may be for all we know.
        if let Some(error) = failed {
            return Err(error.into());
        }
        let (layer, place) = (Box::new(layer), self.source.name());
        Err(image::Error::NoForeignLayer { image, layer, place, urls: named.urls.clone() }.into())
    }

    /// Refuses what a layout names and does not hold, before anybody waits for the rest.
    fn expect_there(&self, named: &Named) -> Result<(), Error> {
        let Source::Local(layout) = self.source else { return Ok(()) };
        match layout.size(named.digest) {
            Some(size) if size == named.size => Ok(()),
            Some(size) => {
                let why = format!("{} is {size} bytes long instead of {}", named.digest, named.size);
                Err(layout.refuse(why))
            }
            None => Err(layout.refuse(format!("it lacks {} of `{}`", named.digest, self.image.name))),
        }
    }

    /// Finds out what we call content that others name by `name`.
    async fn identify(&self, named: &Named, name: AnyDigest, url: Option<&Url>) -> Result<Content, Error> {
        let blob = match (url, self.source) {
            (Some(url), _) => {
                self.client.identify(&Origin::Url(url.clone()), name, named.size, &Unwatched).await?
            }
            (None, Source::Registry { client, reference }) => {
                client.identify(&blobs_of(reference), name, named.size, &Unwatched).await?
            }
            (None, Source::Local(layout)) => layout.identify(name)?,
        };
        let alias = if let AnyDigest::Sha512(alias) = name { Some(alias) } else { None };
        Ok(Content { alias, ..Content::new(named.media_type.clone(), blob) })
    }
}
