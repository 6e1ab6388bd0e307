//! What was answered before, in `/etc/sealift/setup/answers.json`, and the token beside it until it is used.
//!
//! The folder is on the data disk: a new system disk finds there what the appliance is. Beside the answers stands what each source said
//! when they were given, so that it is seen later whether a source says something new, or only repeats itself.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use fs_err as fs;
use sealift_archive::{bounded, durable, json};
use serde::{Deserialize, Serialize};

use super::Error;
use super::given::Given;
use super::places::Places;
use super::sources::Origin;
use super::value::Token;

const FILE: &str = "answers.json";
const TOKEN_FILE: &str = "token";
const API_VERSION: &str = "sealift/v1";
const KIND: &str = "Answers";
const MAX_BYTES: usize = 256 << 10;

/// Answers that an appliance was, or is being, set up with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    api_version: String,
    kind: String,
    /// The answers, without the token.
    pub answers: Given,
    /// What each source said then, without the token.
    pub heard: BTreeMap<Origin, Given>,
}

impl Kept {
    /// Answers to be kept.
    #[must_use]
    pub fn new(answers: &Given, heard: &BTreeMap<Origin, Given>) -> Self {
        let without_token = |given: &Given| Given { token: None, ..given.clone() };
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            answers: without_token(answers),
            heard: heard.iter().map(|(origin, given)| (*origin, without_token(given))).collect(),
        }
    }

    /// Reads what is kept, if there is anything.
    ///
    /// # Errors
    /// [`Error::Damaged`], or I/O.
    pub fn read(places: &Places) -> Result<Option<Self>, Error> {
        let path = places.own(FILE);
        let bytes = match bounded::read(&path, MAX_BYTES as u64) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let damaged = |why: String| Error::Damaged { file: path.clone(), why };
        let kept: Self = json::parse(&path.display().to_string(), &bytes, MAX_BYTES)
            .map_err(|error| damaged(error.to_string()))?;
        if (kept.api_version.as_str(), kept.kind.as_str()) != (API_VERSION, KIND) {
            return Err(damaged(format!(
                "it is `{}` of `{}`, not `{KIND}` of `{API_VERSION}`",
                kept.kind, kept.api_version
            )));
        }
        Ok(Some(kept))
    }

    /// Writes it down, unless it stands there so.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, places: &Places) -> Result<(), Error> {
        if Self::read(places).is_ok_and(|there| there.as_ref() == Some(self)) {
            return Ok(());
        }
        let path = places.own(FILE);
        durable::create_dir_all(durable::parent_of(&path))?;
        Ok(durable::write(&path, &json::to_document(self))?)
    }
}

/// The token, as long as it has not been used.
///
/// # Errors
/// [`Error::Damaged`], or I/O.
pub fn token(places: &Places) -> Result<Option<Token>, Error> {
    let path = places.own(TOKEN_FILE);
    let bytes = match bounded::read(&path, MAX_BYTES as u64) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let text = String::from_utf8_lossy(&bytes);
    text.parse().map(Some).map_err(|why| Error::Damaged { file: path, why })
}

/// Keeps a token until it is used, for nobody but root.
///
/// # Errors
/// I/O.
pub fn keep_token(places: &Places, given: &Token) -> Result<(), Error> {
    if token(places).ok().flatten().as_ref() == Some(given) {
        return Ok(());
    }
    let path = places.own(TOKEN_FILE);
    durable::create_dir_all(durable::parent_of(&path))?;
    Ok(durable::write_secret(&path, format!("{}\n", given.reveal()).as_bytes())?)
}

/// Forgets the token.
///
/// # Errors
/// I/O.
pub fn forget_token(places: &Places) -> Result<(), Error> {
    let path = places.own(TOKEN_FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(durable::sync_dir(durable::parent_of(&path))?),
    }
}
