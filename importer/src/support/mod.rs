//! What somebody who helps from afar wants to see: a fixed list of documents, each made of fields that are named here.
//!
//! Nothing is taken by a pattern over files, nothing is copied as it is: what is told is made anew, from an allow-list
//! (`fields`, `configuration`, `machine`), and words that others wrote go through a filter (`scrub`). Of a hook that failed there
//! is the phase and how it ended, and nothing of what it said. What cannot be had is
//! left out and the manifest says why: a bundle is wanted most when something is broken.

pub(crate) mod ask;
mod configuration;
mod fields;
mod machine;
mod scrub;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use sealift_archive::{Explain as _, durable, json};
use sealift_store::{Store, StoredRelease};
use serde::Serialize;
use serde_json::{Value, json as value};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::Error;
use scrub::Scrubber;
use sealift_store::status::Status;

const API_VERSION: &str = "sealift/v1";
const KIND: &str = "SupportBundle";
const MANIFEST: &str = "manifest.json";
/// How many lines of the audit log are taken, the newest.
const MAX_RECORDS: usize = 1000;
/// Largest document, in bytes: twice what another program may say, which may grow where something is hidden.
const MAX_DOCUMENT_BYTES: usize = 8 << 20;
const ZSTD_LEVEL: i32 = 9;
const FILE_MODE: u32 = 0o644;
/// What is never in it, for whoever is about to send it.
const NEVER: &str =
    "keys, credentials, the environment, files of the store and of the system, logs of other programs";

/// A support bundle, gathered and not yet written.
#[derive(Clone, Debug)]
pub struct SupportBundle {
    manifest: Manifest,
    documents: Vec<(&'static str, Vec<u8>)>,
}

/// What is in a support bundle, and what is not.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    api_version: &'static str,
    kind: &'static str,
    /// When it was gathered.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The documents.
    pub contents: Vec<Item>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
}

/// A document of a support bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// What it tells.
    pub what: &'static str,
}

/// Something that is not in a support bundle.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// What.
    pub what: &'static str,
    /// Why not.
    pub why: String,
}

impl SupportBundle {
    /// Gathers all that can be had about a store and the machine. `config` is the configuration, if another one than usual.
    #[must_use]
    pub fn gather(store: &Path, config: Option<&Path>) -> Self {
        let mut bundle = Self::empty();
        let opened = || Store::open(store).map_err(Error::from);
        bundle.add(
            "versions.json",
            "versions of our programs, kernel and system; memory",
            Ok(machine::versions()),
        );
        bundle.add(
            "status.json",
            "what `sealiftctl status` says",
            opened().and_then(|s| status(&s)).map_err(|error| told(&error)),
        );
        bundle.add(
            "history.json",
            "the newest lines of the audit log",
            opened().and_then(|s| history(&s)).map_err(|error| told(&error)),
        );
        bundle.add(
            "store.json",
            "whether each release is complete; no content was read",
            opened().and_then(|s| check(&s)).map_err(|error| told(&error)),
        );
        bundle.add("disk.json", "the file system of the store, and how it is mounted", machine::disk(store));
        bundle.add(
            "configuration.json",
            "what of the configuration cannot be a secret",
            configuration::configuration(config),
        );
        bundle.add("units.json", "states of the units `sealift-*`", machine::units());
        bundle.put(
            "journal.txt",
            "the last lines that these units logged",
            machine::journal().map(String::into_bytes),
        );
        bundle.manifest.left_out.push(LeftOut { what: NEVER, why: "these are never collected".to_owned() });
        bundle
    }

    fn empty() -> Self {
        let created = OffsetDateTime::now_utc();
        let manifest = Manifest {
            api_version: API_VERSION,
            kind: KIND,
            created: created.replace_nanosecond(0).unwrap_or(created),
            contents: Vec::new(),
            left_out: Vec::new(),
        };
        Self { manifest, documents: Vec::new() }
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it goes: the file, or one with a name of its own in a folder.
    #[must_use]
    pub fn place(&self, target: &Path) -> PathBuf {
        if !durable::is_folder(target) {
            return target.to_owned();
        }
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let time = self.manifest.created.format(&format).unwrap_or_default();
        target.join(format!("sealift-support-{time}.tar.zst"))
    }

    /// Writes it, readable by its owner alone.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let mut tar = tar::Builder::new(Vec::new());
        let manifest = json::to_document(&self.manifest);
        for (name, bytes) in
            std::iter::once((MANIFEST, &manifest)).chain(self.documents.iter().map(|(n, b)| (*n, b)))
        {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(FILE_MODE);
            header.set_mtime(self.manifest.created.unix_timestamp().try_into().unwrap_or(0));
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        let packed = zstd::bulk::compress(&tar.into_inner()?, ZSTD_LEVEL)?;
        Ok(durable::write_secret(file, &packed)?)
    }

    fn add(&mut self, name: &'static str, what: &'static str, document: Result<Value, String>) {
        self.put(name, what, document.map(|document| json::to_document(&document)));
    }

    fn put(&mut self, name: &'static str, what: &'static str, document: Result<Vec<u8>, String>) {
        let fits = |bytes: Vec<u8>| match bytes.len() {
            ..=MAX_DOCUMENT_BYTES => Ok(bytes),
            // A part of it would be no document.
            length => Err(format!("it has {length} bytes, and {MAX_DOCUMENT_BYTES} are allowed")),
        };
        match document.and_then(fits) {
            Ok(bytes) => {
                self.manifest.contents.push(Item { name, bytes: bytes.len(), what });
                self.documents.push((name, bytes));
            }
            Err(why) => self.manifest.left_out.push(LeftOut { what: name, why: Scrubber::text(&why) }),
        }
    }
}

/// An error, without what may be secret in it.
fn told(error: &Error) -> String {
    format!("{}: {error}", error.code())
}

fn status(store: &Store) -> Result<Value, Error> {
    Ok(fields::of_status(&Status::of(store)?).map_err(std::io::Error::from)?)
}

fn history(store: &Store) -> Result<Value, Error> {
    let history = store.history()?;
    let newest = history.records.len().saturating_sub(MAX_RECORDS);
    let records = history.records[newest..].iter().map(fields::of_record);
    let records = records.collect::<Result<Vec<_>, _>>().map_err(std::io::Error::from)?;
    Ok(value!({"records": records, "earlier": newest, "unreadable": history.unreadable}))
}

/// Looks at what is there, at sizes and names, and hashes nothing.
fn check(store: &Store) -> Result<Value, Error> {
    let look = |release: &StoredRelease| {
        let complete = store.is_complete(release);
        value!({
            "sequence": release.sequence(),
            "state": release.state().to_string(),
            "complete": complete.as_ref().ok(),
            "error": complete.err().map(|error| brief(error.code(), &error)),
        })
    };
    Ok(value!({
        "pointer": store.active().map_or_else(|error| brief(error.code(), &error), |_| "good".to_owned()),
        "trust": store.trust().map_or_else(|error| brief(error.code(), &error), |_| "good".to_owned()),
        "counters": store.counters().map_or_else(|error| brief(error.code(), &error), |_| "good".to_owned()),
        "releases": store.releases()?.iter().map(look).collect::<Vec<_>>(),
    }))
}

fn brief(code: impl Display, error: &impl Display) -> String {
    Scrubber::text(&format!("{code}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_too_long_is_left_out_and_that_is_told() {
        let mut bundle = SupportBundle::empty();
        bundle.add("long.json", "too much", Ok("x".repeat(MAX_DOCUMENT_BYTES).into()));
        bundle.add("short.json", "something", Ok("x".into()));
        let names: Vec<&str> = bundle.documents.iter().map(|(name, _)| *name).collect();
        assert_eq!((names, bundle.manifest.contents.len()), (vec!["short.json"], 1));
        let [left_out] = &bundle.manifest.left_out[..] else { panic!("{:?}", bundle.manifest) };
        assert!(left_out.what == "long.json" && left_out.why.contains("are allowed"), "{left_out:?}");
    }
}
