//! Whether this node may answer with the release that is active here, in a cluster of several.
//!
//! Flux on a node reads Git from the registry of that node. One that was away would lead the cluster back to what it runs
//! itself. So Git is answered only while this node hears what the nodes agree on, and runs it. What is in the way of hearing,
//! Kubernetes above all, is in Flux's way as well.

use std::sync::{Mutex, PoisonError};

use sealift_archive::{Code, Explain, Sequence};
use sealift_store::{Heard, Store};

use crate::Error;

/// What a node knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may answer.
    Fit,
    /// It runs something else than what is agreed on.
    Behind,
    /// It has not heard lately what is agreed on.
    Unheard,
}

/// Judges, and tells the operator once why this node hears nothing.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    told: Mutex<Option<Code>>,
}

impl Judge {
    /// Judges the release with this sequence. Blocks.
    pub(super) fn judge(&self, store: &Store, active: Sequence) -> Result<Verdict, Error> {
        let heard = store.heard().map_err(Error::from).and_then(|heard| match heard {
            Some(heard) if !heard.is_current() => Err(Error::Unheard { silence: heard.silence() }),
            heard => Ok(heard),
        });
        self.tell(heard.as_ref().err());
        match heard {
            Ok(None) => Ok(Verdict::Fit),
            Ok(Some(Heard { agreed, .. })) => {
                let is_fit = agreed.allows(&store.release(active)?.digest());
                Ok(if is_fit { Verdict::Fit } else { Verdict::Behind })
            }
            // What cannot be read is as good as unheard, until it is written anew.
            Err(_) => Ok(Verdict::Unheard),
        }
    }

    fn tell(&self, error: Option<&Error>) {
        let code = error.map(Explain::code);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != code
            && let Some(error) = error
        {
            error.log();
        }
        *told = code;
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_archive::Digest;
    use sealift_store::{Agreed, boot};
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn git_waits_for_what_is_agreed_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let release = dir.path().join("releases/1");
        fs::create_dir(&release).unwrap();
        fs::write(release.join("release.json"), "{}").unwrap();
        let judge = Judge::default();
        let verdict = || judge.judge(&store, Sequence::try_from(1).unwrap()).unwrap();
        assert_eq!(verdict(), Verdict::Fit, "it is no node of a cluster");
        let (one, other, this_boot) = (Digest::of(b"{}"), Digest::of(b"other"), boot().unwrap());
        let cases: [(&[Digest], &str, Verdict); 5] = [
            (&[one], &this_boot, Verdict::Fit),
            (&[other, one], &this_boot, Verdict::Fit),
            (&[], &this_boot, Verdict::Fit),
            (&[other], &this_boot, Verdict::Behind),
            (&[one], "another", Verdict::Unheard),
        ];
        for (releases, boot_id, expected) in cases {
            let (releases, boot_id) = (releases.to_vec(), boot_id.to_owned());
            let time = OffsetDateTime::UNIX_EPOCH;
            let agreed = Agreed { releases, boot_id, time, nodes: Vec::new() };
            store.write_agreed(&agreed).unwrap();
            assert_eq!(verdict(), expected, "{agreed:?}");
        }
        assert_eq!(*judge.told.lock().unwrap(), Some(Code(640)));
        fs::write(dir.path().join("cluster.json"), "{").unwrap();
        assert_eq!(verdict(), Verdict::Unheard);
        assert_ne!(*judge.told.lock().unwrap(), Some(Code(640)), "it says what is the matter now");
        store.leave_cluster().unwrap();
        assert_eq!(verdict(), Verdict::Fit);
        assert_eq!(*judge.told.lock().unwrap(), None);
    }
}
