//! `cluster.json`: what the nodes of a cluster agree on, as this node heard it last. Its registry does not answer Git while
//! something else runs here.

use std::{env, io};

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

impl Store {
    /// What was heard last; none on an appliance of one node.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn agreed(&self) -> Result<Option<Agreed>, Error> {
        let path = self.root().join(CLUSTER_FILE);
        match bounded::read(&path, MAX_CLUSTER_BYTES as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(json::parse(&path.display().to_string(), &bytes?, MAX_CLUSTER_BYTES)?)),
        }
    }

    /// Writes down what was heard, unless the file says so already: that is looked at, as somebody may have damaged or removed
    /// it. Only one program of a node does so, and it does not wait for whoever changes the store.
    ///
    /// # Errors
    /// I/O.
    pub fn write_agreed(&self, agreed: &Agreed) -> Result<(), Error> {
        let (document, agreed) = agreed.document();
        let is_same = |there: Agreed| Agreed { time: agreed.time, ..there } == agreed;
        if self.agreed().ok().flatten().is_some_and(is_same) {
            return Ok(());
        }
        Ok(durable::write(&self.root().join(CLUSTER_FILE), &document)?)
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_archive::Unwatched;

    use super::*;
    use crate::audit;
    use crate::fixture::Place;

    #[test]
    fn what_is_agreed_on_is_kept_and_told() {
        let place = Place::new();
        assert_eq!(place.store.agreed().unwrap(), None);
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let node = NodeSeen { name: "a".to_owned(), active: None, lives: true, hindrance: None };
        let (boot_id, time) = (boot().unwrap(), audit::now());
        let agreed = Agreed { releases: vec![one], boot_id, time, nodes: vec![node] };
        assert!(!agreed.boot_id.is_empty());
        place.store.write_agreed(&agreed).unwrap();
        let read = place.store.agreed().unwrap().unwrap();
        assert_eq!(read, agreed);
        assert!(read.allows(&one) && !read.allows(&other));
        assert!(Agreed { releases: Vec::new(), ..read }.allows(&other));
        assert!(place.store.verify(&Unwatched).unwrap().is_whole());
        fs::write(place.store.root().join(CLUSTER_FILE), "{").unwrap();
        assert!(place.store.agreed().unwrap_err().to_string().contains(CLUSTER_FILE));
    }

    #[test]
    fn what_was_heard_is_written_again_if_the_file_does_not_say_so() {
        let place = Place::new();
        let path = place.store.root().join(CLUSTER_FILE);
        let (boot_id, time) = (boot().unwrap(), audit::now());
        let agreed = Agreed { releases: vec![Digest::of(b"one")], boot_id, time, nodes: Vec::new() };
        place.store.write_agreed(&agreed).unwrap();
        let later = Agreed { time: time + time::Duration::HOUR, ..agreed.clone() };
        place.store.write_agreed(&later).unwrap();
        assert_eq!(place.store.agreed().unwrap(), Some(agreed), "the disk is left alone");
        for is_removed in [false, true] {
            if is_removed { fs::remove_file(&path) } else { fs::write(&path, "{") }.unwrap();
            place.store.write_agreed(&later).unwrap();
            assert_eq!(place.store.agreed().unwrap().as_ref(), Some(&later));
        }
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
        let (releases, boot_id, time) = (vec![Digest::of(b"one")], boot().unwrap(), audit::now());
        let agreed = Agreed { releases, boot_id, time, nodes: (0..40).map(node).collect() };
        place.store.write_agreed(&agreed).unwrap();
        let read = place.store.agreed().unwrap().unwrap();
        assert_eq!((read.releases, read.nodes), (agreed.releases, Vec::new()));
    }
}
