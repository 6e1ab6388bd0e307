//! What a certificate says about itself.

use std::path::Path;

use sealift_archive::Digest;
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{Names, unfit};
use crate::Error;

/// What a certificate says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Whose it is.
    pub(crate) subject: String,
    /// What it is for, or, of an authority, what it may vouch for.
    pub(crate) names: Names,
    /// Since when it counts.
    pub(crate) not_before: OffsetDateTime,
    /// Until when.
    pub(crate) not_after: OffsetDateTime,
    /// Whether it may vouch for others.
    pub(crate) is_authority: bool,
    /// SHA-256 of it, by which people compare it.
    pub(crate) fingerprint: Digest,
    /// SHA-256 of its public key.
    pub(super) public_key: Digest,
}

impl Facts {
    /// Of this certificate; `file` is where it comes from.
    pub(crate) fn of(certificate: &CertificateDer<'_>, file: &Path) -> Result<Self, Error> {
        let unfit = |why: &dyn std::fmt::Display| unfit(file, "a certificate", why);
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unfit(&error))?;
        let is_authority = parsed.is_ca();
        let names = if is_authority {
            let constraints = parsed.name_constraints().map_err(|error| unfit(&error))?;
            constraints.map(|found| Names::of_constraints(found.value))
        } else {
            let alternatives = parsed.subject_alternative_name().map_err(|error| unfit(&error))?;
            alternatives.map(|found| Names::of_alternatives(&found.value.general_names))
        };
        let validity = parsed.validity();
        Ok(Self {
            subject: parsed.subject().to_string(),
            names: names.unwrap_or_default(),
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            is_authority,
            fingerprint: Digest::of(certificate),
            public_key: Digest::of(parsed.public_key().raw),
        })
    }

    /// Whether it is an authority as `tls init` makes it, for some names and no others; else why not. By this, nobody can name
    /// an authority of the world, from which everybody has a certificate.
    pub(super) fn expect_of_node(&self) -> Result<(), &'static str> {
        let is_of_node = self.is_authority && !self.names.is_empty();
        is_of_node.then_some(()).ok_or("it has no name constraints that say for whom it is")
    }
}
