//! How much memory what is listed of one archive may take: few compressed bytes can list a great deal, and images that
//! share a layer list it again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::database::Unreadable;

/// Room for a whole archive, in bytes. A large image lists half a megabyte of packages, in each layer that changes them.
const ARCHIVE_BYTES: u64 = 1 << 30;

/// What is left of it, shared by all threads that read.
#[derive(Debug)]
pub(super) struct Room(AtomicU64);

impl Default for Room {
    fn default() -> Self {
        Self::of(ARCHIVE_BYTES)
    }
}

impl Room {
    fn of(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Takes room for something that is kept.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Unreadable> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            let limit = ARCHIVE_BYTES >> 20;
            Unreadable::new(format!("the archive lists more than {limit} MiB of packages in all"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_for_all_together() {
        let room = Room::of(10);
        for (bytes, fits) in [(6, true), (5, false), (4, true), (0, true), (1, false)] {
            assert_eq!(room.take(bytes).is_ok(), fits, "{bytes}");
        }
    }
}
