//! Where everything will lie, computed before the first byte is fetched: a pure function of the blob list.
//!
//! Stored blobs come first, each in frames of its own, so that each can be written in place as it arrives. Squeezed
//! blobs follow, their tar members one behind the other, cut into frames of equal plain length.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use super::contents::encoded_len;
use super::packing::NeededRelease;
use super::series;
use super::{
    FRONT_ALIGN, HEAD_BYTES, MAX_BLOB_BYTES, MAX_FILE_BYTES, MAX_FRONT_MEMBER_BYTES, MAX_FRONT_PLAIN_BYTES,
    PAGE_PLAIN_BYTES, SQUEEZED_PLAIN_BYTES, STORED_PLAIN_BYTES, frame, member,
};
use crate::{Blob, BlobList, Digest, Error, Release};

const TEXT: &str = "a string takes all text";

/// Whether content is compressed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing {
    /// It is: kept as it is, in frames of raw blocks.
    Stored,
    /// It is not: zstd makes it smaller.
    Squeezed,
}

/// What the names of media types end with whose content shrinks.
const SQUEEZABLE: [&str; 3] = ["json", ".tar", "/x-tar"];
/// What the names of media types contain whose content does not shrink any more, whatever they end with.
const COMPRESSED: [&str; 4] = ["gzip", "zstd", "xz", "bzip2"];

impl Storing {
    /// Judged by media type, the same whatever the content came from. What is unknown is stored: cheap, and never wrong.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Self {
        let squeezes =
            SQUEEZABLE.iter().any(|end| media_type.ends_with(end)) || media_type.starts_with("text/");
        if squeezes && !COMPRESSED.iter().any(|c| media_type.contains(c)) {
            Self::Squeezed
        } else {
            Self::Stored
        }
    }
}

/// Where a stored blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// The blob.
    pub blob: Blob,
    /// Index of its first frame.
    pub first_frame: u32,
    /// First byte of that frame, counted from the data offset.
    pub offset: u64,
}

impl StoredPlace {
    /// Plain lengths of its frames: the member cut at [`STORED_PLAIN_BYTES`].
    pub fn frames(self) -> impl Iterator<Item = u64> {
        cut(member::len(self.blob.size), STORED_PLAIN_BYTES)
    }

    /// How many frames it takes, and how many bytes they are together.
    fn extent(self) -> (u64, u64) {
        let plain = member::len(self.blob.size);
        let (whole, rest) = (plain / STORED_PLAIN_BYTES, plain % STORED_PLAIN_BYTES);
        let last = if rest == 0 { 0 } else { frame::stored_len(rest) };
        (plain.div_ceil(STORED_PLAIN_BYTES), whole * frame::stored_len(STORED_PLAIN_BYTES) + last)
    }

    /// Where the content byte at `offset` stands, counted from the data offset, and how many follow it without a gap.
    #[must_use]
    pub fn run_at(self, offset: u64) -> (u64, u64) {
        let in_member = member::HEADER_LEN + offset;
        let (frame, in_frame) = (in_member / STORED_PLAIN_BYTES, in_member % STORED_PLAIN_BYTES);
        let start =
            self.offset + frame * frame::stored_len(STORED_PLAIN_BYTES) + frame::stored_position(in_frame);
        let run = frame::stored_run(in_frame).min(STORED_PLAIN_BYTES - in_frame).min(self.blob.size - offset);
        (start, run)
    }
}

/// Where a squeezed blob lies before it is squeezed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolPlace {
    /// The blob.
    pub blob: Blob,
    /// First byte of its content in the stream of squeezed members.
    pub offset: u64,
}

impl SpoolPlace {
    /// The squeezed frame in which it starts, counted from the first squeezed one, and the offset in that frame's content.
    /// An empty blob starts behind the last byte of its header: there may be no frame behind that.
    #[must_use]
    pub fn start(self) -> (u64, u64) {
        let last = if self.blob.size == 0 { self.offset - 1 } else { self.offset };
        let frame = last / SQUEEZED_PLAIN_BYTES;
        (frame, self.offset - frame * SQUEEZED_PLAIN_BYTES)
    }
}

/// What a delta leaves out, and who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The releases whose content is presumed, by rising sequence.
    pub needs: Vec<NeededRelease>,
    /// What of their content is not carried.
    pub blobs: BTreeSet<Digest>,
}

/// Where everything will lie.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The releases whose content is presumed; none if everything is carried.
    pub needs: Vec<NeededRelease>,
    /// First byte of data.
    pub data_offset: u64,
    /// Stored blobs, in order.
    pub stored: Vec<StoredPlace>,
    /// Bytes of all stored frames.
    pub stored_bytes: u64,
    /// Number of stored frames.
    pub stored_frames: u32,
    /// Squeezed blobs, in order.
    pub squeezed: Vec<SpoolPlace>,
    /// Plain bytes of all squeezed members.
    pub spool_bytes: u64,
    index: HashMap<Digest, (Storing, usize)>,
}

impl Layout {
    /// Plans an archive that carries all of these releases; `storing` says how each blob is kept.
    ///
    /// # Errors
    /// As [`Layout::plan_delta`].
    pub fn plan(releases: &[Release], storing: impl Fn(&Digest) -> Storing) -> Result<Self, Error> {
        Self::plan_delta(releases, LeftOut::default(), storing)
    }

    /// Plans an archive of these releases, by rising sequence, that leaves something out.
    ///
    /// # Errors
    /// [`Error::Unlike`] or [`Error::BadNeed`] if these releases cannot be in one file, [`Error::TooLarge`] if there are
    /// more frames than the format can count.
    pub fn plan_delta(
        releases: &[Release],
        LeftOut { needs, blobs: left_out }: LeftOut,
        storing: impl Fn(&Digest) -> Storing,
    ) -> Result<Self, Error> {
        series::check(releases, &needs)?;
        let mut all = BlobList::default();
        for release in releases {
            for blob in release.blob_list.iter() {
                if blob.size > MAX_BLOB_BYTES {
                    let what = blob.digest.to_string();
                    return Err(Error::TooLarge { what, size: blob.size, limit: MAX_BLOB_BYTES });
                }
                if !left_out.contains(&blob.digest) {
                    all.insert(blob)?;
                } else if needs.is_empty() {
                    let why = format!("{} is left out, and no needed release has it", blob.digest);
                    return Err(Error::inconsistent("the plan of this archive", why));
                }
            }
        }
        let (mut stored, mut squeezed, mut index) = (Vec::new(), Vec::new(), HashMap::new());
        let (mut offset, mut frames, mut spool_bytes) = (0_u64, 0_u64, 0_u64);
        for blob in all.iter() {
            match storing(&blob.digest) {
                Storing::Stored => {
                    index.insert(blob.digest, (Storing::Stored, stored.len()));
                    let place = StoredPlace { blob, first_frame: frame_index(frames)?, offset };
                    let (count, length) = place.extent();
                    frames = add(frames, count)?;
                    offset = add(offset, length)?;
                    stored.push(place);
                }
                Storing::Squeezed => {
                    index.insert(blob.digest, (Storing::Squeezed, squeezed.len()));
                    squeezed.push(SpoolPlace { blob, offset: spool_bytes + member::HEADER_LEN });
                    spool_bytes = add(spool_bytes, member::len(blob.size))?;
                }
            }
        }
        let all_frames = frames + spool_bytes.div_ceil(SQUEEZED_PLAIN_BYTES);
        frame_index(all_frames)?;
        let members = front_members(releases, encoded_len(all_frames, all.len() as u64));
        if let Some(&size) = members.iter().find(|&&size| size > MAX_FRONT_MEMBER_BYTES) {
            let what = "a member of the front (a blob list, refs or contents)".to_owned();
            return Err(Error::TooLarge { what, size, limit: MAX_FRONT_MEMBER_BYTES });
        }
        let front_len: u64 = members.into_iter().map(member::len).sum();
        if front_len > MAX_FRONT_PLAIN_BYTES {
            let what = "the front of the archive (blob lists, refs and contents)".to_owned();
            return Err(Error::TooLarge { what, size: front_len, limit: MAX_FRONT_PLAIN_BYTES });
        }
        let front_bound: u64 = cut(front_len, PAGE_PLAIN_BYTES).map(frame::stored_len).sum();
        let data_offset = (HEAD_BYTES + front_bound + frame::MIN_FILLER).next_multiple_of(FRONT_ALIGN);
        let (stored_bytes, stored_frames) = (offset, frame_index(frames)?);
        Ok(Self { needs, data_offset, stored, stored_bytes, stored_frames, squeezed, spool_bytes, index })
    }

    /// The place of a stored blob.
    #[must_use]
    pub fn stored_place(&self, digest: &Digest) -> Option<StoredPlace> {
        match self.index.get(digest)? {
            (Storing::Stored, index) => self.stored.get(*index).copied(),
            (Storing::Squeezed, _) => None,
        }
    }

    /// The place of a squeezed blob.
    #[must_use]
    pub fn spool_place(&self, digest: &Digest) -> Option<SpoolPlace> {
        match self.index.get(digest)? {
            (Storing::Squeezed, index) => self.squeezed.get(*index).copied(),
            (Storing::Stored, _) => None,
        }
    }

    /// All blobs.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        self.stored.iter().map(|p| p.blob).chain(self.squeezed.iter().map(|p| p.blob))
    }

    /// The plan's identity: the same digest means that every byte has the same place.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut text = format!("{} {STORED_PLAIN_BYTES} {SQUEEZED_PLAIN_BYTES}\n", self.data_offset);
        for needed in &self.needs {
            writeln!(text, "needs {}", needed.statement).expect(TEXT);
        }
        for place in &self.stored {
            writeln!(text, "stored {} {} {}", place.blob.digest, place.blob.size, place.offset).expect(TEXT);
        }
        for place in &self.squeezed {
            writeln!(text, "squeezed {} {} {}", place.blob.digest, place.blob.size, place.offset)
                .expect(TEXT);
        }
        Digest::of(text.as_bytes())
    }

    /// The most that each piece can measure that is never cut, in bytes: the front, each frame, the tail.
    pub fn max_piece_lengths(&self) -> impl Iterator<Item = u64> + '_ {
        let frames = self.stored.iter().flat_map(|place| place.frames());
        let frames =
            frames.chain(cut(self.spool_bytes, SQUEEZED_PLAIN_BYTES)).chain([member::END_LEN as u64]);
        std::iter::once(self.data_offset).chain(frames.map(frame::stored_len))
    }

    /// The most that the finished file can measure, in bytes; exact if nothing is squeezed.
    #[must_use]
    pub fn max_file_bytes(&self) -> u64 {
        let squeezed: u64 = cut(self.spool_bytes, SQUEEZED_PLAIN_BYTES).map(frame::stored_len).sum();
        self.data_offset + self.stored_bytes + squeezed + frame::stored_len(member::END_LEN as u64)
    }

    /// The most disk that making it takes at one time: the file, and the spool beside it.
    #[must_use]
    pub fn max_disk_bytes(&self) -> u64 {
        self.max_file_bytes() + self.spool_bytes
    }
}

/// How long the members of the front are.
fn front_members(releases: &[Release], contents: u64) -> Vec<u64> {
    let of_release = |r: &Release| [r.blob_list.to_text().len() as u64, r.refs_bytes.len() as u64];
    releases.iter().flat_map(of_release).chain([contents]).collect()
}

fn add(sum: u64, more: u64) -> Result<u64, Error> {
    let too_large =
        || Error::TooLarge { what: "the archive".to_owned(), size: u64::MAX, limit: MAX_FILE_BYTES };
    sum.checked_add(more).filter(|&sum| sum <= MAX_FILE_BYTES).ok_or_else(too_large)
}

/// Pieces of `len` bytes, all but the last `piece` long.
pub fn cut(len: u64, piece: u64) -> impl Iterator<Item = u64> {
    (0..len.div_ceil(piece)).map(move |i| (len - i * piece).min(piece))
}

fn frame_index(count: u64) -> Result<u32, Error> {
    let limit = u64::from(u32::MAX);
    let what = || "the number of frames".to_owned();
    u32::try_from(count).map_err(|_| Error::TooLarge { what: what(), size: count, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_tell_what_is_compressed() {
        let cases = [
            ("application/vnd.oci.image.layer.v1.tar+gzip", Storing::Stored),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Storing::Stored),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Storing::Stored),
            ("application/vnd.oci.image.layer.v1.tar", Storing::Squeezed),
            ("application/vnd.oci.image.manifest.v1+json", Storing::Squeezed),
            ("application/vnd.docker.distribution.manifest.v2+json", Storing::Squeezed),
            ("application/x-git-pack", Storing::Stored),
            ("application/octet-stream", Storing::Stored),
            ("", Storing::Stored),
        ];
        for (media_type, wanted) in cases {
            assert_eq!(Storing::of_media_type(media_type), wanted, "{media_type}");
        }
    }

    #[test]
    fn a_content_byte_is_found_in_its_frames() {
        let size = 2 * STORED_PLAIN_BYTES + 77;
        let content: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let blob = Blob::of(&content);
        let mut plain = member::header(&blob.digest.blob_path(), size).to_vec();
        plain.extend(&content);
        plain.resize(usize::try_from(member::len(size)).unwrap(), 0);
        let piece = usize::try_from(STORED_PLAIN_BYTES).unwrap();
        let file: Vec<u8> = plain.chunks(piece).flat_map(frame::stored).collect();
        let place = StoredPlace { blob, first_frame: 0, offset: 0 };
        let mut offset = 0;
        while offset < size {
            let (start, run) = place.run_at(offset);
            let (start, run) = (usize::try_from(start).unwrap(), usize::try_from(run).unwrap());
            let from = usize::try_from(offset).unwrap();
            assert!(file[start..start + run] == content[from..from + run], "from {offset}");
            offset += run as u64;
        }
    }
}
