//! Keys on the command line: private ones in files, and public ones that a program signs for.

use std::fmt;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;

use sealift_archive::trust::{KeyForm, MAX_KEY_BYTES, PublicKey, RoleName, SecretKey, Signer};
use sealift_archive::{Progress, Unwatched};

use crate::signer::{Program, ProgramSigner};
use crate::{Error, trust};

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

/// What opens the keys of a command.
pub struct Opener {
    password: Password,
    program: Option<Program>,
    progress: Arc<dyn Progress>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Opener {
    /// A password that is still to be asked for, and maybe a program that signs for public keys.
    #[must_use]
    pub fn new(program: Option<Program>) -> Self {
        Self { password: Password::default(), program, progress: Arc::new(Unwatched) }
    }

    /// Whoever can ask the program to stop.
    #[must_use]
    pub fn watched_by(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The password of this run.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// Asks for the password now if one of the files needs it: before a progress bar covers the question, and before Ctrl-C
    /// only means that the work should end.
    ///
    /// # Errors
    /// [`Error::NoPassword`], or a file that is missing.
    pub fn ask<'f>(&self, files: impl IntoIterator<Item = &'f PathBuf>) -> Result<(), Error> {
        for file in files {
            if KeyForm::of(&read(file)?).is_some_and(KeyForm::is_encrypted) {
                self.password.get(file)?;
            }
        }
        Ok(())
    }

    /// Opens keys that are to sign for a role, one after the other: a password of cosign's takes 64 MiB while it is tried.
    ///
    /// # Errors
    /// A file that is missing or no key, a wrong password, [`trust::Error::NoSigner`].
    pub fn open_all(&self, files: &[PathBuf], role: RoleName) -> Result<Vec<Box<dyn Signer>>, Error> {
        files.iter().map(|file| self.open(file, role)).collect()
    }

    /// Opens a key that is to sign for a role.
    ///
    /// # Errors
    /// As [`Opener::open_all`].
    pub fn open(&self, file: &Path, role: RoleName) -> Result<Box<dyn Signer>, Error> {
        let pem = read(file)?;
        if KeyForm::of(&pem) != Some(KeyForm::Public) {
            return Ok(Box::new(self.open_private(file, &pem)?));
        }
        let public = PublicKey::from_pem(&file.display().to_string(), &pem)?;
        let Some(program) = self.program.clone() else {
            return Err(trust::Error::NoSigner { file: file.to_owned() }.into());
        };
        Ok(Box::new(ProgramSigner::new(program, public, file.to_owned(), role, self.progress.clone())))
    }

    /// The public half of a key, whichever half the file has.
    ///
    /// # Errors
    /// A file that is missing or no key, a wrong password.
    pub fn public(&self, file: &Path) -> Result<PublicKey, Error> {
        let pem = read(file)?;
        if KeyForm::of(&pem).is_some_and(KeyForm::is_private) {
            return Ok(self.open_private(file, &pem)?.public().clone());
        }
        Ok(PublicKey::from_pem(&file.display().to_string(), &pem)?)
    }

    /// Whether a key can sign here.
    ///
    /// # Errors
    /// A file that is missing.
    pub fn can_sign(&self, file: &Path) -> Result<bool, Error> {
        Ok(self.program.is_some() || KeyForm::of(&read(file)?) != Some(KeyForm::Public))
    }

    fn open_private(&self, file: &Path, pem: &[u8]) -> Result<SecretKey, Error> {
        SecretKey::from_pem(&file.display().to_string(), pem, || self.password.get(file))
    }
}

/// Reads a file up to one byte more than a key may have: whoever parses it then says that it is too large.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let mut pem = Vec::new();
    fs::File::open(file)?.take(MAX_KEY_BYTES as u64 + 1).read_to_end(&mut pem)?;
    Ok(pem)
}
