//! What goes wrong, and from when on.

use rustix::io::Errno;

/// Something that goes wrong from its n-th occasion on, and stays so.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    what: What,
    /// How often it goes well before.
    after: usize,
    occasions: usize,
    struck: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Nothing,
    Full,
    Unreadable,
    Unsynced,
    Gone,
    /// Reads give at most so many bytes.
    Short(u32),
}

/// An occasion for something to go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Bytes of a file are read.
    Read,
    /// Something is written or made that takes room.
    Grow,
    /// Something is to be made durable.
    Sync,
    /// Anything else.
    Other,
}

impl Fault {
    pub(crate) fn none() -> Self {
        Self::new(What::Nothing, 0)
    }

    /// There is no room for the operation after so many that took some, and for none that follows.
    pub(crate) fn full_after(operations: usize) -> Self {
        Self::new(What::Full, operations)
    }

    /// No file can be read after so many reads.
    pub(crate) fn unreadable_after(reads: usize) -> Self {
        Self::new(What::Unreadable, reads)
    }

    /// Nothing can be made durable after so many fsyncs.
    pub(crate) fn unsynced_after(syncs: usize) -> Self {
        Self::new(What::Unsynced, syncs)
    }

    /// The device is pulled out after so many reads: nothing is there any more, not even the mount.
    pub(crate) fn gone_after(reads: usize) -> Self {
        Self::new(What::Gone, reads)
    }

    /// No read gives more than so many bytes.
    pub(crate) fn short_reads(bytes: u32) -> Self {
        Self::new(What::Short(bytes), 0)
    }

    fn new(what: What, after: usize) -> Self {
        Self { what, after, occasions: 0, struck: false }
    }

    /// How often it could have gone wrong so far.
    pub(crate) fn occasions(&self) -> usize {
        self.occasions
    }

    /// Whether it has gone wrong.
    pub(crate) fn has_struck(&self) -> bool {
        self.struck
    }

    /// Whether the mount has to go.
    pub(super) fn is_gone(&self) -> bool {
        self.struck && self.what == What::Gone
    }

    /// Whether files are to be read past the page cache, so that each read comes here as it was made.
    pub(super) fn is_about_the_medium(&self) -> bool {
        matches!(self.what, What::Gone | What::Short(_))
    }

    /// How many of these bytes a read gives.
    pub(super) fn limit(&mut self, size: u32) -> u32 {
        match self.what {
            What::Short(bytes) if bytes < size => {
                self.struck = true;
                bytes
            }
            _ => size,
        }
    }

    /// Takes note of an occasion.
    ///
    /// # Errors
    /// If this is one where it goes wrong.
    pub(super) fn meet(&mut self, occasion: Occasion) -> Result<(), Errno> {
        if self.is_gone() {
            return Err(Errno::NODEV);
        }
        let (strikes_at, error) = match self.what {
            What::Nothing | What::Short(_) => return Ok(()),
            What::Full => (Occasion::Grow, Errno::NOSPC),
            What::Unreadable => (Occasion::Read, Errno::IO),
            What::Unsynced => (Occasion::Sync, Errno::IO),
            What::Gone => (Occasion::Read, Errno::NODEV),
        };
        if occasion != strikes_at {
            return Ok(());
        }
        self.occasions += 1;
        if self.occasions <= self.after {
            return Ok(());
        }
        self.struck = true;
        Err(error)
    }
}
