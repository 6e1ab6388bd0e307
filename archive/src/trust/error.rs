//! Why there are too few signatures: nobody else signed, or somebody did in a way that does not count.

use std::collections::BTreeSet;
use std::fmt;

use super::signature::MAX_SIGNATURES_TRIED;
use super::{KeyId, RoleName, Signatures, TrustRoot};
use crate::Digest;
use crate::explain::Code;

/// What is the matter with the signatures that came along and do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortfall {
    /// There are no others, or their keys are unknown.
    Missing,
    /// A signature bears the name of this key, and is nobody's over this document.
    OtherBytes(KeyId),
    /// This key signed more than once, and counts once.
    OneKeyTwice(KeyId),
    /// This key signed, and has another role.
    OtherRole(KeyId, RoleName),
}

impl Shortfall {
    /// What is the matter with the first signature over `document` that does not count for `role`.
    pub(super) fn of(root: &TrustRoot, document: &Digest, role: RoleName, signatures: &Signatures) -> Self {
        let mut counted = BTreeSet::new();
        let discounted = |signature: &super::Signature| {
            let der = signature.der()?;
            let signer = root.keys().iter().find(|(_, key)| key.verifies(document, &der)).map(|(id, _)| *id);
            match signer {
                Some(id) if root.has(role, &id) => (!counted.insert(id)).then_some(Self::OneKeyTwice(id)),
                Some(id) => {
                    let other = root.roles().iter().find(|(_, members)| members.keys.contains(&id));
                    other.map(|(&name, _)| Self::OtherRole(id, name))
                }
                None => root.has(role, &signature.key).then_some(Self::OtherBytes(signature.key)),
            }
        };
        let mut tried = signatures.of(document).into_iter().take(MAX_SIGNATURES_TRIED);
        tried.find_map(discounted).unwrap_or(Self::Missing)
    }

    pub(crate) fn code(self) -> Code {
        Code(match self {
            Self::Missing => 114,
            Self::OtherBytes(_) => 156,
            Self::OneKeyTwice(_) => 157,
            Self::OtherRole(..) => 158,
        })
    }
}

/// Goes on where a sentence about too few signatures ends.
impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => Ok(()),
            Self::OtherBytes(key) => {
                write!(f, "; the one that bears the name of key {} is not over these bytes", key.short())
            }
            Self::OneKeyTwice(key) => write!(f, "; key {} signed twice and counts once", key.short()),
            Self::OtherRole(key, role) => {
                write!(f, "; key {}, which signed it, has role `{role}`", key.short())
            }
        }
    }
}
