//! `sealift trust init`: the keys of a vendor and version 1 of its trust root.

use std::path::{Path, PathBuf};

use serde::Serialize;

use sealift_archive::durable;
use sealift_archive::trust::{RoleName, RootDraft, SecretKey, Signer};

use super::{Folder, Threshold, Version};
use crate::Error;
use crate::keys::Opener;

/// Who is to have which role.
#[derive(Debug, Default, clap::Args)]
pub struct Members {
    /// Root key instead of a new pair: private, or public if `--signer` or somebody else signs for it
    #[arg(long = "root-key", value_name = "KEY")]
    root: Vec<PathBuf>,
    /// Key for the role `release` instead of a new pair; its public half is enough
    #[arg(long = "release-key", value_name = "KEY")]
    release: Vec<PathBuf>,
    /// Key for the role `pack` instead of a new pair
    #[arg(long = "pack-key", value_name = "KEY")]
    pack: Vec<PathBuf>,
    /// Key for the role `channel`, which nobody has otherwise
    #[arg(long = "channel-key", value_name = "KEY")]
    channel: Vec<PathBuf>,
    /// How many keys of a role must sign, where it is more than one
    #[arg(long = "threshold", value_name = "ROLE=N")]
    thresholds: Vec<Threshold>,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialised {
    /// The trust root, once it is signed.
    pub root: PathBuf,
    /// Files that hold secrets.
    pub private_keys: Vec<PathBuf>,
    /// Version 1.
    #[serde(flatten)]
    pub version: Version,
}

/// A key that is made here, and its files.
struct NewKey {
    role: RoleName,
    key: SecretKey,
    pem: Vec<u8>,
    private: PathBuf,
    public: PathBuf,
}

/// Makes a trust folder and the keys that are not given. Nothing is overwritten.
///
/// # Errors
/// [`Error::Exists`], a key that cannot be read, what a trust root may not say, or I/O.
pub fn init(dir: &Path, members: &Members, opener: &Opener) -> Result<Initialised, Error> {
    let mut folder = Folder::new(dir);
    let mut new = members.missing(dir);
    // All that could be in the way is found before the first file is made.
    let files = new.iter().flat_map(|(_, private, public)| [private.clone(), public.clone()]);
    for path in files.chain([folder.newest_file(), dir.join("root/1.json")]) {
        if path.exists() {
            return Err(Error::Exists { path });
        }
    }
    let mut draft = RootDraft::first();
    let mut signers: Vec<Box<dyn Signer>> = Vec::new();
    for (role, file) in members.given() {
        if role == RoleName::Root && opener.can_sign(file)? {
            let signer = opener.open(file, role)?;
            draft.add(role, signer.public().clone());
            signers.push(signer);
        } else {
            draft.add(role, opener.public(file)?);
        }
    }
    let mut made = Vec::new();
    for (role, private, public) in new.drain(..) {
        let (key, pem) = SecretKey::generate(&opener.password().choose(&private)?)?;
        draft.add(role, key.public().clone());
        made.push(NewKey { role, key, pem, private, public });
    }
    for threshold in &members.thresholds {
        draft.set_threshold(threshold.role, threshold.count);
    }
    let draft = draft.finish()?;

    durable::create_dir_all(dir)?;
    let mut private_keys = Vec::new();
    for NewKey { role, key, pem, private, public } in made {
        durable::write_secret(&private, &pem)?;
        durable::write(&public, key.public().to_pem().as_bytes())?;
        private_keys.push(private);
        if role == RoleName::Root {
            signers.push(Box::new(key));
        }
    }
    folder.put(draft)?;
    let version = folder.sign(&signers)?;
    Ok(Initialised { root: folder.newest_file(), private_keys, version })
}

impl Members {
    /// The key files that are given, role by role.
    pub(crate) fn given(&self) -> impl Iterator<Item = (RoleName, &PathBuf)> {
        let of = |role: RoleName, files| std::iter::repeat(role).zip::<&Vec<PathBuf>>(files);
        of(RoleName::Root, &self.root)
            .chain(of(RoleName::Release, &self.release))
            .chain(of(RoleName::Pack, &self.pack))
            .chain(of(RoleName::Channel, &self.channel))
    }

    /// The roles that somebody must have and nobody is named for, with the files of a new pair.
    fn missing(&self, dir: &Path) -> Vec<(RoleName, PathBuf, PathBuf)> {
        let missing =
            RoleName::NEEDED.into_iter().filter(|role| self.given().all(|(given, _)| given != *role));
        missing.map(|role| (role, dir.join(format!("{role}.key")), dir.join(format!("{role}.pub")))).collect()
    }
}
