//! `sealift trust init`: the keys of a vendor and version 1 of its trust root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

use sealift_archive::trust::{
    KeyId, MAX_ROOT_BYTES, PublicKey, RoleName, SecretKey, Signature, Signatures, TrustRoot,
};
use sealift_archive::{Digest, durable};

use crate::Error;
use crate::keys::{self, Password};

/// Keys that exist already.
#[derive(Debug, Default, clap::Args)]
pub struct ExistingKeys {
    /// Private root key to use instead of a new one (it signs the trust root)
    #[arg(long = "root-key", value_name = "PRIVATE")]
    root: Vec<PathBuf>,
    /// Public key for the role `release` instead of a new pair
    #[arg(long = "release-key", value_name = "PUBLIC")]
    release: Vec<PathBuf>,
    /// Public key for the role `pack` instead of a new pair
    #[arg(long = "pack-key", value_name = "PUBLIC")]
    pack: Vec<PathBuf>,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialised {
    /// The trust root.
    pub root: PathBuf,
    /// Its digest: what people compare.
    pub digest: Digest,
    /// Role by role, the keys that have it.
    pub roles: BTreeMap<RoleName, Vec<KeyId>>,
    /// Files that hold secrets.
    pub private_keys: Vec<PathBuf>,
}

/// Makes `dir/root.json` and the keys that are not given. Nothing is overwritten.
///
/// # Errors
/// [`Error::Exists`], a key that cannot be read, or I/O.
pub fn init(dir: &Path, existing: &ExistingKeys, password: &Password) -> Result<Initialised, Error> {
    let root_file = dir.join("root.json");
    let wanted: [(RoleName, bool); 3] = [
        (RoleName::Root, existing.root.is_empty()),
        (RoleName::Release, existing.release.is_empty()),
        (RoleName::Pack, existing.pack.is_empty()),
    ];
    // All that could be in the way is found before the first file is made.
    let files = |role: RoleName| (dir.join(format!("{role}.key")), dir.join(format!("{role}.pub")));
    let new_files =
        wanted.iter().filter(|(_, new)| *new).flat_map(|(role, _)| <[PathBuf; 2]>::from(files(*role)));
    for path in new_files.chain([root_file.clone()]) {
        if path.exists() {
            return Err(Error::Exists { path });
        }
    }
    let mut root_keys = keys::open_all(&existing.root, password)?;
    let read =
        |files: &[PathBuf]| files.iter().map(|f| keys::read_public(f)).collect::<Result<Vec<_>, Error>>();
    let mut members: BTreeMap<RoleName, Vec<PublicKey>> = [
        (RoleName::Root, root_keys.iter().map(|k| k.public().clone()).collect()),
        (RoleName::Release, read(&existing.release)?),
        (RoleName::Pack, read(&existing.pack)?),
    ]
    .into();

    durable::create_dir_all(dir)?;
    let mut private_keys = Vec::new();
    for (role, _) in wanted.iter().filter(|(_, new)| *new) {
        let (private, public) = files(*role);
        let (key, pem) = SecretKey::generate(&password.choose(&private)?)?;
        durable::write_secret(&private, &pem)?;
        durable::write(&public, key.public().to_pem().as_bytes())?;
        members.entry(*role).or_default().push(key.public().clone());
        private_keys.push(private);
        if *role == RoleName::Root {
            root_keys.push(key);
        }
    }
    let root = TrustRoot::first(&members)?;
    let signatures: Signatures =
        root_keys.iter().map(|key| Signature::sign(root.bytes(), key)).collect::<Result<_, _>>()?;
    signatures.write_to(dir)?;
    // Last: with `root.json` the folder is complete.
    durable::write(&root_file, root.bytes())?;
    let roles =
        members.into_iter().map(|(role, keys)| (role, keys.iter().map(PublicKey::id).collect())).collect();
    Ok(Initialised { root: root_file, digest: root.digest(), roles, private_keys })
}

/// Reads a trust root and the signatures beside it.
///
/// # Errors
/// A file that is missing, too large, or no trust root.
pub fn read(file: &Path) -> Result<(TrustRoot, Signatures), Error> {
    let size = fs::metadata(file)?.len();
    if size > MAX_ROOT_BYTES as u64 {
        let what = file.display().to_string();
        return Err(sealift_archive::Error::TooLarge { what, size, limit: MAX_ROOT_BYTES as u64 }.into());
    }
    let root = TrustRoot::parse(&file.display().to_string(), &fs::read(file)?)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    let signatures = Signatures::read_from(dir, &root.digest())?;
    Ok((root, signatures))
}
