//! The programs just built: run as a user would run them, and packed into images that could run them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;

use super::NAMED_HOST;
use crate::vendor::Registry;
use crate::vendor::image::{File, Image, Layer};

/// The programs of a vendor and an appliance.
const PROGRAMS: [&str; 3] = ["sealift", "sealiftctl", "sealift-registry"];
const PLATFORM: &str = "linux/amd64";
/// All keys of the demo have it; it is printed at the end.
const PASSWORD: &str = "demo";

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    dir: PathBuf,
}

/// An image that the vendor's registry offers.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Where it is: `127.0.0.1:4000/sealift/sealift:1.0.0`.
    pub(crate) reference: String,
    /// What it is called in the release.
    pub(crate) name: String,
    /// Bytes of its layers and configuration.
    pub(crate) bytes: u64,
}

impl Programs {
    /// The programs beside this one.
    pub(crate) fn built() -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let dir = own.parent().unwrap_or(Path::new(".")).to_owned();
        match PROGRAMS.iter().find(|name| !dir.join(name).is_file()) {
            Some(missing) => Err(io::Error::other(format!(
                "`{}` is missing; `make demo` builds it",
                dir.join(missing).display()
            ))),
            None => Ok(Self { dir }),
        }
    }

    /// The folder of the programs.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder for everything that is built.
    pub(crate) fn target(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    /// What demo and lab deliver as Git content.
    pub(crate) fn gitops(&self) -> io::Result<PathBuf> {
        self.dir.ancestors().map(|dir| dir.join("airgap-lab/gitops")).find(|dir| dir.is_dir()).ok_or_else(
            || io::Error::other("the repository's `airgap-lab/gitops` folder is not above the programs"),
        )
    }

    /// What the programs find in their environment.
    pub(crate) const ENVIRONMENT: [(&str, &str); 2] =
        [("COSIGN_PASSWORD", PASSWORD), ("SOURCE_DATE_EPOCH", "0")];

    /// Where one of the programs is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command that runs one of the programs.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.envs(Self::ENVIRONMENT);
        command
    }

    /// Checks an archive against a trust root, and says what came of it.
    pub(crate) fn verify(&self, bundle: &Path, trust: &Path) -> io::Result<String> {
        let verdict =
            json(self.command("sealift").args(["--json", "verify"]).arg(bundle).arg("--trust").arg(trust))?;
        let release = &verdict["releases"][0];
        Ok(format!(
            "{} {}: every signature, {} blobs",
            text(&release["product"]),
            text(&release["version"]),
            verdict["blobs"]
        ))
    }

    /// Makes an image of each program and offers them. Only the last one differs from version to version.
    pub(crate) fn publish(&self, registry: &Registry, version: &str) -> io::Result<Vec<Published>> {
        let base = Layer::of(&self.libraries()?)?;
        PROGRAMS
            .iter()
            .map(|name| {
                let path = format!("usr/bin/{name}");
                let mut layers =
                    vec![base.clone(), Layer::of(&[File::program(&*path, fs::read(self.dir.join(name))?)])?];
                if Some(name) == PROGRAMS.last() {
                    layers.push(Layer::of(&[File::plain("etc/release", format!("{version}\n"))])?);
                }
                let image = Image::new(PLATFORM, &layers, &[&format!("/{path}")]);
                let repository = format!("sealift/{name}");
                registry.add_image(&repository, version, &image)?;
                Ok(Published {
                    reference: registry.name(&format!("{repository}:{version}")),
                    name: format!("{NAMED_HOST}/{repository}:{version}"),
                    bytes: image.blobs().iter().map(|b| b.len() as u64).sum(),
                })
            })
            .collect()
    }

    /// The shared libraries that the programs need, where they need them.
    fn libraries(&self) -> io::Result<Vec<File>> {
        let mut paths = BTreeSet::new();
        for name in PROGRAMS {
            let listed = run(Command::new("ldd").arg(self.dir.join(name)))?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            paths.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        paths
            .into_iter()
            .map(|path| {
                Ok(File::program(path.display().to_string().trim_start_matches('/'), fs::read(&path)?))
            })
            .collect()
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> io::Result<Output> {
    let output = command.output().map_err(|e| io::Error::new(e.kind(), format!("{command:?}: {e}")))?;
    if output.status.success() {
        Ok(output)
    } else {
        let said = [output.stdout, output.stderr].concat();
        Err(io::Error::other(format!("{command:?} failed\n{}", String::from_utf8_lossy(&said))))
    }
}

/// Runs a command that must succeed, and reads its JSON.
pub(crate) fn json(command: &mut Command) -> io::Result<serde_json::Value> {
    Ok(serde_json::from_slice(&run(command)?.stdout)?)
}

/// A string of a JSON document; nothing if it is something else.
pub(crate) fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}
