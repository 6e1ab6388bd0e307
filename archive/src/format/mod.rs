//! The bytes of an archive, piece by piece. `FORMAT.md` is the norm; each module here is one chapter of it.

pub mod contents;
mod error;
pub mod frame;
pub mod head;
pub mod layout;
pub mod member;
pub mod packing;
pub mod parity;
pub mod series;
pub mod volume;

pub use error::Malformed;
pub(crate) use error::shown;

/// Version of the file format.
pub const FORMAT: u32 = 1;
/// Length of the head area: frame 0 and its filler. It is read before any signature is checked, so this is what an
/// attacker can make us hold.
pub const HEAD_BYTES: u64 = 256 << 10;
/// Most plain bytes of a front page, and of a stored frame that we write.
pub const PAGE_PLAIN_BYTES: u64 = 4 << 20;
/// Most plain bytes of a stored data frame.
pub const STORED_PLAIN_BYTES: u64 = 4 << 20;
/// Plain bytes of a squeezed data frame that we write. Larger ones squeeze a little better (up to
/// [`MAX_PLAIN_BYTES`]), smaller ones keep the memory of a reader and of each squeezing core small.
pub const SQUEEZED_PLAIN_BYTES: u64 = 4 << 20;
/// Most plain bytes of any data frame that a reader takes.
pub const MAX_PLAIN_BYTES: u64 = 16 << 20;
/// Largest window of any zstd frame that a reader takes: no frame can use a larger one.
pub const MAX_WINDOW_BYTES: u64 = MAX_PLAIN_BYTES;
/// Most plain bytes of all front pages together that a reader takes: a release of 100 GB in 20,000 blobs needs 6 MB.
pub const MAX_FRONT_PLAIN_BYTES: u64 = 64 << 20;
/// Largest member of the front: a blob list of 200,000 blobs, or the contents of an archive of 500 GB.
pub const MAX_FRONT_MEMBER_BYTES: u64 = 16 << 20;
/// Largest blob that is packed: 1 TiB. Sizes come from registries, and nothing is planned for larger ones.
pub const MAX_BLOB_BYTES: u64 = 1 << 40;
/// Largest archive that is planned: 1 PiB, far below where sums of sizes would overflow.
pub const MAX_FILE_BYTES: u64 = 1 << 50;
/// Unit of the tar stream; every zstd frame holds a whole number of them.
pub const TAR_BLOCK: u64 = 512;
/// The front area ends at a multiple of this, so that data starts on a page of the file system.
pub const FRONT_ALIGN: u64 = 4 << 10;
