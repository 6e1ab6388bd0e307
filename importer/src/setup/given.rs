//! What one source says, or several together: any of the answers, perhaps none.

use sealift_archive::ChannelName;
use serde::{Deserialize, Serialize};

use super::value::{Host, Interface, Network, PublicKey, Source, Token};
use crate::cluster::NodeName;

/// Answers, each of which may be missing. The keys are those of a seed; `cloud-init/seed.schema.json` says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Given {
    /// The name of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<NodeName>,
    /// How this machine is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkGiven>,
    /// What it is among its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// The node that is joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Host>,
    /// What that node gave. It is never written with the others.
    #[serde(default, skip_serializing)]
    pub token: Option<Token>,
    /// Names and addresses of the whole appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<Host>>,
    /// The other nodes, as far as they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<Network>>,
    /// Whom to ask for the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Where releases come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Online>,
    /// Who may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_keys: Option<Vec<PublicKey>>,
}

/// What a node is among its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Whoever is at the console says it.
    Setup,
    /// Alone; it may grow.
    Single,
    /// The first of three.
    First,
    /// One that comes to a node that runs.
    Join,
}

impl RoleName {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Single => "single",
            Self::First => "first",
            Self::Join => "join",
        }
    }
}

/// How an address is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The network gives it.
    Dhcp,
    /// It stands here.
    Static,
}

/// How this machine is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawNetwork", into = "RawNetwork")]
pub struct NetworkGiven {
    /// Its address, if it is static.
    pub fixed: Option<Fixed>,
    /// Name servers.
    pub dns: Vec<std::net::IpAddr>,
    /// Domains that names are looked for in.
    pub search: Vec<Host>,
}

/// An address that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The address.
    pub address: Interface,
    /// The way to everywhere else; without it there is none.
    pub gateway: Option<std::net::IpAddr>,
}

/// As it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    pub(super) mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Interface>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<std::net::IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dns: Vec<std::net::IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) search: Vec<Host>,
}

impl TryFrom<RawNetwork> for NetworkGiven {
    type Error = String;

    fn try_from(raw: RawNetwork) -> Result<Self, String> {
        let RawNetwork { mode, address, gateway, dns, search } = raw;
        let fixed = match (mode, address) {
            (Mode::Static, Some(address)) => {
                if gateway.is_some_and(|gateway| gateway.is_ipv4() != address.address.is_ipv4()) {
                    return Err("the gateway has to be of the same kind as the address".to_owned());
                }
                Some(Fixed { address, gateway })
            }
            (Mode::Static, None) => return Err("an address is needed with mode static".to_owned()),
            (Mode::Dhcp, None) if gateway.is_none() => None,
            (Mode::Dhcp, _) => {
                return Err("with mode dhcp, address and gateway come from the network".to_owned());
            }
        };
        if let Some(Host::Address(address)) = search.iter().find(|host| host.address().is_some()) {
            return Err(format!("`{address}` is no domain"));
        }
        Ok(Self { fixed, dns, search })
    }
}

impl From<NetworkGiven> for RawNetwork {
    fn from(network: NetworkGiven) -> Self {
        let NetworkGiven { fixed, dns, search } = network;
        let mode = if fixed.is_some() { Mode::Static } else { Mode::Dhcp };
        let (address, gateway) = fixed.map_or((None, None), |fixed| (Some(fixed.address), fixed.gateway));
        Self { mode, address, gateway, dns, search }
    }
}

/// Whom to ask for the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// The servers.
    pub servers: Vec<Host>,
}

/// Where an appliance that is online takes its releases from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Online {
    /// The vendor's address.
    pub source: Source,
    /// The channel.
    #[serde(default = "stable")]
    pub channel: ChannelName,
}

fn stable() -> ChannelName {
    ChannelName::Stable
}

/// What is the same for every key.
macro_rules! keys {
    ($($key:ident $name:literal),* $(,)?) => {
        impl Given {
            /// Takes from another source what is missing here. Gives back the keys on which the two disagree.
            pub(super) fn fill(&mut self, other: &Self) -> Vec<&'static str> {
                let mut disagree = Vec::new();
                $(match (&self.$key, &other.$key) {
                    (None, Some(value)) => self.$key = Some(value.clone()),
                    (Some(ours), Some(theirs)) if ours != theirs => disagree.push($name),
                    _ => {}
                })*
                disagree
            }

            /// What is said now and was not said so before.
            pub(super) fn news_since(&self, before: &Self) -> Self {
                Self { $($key: if self.$key == before.$key { None } else { self.$key.clone() },)* }
            }

            /// The keys to which there is an answer.
            #[must_use]
            pub fn keys(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$key.is_some() { keys.push($name); })*
                keys
            }
        }
    };
}
keys! {
    hostname "hostname", network "network", role "role", server "server", token "token", endpoints "endpoints", nodes "nodes",
    time "time", online "online", public_keys "publicKeys",
}
