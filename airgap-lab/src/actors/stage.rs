//! The two sides: a vendor with keys and a definition, an appliance with a store and a registry.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;

use super::client;
use super::programs::{Programs, Published, json, run, text};
use crate::story::{Story, size};
use crate::vendor::Registry;

/// The vendor's side.
#[derive(Debug)]
pub(crate) struct Vendor<'a> {
    programs: &'a Programs,
    dir: PathBuf,
}

impl<'a> Vendor<'a> {
    pub(crate) fn new(programs: &'a Programs, dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { programs, dir: dir.to_owned() })
    }

    pub(crate) fn init_trust(&self) -> io::Result<()> {
        run(self.sealift().args(["trust", "init", "trust"])).map(drop)
    }

    /// Locks and bundles a release of these images; says where the archive is.
    pub(crate) fn release(
        &self,
        story: &mut Story,
        registry: &Registry,
        images: &[Published],
        version: &str,
        sequence: u64,
        previous: Option<&Path>,
    ) -> io::Result<PathBuf> {
        let definition = self.define(images, version, sequence)?;
        let definition = definition.display().to_string();
        story.step("lock", || {
            let locked = json(self.sealift().args(["lock", &definition]))?;
            Ok((format!("{} images and a folder: {} blobs by digest", locked["images"], locked["blobs"]), ()))
        })?;
        registry.forget();
        story.step("bundle", || {
            let mut command = self.sealift();
            command.args(["bundle", &definition, "--trust", "trust/root.json", "-o", "out"]);
            command.args(["--release-key", "trust/release.key", "--pack-key", "trust/pack.key"]);
            if let Some(previous) = previous {
                command.arg("--previous").arg(previous);
            }
            let bundled = json(&mut command)?;
            let path = self.dir.join(text(&bundled["archive"]["path"]));
            let bytes = bundled["archive"]["bytes"].as_u64().unwrap_or_default();
            let fetched = &bundled["plan"]["toFetch"]["blobs"];
            let told = format!("acme-appliance-{version}.tar.zst, {}, {fetched} blobs fetched", size(bytes));
            Ok((told, path))
        })
    }

    /// Writes a definition, as a release engineer would.
    pub(crate) fn define(&self, images: &[Published], version: &str, sequence: u64) -> io::Result<PathBuf> {
        let gitops = self.dir.join("gitops");
        if gitops.exists() {
            fs::remove_dir_all(&gitops)?;
        }
        fs::create_dir_all(&gitops)?;
        for entry in fs::read_dir(self.programs.gitops()?)? {
            let entry = entry?;
            let content = fs::read_to_string(entry.path())?.replace(":1.0.0", &format!(":{version}"));
            fs::write(gitops.join(entry.file_name()), content)?;
        }
        let mut definition = format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: acme-appliance\nversion: {version}\nsequence: {sequence}\n\
             platforms: [linux/amd64]\nupgradeFrom: [1.0.0]\ngit:\n  - {{name: fleet, path: gitops, branch: main}}\nimages:\n"
        );
        for Published { reference, name, .. } in images {
            writeln!(definition, "  - {{reference: \"{reference}\", name: \"{name}\"}}")
                .map_err(io::Error::other)?;
        }
        let file = self.dir.join("RELEASE.yaml");
        fs::write(&file, definition)?;
        Ok(file)
    }

    /// `sealift` in the vendor's folder.
    pub(crate) fn sealift(&self) -> Command {
        let mut command = self.programs.command("sealift");
        command.current_dir(&self.dir).arg("--json");
        command
    }
}

/// The appliance's side.
#[derive(Debug)]
pub(crate) struct Appliance<'a> {
    programs: &'a Programs,
    store: PathBuf,
    registry: Option<(Child, String)>,
}

impl<'a> Appliance<'a> {
    pub(crate) fn new(programs: &'a Programs, store: &Path) -> Self {
        Self { programs, store: store.to_owned(), registry: None }
    }

    /// Runs `sealiftctl` on the store.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> io::Result<serde_json::Value> {
        json(
            self.programs.command("sealiftctl").arg("--store").arg(&self.store).arg("--json").args(arguments),
        )
    }

    /// Starts the registry on a free port, and waits until it says that it is ready.
    pub(crate) fn serve(&mut self) -> io::Result<String> {
        let mut child = self
            .programs
            .command("sealift-registry")
            .arg("--store")
            .arg(&self.store)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.store.with_extension("registry.log"))?.into_file())
            .spawn()?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        let address = ready.trim().strip_prefix("ready http://").map(|a| a.trim_end_matches('/').to_owned());
        // Kept before anything can fail, so that it is stopped in any case.
        let (_, address) = self.registry.insert((child, address.unwrap_or_default()));
        if address.is_empty() {
            return Err(io::Error::other(format!("sealift-registry is not ready: it said `{ready}`")));
        }
        Ok(address.clone())
    }

    /// Pulls every image of the active release by digest, and says how much came.
    pub(crate) fn pull_all(&self) -> io::Result<String> {
        let release = fs::canonicalize(self.store.join("current"))?;
        let refs: serde_json::Value = serde_json::from_slice(&fs::read(release.join("refs.json"))?)?;
        let images: Vec<(String, String)> = refs["images"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, descriptor)| (name.clone(), text(&descriptor["digest"]).to_owned()))
            .collect();
        let pulled = client::pull(self.address()?, &images)?;
        Ok(format!(
            "{} images by digest, {} in {} blobs, all identical",
            images.len(),
            size(pulled.bytes),
            pulled.blobs
        ))
    }

    /// Clones the GitOps repository, and checks that it speaks of `version`.
    pub(crate) fn clone(&self, version: &str) -> io::Result<String> {
        let folder = tempfile::tempdir()?;
        let url = format!("http://{}/git/fleet.git", self.address()?);
        let mut git = Command::new("git");
        git.args(["clone", "--quiet", &url, "clone"]).current_dir(folder.path());
        run(git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0"))?;
        let content = fs::read_to_string(folder.path().join("clone/versions.yaml"))?;
        if !content.contains(&format!(":{version}\"")) {
            return Err(io::Error::other(format!("the clone does not speak of {version}:\n{content}")));
        }
        let log =
            run(Command::new("git").args(["log", "--format=%h"]).current_dir(folder.path().join("clone")))?;
        Ok(format!("fleet.git at {}, for {version}", String::from_utf8_lossy(&log.stdout).trim()))
    }

    fn address(&self) -> io::Result<&str> {
        let started = self.registry.as_ref().map(|(_, address)| address.as_str());
        started.ok_or_else(|| io::Error::other("the registry is not running"))
    }
}

impl Drop for Appliance<'_> {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.registry {
            // It may have ended by itself; then there is nothing to stop.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
