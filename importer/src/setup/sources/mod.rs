//! Where answers come from. Parsers take bytes; what is read, and from where, stands here.

pub mod ovf;
pub mod seed;

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use fs_err as fs;
use sealift_archive::bounded;
use serde::{Deserialize, Serialize};

use super::given::Given;
use super::places::Places;
use crate::support::ask::{PATIENCE, ask};

/// What cloud-init made of user-data.
const USER_DATA: &str = "/var/lib/cloud/instance/cloud-config.txt";
/// What it knows of the instance, for root's eyes.
const INSTANCE_DATA: &str = "/run/cloud-init/instance-data-sensitive.json";
/// The program that asks the host of a virtual machine.
const RPCTOOL: &str = "/usr/bin/vmware-rpctool";
const OVF_ENVIRONMENT: &str = "info-get guestinfo.ovfEnv";
/// Where drives for discs are listed.
const BLOCK_DEVICES: &str = "/sys/class/block";
const DRIVE: &str = "sr";
/// The file on a disc that vSphere makes.
const OVF_FILE: &str = "ovf-env.xml";
/// Where a disc is mounted for a moment.
const DISC: &str = "/run/sealift/setup/disc";

/// Who gave an answer. The first one counts most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Whoever sits at the console.
    Console,
    /// `sealift:` in a seed's user-data.
    UserData,
    /// `sealift:` in a seed's meta-data.
    MetaData,
    /// OVF's properties in guestinfo.
    Guestinfo,
    /// OVF's properties on a disc.
    Disc,
    /// What was answered before.
    Earlier,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Console => "the console",
            Self::UserData => "the seed's user-data",
            Self::MetaData => "the seed's meta-data",
            Self::Guestinfo => "guestinfo (OVF properties)",
            Self::Disc => "the disc with OVF properties",
            Self::Earlier => "earlier answers",
        })
    }
}

/// What a source says, or why it cannot be understood.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Who.
    pub origin: Origin,
    /// The file, device or variable.
    pub place: String,
    /// What.
    pub given: Result<Given, String>,
}

/// Listens to all sources that there are.
#[must_use]
pub fn listen(places: &Places) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut hear = |origin, place: &str, given| heard.push(Heard { origin, place: place.to_owned(), given });
    for (origin, path, parse) in [
        (Origin::UserData, USER_DATA, seed::user_data as fn(&[u8]) -> Result<Given, String>),
        (Origin::MetaData, INSTANCE_DATA, seed::instance_data),
    ] {
        match bounded::read(&places.at(path), seed::MAX_BYTES) {
            Ok(bytes) => hear(origin, path, parse(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => hear(origin, path, Err(error.to_string())),
        }
    }
    let rpctool = places.at(RPCTOOL);
    if rpctool.is_file() {
        // Elsewhere than on VMware's host it fails; then there is nobody to be heard.
        let said = ask(&rpctool, &[OVF_ENVIRONMENT], ovf::MAX_BYTES + 1, PATIENCE).unwrap_or_default();
        if !said.trim().is_empty() {
            hear(Origin::Guestinfo, "guestinfo.ovfEnv", ovf::environment(said.as_bytes()));
        }
    }
    for drive in drives(&places.at(BLOCK_DEVICES)) {
        let device = format!("/dev/{drive}");
        if let Some(given) = of_disc(&places.at(&device), &places.at(DISC)) {
            hear(Origin::Disc, &device, given);
        }
    }
    heard
}

/// The drives for discs.
fn drives(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut drives: Vec<String> = names.filter(|name| name.starts_with(DRIVE)).collect();
    drives.sort_unstable();
    drives
}

/// What stands on the disc in a drive; nothing if there is none, or another one.
fn of_disc(device: &Path, point: &Path) -> Option<Result<Given, String>> {
    fs::create_dir_all(point).ok()?;
    let (device, point_text) = (device.to_str()?, point.to_str()?);
    let options = ["-t", "iso9660", "-o", "ro,nosuid,nodev,noexec", device, point_text];
    ask(Path::new("mount"), &options, 0, PATIENCE).ok()?;
    let given = match bounded::read(&point.join(OVF_FILE), ovf::MAX_BYTES) {
        Ok(bytes) => Some(ovf::environment(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.to_string())),
    };
    // If it was not mounted, or stays so, nothing else is the worse for it.
    let _ = ask(Path::new("umount"), &[point_text], 0, PATIENCE);
    given
}
