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
    // Where nobody says what this boot is called, what was heard last counts, whenever that was.
    let is_heard = |agreed: &Agreed| boot().map_or(true, |boot_id| agreed.boot_id == boot_id);
    let agreed = agreed.filter(is_heard);
    let statement = store.release(active)?.digest();
    Ok(verdict(agreed.as_ref(), since_start(), &statement))
}

/// `agreed` is what was heard since the machine was started.
fn verdict(agreed: Option<&Agreed>, since_start: Duration, statement: &Digest) -> Verdict {
    match agreed {
        Some(agreed) if agreed.allows(statement) => Verdict::Fit,
        Some(_) => Verdict::Behind,
        None if since_start < HEARING_TIME => Verdict::Unheard,
        None => Verdict::Fit,
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
    fn what_was_heard_before_the_machine_was_started_is_not_known_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let sequence = Sequence::try_from(1).unwrap();
        assert_eq!(judge(&store, sequence).unwrap(), Verdict::Fit, "it is no node of a cluster");
        let agreed = |boot_id: String| {
            let (releases, time) = (vec![Digest::of(b"other")], OffsetDateTime::UNIX_EPOCH);
            store.write_agreed(&Agreed { releases, boot_id, time, nodes: Vec::new() }).unwrap();
        };
        let release = dir.path().join("releases/1");
        fs_err::create_dir(&release).unwrap();
        fs_err::write(release.join("release.json"), "{}").unwrap();
        agreed(boot().unwrap());
        assert_eq!(judge(&store, sequence).unwrap(), Verdict::Behind);
        agreed("another".to_owned());
        assert_ne!(
            judge(&store, sequence).unwrap(),
            Verdict::Behind,
            "it depends on how long the machine is up"
        );
    }

    #[test]
    fn git_waits_for_what_is_agreed_on() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let agreed = |releases: &[Digest]| {
            let (boot_id, time) = (String::new(), OffsetDateTime::UNIX_EPOCH);
            Some(Agreed { releases: releases.to_vec(), boot_id, time, nodes: Vec::new() })
        };
        let (just, long) = (Duration::from_secs(119), Duration::from_secs(120));
        let cases = [
            (agreed(&[one]), just, Verdict::Fit),
            (agreed(&[other, one]), just, Verdict::Fit),
            (agreed(&[other]), just, Verdict::Behind),
            (agreed(&[other]), long, Verdict::Behind),
            (agreed(&[]), just, Verdict::Fit),
            (None, just, Verdict::Unheard),
            (None, long, Verdict::Fit),
        ];
        for (agreed, since_start, expected) in cases {
            assert_eq!(verdict(agreed.as_ref(), since_start, &one), expected, "{agreed:?} {since_start:?}");
        }
        assert!(since_start() > Duration::ZERO);
    }
}
