//! Packs that depend on nothing but their content and the version of Git (and its zlib): whoever makes one again from
//! another clone gets the same bytes.
//!
//! Objects are listed by walking from the wanted ones, in a fixed order; deltas are looked for anew, in one thread,
//! whatever the remote had found; no index that lies about (bitmaps, commit graphs) changes the walk. No pack is thin:
//! each can be indexed alone.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::Blob;
use sealift_archive::release::ObjectId;

use super::PREFIX;
use super::command::{Git, Input};
use super::said::Trouble;
use crate::{Error, git};

/// Git's own numbers for `--window` and `--depth`, written down so that they stay.
const PACK: [&str; 14] = [
    "pack-objects",
    "--quiet",
    "--revs",
    "--stdout",
    "--threads=1",
    "--window=10",
    "--depth=50",
    "--window-memory=0",
    "--no-reuse-delta",
    "--no-reuse-object",
    "--delta-base-offset",
    "--no-use-bitmap-index",
    "--no-sparse",
    "--compression=9",
];
/// `PACK`, a version, and the number of objects in network order (gitformat-pack(5)).
const HEADER_BYTES: usize = 12;
const COUNT_AT: usize = 8;

/// Packs in a temporary directory.
#[derive(Debug)]
pub struct Packs {
    blobs: Vec<Blob>,
    dir: TempDir,
}

impl Packs {
    pub(super) fn new(scratch: &Path) -> Result<Self, Error> {
        Ok(Self { blobs: Vec::new(), dir: TempDir::with_prefix_in(PREFIX, scratch)? })
    }

    /// Digest and size of each.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Each with the file that it is in.
    pub fn files(&self) -> impl Iterator<Item = (Blob, PathBuf)> + '_ {
        self.blobs.iter().map(|&blob| (blob, self.path(blob)))
    }

    /// The directory of the files, for whoever needs them longer.
    #[must_use]
    pub fn into_dir(self) -> TempDir {
        self.dir
    }

    /// Packs what `wants` lead to and `haves` do not; nothing if that is nothing. The pack is then checked as the
    /// appliance will check it.
    ///
    /// # Errors
    /// [`git::Error::BadObject`] if the appliance would refuse it; [`git::Error::Failed`], `Interrupted`, or I/O.
    pub(super) fn add(
        &mut self,
        git: &Git<'_>,
        wants: &[ObjectId],
        haves: &[ObjectId],
    ) -> Result<Option<Blob>, Error> {
        let pack = self.dir.path().join("new.pack");
        let output = fs::File::create(&pack)?.into_file();
        git.run_into(&PACK, Input::Text(&revisions(wants, haves)), output)?;
        if objects_in(&pack)? == 0 {
            fs::remove_file(pack)?;
            return Ok(None);
        }
        git.check_pack(&pack)?;
        let blob = Blob::of_reader(fs::File::open(&pack)?)?;
        fs::rename(pack, self.path(blob))?;
        self.blobs.push(blob);
        Ok(Some(blob))
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        for blob in std::mem::take(&mut self.blobs) {
            fs::remove_file(self.path(blob))?;
        }
        Ok(())
    }

    fn path(&self, blob: Blob) -> PathBuf {
        self.dir.path().join(format!("{}.pack", blob.digest.hex()))
    }
}

impl Git<'_> {
    /// Checks a pack as the appliance will: the user's Git may have been told to overlook broken objects, the
    /// appliance's has not.
    ///
    /// # Errors
    /// [`git::Error::BadObject`] if it would be refused; [`git::Error::Failed`], `Interrupted`, or I/O.
    pub(super) fn check_pack(&self, pack: &Path) -> Result<(), Error> {
        let index = pack.with_extension("idx");
        let (pack, index_text) = (pack.display().to_string(), index.display().to_string());
        let checked = self.run(&["index-pack", "--strict", "-o", &index_text, &pack], Input::Nothing);
        if let Err(Error::Git(git::Error::Failed { about, said, .. })) = &checked
            && Trouble::of(said) == Trouble::BadObject
        {
            return Err(Trouble::BadObject.error(about, said.clone()));
        }
        checked?;
        Ok(fs::remove_file(index)?)
    }
}

/// What revision walks read: names, and behind `^` those whose history is left out.
pub(super) fn revisions(wants: &[ObjectId], haves: &[ObjectId]) -> String {
    let mut lines = String::new();
    for (sign, objects) in [("", wants), ("^", haves)] {
        for object in objects {
            writeln!(lines, "{sign}{object}").expect("a string takes all text");
        }
    }
    lines
}

fn objects_in(pack: &Path) -> Result<u32, Error> {
    let mut header = [0; HEADER_BYTES];
    fs::File::open(pack)?.read_exact(&mut header)?;
    let mut count = [0; HEADER_BYTES - COUNT_AT];
    count.copy_from_slice(&header[COUNT_AT..]);
    Ok(u32::from_be_bytes(count))
}
