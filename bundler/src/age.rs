//! How old the bases of a release's images are, and its operating system: what nobody rebuilds, nobody mends.
//!
//! An image's configuration says when each of its layers was made (OCI image spec 1.1, "Image JSON", `history` and
//! `created`); the first of these days is that of its base. Builds that are the same every time write a day long ago, which
//! says nothing; then the next one counts. What tells no day at all counts as too old.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{OffsetDateTime, UtcOffset};

use sealift_archive::release::{Day, Waiver};
use sealift_archive::{Digest, Unwatched, json};
use sealift_fetch::Client;

use crate::Error;
use crate::check::Order;
use crate::definition::Rebuild;
use crate::image::manifest::{Manifest, Named, is_image_config};
use crate::in_memory::InMemory;
use crate::local::Local;
use crate::lock::{Content, LockedImage};

/// Largest manifest or configuration that is read, in bytes, as registries have it.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// So many days may clocks be apart.
const CLOCK_DAYS: i64 = 1;
/// What was built before there were images was not: ZIP's first day, and those of builds that are the same every time.
const FIRST_DAY: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);

/// Documents, each with the number of the image that it belongs to.
type Wanted = BTreeSet<(usize, Digest)>;

/// Something that is older than it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Old {
    /// The image as the release carries it, or the base of the operating system.
    pub name: String,
    /// When it was built, if it says so.
    pub built: Option<Day>,
    /// How many days ago that was.
    pub days: Option<i64>,
    /// Why it is let pass.
    pub waiver: Option<Waiver>,
}

/// What the rule has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ages {
    /// What is too old, by name; what is let pass, too.
    pub old: Vec<Old>,
    /// Waivers that nothing needs, or needs any more.
    pub idle: Vec<Waiver>,
}

impl Ages {
    /// What is too old and not let pass.
    pub fn refused(&self) -> impl Iterator<Item = &Old> {
        self.old.iter().filter(|old| old.waiver.is_none())
    }
}

/// Days of configurations.
#[derive(Deserialize)]
struct Config {
    created: Option<String>,
    #[serde(default)]
    history: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    created: Option<String>,
}

/// Judges everything that the rule is about, on this day.
///
/// # Errors
/// Whatever keeps configurations from being read.
pub(crate) async fn judge(
    order: &Order<'_>,
    rule: &Rebuild,
    local: &Local,
    today: Day,
) -> Result<Ages, Error> {
    let mut built: BTreeMap<String, Option<Day>> = BTreeMap::new();
    for (image, configs) in configs(order, local).await? {
        // Each of its platforms has to say it.
        let days: Option<Vec<Day>> = configs.iter().map(|config| base_day(config)).collect();
        built.insert(image.name.to_string(), days.and_then(|days| days.into_iter().min()));
    }
    let os = order.definition.os.iter().map(|os| (os.base.clone(), os.built));
    built.extend(os);
    Ok(rule_on(rule, &built, today))
}

fn rule_on(rule: &Rebuild, built: &BTreeMap<String, Option<Day>>, today: Day) -> Ages {
    let mut ages = Ages::default();
    let mut used = Vec::new();
    for (name, &built) in built {
        // What was not built yet says nothing, either.
        let built = built.filter(|built| built.since(today) <= CLOCK_DAYS);
        let days = built.map(|built| today.since(built));
        if days.is_some_and(|days| days <= i64::from(rule.max_age_days)) {
            continue;
        }
        let waiver = rule.waivers.iter().find(|waiver| waiver.name.as_str() == name && today <= waiver.until);
        used.extend(waiver);
        ages.old.push(Old { name: name.clone(), built, days, waiver: waiver.cloned() });
    }
    ages.idle = rule.waivers.iter().filter(|waiver| !used.contains(waiver)).cloned().collect();
    ages
}

/// The configurations of each image's own manifests; those of signatures and attestations are no part of it. Artifacts have none.
async fn configs<'a>(
    order: &Order<'a>,
    local: &Local,
) -> Result<Vec<(&'a LockedImage, Vec<Vec<u8>>)>, Error> {
    let images = &order.lock.images;
    let mut ahead: Wanted =
        images.iter().enumerate().map(|(number, image)| (number, image.target.digest)).collect();
    let mut configs = Wanted::new();
    while !ahead.is_empty() {
        let documents = fetch(order.client, images, &ahead, local).await?;
        for (number, digest) in std::mem::take(&mut ahead) {
            let image = &images[number];
            let carried = |content: &Named| image.contents().find(|known| known.name() == content.digest);
            let content = image.manifests.iter().find(|known| known.digest == digest);
            let Some((content, bytes)) = content.zip(documents.get(&digest)) else { continue };
            let manifest = Manifest::parse(&image.name.to_string(), &content.media_type, bytes)?;
            let children = manifest.children.iter().filter(|child| child.attests().is_none());
            ahead.extend(children.filter_map(carried).map(|child| (number, child.digest)));
            let own = manifest.blobs.iter().filter(|blob| is_image_config(&blob.media_type));
            configs.extend(own.filter_map(carried).map(|config| (number, config.digest)));
        }
    }
    let documents = fetch(order.client, images, &configs, local).await?;
    let mut found: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for (number, digest) in configs {
        let config = documents.get(&digest).cloned().unwrap_or_default();
        found.entry(number).or_default().push(config);
    }
    Ok(found.into_iter().map(|(number, configs)| (&images[number], configs)).collect())
}

/// Fetches documents of images, by digest. One that is too large to be one tells nothing.
async fn fetch(
    client: &Client,
    images: &[LockedImage],
    wanted: &Wanted,
    local: &Local,
) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
    let sink = Arc::new(InMemory::default());
    let mut remote = HashMap::new();
    for (number, image) in images.iter().enumerate() {
        let is_wanted = |content: &&Content| {
            content.size <= MAX_DOCUMENT_BYTES && wanted.contains(&(number, content.digest))
        };
        let digests: BTreeSet<Digest> =
            image.contents().filter(is_wanted).map(|content| content.digest).collect();
        let mut fetched = image.wanted()?;
        fetched.retain(|fetched| digests.contains(&fetched.blob.digest));
        remote.extend(fetched.into_iter().map(|fetched| (fetched.blob.digest, fetched)));
        for digest in digests {
            if local.copy(digest, &*sink, &Unwatched)? {
                remote.remove(&digest);
            }
        }
    }
    client.fetch_all(remote.into_values().collect(), sink.clone(), Arc::new(Unwatched)).await?;
    Ok(sink.take_all())
}

/// The first day in a configuration that says anything.
fn base_day(config: &[u8]) -> Option<Day> {
    let config: Config = json::parse("", config, config.len()).ok()?;
    let steps = config.history.iter().filter_map(|step| step.created.as_deref());
    let days =
        steps.chain(config.created.as_deref()).filter_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    days.filter(|day| *day >= FIRST_DAY).min().map(|day| Day(day.to_offset(UtcOffset::UTC).date()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        serde_json::from_value(text.into()).unwrap()
    }

    #[test]
    fn the_first_day_that_says_anything_is_that_of_the_base() {
        let cases = [
            (r#"{"created": "2026-11-20T10:00:00Z"}"#, Some(day("2026-11-20"))),
            (
                r#"{"created": "2026-11-20T10:00:00Z", "history": [{"created": "2026-03-01T23:30:00.123456789-02:00"}, {}]}"#,
                Some(day("2026-03-02")),
            ),
            // The base was built in a way that is the same every time.
            (
                r#"{"created": "2026-11-20T10:00:00Z", "history": [{"created": "1970-01-01T00:00:00Z"}]}"#,
                Some(day("2026-11-20")),
            ),
            (r#"{"created": "1980-01-01T00:00:01Z"}"#, None),
            (r#"{"created": "0001-01-01T00:00:00Z", "history": []}"#, None),
            (r#"{"created": "yesterday"}"#, None),
            (r#"{"created": 7}"#, None),
            ("{}", None),
            ("no JSON", None),
        ];
        for (config, expected) in cases {
            assert_eq!(base_day(config.as_bytes()), expected, "{config}");
        }
    }

    #[test]
    fn what_is_too_old_needs_a_waiver_that_has_not_ended() {
        let today = day("2026-11-23");
        let waiver = |name: &str, until| Waiver {
            name: name.parse().unwrap(),
            reason: "nothing newer".parse().unwrap(),
            until,
        };
        let rule = Rebuild {
            max_age_days: 30,
            waivers: vec![
                waiver("waived", today),
                waiver("ended", day("2026-11-22")),
                waiver("undated-waived", day("2027-01-01")),
                waiver("young-waived", day("2027-01-01")),
            ],
        };
        let built = [
            ("just", Some(day("2026-10-24"))),
            ("old", Some(day("2026-10-23"))),
            ("waived", Some(day("2020-01-01"))),
            ("ended", Some(day("2026-01-01"))),
            ("undated", None),
            ("undated-waived", None),
            ("young-waived", Some(today)),
            ("from-tomorrow", Some(day("2026-11-24"))),
            ("from-far-ahead", Some(day("2062-11-23"))),
        ];
        let built = built.map(|(name, built)| (name.to_owned(), built)).into();
        let ages = rule_on(&rule, &built, today);
        let named = |old: &Old| (old.name.clone(), old.days);
        let refused: Vec<_> = ages.refused().map(named).collect();
        let refused: Vec<_> = refused.iter().map(|(name, days)| (name.as_str(), *days)).collect();
        assert_eq!(
            refused,
            [("ended", Some(326)), ("from-far-ahead", None), ("old", Some(31)), ("undated", None)]
        );
        let passed: Vec<_> =
            ages.old.iter().filter(|old| old.waiver.is_some()).map(|old| old.name.as_str()).collect();
        assert_eq!(passed, ["undated-waived", "waived"]);
        let idle: Vec<_> = ages.idle.iter().map(|waiver| waiver.name.as_str()).collect();
        assert_eq!(idle, ["ended", "young-waived"]);
    }
}
