//! The registry of this node: under which names it is asked, by whom, and that it runs.

use super::Site;
use super::host::system;
use crate::setup::Error;
use crate::setup::files::File;
use crate::setup::plan::{Action, Work};
use crate::setup::value::Host;

/// Where the registry keeps its authority.
pub(in crate::setup) const REGISTRY_DIR: &str = "/var/lib/sealift-registry";
const SETTINGS: &str = "/etc/default/sealift-registry";
const SOCKET: &str = "/etc/systemd/system/sealift-registry.socket.d/50-sealift-setup.conf";
/// The pods' network, as k3s numbers it if it is not told otherwise.
const PODS: &str = "10.42.0.0/16";
/// Where it is asked from elsewhere, too: pods and nodes have no way to this node's loopback. The firewall keeps everybody else out.
const LISTEN: &str = "# Written by `sealiftctl setup`: pods and other nodes have no way to this node's loopback.\n\
                      [Socket]\nListenStream=\nListenStream=5443\n";

pub(super) fn registry(site: &Site, work: &mut Work) -> Result<(), Error> {
    let address = match site.address(false) {
        // In a plan it may still come.
        Err(Error::NoAddress { .. }) => site.address(true)?,
        address => address?,
    };
    let mut names = vec![site.answers.hostname.to_string()];
    let mut addresses = vec![address.to_string()];
    for endpoint in &site.answers.endpoints {
        let (list, text) = match endpoint {
            Host::Address(address) => (&mut addresses, address.to_string()),
            Host::Name(name) => (&mut names, name.clone()),
        };
        if !list.contains(&text) {
            list.push(text);
        }
    }
    let allowed: Vec<String> =
        [PODS.to_owned()].into_iter().chain(site.answers.nodes.iter().map(ToString::to_string)).collect();
    let settings = format!(
        "# Written by `sealiftctl setup`, from what was answered.\nSEALIFT_REGISTRY_NAMES={}\nSEALIFT_REGISTRY_ADDRESSES={}\n\
         SEALIFT_REGISTRY_ALLOW={}\n",
        names.join(","),
        addresses.join(","),
        allowed.join(","),
    );
    work.put(File::new(SETTINGS, settings));
    work.put(File::new(SOCKET, LISTEN));
    work.actions.push(Action::Vouch(names.into_iter().chain(addresses).collect()));
    let units = ["sealift-registry.socket", "sealift-registry.service"];
    work.run(system("systemctl", &["daemon-reload"]));
    // A socket is not opened anew while its service runs.
    work.run(system("systemctl", &["stop", units[1], units[0]]));
    work.run(system("systemctl", &["enable", "--now", units[0], units[1]]));
    Ok(())
}
