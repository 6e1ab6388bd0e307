//! This machine: which system disk it has, and how it is reached.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::{Digest, bounded};
use serde::Deserialize;

use super::Error;
use super::answers::Answers;
use super::places::Places;
use crate::support::ask::{PATIENCE, ask};

/// By what systemd tells installations apart.
pub(super) const MACHINE_ID: &str = "/etc/machine-id";
const MAX_ID_BYTES: u64 = 64;
/// Where the kernel lists interfaces.
const INTERFACES: &str = "/sys/class/net";
/// What an interface has that is a card, and no bridge, tunnel or dummy.
const CARD: &str = "device";
/// Largest answer of `ip`, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// How long to wait until the network has given an address.
const ADDRESS_WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_secs(1);

/// What tells this system disk from another, without telling the machine's id.
#[must_use]
pub(super) fn system_disk(places: &Places) -> Digest {
    let id = bounded::read(&places.at(MACHINE_ID), MAX_ID_BYTES).unwrap_or_default();
    Digest::of(&[b"sealift system disk ", id.as_slice()].concat())
}

/// The network cards, by their names.
#[must_use]
pub(super) fn cards(places: &Places) -> Vec<String> {
    let entries = fs::read_dir(places.at(INTERFACES)).into_iter().flatten().flatten();
    let cards = entries.filter(|entry| entry.path().join(CARD).exists());
    let mut names: Vec<String> = cards.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// The address of this node: the one that was answered, or the one that the network has given.
///
/// # Errors
/// [`Error::NoAddress`] if none has come in time.
pub(super) fn address(places: &Places, answers: &Answers, has_time: bool) -> Result<IpAddr, Error> {
    if let Some(fixed) = answers.network.as_ref().and_then(|network| network.fixed.as_ref()) {
        return Ok(fixed.address.address);
    }
    let deadline = Instant::now() + if has_time { ADDRESS_WITHIN } else { Duration::ZERO };
    loop {
        let cards = cards(places);
        if let Some(address) = cards.iter().find_map(|card| address_of(card)) {
            return Ok(address);
        }
        if Instant::now() >= deadline {
            return Err(Error::NoAddress { cards });
        }
        thread::sleep(POLL);
    }
}

/// What `ip -json address` says of an interface.
#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    #[serde(default)]
    scope: String,
}

fn address_of(card: &str) -> Option<IpAddr> {
    let arguments = ["-json", "address", "show", "dev", card];
    parse_addresses(&ask(Path::new("ip"), &arguments, MAX_ANSWER_BYTES, PATIENCE).ok()?)
}

/// The first address that is known beyond the link, of IPv4 if there is one.
fn parse_addresses(text: &str) -> Option<IpAddr> {
    let interfaces: Vec<Interface> = serde_json::from_str(text).ok()?;
    let all = interfaces.into_iter().flat_map(|interface| interface.addr_info);
    let mut global: Vec<IpAddr> = all.filter(|a| a.scope == "global").filter_map(|a| a.local).collect();
    global.sort_by_key(IpAddr::is_ipv6);
    global.first().copied()
}

/// Whose the store is, unless it is root's or not there.
#[must_use]
pub(super) fn owner(store: &Path) -> Option<(u32, u32)> {
    let metadata = fs::metadata(store).ok()?;
    (metadata.uid() != 0 && rustix::process::geteuid().is_root()).then(|| (metadata.uid(), metadata.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_first_that_others_know() {
        let text = r#"[{}, {"ifname": "eth0", "addr_info": [
            {"family": "inet6", "local": "fe80::1", "scope": "link"},
            {"family": "inet6", "local": "fd00::1", "scope": "global"},
            {"family": "inet", "local": "192.0.2.10", "prefixlen": 24, "scope": "global", "dynamic": true}]}]"#;
        assert_eq!(parse_addresses(text), Some("192.0.2.10".parse().unwrap()));
        for text in ["", "{}", "[]", "[{\"addr_info\": [{\"local\": \"fe80::1\", \"scope\": \"link\"}]}]"] {
            assert_eq!(parse_addresses(text), None, "{text}");
        }
    }

    #[test]
    fn only_cards_are_cards() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        for path in ["ens192/device", "ens160/device", "lo", "sealift0"] {
            fs::create_dir_all(places.at(INTERFACES).join(path)).unwrap();
        }
        assert_eq!(cards(&places), ["ens160", "ens192"]);
        assert!(cards(&Places::below(&dir.path().join("none"))).is_empty());
    }
}
