//! Where k3s has its things, and where we keep ours. Source: k3s-io/docs, "Air-Gap Install"; k3s's install.sh.

use std::path::{Path, PathBuf};

use crate::config::K3s;

/// Where programs are found besides ours, as everywhere.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All places, below one folder.
#[derive(Clone, Debug)]
pub(super) struct Places {
    root: PathBuf,
    token: PathBuf,
}

impl Places {
    pub(super) fn new(config: &K3s) -> Self {
        let root = config.root.clone();
        let token = config.token_file.clone().unwrap_or_else(|| root.join("etc/rancher/k3s/token"));
        Self { root, token }
    }

    pub(super) fn bin_dir(&self) -> PathBuf {
        self.root.join("usr/local/bin")
    }

    pub(super) fn binary(&self) -> PathBuf {
        self.bin_dir().join("k3s")
    }

    /// What the install script leaves, to end k3s with all its containers.
    pub(super) fn killall(&self) -> PathBuf {
        self.bin_dir().join("k3s-killall.sh")
    }

    pub(super) fn systemctl(&self) -> PathBuf {
        self.root.join("usr/bin/systemctl")
    }

    pub(super) fn unit_dir(&self) -> PathBuf {
        self.root.join("etc/systemd/system")
    }

    pub(super) fn unit(&self) -> PathBuf {
        self.unit_dir().join("k3s.service")
    }

    /// k3s's settings.
    pub(super) fn settings(&self) -> PathBuf {
        self.root.join("etc/rancher/k3s")
    }

    /// The token that k3s is told.
    pub(super) fn token(&self) -> &Path {
        &self.token
    }

    /// The token as k3s writes it, with the digest of its authority; it belongs to each snapshot.
    pub(super) fn server_token(&self) -> PathBuf {
        self.server().join("token")
    }

    pub(super) fn server(&self) -> PathBuf {
        self.root.join("var/lib/rancher/k3s/server")
    }

    /// What only the datastore of a server is in.
    pub(super) fn datastore(&self) -> PathBuf {
        self.server().join("db")
    }

    /// The file that etcd has its data in, as large as a snapshot.
    pub(super) fn database(&self) -> PathBuf {
        self.datastore().join("etcd/member/snap/db")
    }

    /// What keeps k3s from restoring twice.
    pub(super) fn reset_flag(&self) -> PathBuf {
        self.datastore().join("reset-flag")
    }

    /// Where k3s's own snapshots are.
    pub(super) fn scheduled_snapshots(&self) -> PathBuf {
        self.datastore().join("snapshots")
    }

    /// What we keep. It is root's: the store is not, and tokens are in here. It is on the data disk, as k3s's data is.
    pub(super) fn own(&self) -> PathBuf {
        self.root.join("var/lib/rancher/sealift")
    }

    /// Where children find programs: below the folder first.
    pub(super) fn path(&self) -> String {
        if self.root == Path::new("/") {
            return PATH.to_owned();
        }
        format!("{0}/usr/bin:{0}/usr/local/bin:{PATH}", self.root.display())
    }
}
