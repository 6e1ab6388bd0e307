//! `sealift trust rotate` and `revoke`: the next version of a trust root.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use sealift_archive::trust::{KeyId, RoleName, RootDraft, Signer, TrustRoot};

use super::{Folder, Known, Lapsed, Version};
use crate::keys::Opener;
use crate::{Error, trust};

/// Fewest characters of a key's name that stand for it.
const MIN_PREFIX: usize = 8;

/// `ROLE=N`: how many keys of a role must sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The role.
    pub role: RoleName,
    /// How many.
    pub count: usize,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let KeyName { role, key } = text.parse()?;
        let count = key.parse().map_err(|_| format!("`{key}` is not a number of keys"))?;
        Ok(Self { role, count })
    }
}

/// `ROLE=KEY`: a key in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// The role.
    pub role: RoleName,
    /// The key: a file, its name, or the beginning of that.
    pub key: String,
}

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, key) =
            text.split_once('=').ok_or("it must begin with a role and `=`, such as `release=`")?;
        let role = role.parse().map_err(|error: sealift_archive::Error| error.to_string())?;
        Ok(Self { role, key: key.to_owned() })
    }
}

/// What is to be different in the next version.
#[derive(Debug, Default, clap::Args)]
pub struct Change {
    /// Give a role to a key
    #[arg(long, value_name = "ROLE=KEY")]
    add: Vec<KeyName>,
    /// Take a role from a key: its file, its name, or how that begins
    #[arg(long, value_name = "ROLE=KEY")]
    remove: Vec<KeyName>,
    /// Say how many keys of a role must sign
    #[arg(long = "threshold", value_name = "ROLE=N")]
    thresholds: Vec<Threshold>,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The next version, which may still need signatures.
    #[serde(flatten)]
    pub version: Version,
    /// What has to be signed again, of what was looked at.
    pub lapsed: Vec<Lapsed>,
}

/// Makes the next version of a trust root, and has it signed by these root keys.
///
/// # Errors
/// [`trust::Error::DraftThere`], [`trust::Error::NoSuchKey`], [`trust::Error::NothingChanges`], what a trust root may not say, what a signer
/// says, or I/O.
pub fn rotate(
    folder: &mut Folder,
    change: &Change,
    root_keys: &[PathBuf],
    known: &Known,
    opener: &Opener,
) -> Result<Rotated, Error> {
    folder.expect_no_draft()?;
    let newest = folder.trusted()?.newest().clone();
    let mut draft = RootDraft::after(&newest);
    for KeyName { role, key } in &change.remove {
        if !draft.remove(*role, &find(&newest, key, opener)?) {
            return Err(no_such_key(&newest, key));
        }
    }
    for KeyName { role, key } in &change.add {
        draft.add(*role, opener.public(Path::new(key))?);
    }
    for threshold in &change.thresholds {
        draft.set_threshold(threshold.role, threshold.count);
    }
    finish(folder, &newest, draft, root_keys, known, opener)
}

/// Makes the next version, in which these keys have no role any more; `replacement` gets the roles that they had.
///
/// # Errors
/// As [`rotate`].
pub fn revoke(
    folder: &mut Folder,
    keys: &[String],
    replacement: Option<&Path>,
    root_keys: &[PathBuf],
    known: &Known,
    opener: &Opener,
) -> Result<Rotated, Error> {
    folder.expect_no_draft()?;
    let newest = folder.trusted()?.newest().clone();
    let replacement = replacement.map(|file| opener.public(file)).transpose()?;
    let mut draft = RootDraft::after(&newest);
    for name in keys {
        let key = find(&newest, name, opener)?;
        let had: Vec<RoleName> = RoleName::ALL.into_iter().filter(|role| draft.remove(*role, &key)).collect();
        if had.is_empty() {
            return Err(no_such_key(&newest, name));
        }
        for role in had {
            if let Some(replacement) = &replacement {
                draft.add(role, replacement.clone());
            }
        }
    }
    finish(folder, &newest, draft, root_keys, known, opener)
}

fn finish(
    folder: &mut Folder,
    newest: &TrustRoot,
    draft: RootDraft,
    root_keys: &[PathBuf],
    known: &Known,
    opener: &Opener,
) -> Result<Rotated, Error> {
    if draft.roles() == newest.roles() {
        return Err(trust::Error::NothingChanges { version: newest.version() }.into());
    }
    let next = draft.finish()?;
    // Nothing is written before it is known that all these keys may sign.
    let signers: Vec<Box<dyn Signer>> = opener.open_all(root_keys, RoleName::Root)?;
    for key in signers.iter().map(|signer| signer.public().id()) {
        if !newest.has(RoleName::Root, &key) {
            next.expect_member(RoleName::Root, key)?;
        }
    }
    let lapsed = known.lapsed(newest, &next);
    folder.put(next)?;
    Ok(Rotated { version: folder.sign(&signers)?, lapsed })
}

/// The key that somebody means: one of the root's by its name or how that begins, or the one in a file.
fn find(root: &TrustRoot, name: &str, opener: &Opener) -> Result<KeyId, Error> {
    let is_name = name.len() >= MIN_PREFIX && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_name {
        let mut found = root.keys().keys().filter(|id| id.to_string().starts_with(name));
        return match (found.next(), found.next()) {
            (Some(id), None) => Ok(*id),
            _ => Err(no_such_key(root, name)),
        };
    }
    Ok(opener.public(Path::new(name))?.id())
}

fn no_such_key(root: &TrustRoot, name: &str) -> Error {
    trust::Error::NoSuchKey { key: name.to_owned(), version: root.version() }.into()
}
