//! What others use for the same work: skopeo, tar, zstd, openssl, and the distribution project's registry.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use fs_err as fs;

use super::machine::ProcessTicks;
use super::measure::{Figures, Meter, number, run};

/// Programs that must be in `PATH`.
const NEEDED: [&str; 9] = ["bash", "dd", "openssl", "python3", "setpriv", "skopeo", "sync", "tar", "zstd"];

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

/// What the registry's log says before the address that it got.
const LISTENING: &str = "listening on ";
/// The unit of CPU times in `/proc`, on Linux wherever it runs.
const TICKS_PER_SECOND: f64 = 100.0;
const BYTES_PER_KIB: u64 = 1024;

/// The programs of others, all there.
#[derive(Debug)]
pub(super) struct Peers {
    registry: PathBuf,
}

impl Peers {
    /// Looks for them.
    pub(super) fn find() -> io::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let missing = |name: &&&str| !std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
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
        let registry = Registry::start(&self.registry, &dir.join("registry"))?;
        let mut command = bash(UNPACK_AND_PUSH);
        command.arg(archive).arg(dir.join("unpacked")).arg(&registry.authority).args(images);
        let before = registry.figures()?;
        let (client, _) = meter.run(&command)?;
        let after = registry.figures()?;
        let difference = |of: fn(&Figures) -> Option<f64>| Some(of(&after)? - of(&before)?);
        let server = Figures {
            cpu: difference(|figures| figures.cpu),
            written: difference(|figures| figures.written),
            ..after
        };
        Ok(client.along(server))
    }
}

fn is_missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{name}` is missing; run: make setup"))
}

fn bash(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]);
    command
}

/// A running registry of the distribution project, empty at first.
#[derive(Debug)]
struct Registry {
    authority: String,
    child: Child,
}

impl Registry {
    /// Starts one on a free port of loopback that keeps its content in `dir`.
    fn start(program: &Path, dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("config.yml");
        let storage = dir.join("storage");
        fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: info, formatter: text, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"127.0.0.1:0\"}}\n",
                storage.display()
            ),
        )?;
        // It ends with this process, even if that is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take();
        // Kept before anything can fail, so that it is stopped in any case.
        let mut registry = Self { authority: String::new(), child };
        let mut log = BufReader::new(log.ok_or_else(|| io::Error::other("the registry has no log"))?);
        let mut said = String::new();
        while registry.authority.is_empty() {
            let begin = said.len();
            if log.read_line(&mut said)? == 0 {
                return Err(io::Error::other(format!("the registry did not start:\n{said}")));
            }
            if let Some((_, rest)) = said[begin..].split_once(LISTENING) {
                let address = rest.split('"').next().unwrap_or_default();
                address.clone_into(&mut registry.authority);
            }
        }
        // Whoever fills a pipe that nobody reads stands still.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(registry)
    }

    /// What it took so far.
    fn figures(&self) -> io::Result<Figures> {
        let process = self.child.id().to_string();
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{process}/{file}"))?;
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("/proc/{process}/{file} has no `{name}`")))
        };
        Ok(Figures {
            cpu: Some(number(ProcessTicks::of(&process)?.alone) / TICKS_PER_SECOND),
            peak: Some(number(field("status", "VmHWM:").map(|kib: u64| kib * BYTES_PER_KIB)?)),
            written: Some(number(field("io", "write_bytes:")?)),
            ..Figures::default()
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
