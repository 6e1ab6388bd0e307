//! Keys in files, and the password that opens them.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;

use sealift_archive::trust::{PublicKey, SecretKey};

use crate::Error;

/// The variable that cosign reads too. Set and empty means: no password.
const PASSWORD_VARIABLE: &str = "COSIGN_PASSWORD";

/// Asks for the password at most once, and remembers it for all keys of a run.
#[derive(Default)]
pub struct Password(Mutex<Option<Vec<u8>>>);

/// Says nothing: what is printed for debugging ends in logs.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// The password for existing keys; `file` is the one that needs it first.
    ///
    /// # Errors
    /// [`Error::NoPassword`] if there is none and nobody to ask.
    pub fn get(&self, file: &Path) -> Result<Vec<u8>, Error> {
        self.remember(|| ask(file, "Password for the private keys: "))
    }

    /// The password for new keys, asked for twice.
    ///
    /// # Errors
    /// [`Error::NoPassword`], [`Error::PasswordsDiffer`].
    pub fn choose(&self, file: &Path) -> Result<Vec<u8>, Error> {
        self.remember(|| {
            let first = ask(file, "Password for the new private keys: ")?;
            let second = ask(file, "The same password again: ")?;
            if first == second { Ok(first) } else { Err(Error::PasswordsDiffer) }
        })
    }

    fn remember(&self, ask: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<Vec<u8>, Error> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(password) = &*known {
            return Ok(password.clone());
        }
        let password = match std::env::var_os(PASSWORD_VARIABLE) {
            Some(password) => password.into_encoded_bytes(),
            None => ask()?,
        };
        Ok(known.insert(password).clone())
    }
}

fn ask(file: &Path, prompt: &str) -> Result<Vec<u8>, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::NoPassword { file: file.display().to_string() });
    }
    Ok(rpassword::prompt_password(prompt)?.into_bytes())
}

/// Opens private keys, one after the other: each costs 64 MiB while it lasts.
///
/// # Errors
/// A file that is missing or no key, a wrong password.
pub fn open_all(files: &[PathBuf], password: &Password) -> Result<Vec<SecretKey>, Error> {
    files.iter().map(|file| open(file, password)).collect()
}

/// Opens one private key.
///
/// # Errors
/// As [`open_all`].
pub fn open(file: &Path, password: &Password) -> Result<SecretKey, Error> {
    let pem = fs::read(file)?;
    SecretKey::from_pem(&file.display().to_string(), &pem, || password.get(file))
}

/// Reads a public key.
///
/// # Errors
/// A file that is missing or no public key.
pub fn read_public(file: &Path) -> Result<PublicKey, Error> {
    Ok(PublicKey::from_pem(&file.display().to_string(), &fs::read(file)?)?)
}
