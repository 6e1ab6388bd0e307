//! `cluster.json`: what the nodes of a cluster agree on, as this node heard it last. Its registry answers neither Git nor
//! lists of tags while something else runs here, nor when nothing was heard for long.
//!
//! When it was heard last is the file's own time of change: not that of the clock, which may be wrong and jump, but the time
//! since the machine was started. So each hearing is one system call that waits for no disk, and what was heard is never taken
//! for younger than it is: a file that was written or restored by anybody else is from the future, and that counts as nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{env, io};

use fs_err as fs;
use rustix::time::{ClockId, clock_gettime};
use sealift_archive::{Digest, Version, bounded, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Error, Store};

pub(crate) const CLUSTER_FILE: &str = "cluster.json";
/// Largest file, in bytes.
const MAX_CLUSTER_BYTES: usize = 64 << 10;
/// Linux's name for the time from one start of the machine to the next.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// By this variable a unit says the same (`%b`), whose `/proc` shows nothing but processes.
const BOOT_VARIABLE: &str = "SEALIFT_BOOT_ID";
/// Longest such name, in bytes.
const MAX_BOOT_ID_BYTES: u64 = 64;
/// For so long it counts what a node has heard: as long as others wait for it while it switches.
pub const HEARING_LASTS: Duration = Duration::from_secs(300);
/// That it was heard again is noted no more often than this.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// What is agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreed {
    /// The statements of the releases of which any may run here; none: nothing is agreed on, and all may.
    pub releases: Vec<Digest>,
    /// In which [`boot`] of this machine it was heard.
    pub boot_id: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The nodes, as this one sees them; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSeen>,
}

/// A node of the cluster, as another one, or itself, sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// The version of the release that is active there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Version>,
    /// Whether it has said something lately.
    pub lives: bool,
    /// What hinders it, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
}

impl Agreed {
    /// Whether this release may run here.
    #[must_use]
    pub fn allows(&self, statement: &Digest) -> bool {
        self.releases.is_empty() || self.releases.contains(statement)
    }

    /// Its document, and what that says. Where the nodes have too much to tell, it goes without them: they are for people, and
    /// a file that is too large to be read would say nothing.
    fn document(&self) -> (Vec<u8>, Self) {
        let whole = json::to_document(self);
        if whole.len() <= MAX_CLUSTER_BYTES {
            return (whole, self.clone());
        }
        let short = Self { nodes: Vec::new(), ..self.clone() };
        (json::to_document(&short), short)
    }
}

/// The name of this boot of the machine.
///
/// # Errors
/// I/O.
pub fn boot() -> Result<String, Error> {
    let id = match env::var(BOOT_VARIABLE) {
        Ok(told) if !told.is_empty() => told,
        _ => String::from_utf8_lossy(&bounded::read(BOOT_ID.as_ref(), MAX_BOOT_ID_BYTES)?).into_owned(),
    };
    // systemd writes it without hyphens.
    Ok(id.trim().replace('-', ""))
}

/// How long the machine has been up, sleep included.
fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}

/// What was heard, and how long ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// What.
    #[serde(flatten)]
    pub agreed: Agreed,
    /// Seconds since it was heard last; none if that was before the machine was started, if ever.
    pub heard_seconds_ago: Option<u64>,
}

impl Heard {
    /// Whether it still counts.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.heard_seconds_ago.is_some_and(|seconds| seconds < HEARING_LASTS.as_secs())
    }

    /// What is the matter with a node for which nothing counts any more.
    #[must_use]
    pub fn silence(&self) -> String {
        let since = match self.heard_seconds_ago {
            Some(seconds) => format!("for {} min", seconds / 60),
            None => "since it was started".to_owned(),
        };
        format!(
            "this node has not heard {since} what the cluster has agreed on, so it answers neither Git nor lists of tags"
        )
    }
}

impl Store {
    /// What was heard last; none on an appliance of one node.
    ///
    /// # Errors
    /// I/O, a file that is damaged, or nobody says what this boot is called.
    pub fn heard(&self) -> Result<Option<Heard>, Error> {
        let path = self.root().join(CLUSTER_FILE);
        // Before the content, which is never older then.
        let age = match age(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            age => age?,
        };
        let Some(agreed) = self.agreed()? else { return Ok(None) };
        let boot_id = boot()?;
        let age = age.filter(|_| agreed.boot_id == boot_id);
        Ok(Some(Heard { heard_seconds_ago: age.map(|age| age.as_secs()), agreed }))
    }

    fn agreed(&self) -> Result<Option<Agreed>, Error> {
        let path = self.root().join(CLUSTER_FILE);
        match bounded::read(&path, MAX_CLUSTER_BYTES as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(json::parse(&path.display().to_string(), &bytes?, MAX_CLUSTER_BYTES)?)),
        }
    }

    /// Writes down what was heard just now. If the file says so already, only when: that is looked at, as somebody may have
    /// damaged or removed it. Only one program of a node does so, and it does not wait for whoever changes the store.
    ///
    /// # Errors
    /// I/O.
    pub fn write_agreed(&self, agreed: &Agreed) -> Result<(), Error> {
        let path = self.root().join(CLUSTER_FILE);
        let (document, agreed) = agreed.document();
        let is_same = |there: Agreed| Agreed { time: agreed.time, ..there } == agreed;
        // Of a file that root has written, others cannot change the time; they can replace it.
        if self.agreed().ok().flatten().is_some_and(is_same) && note(&path).is_ok() {
            return Ok(());
        }
        Ok(durable::write_dated(&path, &document, SystemTime::UNIX_EPOCH + uptime())?)
    }

    /// Forgets what was agreed on, and who the other nodes are: this appliance is no node any more.
    ///
    /// # Errors
    /// I/O.
    pub fn leave_cluster(&self) -> Result<(), Error> {
        for path in [self.peers_path(), self.root().join(CLUSTER_FILE)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.and_then(|()| durable::sync_dir(self.root()))?,
            }
        }
        Ok(())
    }
}

/// Notes that it was heard now.
fn note(path: &Path) -> io::Result<()> {
    if age(path)?.is_some_and(|age| age < NOTE_INTERVAL) {
        return Ok(());
    }
    fs::File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + uptime())
}

/// How long ago it was heard, if that was in this boot and the file is ours.
fn age(path: &Path) -> io::Result<Option<Duration>> {
    let noted = fs::metadata(path)?.modified()?.duration_since(SystemTime::UNIX_EPOCH);
    Ok(noted.ok().and_then(|noted| uptime().checked_sub(noted)))
}

#[cfg(test)]
mod tests {
    use sealift_archive::Unwatched;

    use super::*;
    use crate::PeerAuthorities;
    use crate::audit;
    use crate::fixture::Place;

    fn agreed(releases: &[Digest]) -> Agreed {
        let (boot_id, time) = (boot().unwrap(), audit::now());
        Agreed { releases: releases.to_vec(), boot_id, time, nodes: Vec::new() }
    }

    fn set_modified(store: &Store, modified: SystemTime) {
        fs::File::open(store.root().join(CLUSTER_FILE)).unwrap().set_modified(modified).unwrap();
    }

    #[test]
    fn what_is_agreed_on_is_kept_and_told() {
        let place = Place::new();
        assert_eq!(place.store.heard().unwrap(), None);
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let node = NodeSeen { name: "a".to_owned(), active: None, lives: true, hindrance: None };
        let agreed = Agreed { nodes: vec![node], ..agreed(&[one]) };
        assert!(!agreed.boot_id.is_empty());
        place.store.write_agreed(&agreed).unwrap();
        let read = place.store.heard().unwrap().unwrap();
        assert!(read.is_current(), "{read:?}");
        assert_eq!(read.agreed, agreed);
        assert!(agreed.allows(&one) && !agreed.allows(&other));
        assert!(Agreed { releases: Vec::new(), ..agreed }.allows(&other));
        assert!(place.store.verify(&Unwatched).unwrap().is_whole());
        fs::write(place.store.root().join(CLUSTER_FILE), "{").unwrap();
        assert!(place.store.heard().unwrap_err().to_string().contains(CLUSTER_FILE));
        let peers: PeerAuthorities = [("a", "its authority".to_owned())].into_iter().collect();
        place.store.write_peer_authorities(&peers).unwrap();
        for _ in 0..2 {
            place.store.leave_cluster().unwrap();
            assert_eq!(place.store.heard().unwrap(), None);
            assert_eq!(place.store.peer_authorities().unwrap(), PeerAuthorities::default());
        }
    }

    #[test]
    fn what_was_heard_is_written_again_if_the_file_does_not_say_so() {
        let place = Place::new();
        let path = place.store.root().join(CLUSTER_FILE);
        let agreed = agreed(&[Digest::of(b"one")]);
        place.store.write_agreed(&agreed).unwrap();
        let later = Agreed { time: agreed.time + time::Duration::HOUR, ..agreed.clone() };
        place.store.write_agreed(&later).unwrap();
        assert_eq!(place.store.agreed().unwrap(), Some(agreed), "the disk is left alone");
        for is_removed in [false, true] {
            if is_removed { fs::remove_file(&path) } else { fs::write(&path, "{") }.unwrap();
            place.store.write_agreed(&later).unwrap();
            assert_eq!(place.store.agreed().unwrap().as_ref(), Some(&later));
        }
    }

    #[test]
    fn what_was_heard_long_ago_does_not_count() {
        let agreed = agreed(&[]);
        let cases = [
            (Some(0), true, "for 0 min"),
            (Some(299), true, "for 4 min"),
            (Some(300), false, "for 5 min"),
            (Some(u64::MAX), false, "min"),
            (None, false, "since it was started"),
        ];
        for (heard_seconds_ago, is_current, since) in cases {
            let heard = Heard { agreed: agreed.clone(), heard_seconds_ago };
            assert_eq!(heard.is_current(), is_current, "{heard:?}");
            assert!(heard.silence().contains(since), "{}", heard.silence());
        }
    }

    #[test]
    fn what_was_not_heard_since_a_start_does_not_count_until_it_is_heard_again() {
        let place = Place::new();
        let agreed = agreed(&[]);
        place.store.write_agreed(&agreed).unwrap();
        let later = Agreed { time: agreed.time + time::Duration::HOUR, ..agreed.clone() };
        let (epoch, minute) = (SystemTime::UNIX_EPOCH, Duration::from_secs(60));
        for modified in [SystemTime::now(), epoch + uptime() + minute, epoch - minute] {
            set_modified(&place.store, modified);
            assert_eq!(place.store.heard().unwrap().unwrap().heard_seconds_ago, None, "{modified:?}");
            place.store.write_agreed(&later).unwrap();
            let heard = place.store.heard().unwrap().unwrap();
            assert!(heard.is_current() && heard.agreed == agreed, "nothing but the time is new: {heard:?}");
        }
        let of_another_boot = Agreed { boot_id: "another".to_owned(), ..agreed };
        place.store.write_agreed(&of_another_boot).unwrap();
        assert_eq!(place.store.heard().unwrap().unwrap().heard_seconds_ago, None);
    }

    #[test]
    fn a_hearing_is_noted_no_more_often_than_is_needed() {
        let place = Place::new();
        let agreed = agreed(&[]);
        place.store.write_agreed(&agreed).unwrap();
        let path = place.store.root().join(CLUSTER_FILE);
        let just = SystemTime::UNIX_EPOCH + uptime().saturating_sub(NOTE_INTERVAL / 2);
        set_modified(&place.store, just);
        place.store.write_agreed(&agreed).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), just);
        let ago = place.store.heard().unwrap().unwrap().heard_seconds_ago.unwrap();
        assert!((5..10).contains(&ago), "{ago} s");
        set_modified(&place.store, just - NOTE_INTERVAL / 2);
        place.store.write_agreed(&agreed).unwrap();
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > just);
    }

    #[test]
    fn what_nodes_have_to_tell_never_makes_it_too_large() {
        let place = Place::new();
        let node = |number: usize| NodeSeen {
            name: format!("node-{number}"),
            active: None,
            lives: true,
            hindrance: Some("\u{1}".repeat(300)),
        };
        let agreed = Agreed { nodes: (0..40).map(node).collect(), ..agreed(&[Digest::of(b"one")]) };
        place.store.write_agreed(&agreed).unwrap();
        let read = place.store.agreed().unwrap().unwrap();
        assert_eq!((read.releases, read.nodes), (agreed.releases, Vec::new()));
    }
}
