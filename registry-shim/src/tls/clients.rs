//! Clients that have to say who they are: whoever comes from elsewhere shows a certificate of an authority that the
//! operator named.
//!
//! The file is looked at before each such handshake. These connections get no session tickets: who was let in by an
//! authority that has been taken out since would come back by its ticket.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sealift_archive::Explain as _;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::stamp::Stamp;
use super::{Identity, certificates, provider, unfit, with_alpn};
use crate::Error;

/// What decides about clients from elsewhere.
#[derive(Debug)]
pub(super) struct Clients {
    file: PathBuf,
    identity: Arc<Identity>,
    known: Mutex<(Stamp, Arc<ServerConfig>)>,
}

impl Clients {
    /// Reads the authorities of `file`, PEM, one after the other.
    pub(super) fn load(file: &Path, identity: Arc<Identity>) -> Result<Self, Error> {
        let stamp = Stamp::of(&[file]);
        let known = Mutex::new((stamp, read(file, &identity)?));
        Ok(Self { file: file.to_owned(), identity, known })
    }

    /// For the next handshake. A file that cannot be used changes nothing, and is told of once.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&[&self.file]);
        if known.0 != stamp {
            known.0 = stamp;
            match read(&self.file, &self.identity) {
                Ok(config) => {
                    tracing::info!(file = %self.file.display(), "authorities of clients read again");
                    known.1 = config;
                }
                Err(error) => {
                    tracing::error!(code = %error.code(), "clients are let in as before: {}", sealift_archive::report(&error));
                }
            }
        }
        Arc::clone(&known.1)
    }
}

fn read(file: &Path, identity: &Arc<Identity>) -> Result<Arc<ServerConfig>, Error> {
    const WANTED: &str = "a file of authorities";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| unfit(file, WANTED, &error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build().map_err(|error| unfit(file, WANTED, &error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(identity) as _);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(with_alpn(config)))
}
