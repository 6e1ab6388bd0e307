//! Whether this node may answer with the release that is active here, in a cluster of several.
//!
//! Flux on a node reads Git from the registry of that node. One that was away would lead the cluster back to what it runs
//! itself. So Git waits until this node runs what the nodes agree on, and after a start until it was heard what that is. If
//! nobody says so, because Kubernetes does not come up, the node goes on with what it has.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sealift_archive::{Digest, Sequence};
use sealift_store::{Agreed, Store, boot};

use crate::Error;

/// For so long after the start of the machine it is waited for what the others say.
const HEARING_TIME: Duration = Duration::from_secs(120);

/// What a node knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may answer.
    Fit,
    /// It runs something else than what is agreed on.
    Behind,
    /// Nobody has said yet what is agreed on.
    Unheard,
}

/// Judges the release with this sequence. Blocks.
pub(super) fn judge(store: &Store, active: Sequence) -> Result<Verdict, Error> {
    let agreed = match store.agreed() {
        Ok(None) => return Ok(Verdict::Fit),
        Ok(agreed) => agreed,
        // As good as unheard, until it is written anew.
        Err(error) => {
            Error::from(error).log();
            None
        }
    };
    let boot_id = boot().unwrap_or_default();
    let statement = store.release(active)?.digest();
    Ok(verdict(agreed.as_ref(), &boot_id, since_start(), &statement))
}

fn verdict(agreed: Option<&Agreed>, boot_id: &str, since_start: Duration, statement: &Digest) -> Verdict {
    match agreed {
        Some(agreed) if agreed.boot_id == boot_id && agreed.allows(statement) => Verdict::Fit,
        Some(agreed) if agreed.boot_id == boot_id => Verdict::Behind,
        _ if since_start < HEARING_TIME => Verdict::Unheard,
        _ => Verdict::Fit,
    }
}

/// How long the machine has been up, sleep included.
fn since_start() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    #[test]
    fn git_waits_for_what_is_agreed_on() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let agreed = |releases: &[Digest], boot_id: &str| {
            let (boot_id, time) = (boot_id.to_owned(), OffsetDateTime::UNIX_EPOCH);
            Some(Agreed { releases: releases.to_vec(), boot_id, time, nodes: Vec::new() })
        };
        let (just, long) = (Duration::from_secs(119), Duration::from_secs(120));
        let cases = [
            (agreed(&[one], "now"), just, Verdict::Fit),
            (agreed(&[other, one], "now"), just, Verdict::Fit),
            (agreed(&[other], "now"), just, Verdict::Behind),
            (agreed(&[other], "now"), long, Verdict::Behind),
            (agreed(&[], "now"), just, Verdict::Fit),
            // Heard before the machine was started.
            (agreed(&[one], "before"), just, Verdict::Unheard),
            (agreed(&[one], "before"), long, Verdict::Fit),
            (agreed(&[other], "before"), long, Verdict::Fit),
            (None, just, Verdict::Unheard),
            (None, long, Verdict::Fit),
        ];
        for (agreed, since_start, expected) in cases {
            assert_eq!(
                verdict(agreed.as_ref(), "now", since_start, &one),
                expected,
                "{agreed:?} {since_start:?}"
            );
        }
        assert!(since_start() > Duration::ZERO);
    }
}
