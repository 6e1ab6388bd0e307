//! What others use for the same work: skopeo, tar, zstd, openssl, curl, wrk, and the distribution project's registry.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{Figures, Meter, run};
use super::server::Server;

/// Programs that must be in `PATH`.
const NEEDED: [&str; 12] =
    ["bash", "curl", "dd", "nginx", "openssl", "python3", "setpriv", "skopeo", "sync", "tar", "wrk", "zstd"];
/// Where programs lie that only root is thought to use; nginx is one of them.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// Copies images (`$2` …) from a registry into one OCI layout (`$1`).
const PULL: &str = "\
set -euo pipefail
layout=$1; shift
for image; do
  skopeo --insecure-policy copy -q --src-tls-verify=false \"docker://$image\" \"oci:$layout:${image##*/}\"
done";

/// What follows [`PULL`] to make an archive of the layout, beside it.
const PACK: &str = "tar -C \"$layout\" -cf - . | zstd -3 -q -o \"$layout.tar.zst\"";

/// Unpacks an archive (`$1`) into a layout (`$2`), and copies its images (`$4` …) to a registry (`$3`).
const UNPACK_AND_PUSH: &str = "\
set -euo pipefail
mkdir \"$2\"
zstd -dcq \"$1\" | tar -C \"$2\" -xf -
layout=$2; registry=$3; shift 3
for image; do
  skopeo --insecure-policy copy -q --dest-tls-verify=false \"oci:$layout:${image##*/}\" \"docker://$registry/${image#*/}\"
done";

/// The programs of others, all there.
#[derive(Debug)]
pub(super) struct Peers {
    registry: PathBuf,
}

impl Peers {
    /// Looks for them.
    pub(super) fn find() -> io::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let missing = |name: &&&str| {
            let mut places = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM_PROGRAMS)]);
            !places.any(|dir| dir.join(name).is_file())
        };
        if let Some(name) = NEEDED.iter().find(missing) {
            return Err(is_missing(name));
        }
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/setup");
        let paths = String::from_utf8_lossy(&run(Command::new(setup).arg("--print-paths"))?).into_owned();
        let tools = paths.lines().find_map(|line| line.strip_prefix("tools="));
        let registry = Path::new(tools.unwrap_or_default()).join("registry");
        if registry.is_file() {
            Ok(Self { registry })
        } else {
            Err(is_missing(&registry.display().to_string()))
        }
    }

    /// The program of the distribution project's registry.
    pub(super) fn registry(&self) -> &Path {
        &self.registry
    }

    /// Hashes a file, once, on one core.
    pub(super) fn hash(meter: &Meter, file: &Path) -> io::Result<Figures> {
        let (figures, _) = meter.run(Command::new("openssl").args(["dgst", "-sha256"]).arg(file))?;
        figures.with_size_of(file)
    }

    /// Reads a file, once, and does nothing with it.
    pub(super) fn read(meter: &Meter, file: &Path) -> io::Result<Figures> {
        let mut source = OsString::from("if=");
        source.push(file);
        let (figures, _) =
            meter.run(Command::new("dd").arg(source).args(["of=/dev/null", "bs=1M", "status=none"]))?;
        Ok(figures)
    }

    /// Copies images (`HOST/REPOSITORY:TAG`) into a registry, under the same names.
    pub(super) fn push(images: &[String], registry: &str) -> io::Result<()> {
        for image in images {
            let (_, name) = image.split_once('/').unwrap_or_default();
            let mut copy = Command::new("skopeo");
            copy.args([
                "--insecure-policy",
                "copy",
                "-q",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
            ]);
            run(copy.arg(format!("docker://{image}")).arg(format!("docker://{registry}/{name}")))?;
        }
        Ok(())
    }

    /// Copies images into a layout in `dir`; nothing is packed.
    pub(super) fn pull(meter: &Meter, images: &[String], dir: &Path) -> io::Result<Figures> {
        let (figures, _) = meter.run(bash(PULL).arg(dir.join("layout")).args(images))?;
        Ok(figures)
    }

    /// Copies images into a layout in `dir`, and packs that.
    pub(super) fn create(meter: &Meter, images: &[String], dir: &Path) -> io::Result<(Figures, PathBuf)> {
        let script = format!("{PULL}\n{PACK}");
        let (figures, _) = meter.run(bash(&script).arg(dir.join("layout")).args(images))?;
        let archive = dir.join("layout.tar.zst");
        Ok((figures.with_size_of(&archive)?, archive))
    }

    /// Unpacks an archive that [`Self::create`] made, and copies its images into an empty registry.
    pub(super) fn import(
        &self,
        meter: &Meter,
        archive: &Path,
        images: &[String],
        dir: &Path,
    ) -> io::Result<Figures> {
        let registry = Server::distribution(&self.registry, &dir.join("registry"), None)?;
        let mut command = bash(UNPACK_AND_PUSH);
        command.arg(archive).arg(dir.join("unpacked")).arg(registry.authority()).args(images);
        let before = registry.figures()?;
        let (client, _) = meter.run(&command)?;
        let after = registry.figures()?;
        Ok(client.along(after.since(before)))
    }
}

fn is_missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is missing; run: tests/setup --bench"))
}

fn bash(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]);
    command
}
