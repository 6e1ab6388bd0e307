//! Sealift's side: the programs beside this one, run as a vendor and an appliance would run them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde::Deserialize;

use super::measure::{Figures, Meter, run};

const PROGRAMS: [&str; 3] = ["sealift", "sealiftctl", "sealift-registry"];
/// The registry that the images are called after; nothing listens there.
const NAMED_HOST: &str = "registry.acme.example";
/// What comes before a repository's name when our own registry is asked for one of its images.
pub(super) const OUR_HOST: &str = "registry.acme.example/";
/// Of all keys.
const PASSWORD: &str = "bench";

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// The programs beside this one.
    pub(super) fn built() -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let dir = own.parent().unwrap_or(Path::new(".")).to_owned();
        match PROGRAMS.iter().find(|name| !dir.join(name).is_file()) {
            Some(name) => {
                Err(io::Error::other(format!("`{}` is missing; run: make bench", dir.join(name).display())))
            }
            None => Ok(Self { dir }),
        }
    }

    /// The folder for everything that is built.
    pub(super) fn target(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.join(name));
        command.env("COSIGN_PASSWORD", PASSWORD).env("SOURCE_DATE_EPOCH", "0").arg("--json");
        command
    }
}

/// The key for channels, in the trust folder.
const CHANNEL_KEY: &str = "channel.key";

/// A vendor with keys, and the appliances that trust it.
#[derive(Debug)]
pub(super) struct Vendor {
    programs: Programs,
    trust: PathBuf,
}

/// A release to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edition {
    pub(super) version: &'static str,
    pub(super) sequence: u64,
}

/// The release that all begin with.
pub(super) const FIRST: Edition = Edition { version: "1.0.0", sequence: 1 };
/// The release after it.
pub(super) const SECOND: Edition = Edition { version: "1.0.1", sequence: 2 };

/// What bundling took.
#[derive(Debug)]
pub(super) struct Bundled {
    /// The whole program.
    pub(super) figures: Figures,
    /// Seconds of unlocking keys, at the same time as content was gathered.
    pub(super) keys: f64,
    /// Seconds of the whole program in which nothing but keys was waited for.
    pub(super) waited_for_keys: f64,
    /// The archive.
    pub(super) archive: PathBuf,
}

/// What `sealift --json bundle` says of it; the rest is not needed here.
#[derive(Debug, Deserialize)]
struct Said {
    archive: SaidArchive,
    seconds: SaidSeconds,
}

#[derive(Debug, Deserialize)]
struct SaidArchive {
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct SaidSeconds {
    keys: f64,
    content: f64,
}

impl Vendor {
    /// A vendor whose keys lie in `dir`.
    pub(super) fn new(programs: Programs, dir: &Path) -> io::Result<Self> {
        let trust = dir.join("trust");
        let init = |trust: &Path| {
            let mut command = programs.command("sealift");
            command.args(["trust", "init"]).arg(trust);
            command
        };
        // Nobody makes a key for channels alone; so it is one of somebody else's.
        let other = dir.join("other");
        run(&mut init(&other))?;
        run(init(&trust).arg("--channel-key").arg(other.join("pack.pub")))?;
        fs::rename(other.join("pack.key"), trust.join(CHANNEL_KEY))?;
        Ok(Self { programs, trust })
    }

    /// Writes the definition of a release of these images, offered at `address`, into a folder that is made.
    pub(super) fn define(
        dir: &Path,
        edition: Edition,
        address: SocketAddr,
        images: &[String],
    ) -> io::Result<PathBuf> {
        let Edition { version, sequence } = edition;
        let mut definition = format!(
            "apiVersion: sealift/v1\nkind: Release\nproduct: bench\nversion: {version}\nsequence: {sequence}\n\
             platforms: [linux/amd64]\nupgradeFrom: [1.0.0]\nimages:\n"
        );
        for image in images {
            writeln!(definition, "  - {{reference: \"{address}/{image}\", name: \"{NAMED_HOST}/{image}\"}}")
                .expect("a string takes all text");
        }
        fs::create_dir_all(dir)?;
        let file = dir.join("RELEASE.yaml");
        fs::write(&file, definition)?;
        Ok(file)
    }

    /// Pins what a definition names to digests.
    pub(super) fn lock(&self, meter: &Meter, definition: &Path) -> io::Result<Figures> {
        let (figures, _) = meter.run(self.programs.command("sealift").arg("lock").arg(definition))?;
        Ok(figures)
    }

    /// Makes the archive of a locked release, in the folder of its definition.
    pub(super) fn bundle(
        &self,
        meter: &Meter,
        definition: &Path,
        previous: Option<&Path>,
    ) -> io::Result<Bundled> {
        let mut command = self.programs.command("sealift");
        command.arg("bundle").arg(definition).arg("--trust").arg(self.root());
        command.arg("--release-key").arg(self.trust.join("release.key"));
        command.arg("--pack-key").arg(self.trust.join("pack.key"));
        command.arg("-o").arg(definition.with_file_name("out"));
        if let Some(previous) = previous {
            command.arg("--previous").arg(previous);
        }
        let (figures, said) = meter.run(&command)?;
        let Said { archive, seconds } = serde_json::from_slice(&said)?;
        Ok(Bundled {
            figures: figures.with_size_of(&archive.path)?,
            keys: seconds.keys,
            waited_for_keys: (seconds.keys - seconds.content).max(0.0),
            archive: archive.path,
        })
    }

    /// Checks all of an archive.
    pub(super) fn verify(&self, meter: &Meter, archive: &Path) -> io::Result<Figures> {
        let mut command = self.programs.command("sealift");
        command.arg("verify").arg(archive).arg("--trust").arg(self.root());
        Ok(meter.run(&command)?.0)
    }

    /// Makes the release of a store the active one.
    pub(super) fn activate(&self, store: &Path) -> io::Result<()> {
        run(self.sealiftctl(store).args(["activate", FIRST.version]))?;
        Ok(())
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.dir.join(name)
    }

    /// Publishes an archive at `place`, and makes its release the current one.
    pub(super) fn publish(&self, archive: &Path, edition: Edition, place: &OsStr) -> io::Result<()> {
        let sealift = |words: &[&str]| {
            let mut command = self.programs.command("sealift");
            command.args(words).arg("--trust").arg(&self.trust);
            command
        };
        run(sealift(&["publish"]).arg(archive).arg(place))?;
        let promoting = ["promote", edition.version, "--to", "stable"];
        run(sealift(&promoting).arg(place).arg("--key").arg(self.trust.join(CHANNEL_KEY)))?;
        Ok(())
    }

    /// Loads an archive into a new store.
    pub(super) fn import(&self, meter: &Meter, archive: &Path, store: &Path) -> io::Result<Figures> {
        run(self.sealiftctl(store).args(["trust", "pin"]).arg(self.root()))?;
        let (figures, _) = meter.run(self.sealiftctl(store).arg("import").arg(archive))?;
        Ok(figures)
    }

    /// Mirrors into a store, as a configuration says.
    pub(super) fn mirror(&self, meter: &Meter, store: &Path, config: &Path) -> io::Result<Figures> {
        let mut command = self.sealiftctl(store);
        command.arg("--config").arg(config).args(["mirror", "--once"]);
        Ok(meter.run(&command)?.0)
    }

    fn sealiftctl(&self, store: &Path) -> Command {
        let mut command = self.programs.command("sealiftctl");
        command.arg("--store").arg(store);
        command
    }

    fn root(&self) -> PathBuf {
        self.trust.join("root.json")
    }
}

impl Bundled {
    /// The time without what only keys were waited for.
    pub(super) fn without_keys(&self) -> Figures {
        Figures::seconds(self.figures.wall - self.waited_for_keys)
    }
}
