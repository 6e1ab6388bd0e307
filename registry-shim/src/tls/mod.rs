//! TLS for all listeners: who we are, and who has to say who they are.
//!
//! Our identity comes from files that somebody gives, or from a certificate authority of this node's own
//! ([`authority`]). Either way it is looked at before each handshake ([`identity`]): a certificate that changes does so
//! between two handshakes, and no connection notices.
//!
//! Clients from elsewhere show a certificate ([`clients`]); whose that is, [`crate::access`] says.

pub(crate) mod authority;
mod clients;
mod clock;
mod facts;
mod identity;
mod names;
mod stamp;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use sealift_store::{Store, Watched};
use time::OffsetDateTime;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::{ServerConfig, crypto};

use self::clients::Clients;
pub use self::clock::Clock;
pub(crate) use self::facts::Facts;
pub(crate) use self::identity::Identity;
pub(crate) use self::names::{DnsName, NAMESPACE, Names, SERVICE};
use crate::Error;

/// HTTP/2, as TLS names it (RFC 7540, section 3.1).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1, as TLS names it (RFC 7301, section 6).
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Where the server's identity comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IdentitySource {
    /// Files that somebody else writes; read again when they have changed.
    Files(TlsFiles),
    /// Certificates made in memory by the authority of this node, as `sealift-registry tls init` has made it.
    Authority {
        /// The authority's directory.
        dir: PathBuf,
        /// By which certificates are begun and renewed.
        clock: Clock,
    },
}

/// Where the server's identity lies, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// What a listener needs to speak TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    identity: Arc<Identity>,
    open: Arc<ServerConfig>,
    clients: Clients,
}

impl Tls {
    /// Reads all that is needed. `client_ca` is a file with the authorities of clients that come from elsewhere, and `store`
    /// has those of the nodes.
    pub(crate) fn load(
        source: &IdentitySource,
        client_ca: Option<&Path>,
        store: &Store,
    ) -> Result<Self, Error> {
        let identity = Arc::new(Identity::load(source)?);
        let open = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&identity) as _);
        let clients = Clients::load(client_ca, store.clone(), Arc::clone(&identity))?;
        Ok(Self { identity, open: Arc::new(with_alpn(open)), clients })
    }

    /// Who we are.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// For clients that need not say who they are.
    pub(crate) fn open(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.open)
    }

    /// For clients that have to show a certificate, if any of these may come at all.
    pub(crate) fn verified(&self) -> Option<Arc<ServerConfig>> {
        self.clients.config()
    }

    /// When the authorities of clients end: those that the operator named, and those of the nodes.
    pub(crate) fn client_authorities(&self) -> [Vec<Watched>; 2] {
        self.clients.watched()
    }

    /// What people should renew, each in a sentence.
    pub(crate) fn expiring(&self, now: OffsetDateTime) -> Vec<String> {
        let own = [self.identity.watched()].into_iter();
        let all = own.chain(self.client_authorities().into_iter().flatten());
        all.filter_map(|watched| watched.warning(now)).collect()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

fn with_alpn(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    config
}

/// All certificates of a PEM file; at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    const WANTED: &str = "a file of certificates";
    let found = read(file, WANTED, |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>())?;
    if found.is_empty() {
        return Err(unfit(file, WANTED, &"it has none"));
    }
    Ok(found)
}

fn read<T>(
    file: &Path,
    wanted: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, PemError>,
) -> Result<T, Error> {
    let pem = fs::read(file)?;
    parse(&pem).map_err(|error| unfit(file, wanted, &error))
}

fn unfit(file: &Path, wanted: &'static str, why: &dyn std::fmt::Display) -> Error {
    Error::Tls { file: file.to_owned(), wanted, why: why.to_string() }
}
