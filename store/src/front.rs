//! What is known of archives of which not all volumes have come yet: `incoming/<digest>/front` and `…/volumes`.
//!
//! What an archive holds stands in its first volume. It is kept until its releases are staged, so that the next stick can
//! be used without the first; and it is verified again, as if it came from the stick. The headers of all volumes that have
//! come tell which ones are still to come.

use std::path::Path;

use fs_err as fs;
use sealift_archive::format::HEAD_BYTES;
use sealift_archive::format::head::Head;
use sealift_archive::format::volume::{HEADER_LEN, Header};
use sealift_archive::{Digest, durable};

use crate::{Error, Store, Writer};

const FRONT_FILE: &str = "front";
const HEADERS_FILE: &str = "volumes";
/// [`HEADER_LEN`] in memory.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below every limit")]
const HEADER_BYTES: usize = HEADER_LEN as usize;

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

    /// Headers of the volumes of a set that have come so far.
    ///
    /// # Errors
    /// I/O.
    pub fn volume_headers(&self, set: &Digest) -> Result<Vec<Header>, Error> {
        let mut headers = Vec::new();
        for entry in fs::read_dir(self.incoming_dir())? {
            let file = entry?.path().join(HEADERS_FILE);
            if file.is_file() {
                let bytes = fs::read(&file)?;
                headers
                    .extend(bytes.chunks(HEADER_BYTES).filter_map(Header::parse).filter(|h| h.set == *set));
            }
        }
        Ok(headers)
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

    /// Keeps the headers of all volumes that have come, until this release of the archive is staged.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_volume_headers(&self, release: &Digest, headers: &[Header]) -> Result<(), Error> {
        let dir = self.incoming_dir().join(release.hex());
        durable::create_dir_all(&dir)?;
        let bytes: Vec<u8> = headers.iter().flat_map(Header::encode).collect();
        Ok(durable::write(&dir.join(HEADERS_FILE), &bytes)?)
    }
}
