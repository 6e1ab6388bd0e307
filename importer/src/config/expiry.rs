//! Certificates in files that the configuration names: told two weeks before they end, since whoever renews them is a person.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sealift_archive::bounded;
use sealift_store::Watched;
use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::Config;
use super::peer::PeerIdentity;

/// Largest file that is looked at, in bytes: as many authorities as a system has.
const MAX_BYTES: u64 = 1 << 20;

impl Config {
    /// What is to be renewed, each in a sentence: certificates that end soon, and files that cannot be read or have none.
    #[must_use]
    pub fn expiring(&self, now: OffsetDateTime) -> Vec<String> {
        let own = self.cluster.as_ref().map(super::Cluster::ca_cert);
        let of_cluster = self.cluster.iter().flat_map(|cluster| {
            let identity =
                cluster.peers.identity.as_ref().map(|PeerIdentity { certificate, .. }| certificate);
            cluster.peers.ca_file.iter().chain(&cluster.ca_cert).chain(identity)
        });
        let of_mirror = self.mirror.iter().filter_map(|mirror| mirror.ca_file.as_ref());
        let named: BTreeSet<&Path> =
            self.certificates.iter().chain(of_cluster).chain(of_mirror).map(AsRef::as_ref).collect();
        // Nobody has named it, so it need not be there.
        let own = own.as_deref().filter(|own| !named.contains(own) && own.exists());
        named.into_iter().chain(own).flat_map(|file| warnings(file, now)).collect()
    }
}

fn warnings(file: &Path, now: OffsetDateTime) -> Vec<String> {
    let name = file.display();
    let watched = |not_after| Watched { what: format!("a certificate in `{name}`"), not_after };
    match ends(file) {
        Ok(ends) => ends.into_iter().filter_map(|end| watched(end).warning(now)).collect(),
        Err(error) => vec![format!("the certificates in `{name}` cannot be looked at: {error}")],
    }
}

/// When each of the certificates in a file ends.
fn ends(file: &Path) -> io::Result<Vec<OffsetDateTime>> {
    let bytes = bounded::read(file, MAX_BYTES)?;
    let unfit = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut ends = Vec::new();
    for pem in Pem::iter_from_buffer(&bytes) {
        let pem = pem.map_err(|error| unfit(error.to_string()))?;
        let certificate = pem.parse_x509().map_err(|error| unfit(error.to_string()))?;
        ends.push(certificate.validity().not_after.to_datetime());
    }
    if ends.is_empty() { Err(unfit("there are none".to_owned())) } else { Ok(ends) }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use rcgen::{CertificateParams, KeyPair};
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn certificate(days: i64) -> String {
        let mut parameters = CertificateParams::default();
        parameters.not_before = NOW - Duration::days(365);
        parameters.not_after = NOW + Duration::days(days);
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn whatever_a_person_renews_is_told_two_weeks_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
        write("long.crt", &certificate(14));
        write("node.crt", &certificate(13));
        write("nodes.crt", &format!("{}{}", certificate(100), certificate(-1)));
        write("ca.crt", &certificate(5));
        write("none.crt", "nothing");
        let text = "apiVersion: sealift/v1\nkind: Appliance\n\
            certificates: [DIR/long.crt, DIR/none.crt, DIR/away.crt]\n\
            cluster: {node: a, kubeconfig: /k, address: 'https://a:5443', peers: {authority: DIR, caFile: DIR/nodes.crt,\n\
            \x20 identity: {certificate: DIR/node.crt, key: DIR/node.key}}}\n";
        write("appliance.yaml", &text.replace("DIR", &dir.path().display().to_string()));
        let told = Config::read(Some(&path("appliance.yaml"))).unwrap().expiring(NOW);
        let expected = [
            ("away.crt", "No such file"),
            ("node.crt", "ends on 2026-12-06, in 13 days"),
            ("nodes.crt", "ended on 2026-11-22"),
            ("none.crt", "there are none"),
            ("ca.crt", "ends on 2026-11-28, in 5 days"),
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, (file, why)) in told.iter().zip(expected) {
            assert!(told.contains(&format!("/{file}`")) && told.contains(why), "{file}: {told}");
        }
        assert!(Config::default().expiring(NOW).is_empty());
    }
}
