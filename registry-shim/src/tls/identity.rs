//! Who the server is, at this moment: looked at before each handshake, and renewed there when it is time.
//!
//! There is no timer. A handshake costs a hundred times what looking at the clock costs, and it is the only moment at
//! which a certificate matters; so a clock that jumps, by years and in either direction, is noticed by the next client
//! and by nobody before.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sealift_archive::Explain as _;
use sealift_store::Watched;
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::authority::{Authority, LEAF_EARLIER, LEAF_LIFETIME, Leaf};
use super::stamp::Stamp;
use super::{Clock, Facts, IdentitySource, TlsFiles, certificates, provider, read, unfit};
use crate::Error;

/// When a certificate of our own is renewed: after two thirds of its life.
const RENEWED_AFTER: Duration = Duration::days(LEAF_LIFETIME.whole_days() * 2 / 3);

/// Who the server is.
#[derive(Debug)]
pub(crate) struct Identity {
    origin: Origin,
    now: RwLock<Arc<Current>>,
    /// Held by whoever renews.
    renewing: Mutex<Failures>,
}

#[derive(Debug)]
enum Origin {
    Files(TlsFiles),
    Authority { authority: Box<Authority>, clock: Clock },
}

/// What is shown to clients until something else is.
#[derive(Debug)]
struct Current {
    shown: Arc<CertifiedKey>,
    facts: Facts,
    good: Good,
}

/// While what is the certificate good?
#[derive(Debug)]
enum Good {
    /// While the files are these.
    Files(Stamp),
    /// While the clock is between these moments.
    Between(OffsetDateTime, OffsetDateTime),
}

/// Which files could not be used, so that each state of them is complained about once.
#[derive(Debug, Default)]
struct Failures(Option<Stamp>);

impl Identity {
    /// Reads what is there, and makes the first certificate.
    pub(super) fn load(source: &IdentitySource) -> Result<Self, Error> {
        let origin = match source {
            IdentitySource::Files(files) => Origin::Files(files.clone()),
            IdentitySource::Authority { dir, clock } => {
                Origin::Authority { authority: Box::new(Authority::load(dir)?), clock: clock.clone() }
            }
        };
        let now = RwLock::new(Arc::new(origin.read()?));
        Ok(Self { origin, now, renewing: Mutex::default() })
    }

    /// What the certificate that is shown now says.
    pub(crate) fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// What the certificate of this node's own authority says, if there is one.
    pub(crate) fn authority(&self) -> Option<&Facts> {
        match &self.origin {
            Origin::Files(_) => None,
            Origin::Authority { authority, .. } => Some(authority.facts()),
        }
    }

    /// What somebody else has to renew: a certificate in a file, or this node's own authority.
    pub(super) fn watched(&self) -> Watched {
        let (what, facts) = match &self.origin {
            Origin::Files(files) => {
                (format!("the certificate `{}`", files.certificate.display()), self.facts())
            }
            Origin::Authority { authority, .. } => {
                (format!("this node's authority `{}`", authority.file().display()), authority.facts().clone())
            }
        };
        Watched { what, not_after: facts.not_after }
    }

    fn known(&self) -> Arc<Current> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What to show now. What cannot be renewed stays.
    fn current(&self) -> Arc<Current> {
        let known = self.known();
        if self.origin.agrees(&known.good) {
            return known;
        }
        let mut failures = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever renewed before has perhaps done it for us.
        let known = self.known();
        if self.origin.agrees(&known.good) || failures.know(&self.origin) {
            return known;
        }
        let stamp = self.origin.stamp();
        match self.origin.read() {
            Ok(current) => {
                let Facts { fingerprint, not_after, .. } = &current.facts;
                tracing::info!(%fingerprint, %not_after, "new certificate");
                let current = Arc::new(current);
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&current);
                failures.0 = None;
                current
            }
            Err(error) => {
                tracing::error!(code = %error.code(), "the certificate stays as it is: {}", sealift_archive::report(&error));
                failures.0 = stamp;
                known
            }
        }
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().shown))
    }
}

impl Failures {
    /// Whether these very files were found wanting before.
    fn know(&self, origin: &Origin) -> bool {
        self.0.is_some() && self.0 == origin.stamp()
    }
}

impl Origin {
    /// Whether a certificate is still the right one.
    fn agrees(&self, good: &Good) -> bool {
        match (self, good) {
            (Self::Authority { clock, .. }, Good::Between(from, to)) => (from..to).contains(&&clock.now()),
            (_, Good::Files(stamp)) => self.stamp().as_ref() == Some(stamp),
            (Self::Files(_), Good::Between(..)) => false,
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Files(files) => Some(Stamp::of(&[&files.certificate, &files.key])),
            Self::Authority { .. } => None,
        }
    }

    fn read(&self) -> Result<Current, Error> {
        match self {
            Self::Files(files) => {
                // Taken first: files that change while they are read have another stamp afterwards.
                let good = Good::Files(Stamp::of(&[&files.certificate, &files.key]));
                let chain = certificates(&files.certificate)?;
                let facts = Facts::of(&chain[0], &files.certificate)?;
                let key = read(&files.key, "a private key", PrivateKeyDer::from_pem_slice)?;
                let shown = CertifiedKey::from_der(chain, key, &provider())
                    .map_err(|error| unfit(&files.certificate, "the certificate of the key", &error))?;
                Ok(Current { shown: Arc::new(shown), facts, good })
            }
            Self::Authority { authority, clock } => {
                let now = clock.now();
                let Leaf { certificate, keys } = authority.issue(now)?;
                let (certificate, key) =
                    (certificate.der().clone(), PrivatePkcs8KeyDer::from(keys.serialize_der()));
                let facts = Facts::of(&certificate, authority.file())?;
                let shown = CertifiedKey::from_der(vec![certificate], key.into(), &provider())
                    .map_err(|error| unfit(authority.file(), "a certificate authority", &error))?;
                Ok(Current {
                    shown: Arc::new(shown),
                    facts,
                    good: Good::Between(now - LEAF_EARLIER, now + RENEWED_AFTER),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::super::{Names, authority};
    use super::*;

    const DAY: i64 = 86_400;
    /// Some day in the life of an appliance.
    const TODAY: i64 = 1_790_000_000;

    #[test]
    fn a_certificate_is_renewed_by_the_clock_whichever_way_it_jumps() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        authority::init(dir.path(), Names::default(), at(TODAY)).unwrap();
        let now = Arc::new(AtomicI64::new(TODAY));
        let told = Arc::clone(&now);
        let clock = Clock::new(move || at(told.load(Ordering::Relaxed)));
        let identity =
            Identity::load(&IdentitySource::Authority { dir: dir.path().to_owned(), clock }).unwrap();
        let mut known = identity.facts();
        let cases = [
            ("a minute", TODAY + 60, false),
            ("nineteen days", TODAY + 19 * DAY, false),
            ("two thirds", TODAY + 20 * DAY, true),
            ("a little back", TODAY + 20 * DAY - 3600, false),
            ("years ahead", TODAY + 4000 * DAY, true),
            ("years back", TODAY - 15 * DAY, true),
            ("to the beginning", 0, true),
        ];
        for (name, seconds, is_renewed) in cases {
            now.store(seconds, Ordering::Relaxed);
            let facts = identity.facts();
            assert_eq!(facts != known, is_renewed, "{name}");
            assert!((facts.not_before..facts.not_after).contains(&at(seconds)), "{name}: {facts:?}");
            known = facts;
        }
    }
}
