//! What is already where an archive, its volumes and its parity will be: found before anything is fetched.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use sealift_archive::parity::{self, Amount, Files};
use sealift_archive::split::{self, VolumeSize};
use sealift_archive::{Bundle, Error as ArchiveError};

use super::{Order, Planned};
use crate::Error;

const ARCHIVE_ENDING: &str = ".tar.zst";
const PARITY_ENDING: &str = ".par";

/// Refuses volumes and parity files that are in the way, and volumes that are too small. What an earlier try of the same
/// releases left is in nobody's way. Says whether something else has the archive's own place.
pub(super) fn check(planned: &Planned, order: &Order<'_>) -> Result<bool, Error> {
    let path = &planned.plan.path;
    let packed = planned.packed();
    let replaces = packed.is_none() && fs::symlink_metadata(path).is_ok();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(ARCHIVE_ENDING).unwrap_or(&name);
    let beside = Beside::find(order.out, stem)?;
    if let Some(size) = order.volume_size {
        beside.expect_volumes(planned, packed.as_ref(), size, order.out, stem)?;
    }
    if let (Some(amount), Some(file)) = (order.parity, beside.parity.first()) {
        let archive = match order.volume_size {
            Some(_) => beside.volumes.first().filter(|volume| planned.packed_at(volume).is_some()),
            None => packed.is_some().then_some(path),
        };
        expect_parity(archive, amount, order.out, file)?;
    }
    Ok(replaces)
}

/// Volumes and parity files with the name of the archive.
struct Beside {
    volumes: Vec<PathBuf>,
    parity: Vec<PathBuf>,
}

impl Beside {
    fn find(dir: &Path, stem: &str) -> Result<Self, Error> {
        let mut beside = Self { volumes: Vec::new(), parity: Vec::new() };
        let entries = match fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(beside),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(stem)) else { continue };
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let between = |start, end| rest.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            if between(".", ARCHIVE_ENDING).is_some_and(is_number) {
                beside.volumes.push(dir.join(&name));
            } else if between(".p", PARITY_ENDING).is_some_and(is_number) {
                beside.parity.push(dir.join(&name));
            }
        }
        beside.volumes.sort_unstable();
        beside.parity.sort_unstable();
        Ok(beside)
    }

    fn expect_volumes(
        &self,
        planned: &Planned,
        packed: Option<&Bundle>,
        size: VolumeSize,
        dir: &Path,
        stem: &str,
    ) -> Result<(), Error> {
        let held = self.volumes.first().filter(|_| packed.is_none()).and_then(|v| planned.packed_at(v));
        let Some(bundle) = packed.or(held.as_ref()) else {
            split::expect_large_enough(size, &planned.layout)?;
            return self.volumes.first().map_or(Ok(()), |volume| Err(occupied(volume)));
        };
        let order = split::Order { dir, name: stem, size, only: None };
        let files = match split::plan_split(bundle, &order) {
            Ok(planned) => planned.plan.files,
            // Whether those that are there will be right again cannot be told without the others.
            Err(ArchiveError::VolumesMissing { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let strange = self.volumes.iter().find(|volume| files.iter().all(|file| file.path != **volume));
        strange.map_or(Ok(()), |volume| Err(occupied(volume)))
    }
}

/// Refuses parity that is not of the archive that is there, or not as it would be made for it.
fn expect_parity(archive: Option<&PathBuf>, amount: Amount, dir: &Path, found: &Path) -> Result<(), Error> {
    let Some(Ok(files)) = archive.map(|archive| Files::find(archive)) else { return Err(occupied(found)) };
    Ok(parity::Plan::new(files, amount, dir, None)?.expect_free()?)
}

fn occupied(path: &Path) -> Error {
    ArchiveError::Occupied { path: path.display().to_string() }.into()
}
