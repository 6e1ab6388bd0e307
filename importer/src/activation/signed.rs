//! Which releases of a store root believes: those that the vendor signed, whoever owns the store.

use std::os::unix::fs::MetadataExt as _;

use fs_err as fs;
use rustix::process::geteuid;
use sealift_archive::Sequence;
use sealift_archive::trust::{RoleName, TrustRoot, Trusted};
use sealift_store::{RootFile, Store, StoredRelease};

use crate::config::activation::Programs;

/// The user id of root.
const ROOT: u32 = 0;

/// Why nothing of a release is installed.
pub(crate) enum NotSigned {
    /// Who says which trust root is the vendor's is not to be believed.
    Disbelieved(String),
    /// A signature, or I/O.
    Error(Box<crate::Error>),
}

impl<E: Into<crate::Error>> From<E> for NotSigned {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// A release whose signatures are good. Its documents are those that were signed, also if the files change from now on.
pub(crate) fn signed_release(
    store: &Store,
    config: &Programs,
    release: Sequence,
) -> Result<StoredRelease, NotSigned> {
    let trusted = store.trust()?;
    let anchor = anchor(store, config, &trusted)?;
    let release = store.release(release)?;
    let (statement, signatures) = (release.statement_bytes()?, release.signatures()?);
    let check = |root: &TrustRoot| root.check("release.json", &statement, RoleName::Release, &signatures);
    // What was taken under the keys of an earlier root stays what it is.
    let mut versions = trusted.versions().filter(|root| root.version() >= anchor);
    if !versions.any(|root| check(root).is_ok()) {
        check(trusted.newest())?;
    }
    Ok(release)
}

/// The version of the trust root from which on signatures count. Whoever owns the store says what is pinned in it, so root
/// does not go by that for anybody else.
fn anchor(store: &Store, config: &Programs, trusted: &Trusted) -> Result<u64, NotSigned> {
    let store = store.root();
    let Some(file) = &config.trust_root else {
        let (us, owner) = (geteuid().as_raw(), fs::metadata(store)?.uid());
        return if goes_by_the_store(us, owner) {
            Ok(trusted.oldest().version())
        } else {
            Err(NotSigned::Disbelieved(format!(
                "`{}` belongs to user {owner}, who is not believed to say which trust root is the vendor's: name it as \
                 `programs.trustRoot` in the configuration, in a file that only root writes",
                store.display()
            )))
        };
    };
    let wanted = RootFile::read(file)?.root;
    let mut versions = trusted.versions();
    if versions.any(|root| root.digest() == wanted.digest()) {
        return Ok(wanted.version());
    }
    let pinned = trusted.oldest().digest();
    Err(NotSigned::Disbelieved(format!(
        "`{}` is {}, which is neither the store's pinned trust root ({pinned}) nor one that followed from it",
        file.display(),
        wanted.digest()
    )))
}

/// Whether what a store says of its vendor is good enough for this user, given whose store it is: nobody becomes root by it.
fn goes_by_the_store(user: u32, owner: u32) -> bool {
    user != ROOT || owner == ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_goes_by_its_own_stores_only() {
        for (user, owner, does) in [(0, 0, true), (0, 998, false), (998, 998, true), (998, 0, true)] {
            assert_eq!(goes_by_the_store(user, owner), does, "{user} with a store of {owner}");
        }
    }
}
