//! The vendor: three people with keys, a registry, and a place where appliances that are online fetch.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::book::{Book, Place};
use crate::actors::{self, Programs, text};
use crate::gap::Namespace;
use crate::story::size;
use crate::vendor::{Config, Registry};

/// The vendor's address, for appliances that are online.
pub(super) const ADDRESS: &str = "10.78.0.1";
/// The network that they share.
pub(super) const NETWORK: &str = "10.78.0.0/24";
/// Who signs releases, two of two; and who signs channels.
const SIGNERS: [&str; 2] = ["alice", "bob"];
const CHANNEL: &str = "channel";
/// The certificate of the place, as a file in the vendor's folder.
const AUTHORITY: &str = "place.crt";

/// The vendor's workplace.
pub(super) struct Vendor<'a> {
    programs: &'a Programs,
    people: actors::Vendor<'a>,
    dir: PathBuf,
    registry: Registry,
    /// Where the place is that is reached from outside.
    outside: &'a Namespace,
    place: Registry,
}

/// A release that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) archive: PathBuf,
    pub(super) parity: PathBuf,
    /// The digest of its statement.
    pub(super) digest: String,
}

impl<'a> Vendor<'a> {
    pub(super) fn new(programs: &'a Programs, dir: &Path, outside: &'a Namespace) -> io::Result<Self> {
        let address: IpAddr = ADDRESS.parse().map_err(io::Error::other)?;
        let config =
            Config { tls: true, names: vec![ADDRESS.to_owned()], listen: Some(address), ..Config::default() };
        let place = outside.inside(|| Registry::start_with(config))??;
        let vendor = Self {
            programs,
            people: actors::Vendor::new(programs, dir)?,
            dir: dir.to_owned(),
            registry: Registry::start()?,
            outside,
            place,
        };
        fs::write(vendor.authority(), vendor.place.certificate().unwrap_or_default())?;
        Ok(vendor)
    }

    /// The trust root, as couriers and appliances get it.
    pub(super) fn root(&self) -> PathBuf {
        self.dir.join("trust/root.json")
    }

    /// The certificate of the place.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join(AUTHORITY)
    }

    /// Where appliances that are online fetch.
    pub(super) fn place(&self) -> String {
        format!("oci://{}/acme/appliance", self.place.addr())
    }

    /// Two people and a machine make keys; what they may sign becomes the trust root.
    pub(super) fn hold_key_ceremony(&self, book: &mut Book) -> io::Result<()> {
        book.chapter(Place::Vendor, "Vendor: the key ceremony")?;
        book.step("keys", |hand| {
            for name in SIGNERS.iter().chain([&CHANNEL]) {
                let mut make = self.program("openssl");
                make.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
                hand.run(make.arg(format!("{name}.key")))?;
                let mut publish = self.program("openssl");
                publish.args(["pkey", "-pubout", "-in", &format!("{name}.key"), "-out"]);
                hand.run(publish.arg(format!("{name}.pub")))?;
            }
            Ok(("alice and bob sign releases, both of them; a key for channels".to_owned(), ()))
        })?;
        book.step("trust init", |hand| {
            let mut init = self.people.sealift();
            init.args(["trust", "init", "trust", "--threshold", "release=2"]);
            for name in SIGNERS {
                init.args(["--release-key", &format!("{name}.pub")]);
            }
            hand.run(init.args(["--channel-key", &format!("{CHANNEL}.pub")]))?;
            Ok(("the trust root: who may sign what, and how many".to_owned(), ()))
        })
    }

    /// Locks, checks, signs and packs a release; `base` is what its receivers have.
    pub(super) fn release(
        &self,
        book: &mut Book,
        version: &str,
        sequence: u64,
        base: Option<&Path>,
    ) -> io::Result<Made> {
        book.chapter(Place::Vendor, &format!("Vendor: release {version}"))?;
        let images = self.programs.publish(&self.registry, version)?;
        let definition = self.people.define(&images, version, sequence)?.display().to_string();
        book.step("lock", |hand| {
            let locked = hand.json(self.people.sealift().args(["lock", &definition]))?;
            Ok((format!("{} images and a folder: {} blobs by digest", locked["images"], locked["blobs"]), ()))
        })?;
        book.step("check", |hand| {
            hand.run(self.people.sealift().args(["check", &definition]))?;
            Ok(("nothing names an image that the release lacks".to_owned(), ()))
        })?;
        let statement = format!("statement-{version}");
        book.step("sign", |hand| {
            hand.run(self.people.sealift().args(["statement", &definition, "-o", &statement]))?;
            for name in SIGNERS {
                let key = format!("{name}.key");
                let mut sign = self.people.sealift();
                hand.run(sign.args(["sign", &statement, "--key", &key, "--trust", "trust"]))?;
            }
            Ok(("two people have signed what the release is".to_owned(), ()))
        })?;
        let out = format!("out-{version}");
        book.step("bundle", |hand| {
            let mut bundle = self.people.sealift();
            bundle.args(["bundle", &definition, "--trust", "trust", "--statement", &statement, "-o", &out]);
            bundle.args(["--pack-key", "trust/pack.key", "--parity", "10%"]);
            if let Some(base) = base {
                bundle.arg("--base").arg(base);
            }
            let bundled = hand.json(&mut bundle)?;
            let archive = self.dir.join(text(&bundled["archive"]["path"]));
            let bytes = bundled["archive"]["bytes"].as_u64().unwrap_or_default();
            let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = actors::json(self.people.sealift().arg("inspect").arg(&archive))?;
            let digest = text(&digest["releases"][0]["digest"]).to_owned();
            let parity = only_parity(&self.dir.join(&out))?;
            Ok((format!("{name}, {}, and parity", size(bytes)), Made { archive, parity, digest }))
        })
    }

    /// Puts a release where appliances that are online fetch, tries it, and says that it is for all.
    pub(super) fn publish(&self, book: &mut Book, made: &Made, version: &str) -> io::Result<()> {
        book.chapter(Place::Vendor, &format!("Vendor: {version} goes online"))?;
        let place = self.place();
        book.step("publish", |hand| {
            let mut publish = self.online();
            hand.run(publish.arg("publish").arg(&made.archive).args([
                &place,
                "--trust",
                "trust",
                "--ca-file",
                AUTHORITY,
            ]))?;
            Ok(("content, statement, versions of the trust root".to_owned(), ()))
        })?;
        for channel in ["candidate", "stable"] {
            book.step("promote", |hand| {
                let mut promote = self.online();
                promote.args([
                    "promote",
                    version,
                    "--to",
                    channel,
                    &place,
                    "--trust",
                    "trust",
                    "--ca-file",
                    AUTHORITY,
                ]);
                hand.run(promote.args(["--key", &format!("{CHANNEL}.key")]))?;
                Ok((format!("{version} is what {channel} names"), ()))
            })?;
        }
        Ok(())
    }

    /// `sealift` where the place is reached.
    fn online(&self) -> Command {
        let mut command = self.outside.command(self.programs.path("sealift"));
        command.current_dir(&self.dir).envs(Programs::ENVIRONMENT).arg("--json");
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.current_dir(&self.dir);
        command
    }
}

/// The one parity file of a folder.
fn only_parity(dir: &Path) -> io::Result<PathBuf> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut parity = entries.into_iter().filter(|path| path.extension().is_some_and(|end| end == "par"));
    match (parity.next(), parity.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(io::Error::other(format!("`{}` does not hold one parity file", dir.display()))),
    }
}
