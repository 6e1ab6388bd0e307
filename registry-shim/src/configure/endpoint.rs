//! Where the registry is asked, as its clients write it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use url::Url;

/// Scheme, host and port of the registry, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    is_tls: bool,
    authority: String,
}

/// Why some text does not say where a registry is.
#[derive(Debug, thiserror::Error)]
#[error("an endpoint is `https://HOST:PORT`, or `http://HOST:PORT`, and nothing behind it")]
pub(crate) struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let url = Url::parse(text).map_err(|_| NotAnEndpoint)?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(NotAnEndpoint),
        };
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        // Clients look for our authority under the port that is written, so a port that is left out would be a trap.
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if is_bare && is_anonymous => {
                Ok(Self { is_tls, authority: format!("{host}:{port}") })
            }
            _ => Err(NotAnEndpoint),
        }
    }
}

impl Endpoint {
    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        let cases = [
            ("https://127.0.0.1:5443", Some("https://127.0.0.1:5443")),
            ("https://[::1]:5443/", Some("https://[::1]:5443")),
            ("http://localhost", Some("http://localhost:80")),
            ("https://node-a.example.com", Some("https://node-a.example.com:443")),
            ("127.0.0.1:5443", None),
            ("ftp://127.0.0.1:5443", None),
            ("https://127.0.0.1:5443/v2", None),
            ("https://127.0.0.1:5443/?ns=x", None),
            ("https://user:secret@127.0.0.1:5443", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let endpoint = text.parse::<Endpoint>().ok().map(|endpoint| endpoint.to_string());
            assert_eq!(endpoint.as_deref(), expected, "{text}");
        }
    }
}
