//! One registry as a client knows it: how to speak with it, and how much it can take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{StatusCode, Url};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::access::Access;
use crate::answer;
use crate::credentials::DOCKER_HUB;
use crate::error::{Error, Status};
use crate::http::{self, Http};
use crate::options::Options;

/// Where Docker Hub's registry really is.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";
/// How much is read of the answer to a first, testing request.
const MAX_PROBE_BYTES: u64 = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
}

impl Scheme {
    fn url(self, authority: &str, rest: &str) -> Result<Url, Error> {
        let scheme = match self {
            Self::Https => "https",
            Self::Http => "http",
        };
        let text = format!("{scheme}://{authority}/v2/{rest}");
        // References are checked when they are read, so this tells of a host that no URL can have.
        text.parse().map_err(|_| {
            Error::Archive(sealift_archive::Error::BadReference {
                reference: authority.to_owned(),
                why: format!("{text} is not a URL"),
            })
        })
    }
}

/// One registry host.
#[derive(Debug)]
pub(crate) struct Host {
    /// As in references: `docker.io`.
    name: String,
    /// As it is dialled: `registry-1.docker.io`.
    authority: String,
    scheme: OnceCell<Scheme>,
    slots: Arc<Semaphore>,
    left_alone_until: Mutex<Option<Instant>>,
    longest_told_wait: Duration,
    pub(crate) access: Access,
}

impl Host {
    pub(crate) fn new(name: &str, options: &Options) -> Self {
        Self {
            name: name.to_owned(),
            authority: if name == DOCKER_HUB { DOCKER_HUB_REGISTRY } else { name }.to_owned(),
            scheme: OnceCell::new(),
            slots: Arc::new(Semaphore::new(options.concurrency.max(1))),
            left_alone_until: Mutex::new(None),
            longest_told_wait: options.retry.longest_told_wait,
            access: Access::new(options.docker_config.clone()),
        }
    }

    /// The host as it is written in references.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a request may be made: there is a free slot, and the host wants to be asked.
    pub(crate) async fn slot(&self) -> OwnedSemaphorePermit {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes this semaphore");
            let until = *self.left_alone_until.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => {
                    drop(slot);
                    tokio::time::sleep_until(until).await;
                }
                _ => return slot,
            }
        }
    }

    /// Makes no request for so long, if that is not too long. Says whether it is done.
    pub(crate) fn leave_alone(&self, wait: Duration, status: Status) -> bool {
        if wait > self.longest_told_wait {
            return false;
        }
        let until = Instant::now() + wait;
        let mut left_alone = self.left_alone_until.lock().unwrap_or_else(PoisonError::into_inner);
        // Many requests are told the same at the same time; a person reads it once.
        if left_alone.is_none_or(|known| known <= Instant::now()) && !wait.is_zero() {
            tracing::warn!(host = self.name, seconds = wait.as_secs(), "answered {status}: waiting as told");
        }
        *left_alone = (*left_alone).max(Some(until));
        true
    }

    /// The address of `rest` behind `/v2/`.
    pub(crate) async fn url(&self, http: &Http, rest: &str) -> Result<Url, Error> {
        let is_loopback = http::is_loopback(&Scheme::Https.url(&self.authority, "")?);
        let candidates: &[Scheme] = match (is_loopback, http.allows_plain()) {
            // Without a certificate for `localhost` hardly anybody speaks TLS on loopback.
            (true, _) => &[Scheme::Http, Scheme::Https],
            (false, true) => &[Scheme::Https, Scheme::Http],
            (false, false) => &[Scheme::Https],
        };
        let scheme = match candidates {
            [only] => *only,
            _ => self.probe(http, candidates).await,
        };
        scheme.url(&self.authority, rest)
    }

    /// The first scheme in which the host answers. It is asked once; if it does not answer at all, the next
    /// request will say why.
    async fn probe(&self, http: &Http, candidates: &[Scheme]) -> Scheme {
        let answering = || async {
            for scheme in candidates {
                let Ok(url) = scheme.url(&self.authority, "") else { continue };
                match http.client(&url).get(url).send().await {
                    // With this status servers tell clients that speak plain HTTP on a TLS port.
                    Ok(response) if response.status() == StatusCode::BAD_REQUEST => {}
                    Ok(mut response) => {
                        // Only read to its end does a connection serve again; what it says does not matter.
                        let _ = answer::body(&mut response, MAX_PROBE_BYTES).await;
                        return Ok(*scheme);
                    }
                    // It does speak TLS, and falling back to plain HTTP would do an attacker's work.
                    Err(error) if http::is_untrusted(&error) => return Ok(*scheme),
                    Err(_) => {}
                }
            }
            Err(candidates[0])
        };
        self.scheme.get_or_try_init(answering).await.copied().unwrap_or_else(|first| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_is_left_alone_as_long_as_it_was_told() {
        let host = Host::new("ghcr.io", &Options::default());
        let start = Instant::now();
        assert!(host.leave_alone(Duration::from_secs(60), Status(429)));
        assert!(host.leave_alone(Duration::from_secs(30), Status(429)), "a shorter wait changes nothing");
        assert!(!host.leave_alone(Duration::from_secs(3600), Status(429)), "nobody waits an hour");
        let _slot = host.slot().await;
        let waited = start.elapsed();
        assert!((60..61).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test]
    async fn registries_are_dialled_where_they_are() {
        let http = Http::new(&Options::default()).unwrap();
        let cases = [
            ("docker.io", "https://registry-1.docker.io/v2/x"),
            ("ghcr.io", "https://ghcr.io/v2/x"),
            ("registry.example.com:5000", "https://registry.example.com:5000/v2/x"),
        ];
        for (name, expected) in cases {
            let url = Host::new(name, &Options::default()).url(&http, "x").await.unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }
}
