//! `offers/<device>.json`: what sticks that are plugged in offer, until they are gone. Only told, and asked by whoever confirms;
//! what is loaded is verified anew, whatever stands here.
//!
//! This alone is written without the store's lock: a second stick is told of while the first is being loaded. Whoever writes
//! has the directory (flock) for that moment.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;
use sealift_archive::{Digest, Explain, durable, json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::sweep::is_temporary;
use crate::{Error, Failure, Store, Subject, audit};

/// Only there since the first stick.
pub(crate) const OFFERS: &str = "offers";
const SUFFIX: &str = ".json";
/// Largest file, in bytes.
const MAX_OFFER_BYTES: usize = 64 << 10;
/// How many offers are read: more sticks than any machine has places for.
const MAX_OFFERS: usize = 64;
/// Longest name of a device, in bytes.
const MAX_DEVICE_BYTES: usize = 64;
/// Longest label or name of an archive that is kept, in characters.
const MAX_SHOWN: usize = 64;

/// What a stick offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// The kernel's name of the device: `sda1`.
    pub device: Device,
    /// Where it is mounted.
    pub path: String,
    /// The label of its file system, with escapes for whatever cannot be printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Since when it is looked at.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// What it brings; none if it was refused before that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brings: Option<Brings>,
    /// What has become of it.
    pub state: OfferState,
}

/// What an import of a stick would bring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Brings {
    /// The release where the way ends.
    pub release: Subject,
    /// What the archive is called, with escapes for whatever cannot be printed.
    pub archive: String,
    /// How many releases would be imported or mended on the way.
    pub steps: usize,
    /// Bytes that are missing here.
    pub missing_bytes: u64,
    /// Bytes that the import takes on the disk.
    pub needed_bytes: u64,
    /// Bytes that were free there.
    pub free_bytes: u64,
}

/// What has become of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OfferState {
    /// Somebody has to confirm it.
    Waiting,
    /// It is being loaded, or that was interrupted.
    Loading,
    /// Nothing of it is needed any more.
    Done,
    /// It is not taken, and why.
    Refused(Failure),
}

impl fmt::Display for OfferState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("waiting"),
            Self::Loading => f.write_str("loading"),
            Self::Done => f.write_str("done"),
            Self::Refused(Failure { message, .. }) => write!(f, "refused: {message}"),
        }
    }
}

impl OfferState {
    /// Refused, with the words of an error: they may quote what nobody has signed.
    #[must_use]
    pub fn refused(error: &dyn Explain) -> Self {
        let failure = Failure::of(error);
        let plain = |text: String| printable(&text.replace('\n', " "));
        let (message, hint) = (plain(failure.message), failure.hint.map(plain));
        Self::Refused(Failure { message, hint, ..failure })
    }
}

impl Offer {
    /// Of a stick that nobody has looked at.
    #[must_use]
    pub fn new(device: Device, path: String, label: Option<&str>) -> Self {
        let label = label.filter(|label| !label.is_empty()).map(shown);
        Self { device, path, label, since: audit::now(), brings: None, state: OfferState::Waiting }
    }

    /// `SEALIFT (sda1)`
    #[must_use]
    pub fn name(&self) -> String {
        match &self.label {
            Some(label) => format!("{label} ({})", self.device),
            None => self.device.to_string(),
        }
    }

    /// Whether somebody can confirm it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, OfferState::Waiting | OfferState::Loading)
    }

    /// The statement of the release that it brings.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.brings.as_ref().map(|brings| brings.release.digest)
    }

    /// What to type while it waits.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        let digest = self.digest().filter(|_| self.is_open())?;
        Some(format!("sealiftctl media confirm {}", digest.short()))
    }

    /// A stick that is gone offers nothing; after a power cut nobody has come to removing it.
    fn is_there(&self) -> bool {
        Path::new(&self.path).try_exists().unwrap_or(true)
    }
}

/// Text from a stick, as much of it as can be shown anywhere.
#[must_use]
pub fn shown(text: &str) -> String {
    printable(text).chars().take(MAX_SHOWN).collect()
}

/// Text with escapes for whatever would speak to a terminal or turn the direction of writing around.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => printable.push(character),
            other => printable.extend(other.escape_debug()),
        }
    }
    printable
}

/// The kernel's name of a device: letters, digits, `_`, `-` and `.`, not first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Device(String);

/// Something that no device is called.
#[derive(Debug, thiserror::Error)]
#[error(
    "a device's name has at most {MAX_DEVICE_BYTES} letters, digits, `_`, `-` and `.`, and does not begin with `.`"
)]
pub struct NotADevice;

impl FromStr for Device {
    type Err = NotADevice;

    fn from_str(text: &str) -> Result<Self, NotADevice> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_name = !text.is_empty()
            && text.len() <= MAX_DEVICE_BYTES
            && !text.starts_with('.')
            && text.bytes().all(is_allowed);
        is_name.then(|| Self(text.to_owned())).ok_or(NotADevice)
    }
}

impl TryFrom<String> for Device {
    type Error = NotADevice;

    fn try_from(text: String) -> Result<Self, NotADevice> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.0
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Store {
    /// What the sticks that are there offer, by the names of their devices.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn offers(&self) -> Result<Vec<Offer>, Error> {
        let dir = self.root().join(OFFERS);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut offers = Vec::new();
        for entry in fs::read_dir(&dir)?.take(MAX_OFFERS) {
            let name = entry?.file_name();
            let device = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
            // It may be gone again by now.
            if let Some(device) = device {
                offers.extend(self.offer(&device)?.filter(Offer::is_there));
            }
        }
        offers.sort_unstable_by(|a, b| a.device.cmp(&b.device));
        Ok(offers)
    }

    /// Writes what a stick offers, in place of what it offered before.
    ///
    /// # Errors
    /// I/O.
    pub fn write_offer(&self, offer: &Offer) -> Result<(), Error> {
        let _turn = self.offers_turn()?;
        Ok(durable::write(&self.offer_path(&offer.device), &json::to_document(offer))?)
    }

    /// Says what has become of an offer, if it is still there.
    ///
    /// # Errors
    /// I/O, or a file that is damaged.
    pub fn settle_offer(&self, device: &Device, state: OfferState) -> Result<(), Error> {
        let _turn = self.offers_turn()?;
        match self.offer(device)? {
            Some(offer) => {
                let offer = Offer { state, ..offer };
                Ok(durable::write(&self.offer_path(device), &json::to_document(&offer))?)
            }
            None => Ok(()),
        }
    }

    /// Removes what a stick offered that is gone; `false` if there was nothing.
    ///
    /// # Errors
    /// I/O.
    pub fn remove_offer(&self, device: &Device) -> Result<bool, Error> {
        let _turn = self.offers_turn()?;
        match fs::remove_file(self.offer_path(device)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => Ok(removed.map(|()| true)?),
        }
    }

    fn offer(&self, device: &Device) -> Result<Option<Offer>, Error> {
        let path = self.offer_path(device);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(json::parse(&path.display().to_string(), &bytes?, MAX_OFFER_BYTES)?)),
        }
    }

    /// Waits for its turn to write, clears away what a crash left half written, and has the turn until the file is closed.
    fn offers_turn(&self) -> Result<fs::File, Error> {
        let dir = self.root().join(OFFERS);
        durable::create_dir_all(&dir)?;
        let turn = fs::File::open(&dir)?;
        turn.lock()?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if is_temporary(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(turn)
    }

    fn offer_path(&self, device: &Device) -> PathBuf {
        self.root().join(OFFERS).join(format!("{device}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        name.parse().unwrap()
    }

    #[test]
    fn an_offer_lasts_as_long_as_its_stick() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("store")).unwrap();
        assert_eq!(store.offers().unwrap(), []);
        let stick = dir.path().join("stick");
        fs::create_dir(&stick).unwrap();
        let offer = |name: &str| Offer::new(device(name), stick.to_str().unwrap().to_owned(), None);
        let (a, b) = (offer("sda1"), offer("sdb1"));
        store.write_offer(&b).unwrap();
        store.write_offer(&a).unwrap();
        fs::write(store.root().join("offers/.tmp123"), "{").unwrap();
        assert_eq!(store.offers().unwrap(), [a.clone(), b.clone()]);

        store.settle_offer(&a.device, OfferState::Done).unwrap();
        assert!(!store.root().join("offers/.tmp123").exists());
        assert_eq!(store.offers().unwrap(), [Offer { state: OfferState::Done, ..a.clone() }, b.clone()]);
        assert!(store.remove_offer(&a.device).unwrap() && !store.remove_offer(&a.device).unwrap());
        // What becomes of an import does not bring back a stick that was pulled out.
        store.settle_offer(&a.device, OfferState::Waiting).unwrap();
        assert_eq!(store.offers().unwrap(), std::slice::from_ref(&b));
        fs::remove_dir(&stick).unwrap();
        assert_eq!(store.offers().unwrap(), [], "after a power cut");
    }

    #[test]
    fn damaged_and_foreign_files_are_no_offers() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        fs::create_dir(dir.path().join(OFFERS)).unwrap();
        fs::write(dir.path().join("offers/notes.txt"), "").unwrap();
        fs::write(dir.path().join("offers/..json"), "{").unwrap();
        assert_eq!(store.offers().unwrap(), []);
        for text in ["{", "{}", &" ".repeat(MAX_OFFER_BYTES + 1)] {
            fs::write(dir.path().join("offers/sda1.json"), text).unwrap();
            assert!(store.offers().unwrap_err().to_string().contains("offers/sda1.json"));
        }
        assert!(store.remove_offer(&device("sda1")).unwrap(), "and can go");
    }

    #[test]
    fn names_and_labels_cannot_do_harm() {
        for name in ["sda1", "mmcblk0p1", "sr0", "a.b_c-d"] {
            assert_eq!(device(name).to_string(), name);
        }
        for name in ["", ".", "../sda1", "sda1/", "sd a", "é", "a\n", &"x".repeat(65)] {
            assert!(name.parse::<Device>().is_err(), "{name}");
        }
        let label = Offer::new(device("sda1"), String::new(), Some("\x1b[2J\n\u{202e}<b>SEALIFT")).name();
        assert_eq!(label, "\\u{1b}[2J\\n\\u{202e}<b>SEALIFT (sda1)");
        assert_eq!(shown(&"\n".repeat(1000)).len(), MAX_SHOWN);
        assert_eq!(Offer::new(device("sda1"), String::new(), Some("")).name(), "sda1");
    }
}
