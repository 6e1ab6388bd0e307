//! Whose releases are taken, which are there, and which one is served.

use std::collections::BTreeMap;

use fs_err as fs;
use sealift_archive::release::Refs;
use sealift_archive::trust::{Signatures, TrustRoot, Trusted, read_root_file, versions_in};
use sealift_archive::{Digest, Sequence};
use sealift_store::{RootFile, Store};

use super::Site;
use crate::setup::Error;
use crate::setup::child::{Program, Run};
use crate::setup::files::File;
use crate::setup::places::{IMAGE_RELEASES, IMAGE_TRUST};
use crate::setup::plan::Work;

/// The vendor's trust root where only root writes: by that, programs of a release are believed (`programs.trustRoot`).
pub(super) const TRUST_ROOT: &str = "/etc/sealift/root.json";
/// A configuration with nothing in it: the first release is served before there is a cluster whose Flux could stand still.
const FIRST: &str = "/etc/sealift/setup/first.yaml";
const NOTHING: &str = "# For the first release: nothing runs yet that has to stand still.\napiVersion: sealift/v1\nkind: Appliance\n";
/// What ends the name of an archive.
const ARCHIVE: &str = ".tar.zst";

pub(super) fn trust(site: &Site, work: &mut Work) -> Result<(), Error> {
    let path = site.places.at(IMAGE_TRUST);
    let known = open(site)?.map(|store| store.trust());
    if !path.exists() {
        return match known {
            Some(Ok(_)) => {
                work.note(format!(
                    "the image carries no trust root (`{IMAGE_TRUST}`); the one that is pinned counts"
                ));
                Ok(())
            }
            _ => Err(Error::NoTrust),
        };
    }
    let image = RootFile::read(&path)?;
    match known {
        None | Some(Err(sealift_store::Error::NotPinned { .. })) => {
            let store = site.store.display().to_string();
            work.run(
                Run::new(Program::Sealiftctl, &["--store", &store, "trust", "pin", IMAGE_TRUST])
                    .by_owner()
                    .lacking(),
            );
        }
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(trusted)) => expect_same_vendor(site, trusted, &image.root)?,
    }
    work.put(File { is_ours: true, ..File::new(TRUST_ROOT, image.root.bytes()) });
    Ok(())
}

/// The image's root is one that is known here, or follows from it by what the image carries.
fn expect_same_vendor(site: &Site, mut trusted: Trusted, image: &TrustRoot) -> Result<(), Error> {
    let folder = site.places.at(IMAGE_TRUST).with_file_name("");
    let is_known = |trusted: &Trusted| trusted.versions().any(|root| root.digest() == image.digest());
    let (pinned, newest) = (trusted.oldest().digest(), trusted.newest().version());
    if is_known(&trusted) {
        return Ok(());
    }
    let other = || Error::OtherRoot { pinned, image: image.digest() };
    let versions = versions_in(&folder.join("root")).map_err(sealift_store::Error::from)?;
    for version in versions.into_iter().filter(|version| *version > newest && *version <= image.version()) {
        let path = folder.join("root").join(format!("{version}.json"));
        let next =
            TrustRoot::parse(&path.display().to_string(), &read_root_file(&path)?).map_err(|_| other())?;
        let signatures = Signatures::read_from(&folder, &next.digest()).map_err(|_| other())?;
        trusted.follow(next, &signatures).map_err(|_| other())?;
    }
    if is_known(&trusted) { Ok(()) } else { Err(other()) }
}

pub(super) fn store(site: &Site, work: &mut Work) -> Result<(), Error> {
    let folder = site.places.at(IMAGE_RELEASES);
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(stem) = name.strip_suffix(ARCHIVE) {
            sets.entry(set_of(stem).to_owned()).or_default().push(name.clone());
            work.of.push(format!("{name} {}", entry.metadata()?.len()));
        }
    }
    work.of.sort_unstable();
    if sets.is_empty() {
        let has_any =
            open(site)?.is_some_and(|store| store.releases().is_ok_and(|releases| !releases.is_empty()));
        if !has_any {
            work.note("the image carries no release: `sealiftctl import` takes one from a stick, and then `sealiftctl setup` goes on");
        }
        return Ok(());
    }
    // Where there are releases, an older one in the image is no failure: a new system disk has met an old data disk.
    let has_any =
        open(site)?.is_some_and(|store| store.releases().is_ok_and(|releases| !releases.is_empty()));
    let store = site.store.display().to_string();
    for mut volumes in sets.into_values() {
        volumes.sort_unstable();
        let paths: Vec<String> = volumes.iter().map(|name| format!("{IMAGE_RELEASES}/{name}")).collect();
        let arguments = ["--store", &store, "import"].into_iter().chain(paths.iter().map(String::as_str));
        let run = Run::new(Program::Sealiftctl, &arguments.collect::<Vec<_>>()).by_owner();
        work.run(Run { may_be_refused: has_any, ..run });
    }
    Ok(())
}

/// `acme-1.5.0` of `acme-1.5.0.001`: volumes belong together.
fn set_of(stem: &str) -> &str {
    match stem.rsplit_once('.') {
        Some((set, number)) if number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()) => set,
        _ => stem,
    }
}

pub(super) fn release(site: &Site, work: &mut Work) -> Result<(), Error> {
    let Some(store) = open(site)? else {
        work.note("no release is here yet");
        return Ok(());
    };
    if store.active()?.is_some() {
        return Ok(());
    }
    let Some(newest) = store.releases()?.iter().map(sealift_store::StoredRelease::sequence).max() else {
        work.note("no release is here: `sealiftctl import` takes one from a stick, and then `sealiftctl setup` goes on");
        return Ok(());
    };
    work.put(File { is_ours: true, ..File::new(FIRST, NOTHING) });
    let (dir, newest) = (site.store.display().to_string(), newest.to_string());
    let first = site.places.at(FIRST).display().to_string();
    let arguments = ["--store", &dir, "--config", &first, "activate", &newest];
    work.run(Run::new(Program::Sealiftctl, &arguments).by_owner().lacking());
    Ok(())
}

/// The store, if it is there.
pub(super) fn open(site: &Site) -> Result<Option<Store>, Error> {
    match Store::open(&site.store) {
        Ok(store) => Ok(Some(store)),
        Err(_) if !site.store.join("trust").exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a release brings for Kubernetes.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) store: Store,
    pub(super) sequence: Sequence,
    refs: Refs,
}

impl Carried {
    /// Of the release that is active, or else of the newest.
    pub(super) fn find(site: &Site) -> Result<Option<Self>, Error> {
        let Some(store) = open(site)? else { return Ok(None) };
        let active = store.active()?;
        let releases = store.releases()?;
        let newest = releases.iter().map(sealift_store::StoredRelease::sequence).max();
        let Some(sequence) = active.or(newest) else { return Ok(None) };
        let refs = store.release(sequence)?.refs()?;
        Ok(Some(Self { store, sequence, refs }))
    }

    /// Whether there is k3s in it.
    pub(super) fn has_k3s(&self) -> bool {
        self.refs.files.keys().any(|name| name.as_str().starts_with("k3s/"))
    }

    /// Whether there is Flux in it.
    pub(super) fn has_flux(&self) -> bool {
        self.refs.files.keys().any(|name| name.as_str() == super::kubernetes::COMPONENTS)
    }

    /// A file by its name, as the release has it.
    pub(super) fn file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some((_, descriptor)) = self.refs.files.iter().find(|(known, _)| known.as_str() == name) else {
            return Ok(None);
        };
        let path = self.store.blob_path(&descriptor.digest);
        let bytes = sealift_archive::bounded::read(&path, limit)?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(Error::Damaged {
                file: path,
                why: format!("it is not `{}`, which the release names", descriptor.digest),
            });
        }
        Ok(Some(bytes))
    }
}
