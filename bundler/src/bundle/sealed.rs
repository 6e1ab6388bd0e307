//! Receipts that were encrypted for the vendor, and the key that reads them.

use std::io::Read as _;
use std::path::Path;

use fs_err as fs;
use sealift_archive::age::{self, Identity, KeyError, MAX_IDENTITY_FILE_BYTES};

use super::error::Error as BundleError;
use crate::Error;

/// Decrypts a receipt with the keys of an identity file. Files are opened only now: whoever has no encrypted receipt needs
/// no key, wherever the environment says that one is.
pub(super) fn open(path: &Path, bytes: &[u8], identity: Option<&Path>) -> Result<Vec<u8>, Error> {
    let Some(file) = identity else {
        return Err(BundleError::NoIdentity { receipt: path.to_owned() }.into());
    };
    age::open(&read(file)?, bytes).map_err(|error| {
        BundleError::NotDecrypted { receipt: path.to_owned(), identity: file.to_owned(), error }.into()
    })
}

fn read(file: &Path) -> Result<Vec<Identity>, Error> {
    let refuse = |why: String| BundleError::BadIdentity { file: file.to_owned(), why };
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MAX_IDENTITY_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_IDENTITY_FILE_BYTES {
        return Err(refuse(format!("it is longer than {MAX_IDENTITY_FILE_BYTES} bytes")).into());
    }
    // A key that is protected by a password is itself such a file, and no text.
    let text = String::from_utf8_lossy(&bytes);
    Identity::parse_file(&text).map_err(|error: KeyError| refuse(error.to_string()).into())
}
