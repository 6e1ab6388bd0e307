//! A node's own store, as the protocol sees it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use sealift_archive::bounded;
use sealift_archive::release::CurrentRelease;
use sealift_store::journal::Journal;
use sealift_store::policy::Known;
use sealift_store::{Agreed, NodeSeen, PeerAuthorities, Stamp, Store, boot};
use time::OffsetDateTime;

use super::agreement::Agreement;
use super::member::Home;
use super::point::{beyond, has_point};
use super::record::Report;
use crate::Error;
use crate::config::{Activation, Cluster};
use crate::online::authority::MAX_PEM_BYTES;
use crate::online::whole;

/// The store of this node.
#[derive(Debug)]
pub struct NodeHome {
    store: Store,
    address: String,
    ca_cert: PathBuf,
    /// Whether the configuration names it, so that it has to be there.
    expects_ca: bool,
    boot_id: String,
    has_point: bool,
    /// What is here, as long as nothing changes; to look anew takes a system call for every blob.
    known: RefCell<Option<(Stamp, Report)>>,
}

impl NodeHome {
    /// The store of a node that is configured so.
    ///
    /// # Errors
    /// The certificate of its authority cannot be read, or I/O.
    pub fn open(store: Store, config: &Cluster, activation: &Activation) -> Result<Self, Error> {
        let (ca_cert, expects_ca) = (config.ca_cert(), config.ca_cert.is_some());
        let address = config.address.as_str().trim_end_matches('/').to_owned();
        let (boot_id, has_point) = (boot()?, has_point(activation));
        let home =
            Self { store, address, ca_cert, expects_ca, boot_id, has_point, known: RefCell::default() };
        home.ca_crt()?;
        Ok(home)
    }

    /// The certificate by which other nodes know this one; empty if there is none. It is read each time: whoever makes the
    /// authority anew tells nobody.
    fn ca_crt(&self) -> Result<String, Error> {
        match bounded::read(&self.ca_cert, MAX_PEM_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.expects_ca => Ok(String::new()),
            pem => Ok(String::from_utf8_lossy(&pem?).into_owned()),
        }
    }

    fn look_anew(&self) -> Result<Report, Error> {
        let situation = self.store.situation()?;
        let mut report = Report {
            here: BTreeSet::new(),
            active: situation.active().map(named),
            is_switching: false,
            is_unsettled: false,
            beyond: None,
            trouble: None,
            waits: None,
            address: Some(self.address.clone()),
            ca_crt: String::new(),
            boot_id: self.boot_id.clone(),
            seen: OffsetDateTime::now_utc(),
        };
        for known in &situation.releases {
            if whole(&self.store, &known.digest)?.is_some() {
                report.here.insert(known.digest);
            }
        }
        Ok(report)
    }
}

impl Home for NodeHome {
    fn look(&self) -> Result<Report, Error> {
        let journal = Journal::read(&self.store);
        // A journal that cannot be read is told by the switch that wants to go on with it.
        let is_unsettled = !matches!(journal, Ok(None));
        let ca_crt = self.ca_crt()?;
        let stamp = self.store.stamp()?;
        let known = self.known.borrow().clone().filter(|(seen, _)| *seen == stamp);
        let report = match known {
            Some((_, report)) => Report { seen: OffsetDateTime::now_utc(), ..report },
            None => self.look_anew()?,
        };
        *self.known.borrow_mut() = Some((stamp, report.clone()));
        let active = report.active.as_ref().map(|active| active.sequence);
        let beyond = beyond(self.has_point, active, journal.ok().flatten().as_ref());
        Ok(Report { is_unsettled, beyond, ca_crt, ..report })
    }

    fn hear(
        &self,
        agreement: Option<&Agreement>,
        nodes: Vec<NodeSeen>,
        authorities: &PeerAuthorities,
    ) -> Result<(), Error> {
        let releases =
            agreement.into_iter().flat_map(Agreement::served).map(|named| named.statement).collect();
        let (boot_id, time) = (self.boot_id.clone(), OffsetDateTime::now_utc());
        self.store.write_agreed(&Agreed { releases, boot_id, time, nodes })?;
        Ok(self.store.write_peer_authorities(authorities)?)
    }
}

/// A release that is here, as nodes name it.
pub(crate) fn named(known: &Known) -> CurrentRelease {
    let (version, sequence) = (known.name.version.clone(), known.name.sequence);
    CurrentRelease { version, sequence, statement: known.digest }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_store::HEARING_LASTS;

    use super::super::agreement::Phase;
    use super::super::fixture::release;
    use super::super::view::Times;
    use super::*;

    fn home(store: &Store) -> NodeHome {
        let pki = store.root().join("pki");
        let text = format!(
            "{{node: node-a, kubeconfig: /k, address: 'https://node-a:5443', peers: {{authority: '{}'}}}}",
            pki.display()
        );
        NodeHome::open(store.clone(), &serde_saphyr::from_str(&text).unwrap(), &Activation::default())
            .unwrap()
    }

    #[test]
    fn an_authority_that_is_made_anew_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&Store::create(dir.path()).unwrap());
        let told = || home.look().unwrap().ca_crt;
        assert_eq!(told(), "");
        fs::create_dir(dir.path().join("pki")).unwrap();
        for text in ["one", "another"] {
            fs::write(dir.path().join("pki/ca.crt"), text).unwrap();
            assert_eq!(told(), text);
        }
    }

    #[test]
    fn what_is_heard_is_written_down_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let home_of_node = home(&store);
        home_of_node.hear(None, Vec::new(), &PeerAuthorities::default()).unwrap();
        let nothing = store.heard().unwrap().unwrap().agreed;
        assert!(nothing.releases.is_empty() && nothing.boot_id == boot().unwrap());
        let run = Agreement::first(release(2), Some(release(1))).entering(Phase::Activating);
        let authorities: PeerAuthorities = [("node-b", "its authority".to_owned())].into_iter().collect();
        home_of_node.hear(Some(&run), Vec::new(), &authorities).unwrap();
        let heard = store.heard().unwrap().unwrap().agreed;
        assert_eq!(heard.releases, [release(1).statement, release(2).statement]);
        // As long as it is the same, the disk is left alone, by the next process too.
        for home in [home_of_node, home(&store)] {
            home.hear(Some(&run), Vec::new(), &authorities).unwrap();
            assert_eq!(store.heard().unwrap().unwrap().agreed, heard);
            assert_eq!(store.peer_authorities().unwrap(), authorities);
        }
    }

    #[test]
    fn what_is_heard_counts_for_as_long_as_a_switch_is_waited_for() {
        assert_eq!(Times::default().switch, HEARING_LASTS);
    }

    #[test]
    fn an_empty_store_has_nothing_and_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(&Store::create(dir.path()).unwrap());
        for _ in 0..2 {
            let report = home.look().unwrap();
            assert!(report.here.is_empty() && report.active.is_none());
            assert_eq!(report.address.as_deref(), Some("https://node-a:5443"));
        }
    }
}
