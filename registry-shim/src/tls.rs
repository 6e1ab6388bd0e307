//! TLS for all listeners: one certificate chain and its key, from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::Error;

/// HTTP/2, as TLS names it (RFC 7540, section 3.1).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1, as TLS names it (RFC 7301, section 6).
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Where the server's identity lies, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, Error> {
        // The one that is installed first stays, and it is the same everywhere in this program.
        let _ = crypto::aws_lc_rs::default_provider().install_default();
        let chain = read(&self.certificate, "a certificate chain", |pem| {
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()
        })?;
        let key = read(&self.key, "a private key", PrivateKeyDer::from_pem_slice)?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unfit(&self.certificate, "the certificate of the key", &error))?;
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read<T>(
    file: &Path,
    wanted: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, PemError>,
) -> Result<T, Error> {
    let pem = fs::read(file)?;
    parse(&pem).map_err(|error| unfit(file, wanted, &error))
}

fn unfit(file: &Path, wanted: &'static str, why: &dyn std::error::Error) -> Error {
    Error::Tls { file: file.to_owned(), wanted, why: why.to_string() }
}
