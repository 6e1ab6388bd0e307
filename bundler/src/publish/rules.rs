//! What a channel may say after what it says: versions count up, releases and floors never go down.

use std::str::FromStr;

use sealift_archive::{Channel, ReleaseName};
use time::{Duration, OffsetDateTime};

use super::Error;

/// The longest that a channel may be believed: whoever holds it back for so long is not noticed before.
const MAX_LIFETIME: Duration = Duration::days(366);

/// How long a channel is to be believed: `14d`, `2w`, `36h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// When it ends, if it begins now. In whole seconds.
    #[must_use]
    pub fn end(self, now: OffsetDateTime) -> OffsetDateTime {
        (now + self.0).replace_nanosecond(0).unwrap_or(now)
    }
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('h', Duration::HOUR), ('d', Duration::DAY), ('w', Duration::WEEK)];
        let parsed = units.into_iter().find_map(|(unit, duration)| {
            let number: u16 = text.strip_suffix(unit)?.parse().ok()?;
            Some(duration * i32::from(number))
        });
        match parsed {
            Some(lifetime) if lifetime.is_positive() && lifetime <= MAX_LIFETIME => Ok(Self(lifetime)),
            Some(_) => Err("a channel is believed for an hour at least and a year at most".to_owned()),
            None => Err("write a whole number of hours, days or weeks: `36h`, `14d`, `2w`".to_owned()),
        }
    }
}

/// Refuses what appliances would not believe after `current`, or what would lead them nowhere.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn judge(current: Option<&Channel>, next: &Channel) -> Result<(), Error> {
    let channel = next.name;
    if next.floor > next.release.sequence {
        let why = format!("that is above the release itself, {}", named(next));
        return Err(Error::BadFloor { channel, floor: next.floor, why });
    }
    let Some(current) = current else { return Ok(()) };
    if current.product != next.product {
        let (found, wanted) = (current.product.clone(), next.product.clone());
        return Err(Error::OtherProduct { channel, found, wanted });
    }
    let is_same = current.release.statement == next.release.statement;
    if next.release.sequence < current.release.sequence
        || (next.release.sequence == current.release.sequence && !is_same)
    {
        let (current, wanted) = (Box::new(named(current)), Box::new(named(next)));
        return Err(Error::GoesBack { channel, current, wanted });
    }
    if next.floor < current.floor {
        let why = format!("it is {} already, and appliances remember that", current.floor);
        return Err(Error::BadFloor { channel, floor: next.floor, why });
    }
    Ok(())
}

/// The release that a channel names.
pub(super) fn named(channel: &Channel) -> ReleaseName {
    let product = channel.product.clone();
    ReleaseName { product, version: channel.release.version.clone(), sequence: channel.release.sequence }
}

#[cfg(test)]
mod tests {
    use sealift_archive::release::CurrentRelease;
    use sealift_archive::{ChannelName, Digest};
    use time::macros::datetime;

    use super::*;

    fn channel(product: &str, sequence: u64, floor: u64, statement: &str) -> Channel {
        let release = CurrentRelease {
            version: format!("1.{sequence}").parse().unwrap(),
            sequence: sequence.try_into().unwrap(),
            statement: Digest::of(statement.as_bytes()),
        };
        let expires = datetime!(2026-12-01 0:00 UTC);
        let mut channel = Channel::new(product.parse().unwrap(), ChannelName::Stable, 1, release, expires);
        channel.floor = floor.try_into().unwrap();
        channel
    }

    #[test]
    fn a_channel_only_goes_forward() {
        let current = channel("acme", 15, 13, "fifteen");
        let cases = [
            ("the same", channel("acme", 15, 13, "fifteen"), "ok"),
            ("a later one", channel("acme", 16, 13, "sixteen"), "ok"),
            ("a higher floor", channel("acme", 16, 16, "sixteen"), "ok"),
            ("an earlier one", channel("acme", 14, 13, "fourteen"), "SL0428"),
            ("another one of that sequence", channel("acme", 15, 13, "else"), "SL0428"),
            ("a lower floor", channel("acme", 16, 12, "sixteen"), "SL0429"),
            ("a floor above itself", channel("acme", 16, 17, "sixteen"), "SL0429"),
            ("another product", channel("other", 16, 13, "sixteen"), "SL0446"),
        ];
        for (name, next, expected) in cases {
            let said = judge(Some(&current), &next)
                .map_or_else(|error| sealift_archive::report(&error), |()| "ok".to_owned());
            assert!(said.contains(expected), "{name}: {said}");
        }
        assert!(judge(None, &channel("acme", 1, 1, "first")).is_ok());
        assert!(judge(None, &channel("acme", 1, 2, "first")).is_err());
    }

    #[test]
    fn a_lifetime_is_a_number_with_a_unit() {
        let now = datetime!(2026-11-23 12:30:15.5 UTC);
        let cases = [
            ("36h", Some(datetime!(2026-11-25 0:30:15 UTC))),
            ("14d", Some(datetime!(2026-12-07 12:30:15 UTC))),
            ("2w", Some(datetime!(2026-12-07 12:30:15 UTC))),
            ("366d", Some(datetime!(2027-11-24 12:30:15 UTC))),
            ("367d", None),
            ("65535w", None),
            ("0d", None),
            ("-1d", None),
            ("14", None),
            ("d", None),
            ("14 d", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Lifetime>().ok().map(|lifetime| lifetime.end(now)), expected, "{text}");
        }
    }
}
