//! The values that answers are made of. None of them can hold what an appliance could not be set up with.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::Location;

/// Longest name of a host, in bytes (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 253;
/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 1024;
/// Longest public key with its remark, in bytes: RSA with 16,384 bits has 2,800.
const MAX_KEY_BYTES: usize = 4096;
/// What kinds of public keys sshd takes.
const KEY_KINDS: [&str; 6] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa", "sk-"];

/// Gives a type that is read from text its way through serde.
macro_rules! as_text {
    ($($name:ident),*) => { $(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )* };
}
as_text!(Host, Interface, Network, Source, PublicKey);

/// A machine, by name or address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// By its address.
    Address(IpAddr),
    /// By its name.
    Name(String),
}

impl Host {
    /// The address, if that is what is known of it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        if let Self::Address(address) = self { Some(*address) } else { None }
    }

    /// As it stands in a URL: an IPv6 address in brackets.
    #[must_use]
    pub fn in_url(&self) -> String {
        match self {
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if is_domain(text) {
            return Ok(Self::Name(text.to_ascii_lowercase()));
        }
        Err(format!("`{text}` is neither a name nor an address of a machine"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Whether it is a name of the DNS. One that ends with a number would be taken for an address by some programs (WHATWG, "URL").
pub(super) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_with_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_label) && !ends_with_number
}

/// An address of this machine, with the length of its network: `192.0.2.10/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface {
    /// The address.
    pub address: IpAddr,
    length: u8,
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("`{text}` is no address with the length of its network, such as 192.0.2.10/24");
        let (address, length) = with_length(text).ok_or_else(refuse)?;
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            return Err(format!("`{address}` is no address that a machine can have in a network"));
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Addresses: one, or those of a network: `192.0.2.0/28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// The first of them.
    pub address: IpAddr,
    /// How many bits they have in common, if there are several.
    length: Option<u8>,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, length: None });
        }
        let (address, length) =
            with_length(text).ok_or_else(|| format!("`{text}` is neither an address nor a network"))?;
        Ok(Self { address, length: Some(length) })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            Some(length) => write!(f, "{}/{length}", self.address),
            None => self.address.fmt(f),
        }
    }
}

fn with_length(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    // Of digits alone: `parse` would take `+24`.
    let length: u8 = length.parse().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit()))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length > 0 && length <= most).then_some((address, length))
}

/// Where an appliance that is online takes its releases from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(String);

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("https://") && !text.starts_with("oci://") {
            return Err("it has to begin with https:// or oci://".to_owned());
        }
        text.parse::<Location>()?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may log in, by the public half of a key, as sshd has it on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // What it is instead is not repeated: it may be the other half.
        let refuse = || "that is no public key of SSH, such as `ssh-ed25519 AAAA… name`".to_owned();
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let (kind, key) = words.next().zip(words.next()).ok_or_else(refuse)?;
        let is_kind =
            KEY_KINDS.iter().any(|known| *known == kind || (known.ends_with('-') && kind.starts_with(known)));
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        if !is_kind
            || !key.bytes().all(is_base64)
            || text.len() > MAX_KEY_BYTES
            || text.chars().any(char::is_control)
        {
            return Err(refuse());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node that runs gave to one that is to join it. A secret: it is written nowhere but where it is kept until it is used.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Token(String);

impl Token {
    /// The secret.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_good =
            (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        is_good.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("it is no token: one line without spaces, of at most {MAX_TOKEN_BYTES} characters")
        })
    }
}

impl fmt::Debug for Token {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn a_machine_is_a_name_or_an_address() {
        for good in ["a", "node-1.example", "192.0.2.1", "fd00::1", "A.Example"] {
            assert!(is::<Host>(good), "{good}");
        }
        let long = "x".repeat(64);
        for bad in
            ["", "-a", "a-", "a..b", "a b", "1.2.3", "192.0.2.256", "a.1", "fe80::1%eth0", "a_b", &long, "é"]
        {
            assert!(!is::<Host>(bad), "{bad}");
        }
        assert_eq!("fd00::1".parse::<Host>().unwrap().in_url(), "[fd00::1]");
        assert_eq!("Node.Example".parse::<Host>().unwrap().to_string(), "node.example");
    }

    #[test]
    fn addresses_have_networks() {
        for good in ["192.0.2.10/24", "fd00::1/64", "10.0.0.1/32"] {
            assert_eq!(good.parse::<Interface>().unwrap().to_string(), good);
        }
        for bad in [
            "192.0.2.10",
            "192.0.2.10/33",
            "192.0.2.10/+8",
            "192.0.2.10/0",
            "127.0.0.1/8",
            "0.0.0.0/8",
            "::/64",
            "ff02::1/8",
            "a/8",
        ] {
            assert!(!is::<Interface>(bad), "{bad}");
        }
        for good in ["192.0.2.10", "192.0.2.0/28", "fd00::/64"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        assert!(!is::<Network>("node-a") && !is::<Network>("10.0.0.0/0"));
    }

    #[test]
    fn keys_tokens_and_sources() {
        for good in ["ssh-ed25519 AAAAC3Nz+/= me", "ssh-rsa AAAA", "sk-ssh-ed25519@openssh.com AAAA x y"] {
            assert!(is::<PublicKey>(good), "{good}");
        }
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-dss AAAA",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "ssh-rsa AAAA\nssh-rsa BBBB",
            "command=\"x\" ssh-rsa AAAA",
        ] {
            assert!(!is::<PublicKey>(bad), "{bad}");
        }
        assert!(
            is::<Token>(" K10abc::server:x\n")
                && !is::<Token>("")
                && !is::<Token>("a b")
                && !is::<Token>(&"x".repeat(1025))
        );
        let token: Token = "hunter2".parse().unwrap();
        assert_eq!((format!("{token:?}"), token.reveal()), ("Token(***)".to_owned(), "hunter2"));
        for good in ["https://releases.example/acme", "oci://registry.example/acme"] {
            assert!(is::<Source>(good), "{good}");
        }
        for bad in
            ["http://releases.example", "/srv", "https://me:hush@releases.example/", "oci://acme", "https://"]
        {
            assert!(!is::<Source>(bad), "{bad}");
        }
    }
}
