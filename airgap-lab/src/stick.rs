//! What a courier carries: an image of a stick with FAT32, as it is bought. Made by mkfs.vfat and filled by mtools, since the
//! kernel may know no vfat.

use std::io;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::actors::run;
use crate::tool::tool;

/// Room beside the files. FAT32 has at least 65,525 clusters; with mkfs.vfat's smallest that is 32 MiB.
const SPARE_BYTES: u64 = 48 << 20;

/// Sectors of 512 bytes in a cluster of a stick as it is bought. Whoever seeks in a file follows the chain of its clusters, which
/// takes for ever if they are small.
const BOUGHT_CLUSTER: u64 = 64;
/// FAT32 has more clusters than this.
const MIN_CLUSTERS: u64 = 66_000;

/// Makes an image with these files at its root.
///
/// # Errors
/// I/O, or what the programs say.
pub fn write(image: &Path, files: &[&Path]) -> io::Result<()> {
    let bytes = files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum::<io::Result<u64>>()?;
    fs::File::create(image)?.set_len(bytes + SPARE_BYTES + MIN_CLUSTERS * BOUGHT_CLUSTER * 512)?;
    let mut mkfs = Command::new(tool("mkfs.vfat"));
    run(mkfs.args(["-F", "32", "-s", &BOUGHT_CLUSTER.to_string()]).arg(image))?;
    run(Command::new(tool("mcopy")).arg("-i").arg(image).args(files).arg("::")).map(drop)
}

/// Makes an empty image with room for so many bytes.
///
/// # Errors
/// I/O, or what the program says.
pub fn format(image: &Path, bytes: u64) -> io::Result<()> {
    fs::File::create(image)?.set_len(bytes + SPARE_BYTES)?;
    run(Command::new(tool("mkfs.vfat")).args(["-F", "32"]).arg(image)).map(drop)
}
