//! Whether this node may answer with the release that is active here, in a cluster of several.
//!
//! Flux on a node reads Git and lists of tags from the registry of that node. One that was away would lead the cluster back to
//! what it runs itself. So these are answered only while this node hears what the nodes agree on, and runs it. What is in the
//! way of hearing, Kubernetes above all, is in Flux's way as well. What is asked for by name or digest is answered throughout:
//! the kubelet needs it for what runs already.

use std::sync::{Arc, Mutex, PoisonError};

use sealift_archive::{Code, Explain, Sequence};
use sealift_store::{Heard, Store};
use tokio::task::spawn_blocking;

use crate::Error;

/// Why a node may not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It runs something else than what is agreed on.
    Behind,
    /// It has not heard lately what is agreed on.
    Unheard,
    /// What it runs itself cannot be read.
    Unreadable,
}

impl Unfit {
    /// The same, for the person who reads the client's log.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Behind => "this node does not run yet what the cluster has agreed on",
            Self::Unheard => {
                "this node has not heard lately what the cluster has agreed on; there, `systemctl status \
                 sealift-cluster` and `sealiftctl cluster status` say why"
            }
            Self::Unreadable => "the store cannot be read",
        }
    }
}

/// Judges, and tells the operator once why this node hears nothing.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    told: Mutex<Option<Code>>,
}

impl Judge {
    /// On a node of a cluster, the release with this sequence has to be one that all have agreed on.
    pub(crate) async fn expect_fit(self: &Arc<Self>, store: &Store, active: Sequence) -> Result<(), Unfit> {
        let (judge, store) = (Arc::clone(self), store.clone());
        let judged = spawn_blocking(move || judge.judge(&store, active));
        judged.await.unwrap_or(Err(Unfit::Unreadable))
    }

    /// The same. Blocks.
    fn judge(&self, store: &Store, active: Sequence) -> Result<(), Unfit> {
        let heard = store.heard().map_err(Error::from).and_then(|heard| match heard {
            Some(heard) if !heard.is_current() => Err(Error::Unheard { silence: heard.silence() }),
            heard => Ok(heard),
        });
        self.tell(heard.as_ref().err());
        match heard {
            Ok(None) => Ok(()),
            Ok(Some(Heard { agreed, .. })) => {
                let release = store.release(active).map_err(|error| {
                    Error::from(error).log();
                    Unfit::Unreadable
                })?;
                if agreed.allows(&release.digest()) { Ok(()) } else { Err(Unfit::Behind) }
            }
            // What cannot be read is as good as unheard, until it is written anew.
            Err(_) => Err(Unfit::Unheard),
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
    fn who_leads_waits_for_what_is_agreed_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let release = dir.path().join("releases/1");
        fs::create_dir(&release).unwrap();
        fs::write(release.join("release.json"), "{}").unwrap();
        let judge = Judge::default();
        let verdict = || judge.judge(&store, Sequence::try_from(1).unwrap());
        assert_eq!(verdict(), Ok(()), "it is no node of a cluster");
        let (one, other, this_boot) = (Digest::of(b"{}"), Digest::of(b"other"), boot().unwrap());
        let cases: [(&[Digest], &str, Result<(), Unfit>); 5] = [
            (&[one], &this_boot, Ok(())),
            (&[other, one], &this_boot, Ok(())),
            (&[], &this_boot, Ok(())),
            (&[other], &this_boot, Err(Unfit::Behind)),
            (&[one], "another", Err(Unfit::Unheard)),
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
        assert_eq!(verdict(), Err(Unfit::Unheard));
        assert_ne!(*judge.told.lock().unwrap(), Some(Code(640)), "it says what is the matter now");
        store.leave_cluster().unwrap();
        assert_eq!(verdict(), Ok(()));
        assert_eq!(*judge.told.lock().unwrap(), None);
    }
}
