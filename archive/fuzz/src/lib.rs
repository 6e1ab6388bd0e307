//! What every parser of an archive must keep to, whatever bytes it is given.
//!
//! A fuzz target is a function of bytes that panics if a parser broke a promise, and says whether the parser took them.
//! libFuzzer calls it millions of times (`make fuzz`); `archive/tests/corpus.rs`, which includes this file, calls it once
//! for every entry of the corpus. Of all parsers it is expected that they do not panic, do not hang and do not fill
//! memory; what else they promise stands at each target.

mod archives;
mod documents;
mod edits;
mod forge;
mod head;
mod memory;
mod reader;
mod sealed;
pub mod seeds;
mod tables;
mod vendor;

pub use documents::{blob_list, channel, envelope, packing, receipt, refs, signature, statement, trust_root};
pub use head::head;
pub use reader::reader;
pub use sealed::{age_file, identities};
pub use tables::{contents, parity_header, volume_header};

/// Whether a parser took these bytes, as a function with a name.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets; each has a program in `fuzz_targets/` and seeds in `corpus/`.
pub const TARGETS: [Target; 16] = [
    ("age_file", age_file),
    ("blob_list", blob_list),
    ("channel", channel),
    ("contents", contents),
    ("envelope", envelope),
    ("head", head),
    ("identities", identities),
    ("packing", packing),
    ("parity_header", parity_header),
    ("reader", reader),
    ("receipt", receipt),
    ("refs", refs),
    ("signature", signature),
    ("statement", statement),
    ("trust_root", trust_root),
    ("volume_header", volume_header),
];
