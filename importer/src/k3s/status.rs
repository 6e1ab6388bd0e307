//! How k3s stands on this node.

use std::path::PathBuf;

use serde::Serialize;

use super::before::Before;
use super::edition::is_there;
use super::machine::Machine;
use super::{Edition, Node, Snapshot, State, UnderWay};

/// How k3s stands on this node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node.
    pub node: String,
    /// What it is among the servers.
    pub role: &'static str,
    /// What was installed.
    pub installed: Option<Edition>,
    /// Whether the program that is there is that one.
    pub is_whole: bool,
    /// Whether systemd has it running.
    pub is_active: bool,
    /// The version that Kubernetes says of the node.
    pub runs: Option<String>,
    /// What the node lacks to be well.
    pub lacks: Option<String>,
    /// The version of etcd.
    pub etcd: Option<String>,
    /// What has been begun and is not done.
    pub under_way: Option<UnderWay>,
    /// Where it can be gone back to.
    pub back: Vec<Edition>,
    /// The snapshots that somebody asked for.
    pub snapshots: Vec<Snapshot>,
    /// How many snapshots k3s has made by itself, and where they are.
    pub scheduled: usize,
    /// Their folder.
    pub scheduled_in: PathBuf,
}

impl Node<'_> {
    /// How k3s stands here.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn status(&self) -> Result<Status, crate::Error> {
        let State { installed, under_way, .. } = self.state()?;
        let machine = self.machine()?;
        let is_active = self.places.systemctl().exists() && machine.is_active()?;
        let (mut runs, mut lacks) = (None, None);
        if let Some(installed) = installed.as_ref().filter(|_| is_active) {
            runs = machine.standing(&self.name)?.ok().map(|(version, _)| version);
            lacks = machine.lacks(&self.name, &installed.version)?;
        }
        let scheduled_in = self.places.scheduled_snapshots();
        Ok(Status {
            node: self.name.clone(),
            role: self.config.role.as_str(),
            is_whole: match &installed {
                Some(installed) => is_there(&self.places.binary(), &installed.binary)?,
                None => false,
            },
            etcd: if is_active { Machine::etcd_version(&self.config.etcd).ok() } else { None },
            back: Before::all(&self.own())?
                .iter()
                .filter(|before| before.is_whole())
                .filter_map(|b| b.from().cloned())
                .collect(),
            snapshots: self.snapshots()?,
            scheduled: fs_err::read_dir(&scheduled_in).map_or(0, Iterator::count),
            scheduled_in,
            installed,
            is_active,
            runs,
            lacks,
            under_way,
        })
    }
}
