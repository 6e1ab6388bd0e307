//! The registry as its owner sees it: start it, fill it, make it fail, ask what it saw.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use sealift_archive::{Blob, Digest, Sha512};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::access::{Access, Gate};
use super::content::Contents;
use super::fault::Faults;
use super::image::Image;
use super::log::{Log, Seen};
use super::push::Uploads;
use super::service::{self, Service};
use super::wire::Door;
use crate::background::Background;

/// What kind of registry it is.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who may use it.
    pub access: Access,
    /// Answers requests for blobs and files with a redirect to a second address, as registries with a CDN do. That one
    /// checks no access and is of the same kind otherwise.
    pub redirect_blobs: bool,
    /// Speaks TLS, with a certificate of its own making for `localhost` and `127.0.0.1`.
    pub tls: bool,
    /// Other names in that certificate.
    pub names: Vec<String>,
    /// Keeps blobs as files in this directory instead of in memory.
    pub dir: Option<PathBuf>,
    /// Listens here, and not on loopback.
    pub listen: Option<IpAddr>,
    /// How it answers the question which manifests refer to another one.
    pub referrers: Referrers,
}

/// What becomes of the question which manifests refer to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Referrers {
    /// It is answered with all of them.
    #[default]
    Whole,
    /// It is answered in pages of so many.
    Paged(usize),
    /// The registry is of an older kind and does not know it.
    Unknown,
}

/// A running registry. It ends when it is dropped.
#[derive(Debug)]
pub struct Registry {
    addr: SocketAddr,
    mirror: Option<SocketAddr>,
    certificate: Option<String>,
    service: Arc<Service>,
    _server: Background,
}

impl Registry {
    /// Starts an open registry that holds its content in memory.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Config::default())
    }

    /// Starts a registry of some other kind.
    ///
    /// # Errors
    /// There is no free port or no thread, or the directory cannot be made.
    pub fn start_with(config: Config) -> io::Result<Self> {
        let listen = config.listen.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let front = TcpListener::bind((listen, 0))?;
        let back = config.redirect_blobs.then(|| TcpListener::bind((listen, 0))).transpose()?;
        let identity = config.tls.then(|| Identity::new(&config.names)).transpose()?;
        let (acceptor, certificate) = match identity {
            Some(identity) => (Some(identity.acceptor), Some(identity.certificate)),
            None => (None, None),
        };

        let addr = front.local_addr()?;
        let mirror = back.as_ref().map(TcpListener::local_addr).transpose()?;
        let origin = |addr: SocketAddr| format!("{}://{addr}", if config.tls { "https" } else { "http" });
        let service = Arc::new(Service {
            contents: Contents::new(config.dir)?,
            faults: Faults::default(),
            gate: Gate::new(config.access),
            log: Log::default(),
            uploads: Uploads::default(),
            referrers: config.referrers,
            origin: origin(addr),
            mirror: mirror.map(origin),
            front_port: addr.port(),
        });
        let server = Background::run("vendor-registry", serve(Arc::clone(&service), front, back, acceptor))?;
        Ok(Self { addr, mirror, certificate, service, _server: server })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its second address listens, to which requests for blobs are redirected.
    #[must_use]
    pub fn mirror_addr(&self) -> Option<SocketAddr> {
        self.mirror
    }

    /// The certificate that clients must trust, in PEM, if it speaks TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// The full name of an image here: `name("acme/app:1.0")` is `127.0.0.1:<port>/acme/app:1.0`.
    #[must_use]
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.addr)
    }

    /// Adds an image, with all its platforms if it is an index, under a tag.
    ///
    /// # Errors
    /// A blob cannot be written to the directory.
    pub fn add_image(&self, repository: &str, tag: &str, image: &Image) -> io::Result<Digest> {
        self.add_tree(repository, Some(tag), image)
    }

    fn add_tree(&self, repository: &str, tag: Option<&str>, image: &Image) -> io::Result<Digest> {
        for child in image.children() {
            self.add_tree(repository, None, child)?;
        }
        for blob in image.blobs() {
            self.service.contents.add_blob(repository, blob.clone())?;
        }
        Ok(self.service.contents.add_manifest(repository, tag, image.media_type(), image.manifest().clone()))
    }

    /// Adds one blob.
    ///
    /// # Errors
    /// It cannot be written to the directory.
    pub fn add_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> io::Result<Blob> {
        self.service.contents.add_blob(repository, bytes.into())
    }

    /// Puts a plain file at a path such as `/charts/index.yaml`, in place of one that was there.
    pub fn add_file(&self, path: &str, bytes: impl Into<Bytes>) -> Blob {
        self.service.contents.add_file(path, bytes.into())
    }

    /// The address of what is at a path: `url("/charts/index.yaml")`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.service.origin)
    }

    /// Adds bytes as a manifest, whatever they are, and under a tag if one is given.
    pub fn add_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Blob {
        let bytes = bytes.into();
        let blob = Blob::of(&bytes);
        self.service.contents.add_manifest(repository, tag, media_type, bytes);
        blob
    }

    /// Makes content that was added known under the SHA-512 of its bytes too.
    #[must_use]
    pub fn add_alias(&self, bytes: &[u8]) -> Sha512 {
        self.service.contents.add_alias(bytes)
    }

    /// What it is told to do wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// Makes all tokens worthless that were given out so far.
    pub fn revoke_tokens(&self) {
        self.service.gate.revoke_tokens();
    }

    /// What it was asked so far, in the order of its answers.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.service.log.all()
    }

    /// Forgets what it was asked so far.
    pub fn forget(&self) {
        self.service.log.forget();
    }
}

async fn serve(
    service: Arc<Service>,
    front: TcpListener,
    back: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
) {
    // The sockets are bound already; the runtime refuses them only when it is shutting down.
    let Ok(front) = Door::open(front, tls.clone()) else { return };
    let front = service::serve(Arc::clone(&service), front);
    match back.map(|back| Door::open(back, tls)) {
        None => front.await,
        Some(Ok(back)) => {
            tokio::join!(front, service::serve(service, back));
        }
        Some(Err(_)) => {}
    }
}

/// A TLS identity that nobody else trusts.
struct Identity {
    certificate: String,
    acceptor: TlsAcceptor,
}

impl Identity {
    fn new(others: &[String]) -> io::Result<Self> {
        let mut names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
        names.extend_from_slice(others);
        let made: CertifiedKey<KeyPair> = generate_simple_self_signed(names).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)
            })
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { certificate: made.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
