//! A version of a trust root, as people and programs are shown it.

use std::collections::BTreeMap;

use serde::Serialize;

use sealift_archive::Digest;
use sealift_archive::trust::{KeyId, RoleName, Roles, Signatures, TrustRoot};

/// What a version says, who has signed it, and who has not.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// Its digest: what people compare.
    pub fingerprint: Digest,
    /// Who may sign.
    pub roles: Roles,
    /// The root keys, of this version and of the one before it, that have signed it.
    pub signed: Vec<KeyId>,
    /// What is still needed for it to count.
    pub lacks: Vec<Lack>,
}

/// Signatures that are still needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lack {
    /// The version whose root keys must sign.
    pub of_version: u64,
    /// How many have.
    pub have: usize,
    /// How many must.
    pub need: usize,
    /// The keys that can still do it.
    pub keys: Vec<KeyId>,
}

impl Version {
    /// A version that follows `former`, if there is one.
    #[must_use]
    pub fn of(root: &TrustRoot, former: Option<&TrustRoot>, signatures: &Signatures) -> Self {
        let judges: Vec<&TrustRoot> = former.into_iter().chain([root]).collect();
        let mut keys = BTreeMap::new();
        for judge in &judges {
            keys.extend(judge.keys().iter().filter(|(id, _)| judge.has(RoleName::Root, id)));
        }
        let signed = signatures.signers(&root.digest(), keys);
        let lacks: Vec<Lack> = judges.iter().filter_map(|judge| Lack::of(judge, &signed)).collect();
        Self {
            version: root.version(),
            fingerprint: root.digest(),
            roles: root.roles().clone(),
            signed,
            lacks,
        }
    }

    /// Whether enough have signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.lacks.is_empty()
    }

    /// Versions one after the other.
    #[must_use]
    pub fn of_chain(roots: &[&TrustRoot], signatures: &Signatures) -> Vec<Self> {
        let former = std::iter::once(None).chain(roots.iter().map(|root| Some(*root)));
        roots.iter().zip(former).map(|(root, former)| Self::of(root, former, signatures)).collect()
    }
}

impl Lack {
    fn of(judge: &TrustRoot, signed: &[KeyId]) -> Option<Self> {
        let role = judge.roles().get(&RoleName::Root)?;
        let have = signed.iter().filter(|key| role.keys.contains(key)).count();
        (have < role.threshold).then(|| Self {
            of_version: judge.version(),
            have,
            need: role.threshold,
            keys: role.keys.iter().filter(|key| !signed.contains(key)).copied().collect(),
        })
    }
}
