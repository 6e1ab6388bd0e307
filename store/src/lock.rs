//! One writer at a time.
//!
//! The lock is a `flock` on the file `lock`: it ends with the process that holds it, however that ends, so there is
//! never a stale lock to clear. What the file says serves the message of whoever comes second, and nothing else.

use std::fmt;
use std::fs::TryLockError;
use std::io::{self, Read as _, Write as _};
use std::ops::Deref;

use fs_err as fs;
use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::{Error, Store, boot, sweep};

pub(crate) const LOCK_FILE: &str = "lock";
/// Commands that bring content, and go on where they were ended.
const ENDABLE: [&str; 2] = ["import", "mirror"];
/// Longest description of a holder that is read, in bytes.
const MAX_HOLDER_BYTES: u64 = 4 << 10;

/// A store that nobody else is changing. All that writes is found here; reading goes through [`Store`].
#[derive(Debug)]
pub struct Writer {
    store: Store,
    lock: fs::File,
}

/// Who holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pid: u32,
    command: String,
    /// In which boot of the machine: after the next one, the number is somebody else's.
    #[serde(default)]
    boot_id: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The holder may not have come round to writing its name yet.
        if self.command.is_empty() {
            f.write_str("another process")
        } else {
            write!(f, "`{}` (process {})", self.command, self.pid)
        }
    }
}

impl Store {
    /// Locks the store for changes, and clears away what a crashed writer left half done. `command` is what others
    /// are told who come meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else has the lock, or I/O.
    pub fn lock(&self, command: &str) -> Result<Writer, Error> {
        let path = self.root().join(LOCK_FILE);
        let mut lock = fs::File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = Holder::read(lock)?.unwrap_or_default();
                return Err(Error::Busy { store: self.root().to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let holder = Holder::this_process(command);
        let text = serde_json::to_vec(&holder).map_err(io::Error::from)?;
        lock.set_len(0)?;
        match lock.write_all(&text) {
            // Whoever comes to make room must not need any.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            written => written?,
        }
        let writer = Writer { store: self.clone(), lock };
        sweep::leftovers(&writer)?;
        Ok(writer)
    }

    /// Who is changing the store, as far as that can be told without touching the lock: good enough to be shown.
    ///
    /// # Errors
    /// I/O.
    pub fn holder(&self) -> Result<Option<Holder>, Error> {
        match fs::File::open(self.root().join(LOCK_FILE)) {
            Ok(lock) => Ok(Holder::read(lock)?.filter(Holder::is_alive)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Holder {
    fn this_process(command: &str) -> Self {
        let boot_id = boot().unwrap_or_default();
        Self { pid: std::process::id(), command: command.to_owned(), boot_id }
    }

    /// What the file says; nothing if nobody has written to it.
    fn read(lock: fs::File) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        lock.take(MAX_HOLDER_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Whether it is one of those that may take hours, and that lose nothing if they are ended.
    pub(crate) fn can_be_ended(&self) -> bool {
        self.command.split(' ').next().is_some_and(|command| ENDABLE.contains(&command))
    }

    fn is_alive(&self) -> bool {
        let is_of_another_boot = |now: String| !self.boot_id.is_empty() && self.boot_id != now;
        if boot().is_ok_and(is_of_another_boot) {
            return false;
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // A process of another user may not be asked, but it is there.
        pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH)))
    }
}

impl Drop for Writer {
    /// Closing the file is not enough: a child process that is just being started has it open for another moment.
    fn drop(&mut self) {
        // If these fail, the lock still ends with the process, and a dead holder is known to be dead.
        let _ = self.lock.set_len(0);
        let _ = self.lock.unlock();
    }
}

impl Deref for Writer {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Explain as _;

    use super::*;

    #[test]
    fn the_second_writer_is_told_about_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        assert_eq!(store.holder().unwrap(), None);
        let first = store.lock("sealiftctl import a.tar.zst").unwrap();
        assert_eq!(store.holder().unwrap().unwrap().command, "sealiftctl import a.tar.zst");
        let said = store.lock("sealiftctl rollback").unwrap_err().to_string();
        let pid = std::process::id();
        assert!(said.contains(&format!("`sealiftctl import a.tar.zst` (process {pid})")), "{said}");
        drop(first);
        assert_eq!(store.holder().unwrap(), None);
        // A number of before the power went belongs to nobody, or to somebody else.
        let of_before = Holder { boot_id: "another boot".to_owned(), ..Holder::this_process("import") };
        fs::write(dir.path().join(LOCK_FILE), serde_json::to_vec(&of_before).unwrap()).unwrap();
        assert_eq!(store.holder().unwrap(), None);
        // A shorter description leaves nothing of the longer one behind.
        let _second = store.lock("x").unwrap();
        assert!(store.lock("y").unwrap_err().to_string().contains("by `x` ("));
    }

    #[test]
    fn who_finds_a_download_is_told_that_it_can_be_ended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let cases = [
            ("mirror https://releases.acme.example", true),
            ("import a.tar.zst", true),
            ("activate 1.2", false),
            ("resume", false),
            ("imports", false),
        ];
        for (command, can_be_ended) in cases {
            let _first = store.lock(command).unwrap();
            let hint = store.lock("rollback").unwrap_err().hint().unwrap();
            assert_eq!(hint.contains("systemctl stop sealift-mirror"), can_be_ended, "{command}: {hint}");
        }
    }
}
