//! The fronts of archives of which not all volumes have come yet: `incoming/<digest>/front`.
//!
//! What an archive holds stands in its first volume. It is kept until its releases are staged, so that the next stick can
//! be used without the first; and it is verified again, as if it came from the stick.

use std::path::Path;

use fs_err as fs;
use sealift_archive::format::HEAD_BYTES;
use sealift_archive::format::head::Head;
use sealift_archive::{Digest, durable};

use crate::{Error, Store, Writer};

const FRONT_FILE: &str = "front";

impl Store {
    /// The kept front of the archive with this packing; nothing of it is believed.
    ///
    /// # Errors
    /// I/O.
    pub fn front(&self, packing: &Digest) -> Result<Option<Vec<u8>>, Error> {
        for entry in fs::read_dir(self.incoming_dir())? {
            let file = entry?.path().join(FRONT_FILE);
            if !file.is_file() {
                continue;
            }
            let front = fs::read(&file)?;
            if packing_of(&file, &front) == Some(*packing) {
                return Ok(Some(front));
            }
        }
        Ok(None)
    }
}

/// Which packing a front begins with; none if it is damaged.
fn packing_of(file: &Path, front: &[u8]) -> Option<Digest> {
    let head = front.get(..usize::try_from(HEAD_BYTES).ok()?)?;
    Head::parse(&file.display().to_string(), head).ok().map(|head| Digest::of(&head.packing))
}

impl Writer {
    /// Keeps the front of an archive until this release of it is staged.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_front(&self, release: &Digest, front: &[u8]) -> Result<(), Error> {
        let dir = self.incoming_dir().join(release.hex());
        durable::create_dir_all(&dir)?;
        Ok(durable::write(&dir.join(FRONT_FILE), front)?)
    }
}
