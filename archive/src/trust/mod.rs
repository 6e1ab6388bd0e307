//! Who may say what a release is: keys, signatures, and the document that gives keys their roles.

mod chain;
mod draft;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod folder;
mod keys;
mod root;
mod secret;
mod signature;
mod signer;

pub use chain::{RootChain, Trusted};
pub use draft::RootDraft;
pub use error::Shortfall;
pub use folder::{read_root_file, versions_in};
pub use keys::{KeyId, PublicKey};
pub use root::{MAX_ROOT_BYTES, Role, RoleName, Roles, TrustRoot};
pub use secret::{KeyForm, MAX_KEY_BYTES, SecretKey};
pub use signature::{MAX_SIGNATURE_BYTES, Signature, Signatures};
pub use signer::Signer;
