//! The programs of the node: systemd, k3s, its scripts, our registry; what they are asked, and what they answer.
//! Sources: k3s-io/docs, "etcd-snapshot", "Backup and Restore", "Air-Gap Install"; k3s's install.sh.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::Progress;
use sealift_fetch::Url;

use super::places::Places;
use super::state::Turn;
use super::{Error, Version};
use crate::activation::{Run, Trouble, spell};

/// How long a question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a script or a snapshot may take.
const WORK_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const UNIT: &str = "k3s.service";
/// Version, and whether the node is ready, in one line.
const STANDING: &str =
    "jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type==\"Ready\")].status}";
/// Where etcd says its version among its metrics.
const ETCD_VERSION: &str = "etcd_server_version{server_version=\"";

/// Runs programs on this node.
pub(super) struct Machine<'a> {
    pub(super) places: &'a Places,
    pub(super) turn: &'a Turn,
    pub(super) progress: &'a dyn Progress,
    /// The folder that `sealift-registry` is in.
    pub(super) programs: PathBuf,
}

impl Machine<'_> {
    /// Runs a program: what it said, or why it failed.
    fn ask(
        &self,
        program: &Path,
        words: &[&str],
        more: &[(&'static str, String)],
        timeout: Duration,
    ) -> Result<Result<String, String>, crate::Error> {
        let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut environment =
            vec![("PATH", self.places.path()), ("HOME", self.places.own().display().to_string())];
        environment.extend_from_slice(more);
        let input = Some(self.turn.share()?);
        let run = Run { program, arguments: &arguments, environment: &environment, timeout, input };
        match run.run(self.progress) {
            Ok(said) => Ok(Ok(said)),
            Err(Trouble::Failed(why)) => Ok(Err(why)),
            Err(Trouble::Halted(error)) => Err(error),
        }
    }

    fn expect(
        &self,
        what: &str,
        program: &Path,
        words: &[&str],
        more: &[(&'static str, String)],
        timeout: Duration,
    ) -> Result<String, crate::Error> {
        let said = self.ask(program, words, more, timeout)?;
        said.map_err(|why| Error::Step { what: what.to_owned(), why }.into())
    }

    fn k3s(&self, words: &[&str]) -> Result<Result<String, String>, crate::Error> {
        self.ask(&self.places.binary(), words, &[], ASK_TIMEOUT)
    }

    pub(super) fn is_active(&self) -> Result<bool, crate::Error> {
        Ok(self.ask(&self.places.systemctl(), &["is-active", "--quiet", UNIT], &[], ASK_TIMEOUT)?.is_ok())
    }

    /// Starts k3s anew. systemd says so when it is up, or not at all.
    pub(super) fn restart(&self, within: Duration) -> Result<(), crate::Error> {
        self.expect("starting k3s", &self.places.systemctl(), &["restart", UNIT], &[], within).map(drop)
    }

    /// Ends k3s and all its containers.
    pub(super) fn stop(&self) -> Result<(), crate::Error> {
        self.expect("stopping k3s", &self.places.systemctl(), &["stop", UNIT], &[], WORK_TIMEOUT)?;
        let killall = self.places.killall();
        if killall.exists() {
            self.expect("`k3s-killall.sh`", Path::new("/bin/sh"), &[&text(&killall)], &[], WORK_TIMEOUT)?;
        }
        Ok(())
    }

    /// Has k3s's own script make the unit, and start nothing.
    pub(super) fn run_script(&self, script: &Path) -> Result<(), crate::Error> {
        let yes = || "true".to_owned();
        let environment = [
            ("INSTALL_K3S_SKIP_DOWNLOAD", yes()),
            ("INSTALL_K3S_SKIP_START", yes()),
            ("INSTALL_K3S_SKIP_SELINUX_RPM", yes()),
            ("INSTALL_K3S_SELINUX_WARN", yes()),
            ("INSTALL_K3S_BIN_DIR", text(&self.places.bin_dir())),
            ("INSTALL_K3S_SYSTEMD_DIR", text(&self.places.unit_dir())),
            ("INSTALL_K3S_EXEC", "server".to_owned()),
        ];
        durable_dir(&self.places.unit_dir())?;
        self.expect("k3s's install.sh", Path::new("/bin/sh"), &[&text(script)], &environment, WORK_TIMEOUT)?;
        Ok(())
    }

    /// Has our registry say what k3s has to know of it.
    pub(super) fn write_registry_settings(&self, folder: &Path) -> Result<(), crate::Error> {
        let program = self.programs.join("sealift-registry");
        let words = ["config", "k3s", "--output", &text(folder)];
        self.expect("`sealift-registry config k3s`", &program, &words, &[], ASK_TIMEOUT).map(drop)
    }

    /// What the node lacks to be well; nothing if it is. `version` is what has to run on it.
    pub(super) fn lacks(&self, node: &str, version: &Version) -> Result<Option<String>, crate::Error> {
        if let Err(why) = self.k3s(&["kubectl", "get", "--raw", "/readyz"])? {
            return Ok(Some(format!("the API server: {why}")));
        }
        Ok(match self.standing(node)? {
            Err(why) => Some(why),
            Ok((runs, _)) if runs != version.to_string() => Some(format!("it runs {runs}, not {version}")),
            Ok((_, false)) => Some("its kubelet is not ready".to_owned()),
            Ok((_, true)) => None,
        })
    }

    /// Which version runs on a node, and whether it is ready.
    pub(super) fn standing(&self, node: &str) -> Result<Result<(String, bool), String>, crate::Error> {
        let said = self.k3s(&["kubectl", "get", "node", node, "-o", STANDING])?;
        Ok(said.map(|said| {
            let mut words = said.split_whitespace();
            (words.next().unwrap_or_default().to_owned(), words.next() == Some("True"))
        }))
    }

    /// Waits until the node is well.
    pub(super) fn wait(&self, node: &str, version: &Version, within: Duration) -> Result<(), crate::Error> {
        let refuse =
            |why| Error::NotReady { version: version.clone(), node: node.into(), within: spell(within), why };
        self.wait_until(within, || self.lacks(node, version))?.map_or(Ok(()), |why| Err(refuse(why).into()))
    }

    /// Waits until a server that others join runs this version again.
    pub(super) fn wait_for_first(
        &self,
        server: &Url,
        version: &Version,
        within: Duration,
    ) -> Result<(), crate::Error> {
        let at = server.as_str().trim_end_matches('/');
        let look = || {
            let said = self.k3s(&["kubectl", "--server", at, "get", "--raw", "/version"])?;
            Ok(match said {
                Err(why) => Some(why),
                Ok(said) if said.contains(&format!("\"{version}\"")) => None,
                Ok(_) => Some(format!("it does not run {version} yet")),
            })
        };
        let what = format!("waiting until {at} is back");
        match self.wait_until(within, look)? {
            None => Ok(()),
            Some(why) => Err(Error::Step { what, why }.into()),
        }
    }

    /// Nothing once `look` finds nothing, or what it found last.
    fn wait_until(
        &self,
        within: Duration,
        look: impl Fn() -> Result<Option<String>, crate::Error>,
    ) -> Result<Option<String>, crate::Error> {
        let deadline = Instant::now() + within;
        loop {
            let lacks = look()?;
            if lacks.is_none() || Instant::now() >= deadline {
                return Ok(lacks);
            }
            self.progress.go_on()?;
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Saves etcd into an empty folder, uncompressed, and says where.
    pub(super) fn save(&self, name: &str, folder: &Path) -> Result<PathBuf, crate::Error> {
        let words = ["etcd-snapshot", "save", "--name", name, "--etcd-snapshot-dir", &text(folder)];
        self.expect("`k3s etcd-snapshot save`", &self.places.binary(), &words, &[], WORK_TIMEOUT)?;
        let refuse = |why: &str| Error::Snapshot { place: folder.to_owned(), why: why.to_owned() };
        let entries: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        match entries.as_slice() {
            [file] if fs::metadata(file)?.is_file() && fs::metadata(file)?.len() > 0 => Ok(file.clone()),
            [] => Err(refuse("was not written, though k3s says so").into()),
            _ => Err(refuse("is not one file").into()),
        }
    }

    /// Has k3s put a snapshot in the place of its data. Its own mark keeps it from doing so twice, which a way back that was cut
    /// off needs.
    pub(super) fn restore(&self, snapshot: &Path, token: &Path) -> Result<(), crate::Error> {
        let flag = self.places.reset_flag();
        if flag.exists() {
            fs::remove_file(&flag)?;
        }
        let from = format!("--cluster-reset-restore-path={}", snapshot.display());
        let token = format!("--token-file={}", token.display());
        let words = ["server", "--cluster-reset", &from, &token];
        self.expect("`k3s server --cluster-reset`", &self.places.binary(), &words, &[], WORK_TIMEOUT)
            .map(drop)
    }

    /// etcd's version, as it says itself.
    pub(super) fn etcd_version(etcd: &Url) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder().no_proxy().timeout(ASK_TIMEOUT).tls_certs_only([]).build();
        let client = client.map_err(|error| error.to_string())?;
        let at = format!("{}metrics", etcd.as_str());
        let asked = async { client.get(at).send().await?.error_for_status()?.text().await };
        let metrics = runtime.block_on(asked).map_err(|error| sealift_fetch::innermost(&error))?;
        let version = metrics.lines().find_map(|line| line.strip_prefix(ETCD_VERSION)?.split_once('"'));
        version.map(|(version, _)| version.to_owned()).ok_or_else(|| "it does not say its version".to_owned())
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn durable_dir(dir: &Path) -> std::io::Result<()> {
    sealift_archive::durable::create_dir_all(dir)
}
