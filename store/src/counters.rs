//! `trust/state.json`: what must not go back. Kept apart from the releases, so that it outlives them.

use std::collections::BTreeMap;

use fs_err as fs;
use sealift_archive::{Channel, ChannelName, Digest, Product, Sequence, Statement, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::audit::{self, Event};
use crate::policy::{Freshness, Reach, SeenChannel};
use crate::{Error, Store, Writer};

const COUNTERS_FILE: &str = "state.json";
const MAX_COUNTERS_BYTES: usize = 64 << 10;

/// Numbers that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counters {
    /// The product of the first release that was active here, or the first channel that was believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// The highest sequence that was ever active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Sequence>,
    /// The highest floor of any statement that was verified and staged, and of any channel that was believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Sequence>,
    /// The channels that were believed, as they were seen last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<ChannelName, SeenChannel>,
    /// When any of this changed last, by this machine's clock: for people. Nothing is decided by it, since a clock that was
    /// ahead once would then have the last word for good.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
}

impl Counters {
    /// Takes a verified statement in.
    pub(crate) fn raise_floor(&mut self, statement: &Statement) {
        self.floor = self.floor.max(Some(statement.floor));
    }

    /// Takes a channel in that may be believed.
    fn see(&mut self, channel: &Channel, digest: Digest) {
        self.product.get_or_insert_with(|| channel.product.clone());
        self.floor = self.floor.max(Some(channel.floor));
        let (version, release) = (channel.version, channel.release.clone());
        self.channels.insert(channel.name, SeenChannel { version, digest, release, has_expired: false });
    }

    /// Takes note that an edition of a channel has expired, if it was believed before.
    fn see_expired(&mut self, name: ChannelName, digest: Digest) {
        if let Some(seen) = self.channels.get_mut(&name).filter(|seen| seen.digest == digest) {
            seen.has_expired = true;
        }
    }

    /// Takes note that a release becomes active.
    pub(crate) fn install(&mut self, product: &Product, sequence: Sequence) {
        self.product.get_or_insert_with(|| product.clone());
        self.installed = self.installed.max(Some(sequence));
    }
}

impl Store {
    /// The counters; all empty in a new store.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn counters(&self) -> Result<Counters, Error> {
        let path = self.trust_dir().join(COUNTERS_FILE);
        if !path.exists() {
            return Ok(Counters::default());
        }
        Ok(json::parse(&path.display().to_string(), &fs::read(&path)?, MAX_COUNTERS_BYTES)?)
    }
}

impl Writer {
    /// Takes in what a channel says, whose signatures are good, if it may be believed.
    ///
    /// # Errors
    /// The rule that forbids it, or I/O.
    pub fn take_channel(&self, channel: &Channel, digest: Digest, reach: Reach) -> Result<Freshness, Error> {
        self.take_channel_at(channel, digest, reach, audit::now())
    }

    fn take_channel_at(
        &self,
        channel: &Channel,
        digest: Digest,
        reach: Reach,
        now: OffsetDateTime,
    ) -> Result<Freshness, Error> {
        let situation = self.situation()?;
        let judged = situation.judge_channel(channel, digest, reach, now);
        if matches!(judged, Err(Error::ChannelExpired { .. })) {
            self.count(|counters| counters.see_expired(channel.name, digest))?;
        }
        let freshness = judged?;
        let is_news = situation.channels.get(&channel.name).is_none_or(|seen| seen.digest != digest);
        if is_news {
            // Told first: a crash in between costs a second line in the log, never a missing one.
            let (name, version, release) = (channel.name, channel.version, channel.release.clone());
            self.record(Event::ChannelSeen { channel: name, version, digest, release })?;
            self.count(|counters| counters.see(channel, digest))?;
        }
        Ok(freshness)
    }

    /// Changes the counters, durably; `change` is to let each of them only grow.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) -> Result<(), Error> {
        let before = self.counters()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        after.time = Some(audit::now());
        Ok(durable::write(&self.trust_dir().join(COUNTERS_FILE), &json::to_document(&after))?)
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Explain as _;
    use sealift_archive::release::CurrentRelease;
    use time::macros::datetime;

    use super::*;
    use crate::fixture::Place;

    #[test]
    fn a_clock_that_was_ahead_once_has_not_the_last_word() {
        let place = Place::new();
        let edition = |version, expires| {
            let release = CurrentRelease {
                version: "1.5".parse().unwrap(),
                sequence: 5.try_into().unwrap(),
                statement: Digest::of(&[1]),
            };
            Channel::new("acme".parse().unwrap(), ChannelName::Stable, version, release, expires)
        };
        let first = edition(1, datetime!(2026-12-01 0:00 UTC));
        let next = edition(2, datetime!(2026-11-30 0:00 UTC));
        let (now, ahead) = (datetime!(2026-11-23 12:00 UTC), datetime!(2086-11-23 12:00 UTC));
        let take = |channel: &Channel, now| {
            let digest = Digest::of(&channel.to_bytes());
            let taken = place.writer().take_channel_at(channel, digest, Reach::Online, now);
            taken.map_or_else(|error| error.code().to_string(), |freshness| format!("{freshness:?}"))
        };
        for (channel, now, expected) in [
            (&first, ahead, "SL0324"),
            (&first, now, "Fresh"),
            (&first, ahead, "SL0324"),
            // Else whoever turns the clock back could keep an appliance from hearing anything new.
            (&first, now, "SL0324"),
            (&next, ahead, "SL0324"),
            (&next, now, "Fresh"),
            (&first, now, "SL0322"),
        ] {
            assert_eq!(take(channel, now), expected, "version {} at {now}", channel.version);
        }
    }

    #[test]
    fn what_a_channel_says_is_remembered_and_does_not_go_back() {
        let place = Place::new();
        let long_hence = datetime!(2126-11-01 0:00 UTC);
        let channel = |version, names: u64, floor: u64| {
            let (sequence, statement) = (names.try_into().unwrap(), Digest::of(&[1]));
            let release =
                CurrentRelease { version: format!("1.{names}").parse().unwrap(), sequence, statement };
            let (product, name) = ("acme".parse().unwrap(), ChannelName::Stable);
            let mut channel = Channel::new(product, name, version, release, long_hence);
            channel.floor = floor.try_into().unwrap();
            channel
        };
        let take = |channel: &Channel| {
            let digest = Digest::of(&channel.to_bytes());
            let taken = place.writer().take_channel(channel, digest, Reach::Online);
            taken.map_or_else(|error| error.code().to_string(), |freshness| format!("{freshness:?}"))
        };
        let [mut expired, mut of_another, mut candidate] = [(); 3].map(|()| channel(7, 8, 8));
        expired.expires = datetime!(2026-01-01 0:00 UTC);
        of_another.product = "other".parse().unwrap();
        candidate.name = ChannelName::Candidate;
        let cases = [
            (channel(3, 5, 2), "Fresh", (3, 2)),
            (channel(3, 5, 2), "Fresh", (3, 2)),
            (channel(3, 6, 2), "SL0323", (3, 2)),
            (channel(2, 6, 6), "SL0322", (3, 2)),
            (channel(5, 6, 4), "Fresh", (5, 4)),
            // A release that is current may be an earlier one; the floor stays where it was.
            (channel(6, 4, 1), "Fresh", (6, 4)),
            (expired, "SL0324", (6, 4)),
            (of_another, "SL0321", (6, 4)),
        ];
        for (channel, expected, (version, floor)) in cases {
            assert_eq!(take(&channel), expected, "{channel:?}");
            let counters = place.store.counters().unwrap();
            assert_eq!(counters.channels[&ChannelName::Stable].version, version);
            assert_eq!(counters.floor.unwrap().get(), floor);
            assert_eq!(counters.product.unwrap().as_str(), "acme");
        }
        let seen =
            place.store.audit().unwrap().into_iter().filter(|r| matches!(r.event, Event::ChannelSeen { .. }));
        assert_eq!(seen.count(), 3, "each edition is told once");
        let mut forked = candidate.clone();
        forked.release = CurrentRelease { statement: Digest::of(&[2]), ..channel(7, 4, 1).release };
        assert_eq!(take(&forked), "SL0309", "a sequence belongs to one statement");
        assert_eq!(take(&candidate), "Fresh", "each channel has a counter of its own");
    }
}
