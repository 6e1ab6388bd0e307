//! Clients that have to say who they are: whoever comes from elsewhere shows a certificate of an authority that the
//! operator named, or of a node of the cluster.
//!
//! What the operator named is taken as it is, and a file that cannot be used is an error. What the nodes have said of
//! themselves (`peers.json` in the store) concerns one node each: what is no authority as `tls init` makes it, for some
//! names and no others, is passed over. Its clients are given what every client is, and nothing is taken from them.
//!
//! Both files are looked at before each such handshake. These connections get no session tickets: who was let in by an
//! authority that has been taken out since would come back by its ticket.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealift_archive::Explain as _;
use sealift_store::{Store, Watched};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::stamp::Stamp;
use super::{Facts, Identity, certificates, provider, unfit, with_alpn};
use crate::Error;

/// What decides about clients from elsewhere.
#[derive(Debug)]
pub(super) struct Clients {
    /// The operator's file of authorities, PEM, one after the other.
    file: Option<PathBuf>,
    /// Where those of the nodes are.
    store: Store,
    identity: Arc<Identity>,
    known: Mutex<Known>,
}

/// What was read last.
#[derive(Debug)]
struct Known {
    stamp_of_file: Stamp,
    named: Vec<Trusted>,
    stamp_of_peers: Stamp,
    of_peers: Vec<Trusted>,
    /// None while nobody is trusted.
    config: Option<Arc<ServerConfig>>,
}

/// An authority whose clients are let in.
#[derive(Debug)]
struct Trusted {
    certificate: CertificateDer<'static>,
    watched: Watched,
}

impl Clients {
    /// Reads the authorities of `file`, if there is one; those of the nodes are read when somebody comes.
    pub(super) fn load(file: Option<&Path>, store: Store, identity: Arc<Identity>) -> Result<Self, Error> {
        let stamp_of_file = Stamp::of(&Vec::from_iter(file));
        let named = read_file(file)?;
        // No file has this stamp.
        let stamp_of_peers = Stamp::of(&[]);
        let known = Known { stamp_of_file, named, stamp_of_peers, of_peers: Vec::new(), config: None };
        Ok(Self { file: file.map(Path::to_owned), store, identity, known: Mutex::new(known) })
    }

    /// For the next handshake; none if nobody from elsewhere is let in.
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.known().config.clone()
    }

    /// When the authorities end: those that the operator named, and those of the nodes.
    pub(super) fn watched(&self) -> [Vec<Watched>; 2] {
        let known = self.known();
        [&known.named, &known.of_peers].map(|all| all.iter().map(|one| one.watched.clone()).collect())
    }

    /// What is in the files now. A file that cannot be used changes nothing, and is told of once.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_file = Stamp::of(&Vec::from_iter(self.file.as_deref()));
        let of_peers = Stamp::of(&[&self.store.peers_path()]);
        if known.stamp_of_file == of_file && known.stamp_of_peers == of_peers {
            return known;
        }
        if known.stamp_of_file != of_file {
            known.stamp_of_file = of_file;
            keep(&mut known.named, read_file(self.file.as_deref()));
        }
        if known.stamp_of_peers != of_peers {
            known.stamp_of_peers = of_peers;
            keep(&mut known.of_peers, self.read_peers());
        }
        known.config = config(known.named.iter().chain(&known.of_peers), &self.identity);
        known
    }

    /// What the nodes have said. Who writes nonsense does not keep out the others.
    fn read_peers(&self) -> Result<Vec<Trusted>, Error> {
        let said = self.store.peer_authorities()?;
        let trusted = said.iter().filter_map(|(node, pem)| match Trusted::of_node(node, pem) {
            Ok(trusted) => Some(trusted),
            Err(error) => {
                tracing::warn!(code = %error.code(), "no client is let in by what `{node}` says: {error}");
                None
            }
        });
        Ok(trusted.collect())
    }
}

impl Trusted {
    fn of_operator(certificate: CertificateDer<'static>, file: &Path) -> Result<Self, Error> {
        let facts = Facts::of(&certificate, file)?;
        let what = format!("the authority of clients `{}` in `{}`", facts.subject, file.display());
        Self::new(certificate, Watched { what, not_after: facts.not_after }, file)
    }

    /// The one authority of a node; what else stands behind it does not count.
    fn of_node(node: &str, pem: &str) -> Result<Self, Error> {
        const WANTED: &str = "the authority of a node";
        let place = Path::new(node);
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| unfit(place, WANTED, &error))?;
        let facts = Facts::of(&certificate, place)?;
        facts.expect_of_node().map_err(|why| unfit(place, WANTED, &why))?;
        let what = format!("the authority of node `{node}`");
        Self::new(certificate, Watched { what, not_after: facts.not_after }, place)
    }

    fn new(certificate: CertificateDer<'static>, watched: Watched, place: &Path) -> Result<Self, Error> {
        let fits = RootCertStore::empty().add(certificate.clone());
        fits.map_err(|error| unfit(place, "a file of authorities", &error))?;
        Ok(Self { certificate, watched })
    }
}

fn read_file(file: Option<&Path>) -> Result<Vec<Trusted>, Error> {
    let Some(file) = file else { return Ok(Vec::new()) };
    certificates(file)?.into_iter().map(|certificate| Trusted::of_operator(certificate, file)).collect()
}

fn keep(known: &mut Vec<Trusted>, read: Result<Vec<Trusted>, Error>) {
    match read {
        Ok(trusted) => {
            if !(known.is_empty() && trusted.is_empty()) {
                tracing::info!(authorities = trusted.len(), "authorities of clients were read");
            }
            *known = trusted;
        }
        Err(error) => {
            tracing::error!(code = %error.code(), "clients are let in as before: {}", sealift_archive::report(&error));
        }
    }
}

fn config<'a>(
    trusted: impl Iterator<Item = &'a Trusted>,
    identity: &Arc<Identity>,
) -> Option<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.map(|one| one.certificate.clone()));
    // It fails if there are none.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(identity) as _);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Some(Arc::new(with_alpn(config)))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use sealift_store::PeerAuthorities;
    use time::OffsetDateTime;

    use super::super::{Clock, IdentitySource, Names, authority};
    use super::*;

    fn init(dir: &Path) -> String {
        authority::init(dir, Names::default(), OffsetDateTime::now_utc()).unwrap();
        fs::read_to_string(dir.join(authority::CERTIFICATE)).unwrap()
    }

    #[test]
    fn a_node_that_says_nonsense_concerns_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        let (own, other) = (dir.path().join("own"), init(&dir.path().join("other")));
        init(&own);
        let source = IdentitySource::Authority { dir: own, clock: Clock::system() };
        let identity = Arc::new(Identity::load(&source).unwrap());
        let clients = Clients::load(None, store.clone(), identity).unwrap();
        let nodes = || clients.watched()[1].iter().map(|one| one.what.clone()).collect::<Vec<_>>();
        assert!(clients.config().is_none() && nodes().is_empty());

        let of_the_world = {
            let keys = rcgen::KeyPair::generate().unwrap();
            let mut parameters = rcgen::CertificateParams::default();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters.self_signed(&keys).unwrap().pem()
        };
        let said = [
            ("a", "nothing".to_owned()),
            ("b", format!("{other}{of_the_world}")),
            ("c", "-----BEGIN CERTIFICATE-----\n".to_owned()),
            ("d", of_the_world),
            ("e", other.clone()),
        ];
        let said: PeerAuthorities = said.into_iter().collect();
        store.write_peer_authorities(&said).unwrap();
        assert!(clients.config().is_some());
        assert_eq!(nodes(), ["the authority of node `b`", "the authority of node `e`"]);
        fs::write(store.peers_path(), "{").unwrap();
        assert_eq!(nodes().len(), 2, "what was known goes on");
        store.write_peer_authorities(&PeerAuthorities::default()).unwrap();
        assert!(clients.config().is_none(), "a node that is removed is let in no more");
    }
}
