//! A certificate authority for one node, that vouches for this node and for nobody else.
//!
//! Its key is made where it is used and never leaves: no copy can be lost elsewhere, and a node that is taken away
//! takes only its own name with it. Whoever trusts the authority (containerd, Flux, other nodes) trusts it for the names
//! in its certificate's name constraints (RFC 5280, section 4.2.1.10) alone, so a stolen key cannot pose as ghcr.io or
//! as the Kubernetes API.
//!
//! Those names are also the only record of what the node is called: server certificates are for what their
//! authority permits. They are made in memory and last [`LEAF_LIFETIME`]; nothing is written while serving.

use std::path::{Path, PathBuf};

use fs_err as fs;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _,
};
use sealift_archive::{Digest, durable};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{Facts, Names, certificates};
use crate::Error;

/// The authority's certificate, for whoever is to trust it.
pub(crate) const CERTIFICATE: &str = "ca.crt";
/// The authority's key, for nobody.
pub(crate) const KEY: &str = "ca.key";

/// How long an authority lasts: longer than a machine.
const AUTHORITY_LIFETIME: Duration = Duration::days(10 * 365);
/// How long a server certificate lasts.
pub(super) const LEAF_LIFETIME: Duration = Duration::days(30);
/// How far a clock may be turned back before a certificate that was just made is not valid yet.
pub(super) const LEAF_EARLIER: Duration = Duration::days(1);

/// An authority is valid since ever, as far as computers go: it may be made while the clock is ahead, and used while a
/// dead battery has set the clock back to its beginning.
const BEGINNING: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// No authority is older than this, so a clock that says so is wrong, and an authority's end is not counted from it.
const EARLIEST_MAKING: OffsetDateTime = datetime!(2026-01-01 0:00 UTC);

/// A node's authority, read.
#[derive(Debug)]
pub(crate) struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    facts: Facts,
}

/// A certificate that a server, or a client, shows, and its key.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(super) certificate: Certificate,
    pub(super) keys: KeyPair,
}

impl Leaf {
    /// The certificate, for a file.
    pub(crate) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The key, for a file that nobody else reads.
    pub(crate) fn key_pem(&self) -> String {
        self.keys.serialize_pem()
    }
}

/// What [`init`] found or made.
#[derive(Debug)]
pub(crate) struct Made {
    /// What the authority's certificate says.
    pub(crate) facts: Facts,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
}

/// Makes an authority in `dir` for `names` and what every node is called, unless there is one.
///
/// One that is there is never changed: others trust it. It has to permit `names`, though.
pub(crate) fn init(dir: &Path, names: Names, now: OffsetDateTime) -> Result<Made, Error> {
    let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
    match (certificate.exists(), key.exists()) {
        (true, true) => {
            let facts = Authority::load(dir)?.facts;
            let others = names.without(&facts.names);
            if others.is_empty() {
                return Ok(Made { facts, is_new: false });
            }
            return Err(Error::NotPermitted { file: certificate, names: others.to_string() });
        }
        (true, false) => {
            let why = format!("its key, `{}`, is not there", key.display());
            return Err(Error::Authority { file: certificate, why });
        }
        (false, _) => {}
    }
    durable::create_dir_all(dir)?;
    let names = Names::of_every_node().and(Names::of_this_machine()).and(names);
    // The key comes first. If it is there already, the power went before it had a certificate.
    let keys = if key.exists() {
        read_key(&key)?
    } else {
        let keys = KeyPair::generate().map_err(|error| unfit(&key, &error))?;
        durable::write_secret(&key, keys.serialize_pem().as_bytes())?;
        keys
    };
    let made =
        parameters(&names, &keys, now).self_signed(&keys).map_err(|error| unfit(&certificate, &error))?;
    durable::write(&certificate, made.pem().as_bytes())?;
    Ok(Made { facts: Facts::of(made.der(), &certificate)?, is_new: true })
}

fn parameters(names: &Names, keys: &KeyPair, now: OffsetDateTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let key_id = Digest::of(&keys.subject_public_key_info()).short();
    parameters.distinguished_name = DistinguishedName::new();
    // Verifiers look for an authority by this name first, so no two nodes may share one.
    parameters.distinguished_name.push(DnType::CommonName, format!("Sealift node authority {key_id}"));
    parameters.not_before = BEGINNING;
    parameters.not_after = now.max(EARLIEST_MAKING) + AUTHORITY_LIFETIME;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: names.permitted_subtrees(),
        excluded_subtrees: Vec::new(),
    });
    parameters
}

impl Authority {
    /// Reads the authority of `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self, Error> {
        let (file, key) = (dir.join(CERTIFICATE), dir.join(KEY));
        if !file.exists() && !key.exists() {
            return Err(Error::NoAuthority { dir: dir.to_owned() });
        }
        let certificate = certificates(&file)?.swap_remove(0);
        let facts = Facts::of(&certificate, &file)?;
        if let Err(why) = facts.expect_of_node() {
            return Err(Error::Authority { file, why: why.into() });
        }
        let keys = read_key(&key)?;
        if facts.public_key != Digest::of(&keys.subject_public_key_info()) {
            return Err(Error::Authority {
                file,
                why: format!("`{}` is the key of another one", key.display()),
            });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, keys).map_err(|error| unfit(&file, &error))?;
        Ok(Self { file, issuer, facts })
    }

    /// Its certificate.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What its certificate says.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A certificate with a new key for what the authority permits: to serve with, and to show to other nodes.
    pub(crate) fn issue(&self, now: OffsetDateTime) -> Result<Leaf, Error> {
        self.sign(now).map_err(|error| unfit(&self.file, &error))
    }

    fn sign(&self, now: OffsetDateTime) -> Result<Leaf, rcgen::Error> {
        let keys = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "sealift-registry");
        parameters.subject_alt_names = self.facts.names.subject_alternative_names()?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = now - LEAF_EARLIER;
        parameters.not_after = now + LEAF_LIFETIME;
        Ok(Leaf { certificate: parameters.signed_by(&keys, &self.issuer)?, keys })
    }
}

fn read_key(file: &Path) -> Result<KeyPair, Error> {
    let pem = fs::read_to_string(file)?;
    KeyPair::from_pem(&pem).map_err(|error| unfit(file, &error))
}

fn unfit(file: &Path, why: &rcgen::Error) -> Error {
    Error::Authority { file: file.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TODAY: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn names(dns: &[&str], addresses: &[&str]) -> Names {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Names::new(dns.iter().map(|name| name.parse().unwrap()).collect(), addresses)
    }

    #[test]
    fn an_authority_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new/place");
        let wanted = || names(&["node-a"], &["10.0.0.1", "fd00::1"]);
        let first = init(&place, wanted(), TODAY).unwrap();
        assert!(first.is_new && first.facts.is_authority);
        assert_eq!(fs::metadata(place.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        let list = first.facts.names.list();
        for name in
            ["localhost", "sealift-registry.sealift-system.svc", "node-a", "127.0.0.1", "::1", "fd00::1"]
        {
            assert!(list.iter().any(|known| known == name), "{name} in {list:?}");
        }

        let bytes = || [KEY, CERTIFICATE].map(|name| fs::read(place.join(name)).unwrap());
        let before = bytes();
        for again in [Names::default(), wanted(), names(&["NODE-A"], &["127.0.0.9"])] {
            let second = init(&place, again, TODAY + AUTHORITY_LIFETIME).unwrap();
            assert!(!second.is_new && second.facts == first.facts);
        }
        let refused = init(&place, names(&["node-b"], &["10.0.0.2"]), TODAY).unwrap_err();
        assert!(
            matches!(&refused, Error::NotPermitted { names, .. } if names == "node-b, 10.0.0.2"),
            "{refused}"
        );
        assert_eq!(bytes(), before);
    }

    #[test]
    fn what_a_power_cut_has_left_is_finished_and_what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path();
        let load = || Authority::load(place).unwrap_err();
        assert!(matches!(load(), Error::NoAuthority { .. }));
        let first = init(place, Names::default(), TODAY).unwrap();
        fs::remove_file(place.join(CERTIFICATE)).unwrap();
        let second = init(place, Names::default(), TODAY).unwrap();
        assert!(second.is_new && second.facts.public_key == first.facts.public_key);

        let key = fs::read(place.join(KEY)).unwrap();
        fs::remove_file(place.join(KEY)).unwrap();
        assert!(matches!(init(place, Names::default(), TODAY), Err(Error::Authority { .. })));
        for (damage, bytes) in [("empty", Vec::new()), ("half", key[..key.len() / 2].to_vec())] {
            fs::write(place.join(KEY), bytes).unwrap();
            assert!(matches!(load(), Error::Authority { .. }), "{damage}");
        }
        fs::write(place.join(KEY), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(load().to_string().contains("the key of another one"));
        // An authority that may vouch for everybody is none of ours.
        let keys = KeyPair::generate().unwrap();
        let mut parameters = parameters(&Names::default(), &keys, TODAY);
        parameters.name_constraints = None;
        fs::write(place.join(KEY), keys.serialize_pem()).unwrap();
        fs::write(place.join(CERTIFICATE), parameters.self_signed(&keys).unwrap().pem()).unwrap();
        assert!(load().to_string().contains("no name constraints"));
    }

    #[test]
    fn an_authority_outlasts_wrong_clocks() {
        for (now, until) in
            [(OffsetDateTime::UNIX_EPOCH, 2035), (TODAY, 2036), (datetime!(2061-01-01 0:00 UTC), 2070)]
        {
            let dir = tempfile::tempdir().unwrap();
            let facts = init(dir.path(), Names::default(), now).unwrap().facts;
            assert_eq!((facts.not_before.year(), facts.not_after.year()), (1970, until), "{now}");
            assert_eq!(Authority::load(dir.path()).unwrap().facts, facts);
        }
    }
}
