//! `sealift check`: whether a release has every image that its charts and Git folders name, and whether all of it is as young
//! as the definition wants it.
//!
//! What lies in the definition's folders is read there; charts from servers are fetched, which takes no longer than
//! locking them. Git repositories are not looked into: what they name is the business of whoever signs them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use sealift_archive::release::Day;
use sealift_archive::{AnyDigest, Digest, Reference, Unwatched};
use sealift_fetch::Client;

use crate::age::{self, Ages};
use crate::definition::Definition;
use crate::discover::{self, ChartFiles, Found, Helm, Kind, Mention, Settings, Warning};
use crate::files::read_capped;
use crate::in_memory::InMemory;
use crate::local::Local;
use crate::lock::{Lock, LockedChart};
use crate::overlay::{self, Drifts};
use crate::{Error, chart};

/// Largest values file, in bytes.
const MAX_VALUES_BYTES: u64 = 4 << 20;

/// What to look through, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Fetches charts.
    pub client: &'a Client,
    /// The definition.
    pub definition: &'a Definition,
    /// The file that it was read from.
    pub file: &'a Path,
    /// Its lock.
    pub lock: &'a Lock,
    /// Renders charts, if it is there.
    pub helm: Option<&'a Helm>,
}

/// What was found, against what the release has.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many different references were found.
    pub found: usize,
    /// Those that the release lacks.
    pub missing: Vec<Missing>,
    /// What may be an image and could not be read as one.
    pub unclear: Vec<Unclear>,
    /// Images of the release that nothing names.
    pub unnamed: Vec<Reference>,
    /// What is older than the definition allows, if it has a rule.
    pub ages: Option<Ages>,
    /// How overlays differ from their base, if there are any.
    pub overlays: Option<Drifts>,
}

/// An image that is named and not carried.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// As it is written, or put together.
    pub reference: String,
    /// Where: file, line and value path.
    pub places: Vec<String>,
}

/// Something that looks like an image.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Unclear {
    /// Where it stands.
    pub place: String,
    /// Why it could not be read.
    pub why: String,
}

impl Report {
    /// Whether nothing is missing, and nothing was left unread.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unclear.is_empty()
    }
}

/// Looks through everything that names images, and judges their age on this day.
///
/// # Errors
/// All that is wrong with charts, values files and folders, and what servers say.
pub async fn check(order: &Order<'_>, today: Day) -> Result<Report, Error> {
    let local = order.lock.local(order.file)?;
    let found = find(order, &local).await?;
    let names = names(order.lock);
    let mut report = Report { found: found.distinct(), ..Report::default() };
    for mention in discover::missing(&found, &names) {
        let place = mention.place.to_string();
        match report.missing.iter_mut().find(|missing| missing.reference == mention.reference) {
            Some(missing) => missing.places.push(place),
            None => {
                report.missing.push(Missing { reference: mention.reference.clone(), places: vec![place] });
            }
        }
    }
    let unclear = |w: &Warning| Unclear { place: w.place.to_string(), why: w.why.clone() };
    report.unclear = found.warnings.iter().map(unclear).collect();
    let images = pinned(order.lock.images.iter().filter(|i| !order.lock.system_images.contains(&i.name)));
    report.unnamed = discover::unnamed(&found, &images).into_iter().map(without_digest).collect();
    if let Some(rule) = &order.definition.rebuild {
        report.ages = Some(age::judge(order, rule, &local, today).await?);
    }
    if let Some(overlays) = &order.definition.overlays {
        let folder = order.file.parent().unwrap_or(Path::new(""));
        report.overlays = Some(overlay::judge(order.definition, overlays, folder)?);
    }
    Ok(report)
}

/// The images that are named and not carried, as they would be carried.
///
/// # Errors
/// As [`check`]; [`Error::BadMention`] for what cannot be fetched as it is written.
pub(crate) async fn unlisted(order: &Order<'_>) -> Result<BTreeSet<Reference>, Error> {
    // The lock was made a moment ago, so nothing but the charts is needed of what lies here.
    let found = find(order, &order.lock.local_charts(order.file)?).await?;
    let names = names(order.lock);
    let mut wanted = BTreeSet::new();
    let mut errors = Vec::new();
    for mention in discover::missing(&found, &names).into_iter().filter(|m| m.kind == Kind::Image) {
        match mention.reference.parse() {
            Ok(reference) => drop(wanted.insert(reference)),
            Err(_) => errors.push(bad_mention(mention)),
        }
    }
    Error::all(errors).map_or(Ok(wanted), Err)
}

fn bad_mention(mention: &Mention) -> Error {
    Error::BadMention { reference: mention.reference.clone(), place: mention.place.to_string() }
}

/// Everything that charts and folders name. `local` has the charts that lie on this machine.
async fn find(order: &Order<'_>, local: &Local) -> Result<Found, Error> {
    let base = order.file.parent().unwrap_or(Path::new(""));
    let version = order.definition.kubernetes.as_ref().map(|k| kube_version(k.version.as_str()));
    let settings = Settings { kube_version: version, helm: order.helm };
    let mut found = Found::default();
    let mut errors = Vec::new();
    for locked in &order.lock.charts {
        match in_chart(order.client, locked, base, local, &settings).await {
            Ok(in_chart) => found.extend(&format!("{}-{}", locked.name, locked.version), in_chart),
            Err(error) => errors.push(error),
        }
    }
    let folders: BTreeSet<_> = order.definition.folders().collect();
    for folder in folders {
        match discover::in_folder(&base.join(folder), &settings) {
            Ok(in_folder) => found.extend(&folder.display().to_string(), in_folder),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(found), Err)
}

async fn in_chart(
    client: &Client,
    locked: &LockedChart,
    base: &Path,
    local: &Local,
    settings: &Settings<'_>,
) -> Result<Found, Error> {
    let files = ChartFiles::from_archive(&locked.source.to_string(), &archive(client, locked, local).await?)?;
    let read =
        |path| Ok((format!("{}", Path::display(path)), read_capped(&base.join(path), MAX_VALUES_BYTES)?));
    let values = locked.values.iter().map(|path| read(path)).collect::<Result<Vec<_>, Error>>()?;
    discover::in_chart(&files, &values, settings)
}

/// The packed chart, from wherever it is.
async fn archive(client: &Client, locked: &LockedChart, local: &Local) -> Result<Vec<u8>, Error> {
    let is_archive =
        |media_type: &str| [chart::CONTENT_TYPE, chart::LEGACY_CONTENT_TYPE].contains(&media_type);
    let Some(content) = locked.image.blobs.iter().find(|content| is_archive(&content.media_type)) else {
        let why = "none of its layers is a packed chart".to_owned();
        return Err(chart::Error::BadChart { chart: locked.source.to_string(), why }.into());
    };
    let sink = Arc::new(InMemory::default());
    if !local.copy(content.digest, &*sink, &Unwatched)? {
        let mut wanted = locked.image.wanted()?;
        wanted.retain(|wanted| wanted.blob.digest == content.digest);
        client.fetch_all(wanted, sink.clone(), Arc::new(Unwatched)).await?;
    }
    Ok(sink.take())
}

/// `1.36.4` of `v1.36.4+k3s1`, as Helm wants it.
fn kube_version(version: &str) -> &str {
    version.trim_start_matches('v').split('+').next().unwrap_or(version)
}

/// All names of a release, each with what it leads to.
fn names(lock: &Lock) -> BTreeSet<Reference> {
    let charts = lock.charts.iter().flat_map(|chart| {
        [&chart.served, &chart.image.name].map(|name| with_digest(name, chart.image.target.digest))
    });
    let flux = lock.flux.iter().map(|flux| &flux.image);
    pinned(lock.images.iter().chain(flux)).into_iter().chain(charts).collect()
}

fn pinned<'a>(images: impl Iterator<Item = &'a crate::lock::LockedImage>) -> BTreeSet<Reference> {
    images.map(|image| with_digest(&image.name, image.target.digest)).collect()
}

/// A name that has no digest yet, with the one that it leads to.
fn with_digest(name: &Reference, digest: Digest) -> Reference {
    let digest = name.digest().unwrap_or(AnyDigest::Sha256(digest));
    name.with_digest(digest)
}

fn without_digest(name: &Reference) -> Reference {
    name.tag().and_then(|tag| name.tagged(tag).ok()).unwrap_or_else(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_told_the_version_of_kubernetes_alone() {
        for (version, expected) in [("v1.36.4+k3s1", "1.36.4"), ("1.36.4", "1.36.4"), ("v1.36", "1.36")] {
            assert_eq!(kube_version(version), expected);
        }
    }
}
