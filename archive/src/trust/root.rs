//! `root.json`: which keys have which role. TUF's rules for it (specification 1.0, section 5.3), not TUF's JSON.
//!
//! A key that may sign new roots has no other role: it lies in a safe, and whoever signs releases every week has no
//! business there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{KeyId, PublicKey, RootDraft, Shortfall, Signatures};
use crate::release::{API_VERSION, expect_kind};
use crate::{Digest, Error, json};

const KIND: &str = "TrustRoot";

/// Largest trust root, in bytes.
pub const MAX_ROOT_BYTES: usize = 64 << 10;

/// Largest version, so that every JSON parser reads it exactly and the next one can be counted.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// What a key may sign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RoleName {
    /// New versions of the trust root.
    Root,
    /// Statements: what a release is.
    Release,
    /// Packings: which bytes may reach a decompressor.
    Pack,
    /// Channels: which release is current.
    Channel,
}

impl RoleName {
    /// All roles, in the order in which people read them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Release, Self::Pack, Self::Channel];
    /// Those that every trust root has.
    pub const NEEDED: [Self; 3] = [Self::Root, Self::Release, Self::Pack];
}

impl FromStr for RoleName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|role| role.to_string() == text).ok_or_else(|| Error::BadValue {
            what: "a role",
            value: text.to_owned(),
            rule: "`root`, `release`, `pack` or `channel`",
        })
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Release => "release",
            Self::Pack => "pack",
            Self::Channel => "channel",
        })
    }
}

/// The keys of a role, and how many of them must sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// How many distinct keys must sign; at least 1, at most as many as there are keys.
    pub threshold: usize,
    /// The keys.
    pub keys: BTreeSet<KeyId>,
}

/// Role by role, who may sign.
pub type Roles = BTreeMap<RoleName, Role>;

/// A trust root: keys and their roles.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    version: u64,
    keys: BTreeMap<KeyId, PublicKey>,
    roles: Roles,
    bytes: Vec<u8>,
}

/// The document as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RootDocument {
    api_version: String,
    kind: String,
    version: u64,
    /// Key id → public key in PEM.
    keys: BTreeMap<KeyId, String>,
    roles: Roles,
}

impl TrustRoot {
    /// Version 1: each role with one threshold of 1 over its keys, to be signed by the root keys.
    ///
    /// # Errors
    /// What is wrong with it; see [`TrustRoot::parse`].
    pub fn first(members: &BTreeMap<RoleName, Vec<PublicKey>>) -> Result<Self, Error> {
        let mut draft = RootDraft::first();
        for (&role, keys) in members {
            for key in keys {
                draft.add(role, key.clone());
            }
        }
        draft.finish()
    }

    /// Writes the document, and reads it as everybody else will.
    pub(super) fn write(
        version: u64,
        keys: &BTreeMap<KeyId, PublicKey>,
        roles: Roles,
    ) -> Result<Self, Error> {
        let document = RootDocument {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            version,
            keys: keys.iter().map(|(id, key)| (*id, key.to_pem())).collect(),
            roles,
        };
        Self::parse("root.json", &json::to_document(&document))
    }

    /// Reads a trust root. `document` names it in errors. Says nothing about who signed it.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], [`Error::BadKey`], [`Error::Inconsistent`] or [`Error::RootKeyReused`].
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_kind(document, bytes, MAX_ROOT_BYTES, KIND)?;
        let root: RootDocument = json::parse(document, bytes, MAX_ROOT_BYTES)?;
        let refuse = |why: String| Error::inconsistent(document, why);
        if !(1..=MAX_VERSION).contains(&root.version) {
            return Err(refuse(format!("versions go from 1 to {MAX_VERSION}")));
        }
        let mut keys = BTreeMap::new();
        for (id, pem) in root.keys {
            let key = PublicKey::from_pem(document, pem.as_bytes())?;
            if key.id() != id {
                return Err(refuse(format!("key `{id}` is really `{}`", key.id())));
            }
            keys.insert(id, key);
        }
        for (name, role) in &root.roles {
            if role.threshold == 0 || role.threshold > role.keys.len() {
                return Err(refuse(format!(
                    "role `{name}` wants {} of {} keys",
                    role.threshold,
                    role.keys.len()
                )));
            }
            if let Some(unknown) = role.keys.iter().find(|id| !keys.contains_key(id)) {
                return Err(refuse(format!("role `{name}` names key `{unknown}`, which is not there")));
            }
        }
        for name in RoleName::NEEDED {
            if !root.roles.contains_key(&name) {
                return Err(refuse(format!("role `{name}` is missing")));
            }
        }
        let of_root = &root.roles[&RoleName::Root].keys;
        for (&role, members) in root.roles.iter().filter(|(role, _)| **role != RoleName::Root) {
            if let Some(&key) = members.keys.intersection(of_root).next() {
                return Err(Error::RootKeyReused { document: document.to_owned(), key, role });
            }
        }
        Ok(Self { version: root.version, keys, roles: root.roles, bytes: bytes.to_owned() })
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The document, byte for byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the document: what people compare by voice.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// All roles.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<KeyId, PublicKey> {
        &self.keys
    }

    /// What errors call this version.
    #[must_use]
    pub fn name(&self) -> String {
        format!("root/{}.json", self.version)
    }

    /// Checks that enough keys of `role` signed exactly these bytes, and says which.
    ///
    /// # Errors
    /// [`Error::Unsigned`], also if nobody has the role.
    pub fn check(
        &self,
        name: &str,
        document: &[u8],
        role: RoleName,
        signatures: &Signatures,
    ) -> Result<Vec<KeyId>, Error> {
        let members = self.keys.iter().filter(|(id, _)| self.has(role, id));
        let digest = Digest::of(document);
        let signers = signatures.signers(&digest, members);
        match self.expect_enough(name, role, signers.iter().copied()) {
            Ok(()) => Ok(signers),
            Err(Error::Unsigned { document, role, have, need, keys, .. }) => {
                let why = Shortfall::of(self, &digest, role, signatures);
                Err(Error::Unsigned { document, role, have, need, keys, why })
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses fewer keys than `role` needs.
    ///
    /// # Errors
    /// [`Error::Unsigned`], also if nobody has the role.
    pub fn expect_enough(
        &self,
        name: &str,
        role: RoleName,
        keys: impl IntoIterator<Item = KeyId>,
    ) -> Result<(), Error> {
        let nobody = Role { threshold: 1, keys: BTreeSet::new() };
        let members = self.roles.get(&role).unwrap_or(&nobody);
        let signers: BTreeSet<KeyId> = keys.into_iter().filter(|id| members.keys.contains(id)).collect();
        if signers.len() >= members.threshold {
            return Ok(());
        }
        Err(Error::Unsigned {
            document: name.to_owned(),
            role,
            have: signers.len(),
            need: members.threshold,
            keys: members.keys.difference(&signers).copied().collect(),
            why: Shortfall::Missing,
        })
    }

    /// Refuses a key that could not sign for `role`, before it is used for that.
    ///
    /// # Errors
    /// [`Error::KeyWithoutRole`].
    pub fn expect_member(&self, role: RoleName, key: KeyId) -> Result<(), Error> {
        if self.has(role, &key) {
            Ok(())
        } else {
            Err(Error::KeyWithoutRole { key, role, version: self.version })
        }
    }

    /// Whether this key has that role.
    #[must_use]
    pub fn has(&self, role: RoleName, key: &KeyId) -> bool {
        self.roles.get(&role).is_some_and(|members| members.keys.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Signature;
    use crate::trust::fixture::{Vendor, sign};

    type Change = fn(&mut serde_json::Value);

    #[test]
    fn one_key_counts_once() {
        let (vendor, document) = (Vendor::new(), b"document");
        let mut draft = RootDraft::after(&vendor.trust);
        let second = Vendor::new();
        draft.add(RoleName::Release, second.release.public().clone());
        draft.set_threshold(RoleName::Release, 2);
        let two_of_two = draft.finish().unwrap();
        let once = sign(document, &vendor.release);
        // ECDSA signatures differ each time, and the file name is not covered: neither makes a second signer.
        let again = Signature { key: second.release.public().id(), ..sign(document, &vendor.release) };
        let signatures: Signatures = [once.clone(), again].into_iter().collect();
        let check = |root: &TrustRoot, bytes: &[u8], signatures: &Signatures| {
            root.check("d", bytes, RoleName::Release, signatures)
        };
        let error = check(&two_of_two, document, &signatures).unwrap_err();
        let missing = vec![second.release.public().id()];
        assert!(
            matches!(&error, Error::Unsigned { have: 1, need: 2, keys, .. } if *keys == missing),
            "{error}"
        );
        assert!(check(&vendor.trust, document, &signatures).is_ok());
        assert!(check(&vendor.trust, b"Document", &signatures).is_err());
        assert!(
            vendor.trust.check("d", document, RoleName::Channel, &signatures).is_err(),
            "nobody has the role"
        );
        let both = [once, sign(document, &second.release)].into_iter().collect();
        assert_eq!(check(&two_of_two, document, &both).unwrap().len(), 2);
    }

    #[test]
    fn one_key_is_not_enough_where_two_are_wanted() {
        let (vendor, second) = (Vendor::new(), Vendor::new());
        let mut draft = RootDraft::after(&vendor.trust);
        draft.add(RoleName::Pack, second.pack.public().clone());
        draft.set_threshold(RoleName::Pack, 2);
        let root = draft.finish().unwrap();
        let (one, two) = (vendor.pack.public().id(), second.pack.public().id());
        let enough = |keys: &[KeyId]| root.expect_enough("pack.json", RoleName::Pack, keys.iter().copied());
        for too_few in [&[one][..], &[one, one], &[one, vendor.release.public().id()]] {
            let error = enough(too_few).unwrap_err();
            assert!(matches!(error, Error::Unsigned { have: 1, need: 2, .. }), "{error}");
        }
        enough(&[one, two]).unwrap();
    }

    #[test]
    fn a_root_that_contradicts_itself_is_refused() {
        let vendor = Vendor::new();
        let good: serde_json::Value = serde_json::from_slice(vendor.trust.bytes()).unwrap();
        let cases: [(&str, Change); 8] = [
            ("versions go from 1", |v| v["version"] = 0.into()),
            ("wants 0 of 1", |v| v["roles"]["pack"]["threshold"] = 0.into()),
            ("wants 2 of 1", |v| v["roles"]["pack"]["threshold"] = 2.into()),
            ("`release` is missing", |v| drop(v["roles"].as_object_mut().unwrap().remove("release"))),
            ("which is not there", |v| v["roles"]["pack"]["keys"] = serde_json::json!(["0".repeat(64)])),
            ("the roles `root` and `release`", |v| v["roles"]["release"] = v["roles"]["root"].clone()),
            ("the roles `root` and `channel`", |v| v["roles"]["channel"] = v["roles"]["root"].clone()),
            ("is really", |v| {
                let release = v["roles"]["release"]["keys"][0].as_str().unwrap().to_owned();
                let pack = v["roles"]["pack"]["keys"][0].as_str().unwrap().to_owned();
                v["keys"][release] = v["keys"][pack].clone();
            }),
        ];
        for (expected, change) in cases {
            let mut bad = good.clone();
            change(&mut bad);
            let said =
                TrustRoot::parse("root.json", &serde_json::to_vec(&bad).unwrap()).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
