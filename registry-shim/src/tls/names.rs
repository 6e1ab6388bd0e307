//! What a node is called: the names and addresses that its certificates are for.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use rcgen::{CidrSubnet, GeneralSubtree, SanType};
use rustix::system::uname;
use tokio_rustls::rustls::pki_types::DnsName as RawDnsName;
use x509_parser::extensions::{GeneralName, NameConstraints};

/// The name of the Kubernetes Service through which pods reach the shim of their own node, and its namespace.
pub(crate) const SERVICE: &str = "sealift-registry";
/// The namespace of what Sealift has in Kubernetes.
pub(crate) const NAMESPACE: &str = "sealift-system";

/// Bits of an IPv4 and an IPv6 address.
const PREFIXES: (u8, u8) = (32, 128);
/// All of 127.0.0.0/8 is this machine (RFC 1122, section 3.2.1.3).
const LOOPBACK_PREFIX: u8 = 8;

/// A name in the Domain Name System, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct DnsName(String);

/// Why some text is not a name for a certificate.
#[derive(Debug, thiserror::Error)]
#[error("this is not a host name such as `node-a` or `node-a.example.com`")]
pub(crate) struct NotADnsName;

impl FromStr for DnsName {
    type Err = NotADnsName;

    fn from_str(text: &str) -> Result<Self, NotADnsName> {
        // A final dot is meaningless in a certificate (RFC 6125), and verifiers disagree about it.
        match RawDnsName::try_from(text) {
            Ok(name) if !text.ends_with('.') => Ok(Self(name.to_lowercase_owned().as_ref().to_owned())),
            _ => Err(NotADnsName),
        }
    }
}

impl DnsName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What certificates of a node are for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Names {
    dns: Vec<DnsName>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// What every node is called, whoever asks for it from where: this machine, and the Service in Kubernetes.
    pub(crate) fn of_every_node() -> Self {
        let internal = sealift_archive::reference::INTERNAL_HOST.to_owned();
        let service = format!("{SERVICE}.{NAMESPACE}");
        let in_cluster = [String::new(), ".svc".into(), ".svc.cluster.local".into()];
        let dns = ["localhost".to_owned(), internal].into_iter();
        let dns = dns.chain(in_cluster.map(|suffix| format!("{service}{suffix}"))).map(DnsName).collect();
        Self { dns, addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] }
    }

    /// Exactly these.
    pub(crate) fn new(dns: Vec<DnsName>, addresses: Vec<IpAddr>) -> Self {
        Self { dns, addresses }
    }

    /// What this machine calls itself, if that can be a name at all.
    pub(crate) fn of_this_machine() -> Self {
        let name = uname().nodename().to_str().ok().and_then(|name| name.parse().ok());
        Self { dns: name.into_iter().collect(), addresses: Vec::new() }
    }

    /// These and others, each once.
    pub(crate) fn and(mut self, others: Self) -> Self {
        let new: Vec<_> = others.dns.into_iter().filter(|name| !self.dns.contains(name)).collect();
        self.dns.extend(new);
        let new: Vec<_> = others.addresses.into_iter().filter(|a| !self.addresses.contains(a)).collect();
        self.addresses.extend(new);
        self
    }

    /// Those of these that are not among others. Loopback is one thing.
    pub(crate) fn without(&self, others: &Self) -> Self {
        let dns = self.dns.iter().filter(|name| !others.dns.contains(name));
        let addresses = self.addresses.iter().filter(|a| !a.is_loopback() && !others.addresses.contains(a));
        Self { dns: dns.cloned().collect(), addresses: addresses.copied().collect() }
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.addresses.is_empty()
    }

    /// All of them as text, names before addresses.
    pub(crate) fn list(&self) -> Vec<String> {
        let dns = self.dns.iter().map(|name| name.0.clone());
        dns.chain(self.addresses.iter().map(IpAddr::to_string)).collect()
    }

    /// As they stand in a server's certificate.
    pub(super) fn subject_alternative_names(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let dns = self.dns.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        dns.chain(self.addresses.iter().map(|&address| Ok(SanType::IpAddress(address)))).collect()
    }

    /// What an authority may vouch for if it is there for these and for nothing else.
    pub(super) fn permitted_subtrees(&self) -> Vec<GeneralSubtree> {
        let subnet = |&address: &IpAddr| {
            let prefix = match address {
                IpAddr::V4(v4) if v4.is_loopback() => LOOPBACK_PREFIX,
                IpAddr::V4(_) => PREFIXES.0,
                IpAddr::V6(_) => PREFIXES.1,
            };
            let network =
                if prefix == LOOPBACK_PREFIX { Ipv4Addr::new(127, 0, 0, 0).into() } else { address };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, prefix))
        };
        let dns = self.dns.iter().map(|name| GeneralSubtree::DnsName(name.0.clone()));
        dns.chain(self.addresses.iter().map(subnet)).collect()
    }

    /// The way back: what an authority with these constraints was made for.
    pub(super) fn of_constraints(constraints: &NameConstraints<'_>) -> Self {
        let mut names = Self::default();
        for subtree in constraints.permitted_subtrees.iter().flatten() {
            match &subtree.base {
                GeneralName::DNSName(name) => names.dns.extend(name.parse().ok()),
                GeneralName::IPAddress(subnet) => names.addresses.extend(address_of(subnet)),
                _ => {}
            }
        }
        names
    }

    /// What a certificate is for.
    pub(super) fn of_alternatives(alternatives: &[GeneralName<'_>]) -> Self {
        let mut names = Self::default();
        for alternative in alternatives {
            match alternative {
                GeneralName::DNSName(name) => names.dns.extend(name.parse().ok()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }
}

/// The one address of a subnet that we wrote; none of a wider one.
fn address_of(subnet: &[u8]) -> Option<IpAddr> {
    let (network, mask) = subnet.split_at(subnet.len() / 2);
    match address(network)? {
        IpAddr::V4(v4) if v4.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
        address => mask.iter().all(|&byte| byte == u8::MAX).then_some(address),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

impl Display for Names {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let cases = [
            ("node-a", Some("node-a")),
            ("Node-A.Example.COM", Some("node-a.example.com")),
            ("node-a.", None),
            ("", None),
            (".", None),
            ("*.example.com", None),
            ("node a", None),
            ("10.0.0.1", None),
            ("node,b", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<DnsName>().ok().as_ref().map(DnsName::as_str), expected, "{text}");
        }
    }

    #[test]
    fn only_what_is_new_counts() {
        let names = |dns: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            Names::new(dns.split_whitespace().map(|name| name.parse().unwrap()).collect(), addresses)
        };
        let known = names("a b", &["127.0.0.1", "10.0.0.1"]);
        assert_eq!(
            known.clone().and(names("b c", &["10.0.0.1", "::1"])).to_string(),
            "a, b, c, 127.0.0.1, 10.0.0.1, ::1"
        );
        assert_eq!(names("a c", &["127.0.0.2", "10.0.0.2"]).without(&known), names("c", &["10.0.0.2"]));
        assert!(names("a", &["::1"]).without(&known).is_empty());
    }
}
