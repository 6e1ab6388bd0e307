//! The HTTP client underneath: what is trusted, which redirects are followed, and what its failures mean.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Url};
use rustls::{AlertDescription, InvalidMessage};
use tokio::sync::OnceCell;
use url::Host;

use crate::error::{Error, Place};
use crate::options::{Identity, Options};
use crate::proxy::Proxy;
use crate::retry::Failure;

/// Redirects that are followed for one request. Registries use one or two.
const MAX_REDIRECTS: usize = 10;
/// How much of one HTTP/2 answer may be on the way before it is read, in bytes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for all answers on one connection together: enough for 80 MB/s over 50 ms.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Load balancers drop idle connections silently, some after half a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The variables by which proxies are set.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Alerts of servers that do not take a client's certificate, or miss one (RFC 8446, section 6.2).
const CLIENT_ALERTS: [AlertDescription; 9] = [
    AlertDescription::CertificateRequired,
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// Clients for the two kinds of hosts there are.
#[derive(Debug)]
pub(crate) struct Http {
    outside: Client,
    /// Never asks a proxy: what is on this machine is not to be seen from there.
    loopback: Client,
    /// The same two for what is sent: their answers come when all of it has been sent, however long that takes. Made when
    /// they are needed.
    sending: OnceCell<[Client; 2]>,
    /// One that only asks why a machine beside this one hangs up, if one does.
    asking: OnceCell<Client>,
    options: Options,
    trusted: Trusted,
}

/// Whom we trust, and who we are.
#[derive(Clone, Debug)]
struct Trusted {
    certificates: Vec<Certificate>,
    identity: Option<reqwest::Identity>,
}

impl Http {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let identity = options.identity.as_ref().map(read_identity).transpose()?;
        let trusted = Trusted { certificates: read_certificates(options)?, identity };
        let [outside, loopback] = pair(options, &trusted, Some(options.silence_timeout))?;
        Ok(Self {
            outside,
            loopback,
            sending: OnceCell::new(),
            asking: OnceCell::new(),
            options: options.clone(),
            trusted,
        })
    }

    /// The client for requests to `url`.
    pub(crate) fn client(&self, url: &Url) -> &Client {
        if is_loopback(url) { &self.loopback } else { &self.outside }
    }

    /// The client for requests to `url` that bring much. Whoever uses it watches whether it goes on.
    pub(crate) async fn sending_client(&self, url: &Url) -> Result<&Client, Error> {
        let make = || async { pair(&self.options, &self.trusted, None) };
        let [outside, loopback] = self.sending.get_or_try_init(make).await?;
        Ok(if is_loopback(url) { loopback } else { outside })
    }

    /// What a machine beside this one says about our certificate, if that is why a request to it failed. TLS 1.3 says so after
    /// the handshake: in HTTP/2 that is lost between the connection and its requests, so it is asked once more in HTTP/1.
    pub(crate) async fn why_closed_out(&self, url: &Url, error: &reqwest::Error) -> Option<String> {
        if let Some(why) = closed_out(error) {
            return Some(why);
        }
        let has_hung_up = error.is_request() && !error.is_connect() && !error.is_timeout();
        if !self.options.direct || url.scheme() != "https" || !has_hung_up {
            return None;
        }
        let silence = self.options.silence_timeout;
        let make = || async {
            build(&self.options, &self.trusted, |builder| {
                builder.no_proxy().http1_only().read_timeout(silence)
            })
        };
        let client = self.asking.get_or_try_init(make).await.ok()?;
        closed_out(&client.head(url.clone()).send().await.err()?)
    }

    /// Whether plain HTTP may be spoken with hosts that are not on this machine.
    pub(crate) fn allows_plain(&self) -> bool {
        self.options.plain_http
    }

    /// Refuses an address, written by a person or in an index, to which no request is sent.
    pub(crate) fn expect_fit(&self, url: &Url) -> Result<(), Error> {
        let why = match url.scheme() {
            // They would end up in a lock, which is committed.
            _ if !url.username().is_empty() || url.password().is_some() => "it holds a user name or password",
            "https" => return Ok(()),
            "http" if self.allows(url) => return Ok(()),
            "http" => "it is not encrypted",
            _ => "only https:// is fetched",
        };
        Err(Error::BadUrl { url: without_secrets(url), why })
    }

    /// Whether a request may be sent to `url` at all.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        allows(self.allows_plain(), url)
    }
}

fn allows(allows_plain: bool, url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => allows_plain || is_loopback(url),
        _ => false,
    }
}

/// Whether a URL names this machine. Plain HTTP is safe there, as nobody else can read it.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(addr)) => addr.is_loopback(),
        Some(Host::Ipv6(addr)) => addr.is_loopback(),
        None => false,
    }
}

fn read_certificates(options: &Options) -> Result<Vec<Certificate>, Error> {
    let mut certificates = Vec::new();
    for path in &options.ca_files {
        let refuse = |why: String| Error::BadCa { file: path.display().to_string(), why };
        let pem = fs_err::read(path).map_err(sealift_archive::Error::from)?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(innermost(&error)))?;
        if found.is_empty() {
            return Err(refuse("there is none in it".to_owned()));
        }
        certificates.extend(found);
    }
    let refuse = |error: reqwest::Error| Error::BadCa {
        file: "certificates in memory".to_owned(),
        why: innermost(&error),
    };
    certificates.extend(Certificate::from_pem_bundle(&options.ca_pem).map_err(refuse)?);
    Ok(certificates)
}

fn read_identity(identity: &Identity) -> Result<reqwest::Identity, Error> {
    let read = |path| fs_err::read(path).map_err(sealift_archive::Error::from);
    let (certificate, key, pem) = match identity {
        Identity::Files { certificate, key } => {
            let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            (certificate.display().to_string(), key.display().to_string(), pem)
        }
        Identity::Memory(pem) => {
            ("a certificate in memory".to_owned(), "a key in memory".to_owned(), pem.clone())
        }
    };
    let refuse = |error: reqwest::Error| Error::BadIdentity { certificate, key, why: innermost(&error) };
    reqwest::Identity::from_pem(&pem).map_err(refuse)
}

/// The client for hosts elsewhere, and the one for this machine.
fn pair(options: &Options, trusted: &Trusted, silence: Option<Duration>) -> Result<[Client; 2], Error> {
    let patient = |builder: ClientBuilder| match silence {
        Some(silence) => builder.read_timeout(silence),
        None => builder,
    };
    let proxy = options.proxy.as_ref().map(Proxy::build).transpose()?;
    let outside = build(options, trusted, |builder| match &proxy {
        _ if options.direct => patient(builder).no_proxy(),
        Some(proxy) => patient(builder).proxy(proxy.clone()),
        None => patient(builder),
    })?;
    let is_named = || PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
    let loopback = if proxy.is_some() || is_named() {
        build(options, trusted, |builder| patient(builder).no_proxy())?
    } else {
        outside.clone()
    };
    Ok([outside, loopback])
}

fn build(
    options: &Options,
    Trusted { certificates, identity }: &Trusted,
    change: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, Error> {
    let common = || {
        let allows_plain = options.plain_http;
        let builder = Client::builder()
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .redirect(Policy::custom(move |attempt| match refusal(allows_plain, &attempt) {
                Some(why) => attempt.error(why),
                None => attempt.follow(),
            }));
        change(match identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        })
    };
    let built = common().tls_certs_merge(certificates.iter().cloned()).build();
    // A machine without any certificates can still fetch from loopback; elsewhere the error will be that the
    // server is not trusted, which is exactly what is the matter.
    built
        .or_else(
            |error| if certificates.is_empty() { common().tls_certs_only([]).build() } else { Err(error) },
        )
        .map_err(|error| Error::Setup(innermost(&error)))
}

/// Why a redirect is not followed. That no credentials go to another host is the client's own rule.
fn refusal(allows_plain: bool, attempt: &Attempt<'_>) -> Option<String> {
    let next = attempt.url();
    let is_inward = is_loopback(next) && attempt.previous().last().is_some_and(|url| !is_loopback(url));
    if attempt.previous().len() > MAX_REDIRECTS {
        Some(format!("more than {MAX_REDIRECTS} redirects"))
    } else if is_inward {
        Some("a host outside may not send us to this machine".to_owned())
    } else if !allows(allows_plain, next) {
        Some(format!("{} is not encrypted", without_secrets(next)))
    } else {
        None
    }
}

impl Place {
    /// The place of a request to `url` for an image or file.
    pub(crate) fn new(reference: &impl ToString, url: &Url) -> Self {
        Self { reference: reference.to_string(), host: authority(url), url: without_secrets(url) }
    }
}

/// Host and port as references write them: without the port that the scheme has anyway.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address as people may see it: without user, password, query and fragment.
///
/// Storage services sign the addresses they redirect to; such a query opens the door to whoever reads the log.
#[must_use]
pub fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for addresses that cannot have a user, and those have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// What it means that a request was not answered.
pub(crate) fn failure(error: &reqwest::Error, place: Place) -> Failure {
    let place = Box::new(place);
    let why = if error.is_timeout() { "it takes too long to answer".to_owned() } else { innermost(error) };
    if error.is_redirect() {
        return Failure::Final(Error::BadRedirect { place, why });
    }
    if is_untrusted(error) {
        return Failure::Final(Error::Untrusted { place, why });
    }
    if let Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) = tls_error(error) {
        return Failure::Final(Error::NotTls { place });
    }
    Failure::Passing(Error::Unreachable { place, why })
}

/// Whether there was an answer, and a certificate in it that we do not trust.
#[must_use]
pub fn is_untrusted(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

fn closed_out(error: &reqwest::Error) -> Option<String> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) if CLIENT_ALERTS.contains(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| error.source())
}

/// The TLS library's error, if it is below this one. An `io::Error` does not show what it wraps as its source.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|mut cause| {
        while let Some(wrapped) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            cause = wrapped;
        }
        cause.downcast_ref()
    })
}

/// The last cause, which is the one that says something: those above it only say that something failed.
#[must_use]
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_unless_asked_for() {
        let cases = [
            ("https://ghcr.io/", true, true),
            ("http://ghcr.io/", false, true),
            ("http://localhost:5000/", true, true),
            ("http://127.0.0.1/", true, true),
            ("http://127.8.8.8:80/", true, true),
            ("http://[::1]:5000/", true, true),
            ("http://localhost.example.com/", false, true),
            ("http://10.0.0.1/", false, true),
            ("ftp://localhost/", false, false),
        ];
        for (url, allowed, allowed_if_asked) in cases {
            let parsed = url.parse().unwrap();
            assert_eq!(allows(false, &parsed), allowed, "{url}");
            assert_eq!(allows(true, &parsed), allowed_if_asked, "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_speak_tls_is_told_apart_from_one_that_is_away() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("https://{}/v2/", listener.local_addr().unwrap()).parse().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            // Closing before the client's greeting was read would reset the connection under the answer.
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        };
        let http = Http::new(&Options::default()).unwrap();
        let (answer, ()) = tokio::join!(http.client(&url).get(url.clone()).send(), server);
        let failed = failure(&answer.unwrap_err(), Place::new(&"acme/app", &url));
        assert!(matches!(failed, Failure::Final(Error::NotTls { .. })), "{failed:?}");

        drop(listener);
        let error = http.client(&url).get(url.clone()).send().await.unwrap_err();
        let failed = failure(&error, Place::new(&"acme/app", &url));
        assert!(matches!(failed, Failure::Passing(Error::Unreachable { .. })), "{failed:?}");
    }

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        let url = "https://user:pass@cdn.example.com/a/b?X-Signature=secret#x".parse().unwrap();
        assert_eq!(without_secrets(&url), "https://cdn.example.com/a/b");
    }
}
