//! The machine itself: what it is called, how it is reached, what time it is, who may log in, and what may leave.

use std::net::IpAddr;

use sealift_archive::bounded;

use super::Site;
use crate::setup::Error;
use crate::setup::answers::Role;
use crate::setup::child::{Program, Run};
use crate::setup::files::{File, Files};
use crate::setup::given::NetworkGiven;
use crate::setup::machine;
use crate::setup::plan::{Action, Work};
use crate::setup::value::Host;

const HEAD: &str = "# Written by `sealiftctl setup`, from what was answered.\n";
const HOSTNAME: &str = "/etc/hostname";
/// Before what netplan makes of cloud-init's network, and before the image's own route that leads nowhere.
const NETWORK: &str = "/etc/systemd/network/05-sealift-setup.network";
const TIME: &str = "/etc/systemd/timesyncd.conf.d/95-sealift-setup.conf";
const KEYS: &str = "/root/.ssh/authorized_keys";
const RULES: &str = "/etc/sealift/nftables.d/20-setup.nft";
const ONLINE: &str = "/etc/sealift/nftables.d/90-online.nft";
/// What online mode is, as the image carries it.
const IMAGE_ONLINE: &str = "/usr/share/sealift/nftables/online.nft";
const MAX_RULES_BYTES: u64 = 64 << 10;

pub(super) fn host(site: &Site, files: &Files, work: &mut Work) -> Result<(), Error> {
    let answers = &site.answers;
    let name = format!("{}\n", answers.hostname);
    // The image and cloud-init write it as well.
    work.put(File { is_ours: true, ..File::new(HOSTNAME, name) });
    work.run(system("hostname", &[answers.hostname.as_str()]));

    match &answers.network {
        Some(network) => {
            let text = networkd(site, network, &mut work.notes);
            work.put(File::new(NETWORK, text));
            work.run(system("networkctl", &["reload"]));
        }
        None if files.is_there(&site.places, NETWORK)? => {
            work.actions.push(Action::Remove(NETWORK));
            work.run(system("networkctl", &["reload"]));
        }
        None => {}
    }

    let sync = || system("systemctl", &["try-restart", "systemd-timesyncd.service"]);
    if !answers.time.is_empty() {
        let servers: Vec<String> = answers.time.iter().map(ToString::to_string).collect();
        work.put(File::new(TIME, format!("{HEAD}[Time]\nNTP={}\n", servers.join(" "))));
        work.run(sync());
    } else if files.is_there(&site.places, TIME)? {
        work.actions.push(Action::Remove(TIME));
        work.run(sync());
    }

    if !answers.public_keys.is_empty() {
        let keys: Vec<String> = answers.public_keys.iter().map(|key| format!("{key}\n")).collect();
        work.put(File { is_secret: true, ..File::new(KEYS, format!("{HEAD}{}", keys.concat())) });
        work.run(system("systemctl", &["enable", "--now", "ssh.service"]));
    } else if files.is_there(&site.places, KEYS)? {
        work.actions.push(Action::Remove(KEYS));
        work.run(system("systemctl", &["disable", "--now", "ssh.service"]));
    }
    Ok(())
}

/// The network as networkd reads it: of the first card if it has an address of its own, else of all.
fn networkd(site: &Site, network: &NetworkGiven, notes: &mut Vec<String>) -> String {
    let mut lines = Vec::new();
    match &network.fixed {
        Some(fixed) => {
            let cards = machine::cards(&site.places);
            let card = cards.first().map_or("en*", String::as_str);
            if let [first, others @ ..] = cards.as_slice()
                && !others.is_empty()
            {
                notes.push(format!(
                    "several network cards: `{first}` gets the address; {} as a seed's network-config says",
                    others.join(", ")
                ));
            }
            lines.push(format!("[Match]\nName={card}\n\n[Network]\nDHCP=no\nAddress={}", fixed.address));
            lines.extend(fixed.gateway.map(|gateway| format!("Gateway={gateway}")));
        }
        None => lines.push("[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes".to_owned()),
    }
    lines.extend(network.dns.iter().map(|server| format!("DNS={server}")));
    if !network.search.is_empty() {
        let domains: Vec<String> = network.search.iter().map(ToString::to_string).collect();
        lines.push(format!("Domains={}", domains.join(" ")));
    }
    format!("{HEAD}{}\n", lines.join("\n"))
}

pub(super) fn firewall(site: &Site, work: &mut Work) -> Result<(), Error> {
    let answers = &site.answers;
    let mut nodes: Vec<String> = answers.nodes.iter().map(ToString::to_string).collect();
    if let Role::Join { server, .. } = &answers.role {
        match server.address() {
            Some(address) if !nodes.contains(&address.to_string()) => nodes.push(address.to_string()),
            Some(_) => {}
            None => work.note(format!(
                "`server` is the name `{server}`: its address has to be among `nodes`, or nothing gets out to it"
            )),
        }
    }
    let time: Vec<String> =
        answers.time.iter().filter_map(Host::address).map(|address| address.to_string()).collect();
    if time.len() < answers.time.len() && answers.online.is_none() {
        work.note("time servers that are named, and not given by address, are not found offline");
    }
    let is_v4 = |text: &String| {
        text.split('/').next().is_some_and(|a| a.parse::<IpAddr>().is_ok_and(|a| a.is_ipv4()))
    };
    let mut rules = HEAD.to_owned();
    for (set, members) in [("nodes", nodes), ("time", time)] {
        let (v4, v6): (Vec<String>, Vec<String>) = members.into_iter().partition(is_v4);
        for (set, members) in [(format!("{set}4"), v4), (format!("{set}6"), v6)] {
            if !members.is_empty() {
                let members = members.join(", ");
                rules = format!("{rules}add element inet sealift {set} {{ {members} }}\n");
            }
        }
    }
    work.put(File::new(RULES, rules));
    if answers.online.is_some() {
        work.put(File::new(ONLINE, bounded::read(&site.places.at(IMAGE_ONLINE), MAX_RULES_BYTES)?));
    } else {
        work.actions.push(Action::Remove(ONLINE));
    }
    work.run(system("systemctl", &["reload-or-restart", "sealift-firewall.service"]));
    // Taking online mode away takes no file of its own.
    work.of.push(format!("online {}", answers.online.is_some()));
    Ok(())
}

pub(super) fn system(program: &'static str, arguments: &[&str]) -> Run {
    Run::new(Program::System(program), arguments)
}
