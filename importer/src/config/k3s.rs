//! The section `k3s`: what this node is in its cluster, and where k3s lies.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use sealift_fetch::Url;
use serde::{Deserialize, Deserializer};

use super::activation::span;

/// How long k3s may take to be ready after a start, if nothing else is said. A first start unpacks, and pulls eight images.
const READY_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Where k3s's etcd tells of itself: always on the loopback interface, without TLS (k3s, pkg/etcd/etcd.go).
const ETCD: &str = "http://127.0.0.1:2381";

/// k3s on this node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct K3s {
    /// What this node is among the servers.
    pub role: Role,
    /// The file with the token of the cluster; without it k3s's own place, `/etc/rancher/k3s/token`.
    pub token_file: Option<PathBuf>,
    /// This node's address; without it, that of its default route.
    pub node_ip: Option<IpAddr>,
    /// Names and addresses of the whole cluster, for certificates; the first is the cluster's.
    pub endpoints: Vec<String>,
    /// Below which folder all of it lies.
    pub root: PathBuf,
    /// How long k3s may take to be ready after a start.
    pub ready_within: Duration,
    /// Where this node's etcd tells of itself.
    pub etcd: Url,
}

/// What a server is among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// There are no others.
    Single,
    /// The one that the others join, and that a snapshot is restored on.
    First,
    /// One that joins this server.
    Join(Url),
}

impl Role {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::First => "first",
            Self::Join(_) => "join",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    role: RoleName,
    #[serde(default, deserialize_with = "server")]
    server: Option<Url>,
    token_file: Option<PathBuf>,
    node_ip: Option<IpAddr>,
    #[serde(default)]
    endpoints: Vec<String>,
    root: Option<PathBuf>,
    ready_within: Option<Span>,
    #[serde(default, deserialize_with = "etcd")]
    etcd: Option<Url>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum RoleName {
    Single,
    First,
    Join,
}

#[derive(Deserialize)]
struct Span(#[serde(deserialize_with = "span")] Duration);

impl TryFrom<Written> for K3s {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let role = match (written.role, written.server) {
            (RoleName::Single, None) => Role::Single,
            (RoleName::First, None) => Role::First,
            (RoleName::Join, Some(server)) => Role::Join(server),
            (RoleName::Join, None) => {
                return Err("`role: join` needs `server`, the one that is joined".to_owned());
            }
            (_, Some(_)) => return Err("`server` belongs to `role: join`".to_owned()),
        };
        let is_name = |name: &&String| {
            let fits = |c: char| c.is_ascii_alphanumeric() || ".-:*".contains(c);
            !name.is_empty() && name.chars().all(fits)
        };
        if let Some(wrong) = written.endpoints.iter().find(|name| !is_name(name)) {
            return Err(format!("`{wrong}` among `endpoints` is neither a name nor an address"));
        }
        let root = written.root.unwrap_or_else(|| "/".into());
        for (key, path) in [("root", Some(&root)), ("tokenFile", written.token_file.as_ref())] {
            if path.is_some_and(|path| !path.is_absolute()) {
                return Err(format!("`{key}` is an absolute path"));
            }
        }
        Ok(Self {
            role,
            token_file: written.token_file,
            node_ip: written.node_ip,
            endpoints: written.endpoints,
            root,
            ready_within: written.ready_within.map_or(READY_WITHIN, |span| span.0),
            etcd: match written.etcd {
                Some(etcd) => etcd,
                None => ETCD.parse().map_err(|_| "no address of etcd".to_owned())?,
            },
        })
    }
}

fn server<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    address(deserializer, "https", "https://10.0.0.11:6443").map(Some)
}

fn etcd<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    address(deserializer, "http", ETCD).map(Some)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D, scheme: &str, such: &str) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits =
        |url: &Url| url.scheme() == scheme && url.has_host() && url.path() == "/" && url.query().is_none();
    let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    match text.parse::<Url>() {
        Ok(url) if fits(&url) && is_plain(&url) => Ok(url),
        _ => Err(serde::de::Error::custom(format!("`{text}` is no address such as `{such}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<K3s, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_role_is_enough_and_who_joins_says_whom() {
        let single = read("role: single").unwrap();
        assert_eq!((single.role, single.root.to_str()), (Role::Single, Some("/")));
        assert_eq!((single.etcd.as_str(), single.ready_within), ("http://127.0.0.1:2381/", READY_WITHIN));
        let join = read("{role: join, server: 'https://10.0.0.11:6443', nodeIp: 10.0.0.12, readyWithin: 5m}")
            .unwrap();
        assert!(matches!(&join.role, Role::Join(server) if server.as_str() == "https://10.0.0.11:6443/"));
        assert_eq!(join.ready_within, Duration::from_secs(300));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("role: join", "needs `server`"),
            ("{role: first, server: 'https://a:6443'}", "belongs to `role: join`"),
            ("{role: join, server: 'http://a:6443'}", "no address such as"),
            ("{role: join, server: 'https://u:p@a:6443'}", "no address such as"),
            ("{role: single, endpoints: ['a b']}", "`a b` among `endpoints`"),
            ("{role: single, endpoints: [\"a\\nb\"]}", "among `endpoints`"),
            ("{role: single, root: x}", "`root` is an absolute path"),
            ("{role: single, nodeIp: here}", "invalid IP address"),
            ("{role: single, roles: 1}", "unknown field `roles`"),
            ("role: second", "unknown variant"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
