//! Who this node is to other nodes: a client's certificate that its own authority makes.
//!
//! The authority is what `sealift-registry tls init` has made for this node; other nodes know it from this node's report in the
//! cluster. Certificates are made in memory whenever peers are about to be asked, so there is none that could be forgotten, lie
//! about or run out: its life only has to be longer than the longest download.

use std::io;
use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use sealift_archive::bounded;
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use super::Error as OnlineError;
use crate::Error;

/// The authority's certificate.
pub(crate) const CERTIFICATE: &str = "ca.crt";
/// The authority's key.
const KEY: &str = "ca.key";
/// Largest file of either, in bytes. Ours have about 1 KB.
pub(crate) const MAX_PEM_BYTES: u64 = 64 << 10;

/// What a client is called. With a blank in it, it is no host's name, so constraints of names do not concern it.
const NAME: &str = "Sealift node";
/// How long a certificate lasts: as long as those that registries make of themselves.
const LIFETIME: Duration = Duration::days(30);
/// How far the clock of another node may be behind ours.
const EARLIER: Duration = Duration::days(1);

/// A new certificate with its key, in PEM, by the authority of this folder; none if there is no authority for us: its folder
/// has none, or its key is not for this user.
///
/// # Errors
/// [`OnlineError::Authority`] if what is there makes none, or I/O.
pub(crate) fn issue(dir: &Path) -> Result<Option<Vec<u8>>, Error> {
    let key = dir.join(KEY);
    let pem = match bounded::read(&key, MAX_PEM_BYTES) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        pem => String::from_utf8_lossy(&pem?).into_owned(),
    };
    let keys = KeyPair::from_pem(&pem).map_err(|error| unfit(&key, &error))?;
    let file = dir.join(CERTIFICATE);
    let certificate = bounded::read(&file, MAX_PEM_BYTES)?;
    let (_, certificate) = parse_x509_pem(&certificate).map_err(|error| unfit(&file, &error))?;
    let parsed = certificate.parse_x509().map_err(|error| unfit(&file, &error))?;
    if parsed.public_key().raw != keys.subject_public_key_info() {
        return Err(unfit(&file, &format!("`{}` is the key of another one", key.display())));
    }
    let issuer = Issuer::from_ca_cert_der(&certificate.contents.as_slice().into(), keys)
        .map_err(|error| unfit(&file, &error))?;
    let signed = sign(&issuer, OffsetDateTime::now_utc()).map_err(|error| unfit(&file, &error))?;
    Ok(Some(signed.into_bytes()))
}

fn sign(issuer: &Issuer<'_, KeyPair>, now: OffsetDateTime) -> Result<String, rcgen::Error> {
    let keys = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, NAME);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // It asks, and cannot pose as the node's registry.
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = now - EARLIER;
    parameters.not_after = now + LIFETIME;
    let certificate = parameters.signed_by(&keys, issuer)?;
    Ok(format!("{}{}", certificate.pem(), keys.serialize_pem()))
}

fn unfit(file: &Path, why: &dyn std::fmt::Display) -> Error {
    OnlineError::Authority { file: file.to_owned(), why: why.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use rcgen::BasicConstraints;
    use sealift_archive::Explain as _;

    use super::*;

    fn authority(dir: &Path) {
        let keys = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        fs::write(dir.join(KEY), keys.serialize_pem()).unwrap();
        fs::write(dir.join(CERTIFICATE), parameters.self_signed(&keys).unwrap().pem()).unwrap();
    }

    #[test]
    fn a_certificate_is_made_anew_each_time_and_only_asks() {
        let dir = tempfile::tempdir().unwrap();
        assert!(issue(dir.path()).unwrap().is_none() && issue(&dir.path().join("none")).unwrap().is_none());
        authority(dir.path());
        let [first, second] = [(); 2].map(|()| issue(dir.path()).unwrap().unwrap());
        assert_ne!(first, second);
        let (rest, pem) = parse_x509_pem(&first).unwrap();
        assert!(String::from_utf8_lossy(rest).contains("PRIVATE KEY"));
        let made = pem.parse_x509().unwrap();
        let usage = made.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !made.is_ca());
        assert!(made.validity().is_valid() && made.subject_alternative_name().unwrap().is_none());
        let left = made.validity().time_to_expiration().unwrap();
        assert!(left <= LIFETIME && left > LIFETIME - Duration::HOUR, "{left}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        authority(other.path());
        for (file, content, named) in [
            (KEY, "nothing".to_owned(), KEY),
            (KEY, fs::read_to_string(other.path().join(KEY)).unwrap(), "the key of another one"),
            (CERTIFICATE, "nothing".to_owned(), CERTIFICATE),
        ] {
            authority(dir.path());
            fs::write(dir.path().join(file), content).unwrap();
            let error = issue(dir.path()).unwrap_err();
            assert_eq!(error.code().to_string(), "SL0651", "{error}");
            assert!(error.to_string().contains(named) && error.hint().is_some(), "{error}");
        }
    }
}
