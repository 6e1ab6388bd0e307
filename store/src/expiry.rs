//! Certificates that end, told before it bites: by the registry of its own, and by `sealiftctl` of those that its configuration names.

use sealift_archive::release::Day;
use time::{Duration, OffsetDateTime};

/// From when on before its end a certificate is told of.
const NOTICE: Duration = Duration::days(14);

/// A certificate that somebody has to renew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    /// What it is, and where.
    pub what: String,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl Watched {
    /// What to tell people `now`, if it is time.
    #[must_use]
    pub fn warning(&self, now: OffsetDateTime) -> Option<String> {
        let Self { what, not_after } = self;
        let day = Day(not_after.date());
        match *not_after - now {
            left if left >= NOTICE => None,
            left if left.is_negative() => Some(format!("{what} ended on {day}: renew it")),
            left => Some(format!("{what} ends on {day}, in {} days: renew it", left.whole_days())),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn two_weeks_before_its_end_a_certificate_is_told_of() {
        let watched = Watched { what: "it".to_owned(), not_after: datetime!(2026-12-15 12:00 UTC) };
        let cases = [
            (datetime!(2026-11-23 00:00 UTC), None),
            (datetime!(2026-12-01 12:00 UTC), None),
            (datetime!(2026-12-01 12:01 UTC), Some("it ends on 2026-12-15, in 13 days: renew it")),
            (datetime!(2026-12-15 12:00 UTC), Some("it ends on 2026-12-15, in 0 days: renew it")),
            (datetime!(2026-12-15 12:01 UTC), Some("it ended on 2026-12-15: renew it")),
        ];
        for (now, expected) in cases {
            assert_eq!(watched.warning(now).as_deref(), expected, "{now}");
        }
    }
}
