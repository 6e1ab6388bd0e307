//! Who may say what a release is: keys, signatures, and the document that gives keys their roles.

mod keys;
mod root;
mod signature;

pub use keys::{KeyId, PublicKey, SecretKey};
pub use root::{MAX_ROOT_BYTES, Role, RoleName, Roles, RootChain, TrustRoot};
pub use signature::{MAX_SIGNATURE_BYTES, Signature, Signatures};
