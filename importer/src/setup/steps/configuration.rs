//! `/etc/sealift/appliance.yaml`, complete: what k3s is told, what belongs to an activation, the cluster, and the vendor's address.

use serde_json::{Map, Value, json};

use super::Site;
use super::content::{Carried, TRUST_ROOT};
use super::host::system;
use super::kubernetes::KUBECONFIG;
use crate::config::DEFAULT_PATH;
use crate::setup::Error;
use crate::setup::answers::Role;
use crate::setup::files::{File, Files};
use crate::setup::plan::{Action, Work};
use crate::setup::value::Host;

const HEAD: &str = "# Written by `sealiftctl setup`, from what was answered. Whoever changes it keeps it: setup leaves it alone then, and says how it\n\
                    # would have it. docs/operator.md shows all keys.\n";
/// Who may read the kubeconfig that k3s writes: Sealift's own services, which are not root.
const K3S_EXTRA: &str = "/etc/rancher/k3s/config.yaml.d/60-sealift-setup.yaml";
const K3S_EXTRA_TEXT: &str = "# Written by `sealiftctl setup`: Sealift's own services read the kubeconfig, and are not root.\n\
                              write-kubeconfig-group: sealift\nwrite-kubeconfig-mode: \"0640\"\n";
/// Whether somebody is asked for new releases.
const MIRROR_TIMER: &str = "sealift-mirror.timer";
const MIRROR_LINK: &str = "/etc/systemd/system/timers.target.wants/sealift-mirror.timer";

pub(super) fn configuration(site: &Site, files: &Files, work: &mut Work) -> Result<(), Error> {
    let carried = Carried::find(site)?;
    let joins = matches!(site.answers.role, Role::Join { .. });
    // A node that joins gets what its cluster has.
    let has_k3s = joins || carried.as_ref().is_some_and(Carried::has_k3s);
    let has_flux = joins || carried.as_ref().is_some_and(Carried::has_flux);
    work.put(File::new(DEFAULT_PATH, text(site, has_k3s, has_k3s && has_flux)?));
    if has_k3s {
        work.put(File::new(K3S_EXTRA, K3S_EXTRA_TEXT));
    } else if files.is_there(&site.places, K3S_EXTRA)? {
        work.actions.push(Action::Remove(K3S_EXTRA));
    }
    if site.answers.online.is_some() {
        work.run(system("systemctl", &["enable", "--now", MIRROR_TIMER]));
    } else if site.places.at(MIRROR_LINK).symlink_metadata().is_ok() {
        work.run(system("systemctl", &["disable", "--now", MIRROR_TIMER]));
    }
    Ok(())
}

fn text(site: &Site, has_k3s: bool, has_flux: bool) -> Result<String, Error> {
    let answers = &site.answers;
    let address = Host::Address(site.address(true)?);
    let mut all = Map::new();
    let mut set = |key: &str, value: Value| drop(all.insert(key.to_owned(), value));
    set("apiVersion", json!("sealift/v1"));
    set("kind", json!("Appliance"));
    if has_k3s {
        set("k3s", k3s(site, &address));
    }
    set("activation", activation(has_k3s, has_flux));
    if has_k3s && !site.is_alone() {
        let address = format!("https://{}:5443", address.in_url());
        set("cluster", json!({"node": answers.hostname, "kubeconfig": KUBECONFIG, "address": address}));
    }
    if let Some(online) = &answers.online {
        set("mirror", json!({"source": online.source, "channel": online.channel}));
    }
    let yaml = serde_saphyr::to_string(&all).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{HEAD}{yaml}"))
}

fn k3s(site: &Site, address: &Host) -> Value {
    let mut k3s = json!({"role": site.answers.role.name(), "nodeIp": address});
    if let Role::Join { server, .. } = &site.answers.role {
        k3s["server"] = json!(format!("https://{}:6443", server.in_url()));
    }
    if !site.answers.endpoints.is_empty() {
        k3s["endpoints"] = json!(site.answers.endpoints);
    }
    k3s
}

/// What belongs to an activation, where there is a cluster.
fn activation(has_k3s: bool, has_flux: bool) -> Value {
    let mut activation = json!({"programs": {"dir": "/usr/bin", "trustRoot": TRUST_ROOT}});
    if has_k3s {
        activation["preflight"] = json!([{"name": "k3s", "command": ["/usr/bin/sealiftctl", "k3s", "upgrade", "--check"], "timeout": "5m"}]);
        activation["hooks"] = json!([{
            "name": "k3s",
            "command": ["/usr/bin/sealiftctl", "k3s", "upgrade"],
            "undo": ["/usr/bin/sealiftctl", "k3s", "downgrade"],
            "timeout": "1h",
            "pointOfNoReturn": true,
            "rollbackWarning": "what Kubernetes was told since the upgrade is lost",
        }]);
    }
    if has_flux {
        activation["flux"] = json!({"kubeconfig": KUBECONFIG});
        activation["health"] = json!({"deadline": "20m", "checks": [{"name": "flux", "flux": {}}]});
    }
    activation
}
