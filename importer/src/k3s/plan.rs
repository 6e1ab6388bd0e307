//! What will be done, as data.

use std::fmt;

use serde::Serialize;

use super::{Edition, What};

/// What will be done with k3s on this node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What.
    pub what: What,
    /// The node.
    pub node: String,
    /// Where it goes; none if there is nothing to go to.
    pub to: Option<Edition>,
    /// What is there.
    pub from: Option<Edition>,
    /// In this order; none if all is as it should be.
    pub steps: Vec<Step>,
    /// What was written down before the upgrade, and is gone back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<String>,
    /// Whether the point of no return is passed already.
    pub is_beyond: bool,
}

/// One step. Each looks first, and is harmless to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Write down what runs: token, program, script.
    Keep,
    /// Save etcd.
    Snapshot,
    /// End k3s and its containers.
    Stop,
    /// Make the token, if this is the first server.
    Token,
    /// Write k3s's settings.
    Settings,
    /// Put the program in its place.
    Binary,
    /// Run k3s's install script.
    Script,
    /// Put a snapshot in the place of the data.
    Restore,
    /// Wait for the first server, and give up this node's data.
    Rejoin,
    /// Start it.
    Start,
    /// Wait until the node is well.
    Ready,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep         token, program and script of the k3s that runs",
            Self::Snapshot => "snapshot     of etcd, uncompressed, kept with them",
            Self::Stop => "stop         k3s and all its containers",
            Self::Token => "token        of the cluster, made here",
            Self::Settings => "settings     in /etc/rancher/k3s",
            Self::Binary => "binary       /usr/local/bin/k3s, by its digest",
            Self::Script => "script       k3s's install.sh makes the unit",
            Self::Restore => "restore      the snapshot and its token: what came later is lost",
            Self::Rejoin => "rejoin       wait until the first server is back, and take its data",
            Self::Start => "start        k3s",
            Self::Ready => "ready        wait until API server and node are well",
        })
    }
}
