//! The proxy that leads outside: encrypted requests go through it by `CONNECT`, others are handed to it whole.

use std::fmt;

use reqwest::NoProxy;
use url::Url;

use crate::error::Error;
use crate::http;

/// An HTTP proxy. What is on this machine is never asked for there.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    except: Vec<String>,
}

impl Proxy {
    /// A proxy at an `http://` or `https://` address, which may hold user and password. Hosts in `except` are asked
    /// directly: names, with all below them, addresses and networks (`10.0.0.0/8`); if there are none, those of
    /// `NO_PROXY`. None if it is no such address.
    #[must_use]
    pub fn new(url: Url, except: Vec<String>) -> Option<Self> {
        let is_fit = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_fit.then_some(Self { url, except })
    }

    pub(crate) fn build(&self) -> Result<reqwest::Proxy, Error> {
        let proxy = reqwest::Proxy::all(self.url.clone());
        // The error could repeat the address, and that may hold a password.
        let proxy =
            proxy.map_err(|_| Error::Setup(format!("{self} is not an address that a proxy can have")))?;
        let except = match self.except.as_slice() {
            [] => NoProxy::from_env(),
            except => NoProxy::from_string(&except.join(",")),
        };
        Ok(proxy.no_proxy(except))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&http::without_secrets(&self.url))
    }
}

impl fmt::Debug for Proxy {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_an_http_address_and_keeps_its_password_to_itself() {
        for (url, is_fit) in [
            ("http://proxy:3128", true),
            ("https://me:hush@proxy.example.com", true),
            ("socks5://proxy:1080", false),
            ("data:x", false),
        ] {
            let proxy = Proxy::new(url.parse().unwrap(), Vec::new());
            assert_eq!(proxy.is_some(), is_fit, "{url}");
            let shown = format!("{proxy:?}");
            assert!(!shown.contains("hush"), "{shown}");
            assert!(proxy.is_none_or(|proxy| proxy.build().is_ok()));
        }
    }
}
