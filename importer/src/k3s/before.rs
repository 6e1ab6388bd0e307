//! What is written down before an upgrade, so that there is a way back: token, program, script, and a snapshot of etcd.
//! A folder each; it stays until the release that it leads to has left the store.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::{Blob, durable, json};
use sealift_store::Store;
use serde::{Deserialize, Serialize};

use super::edition::{PROGRAM, is_there, put};
use super::machine::Machine;
use super::node::remove_all;
use super::places::Places;
use super::state::read_json;
use super::{Edition, Error};

/// Our folder's folder.
const FOLDER: &str = "before";

/// What was there before an upgrade.
#[derive(Debug)]
pub struct Before {
    dir: PathBuf,
    kept: Kept,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    /// What ran.
    from: Option<Edition>,
    /// The snapshot; none until it is whole.
    snapshot: Option<Blob>,
}

impl Before {
    /// The one with this name, which may be still to be written.
    pub(super) fn at(own: &Path, name: &str) -> Result<Self, crate::Error> {
        let dir = own.join(FOLDER).join(name);
        let kept = read_json(&dir.join("record.json"))?.unwrap_or_default();
        Ok(Self { dir, kept })
    }

    /// All that are there, oldest first.
    pub(super) fn all(own: &Path) -> Result<Vec<Self>, crate::Error> {
        let entries = match fs::read_dir(own.join(FOLDER)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        names.iter().map(|name| Self::at(own, name)).collect()
    }

    /// Gives up those that lead to what has left the store, and all but the newest that lead to the same.
    pub(super) fn prune(own: &Path, store: &Store) -> Result<(), crate::Error> {
        let mut all = Self::all(own)?;
        let mut seen: Vec<Edition> = Vec::new();
        while let Some(before) = all.pop() {
            let is_wanted = before.kept.from.as_ref().is_some_and(|from| {
                before.is_whole()
                    && store.release(from.sequence).is_ok()
                    && !seen.iter().any(|other| other.is(from))
            });
            match before.kept.from {
                Some(from) if is_wanted => seen.push(from),
                _ => remove_all(&before.dir)?,
            }
        }
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What ran before.
    #[must_use]
    pub fn from(&self) -> Option<&Edition> {
        self.kept.from.as_ref()
    }

    /// Whether all of it is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.kept.snapshot.is_some()
    }

    /// Whether token, program and script are there.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.from.is_some()
    }

    pub(super) fn binary(&self) -> PathBuf {
        self.dir.join("k3s")
    }

    pub(super) fn script(&self) -> PathBuf {
        self.dir.join("install.sh")
    }

    pub(super) fn token(&self) -> PathBuf {
        self.dir.join("token")
    }

    /// The snapshot's file, if it is what was written.
    pub(super) fn snapshot(&self) -> Result<PathBuf, crate::Error> {
        let file = self.dir.join("snapshot");
        let wanted = self.kept.snapshot.filter(|wanted| is_there(&file, wanted).unwrap_or(false));
        let refuse = || Error::Snapshot { place: file.clone(), why: "is not what was written".to_owned() };
        wanted.ok_or_else(refuse)?;
        Ok(file)
    }

    /// Writes down token, program and script of what runs.
    pub(super) fn keep(mut self, places: &Places, from: Option<&Edition>) -> Result<(), crate::Error> {
        let from = from.ok_or(Error::NotInstalled)?;
        durable::create_dir_all(&self.dir)?;
        let token = read_token(places)?;
        durable::write_secret(&self.token(), &token)?;
        put(&places.binary(), from.binary, &self.binary(), PROGRAM)?;
        put(&places.own().join("install.sh"), from.script, &self.script(), PROGRAM)?;
        self.kept.from = Some(from.clone());
        self.write()
    }

    /// Saves etcd.
    pub(super) fn save(mut self, machine: &Machine<'_>) -> Result<(), crate::Error> {
        let name = format!("before-{}", self.name());
        self.kept.snapshot = Some(save(machine, &name, &self.dir)?);
        self.write()
    }

    fn write(&self) -> Result<(), crate::Error> {
        Ok(durable::write_secret(&self.dir.join("record.json"), &json::to_document(&self.kept))?)
    }
}

/// The token as k3s has it, or as k3s was told.
pub(super) fn read_token(places: &Places) -> Result<Vec<u8>, crate::Error> {
    let of_server = fs::read(places.server_token());
    let token = of_server.or_else(|_| fs::read(places.token()));
    let refuse = |why: String| Error::Token { file: places.token().to_owned(), why };
    match token {
        Ok(token) if !token.trim_ascii().is_empty() => Ok(token),
        Ok(_) => Err(refuse("is empty".to_owned()).into()),
        Err(error) => Err(refuse(format!("cannot be read: {error}")).into()),
    }
}

/// Saves etcd as the file `snapshot` of a folder, durably. What an earlier try has left is removed.
pub(super) fn save(machine: &Machine<'_>, name: &str, dir: &Path) -> Result<Blob, crate::Error> {
    let scratch = dir.join("snapshot.new");
    remove_all(&scratch)?;
    durable::create_dir_all(&scratch)?;
    let saved = machine.save(name, &scratch)?;
    let file = fs::File::open(&saved)?;
    file.sync_all()?;
    let blob = Blob::of_reader(file)?;
    fs::rename(&saved, dir.join("snapshot"))?;
    durable::sync_dir(dir)?;
    remove_all(&scratch)?;
    Ok(blob)
}
