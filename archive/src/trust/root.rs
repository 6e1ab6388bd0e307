//! `root.json`: which keys have which role. TUF's rules for it (specification 1.0, section 5.3), not TUF's JSON.
//!
//! A new version needs the thresholds of its own root keys and of those before it. Version 1 is signed by its own
//! root keys and pinned on the appliance; every bundle carries the chain from there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{KeyId, PublicKey, SecretKey, Signatures};
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
    /// [`Error::Inconsistent`] if a role that is given has no key.
    pub fn first(members: &BTreeMap<RoleName, Vec<PublicKey>>) -> Result<Self, Error> {
        let mut keys = BTreeMap::new();
        let mut roles = Roles::new();
        for (&name, members) in members {
            let ids: BTreeSet<KeyId> = members.iter().map(PublicKey::id).collect();
            keys.extend(members.iter().map(|key| (key.id(), key.to_pem())));
            roles.insert(name, Role { threshold: 1, keys: ids });
        }
        let (api_version, kind) = (API_VERSION.to_owned(), KIND.to_owned());
        let document = RootDocument { api_version, kind, version: 1, keys, roles };
        Self::parse("root.json", &json::to_document(&document))
    }

    /// Reads a trust root. `document` names it in errors. Says nothing about who signed it.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], [`Error::BadKey`] or [`Error::Inconsistent`].
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
        for name in [RoleName::Root, RoleName::Release, RoleName::Pack] {
            if !root.roles.contains_key(&name) {
                return Err(refuse(format!("role `{name}` is missing")));
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
        let members = self.roles.get(&role).ok_or_else(|| Error::Unsigned {
            document: name.to_owned(),
            role,
            have: 0,
            need: 1,
            keys: Vec::new(),
        })?;
        signatures.check(name, document, role, members, &self.keys)
    }

    /// Refuses to begin with fewer keys than `role` needs.
    ///
    /// # Errors
    /// [`Error::Unsigned`].
    pub fn expect_enough(&self, name: &str, role: RoleName, keys: &[SecretKey]) -> Result<(), Error> {
        let distinct: BTreeSet<KeyId> = keys.iter().map(|key| key.public().id()).collect();
        match self.roles.get(&role) {
            Some(members) if distinct.len() < members.threshold => Err(Error::Unsigned {
                document: name.to_owned(),
                role,
                have: distinct.len(),
                need: members.threshold,
                keys: members.keys.iter().copied().collect(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a key that could not sign for `role`, before it is used for that.
    ///
    /// # Errors
    /// [`Error::KeyWithoutRole`].
    pub fn expect_member(&self, role: RoleName, key: &SecretKey) -> Result<(), Error> {
        let id = key.public().id();
        if self.roles.get(&role).is_some_and(|r| r.keys.contains(&id)) {
            Ok(())
        } else {
            Err(Error::KeyWithoutRole { key: id, role, version: self.version })
        }
    }
}

/// The versions of a trust root that came along, first to last.
#[derive(Clone, Debug, Default)]
pub struct RootChain(BTreeMap<u64, TrustRoot>);

impl RootChain {
    /// Adds a version; `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the version is there already.
    pub fn insert(&mut self, document: &str, root: TrustRoot) -> Result<(), Error> {
        let version = root.version;
        match self.0.insert(version, root) {
            None => Ok(()),
            Some(_) => Err(Error::inconsistent(document, format!("version {version} stands twice"))),
        }
    }

    /// The versions, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &TrustRoot> {
        self.0.values()
    }

    /// Follows the chain from a root that is trusted already to its newest successor.
    ///
    /// # Errors
    /// [`Error::OtherVendor`] if `trusted` itself is not a link of the chain, [`Error::Unsigned`] if a link lacks the signatures of the one before or of its own root keys.
    pub fn follow(
        &self,
        file: &str,
        trusted: &TrustRoot,
        signatures: &Signatures,
    ) -> Result<TrustRoot, Error> {
        let other_vendor = || Error::OtherVendor { file: file.to_owned(), version: trusted.version };
        match self.0.get(&trusted.version) {
            Some(same) if same.bytes == trusted.bytes => {}
            _ => return Err(other_vendor()),
        }
        let own = |root: &TrustRoot| {
            root.check(&format!("root/{}.json", root.version), &root.bytes, RoleName::Root, signatures)
        };
        own(trusted)?;
        let mut newest = trusted.clone();
        while let Some(next) = self.0.get(&(newest.version + 1)) {
            newest.check(&format!("root/{}.json", next.version), &next.bytes, RoleName::Root, signatures)?;
            own(next)?;
            newest = next.clone();
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Signature;

    type Change = fn(&mut serde_json::Value);

    struct Vendor {
        root: SecretKey,
        trust: TrustRoot,
    }

    fn key() -> SecretKey {
        SecretKey::generate(b"").expect("a key").0
    }

    fn vendor() -> Vendor {
        let root = key();
        let role = |key: &SecretKey| vec![key.public().clone()];
        let members = [
            (RoleName::Root, role(&root)),
            (RoleName::Release, role(&key())),
            (RoleName::Pack, role(&key())),
        ];
        let trust = TrustRoot::first(&members.into()).expect("a root");
        Vendor { root, trust }
    }

    fn chain(roots: &[&TrustRoot]) -> RootChain {
        let mut chain = RootChain::default();
        for root in roots {
            chain.insert("root", (*root).clone()).expect("distinct versions");
        }
        chain
    }

    /// The next version of a root, with other root keys if some are given.
    fn successor(of: &TrustRoot, root_key: &PublicKey) -> TrustRoot {
        let mut document: serde_json::Value = serde_json::from_slice(of.bytes()).unwrap();
        document["version"] = (of.version() + 1).into();
        document["keys"][root_key.id().to_string()] = root_key.to_pem().into();
        document["roles"]["root"]["keys"] = serde_json::json!([root_key.id()]);
        TrustRoot::parse("root.json", &serde_json::to_vec(&document).unwrap()).unwrap()
    }

    #[test]
    fn a_chain_is_followed_only_over_both_signatures() {
        let (vendor, new_key) = (vendor(), key());
        let next = successor(&vendor.trust, new_key.public());
        let sign = |root: &TrustRoot, key: &SecretKey| Signature::sign(root.bytes(), key).unwrap();
        let first = sign(&vendor.trust, &vendor.root);
        let by_old = sign(&next, &vendor.root);
        let by_new = sign(&next, &new_key);
        let both = chain(&[&vendor.trust, &next]);
        let follow = |signatures: &[&Signature]| {
            let signatures = signatures.iter().map(|&s| s.clone()).collect();
            both.follow("file", &vendor.trust, &signatures).map(|root| root.version())
        };
        assert_eq!(follow(&[&first, &by_old, &by_new]).unwrap(), 2);
        for too_few in [vec![&first, &by_old], vec![&first, &by_new], vec![&by_old, &by_new]] {
            assert!(matches!(follow(&too_few), Err(Error::Unsigned { role: RoleName::Root, .. })));
        }
    }

    #[test]
    fn another_vendors_chain_is_another_vendors() {
        let (ours, theirs) = (vendor(), vendor());
        let signed: Signatures =
            [Signature::sign(theirs.trust.bytes(), &theirs.root).unwrap()].into_iter().collect();
        let error = chain(&[&theirs.trust]).follow("file", &ours.trust, &signed).unwrap_err();
        assert!(matches!(error, Error::OtherVendor { version: 1, .. }), "{error}");
    }

    #[test]
    fn one_key_counts_once() {
        let vendor = vendor();
        let document = b"document";
        let once = Signature::sign(document, &vendor.root).unwrap();
        // ECDSA signatures differ each time, and the file name is not covered: neither makes a second signer.
        let again =
            Signature { key: key().public().id(), ..Signature::sign(document, &vendor.root).unwrap() };
        let two_of_two = Role { threshold: 2, keys: [vendor.root.public().id(), key().public().id()].into() };
        let signatures: Signatures = [once, again].into_iter().collect();
        let error = signatures
            .check("d", document, RoleName::Root, &two_of_two, &vendor.trust.keys)
            .unwrap_err()
            .to_string();
        assert!(error.contains("1 of the 2 signatures"), "{error}");
        let one_of_two = Role { threshold: 1, ..two_of_two };
        assert!(signatures.check("d", b"Document", RoleName::Root, &one_of_two, &vendor.trust.keys).is_err());
    }

    #[test]
    fn one_key_is_not_enough_where_two_are_wanted() {
        let (vendor, one, two) = (vendor(), key(), key());
        let mut document: serde_json::Value = serde_json::from_slice(vendor.trust.bytes()).unwrap();
        for key in [&one, &two] {
            document["keys"][key.public().id().to_string()] = key.public().to_pem().into();
        }
        document["roles"]["pack"] =
            serde_json::json!({"threshold": 2, "keys": [one.public().id(), two.public().id()]});
        let root = TrustRoot::parse("root.json", &serde_json::to_vec(&document).unwrap()).unwrap();
        let enough = |keys: &[SecretKey]| root.expect_enough("pack.json", RoleName::Pack, keys);
        let error = enough(std::slice::from_ref(&one)).unwrap_err();
        assert!(matches!(error, Error::Unsigned { have: 1, need: 2, .. }), "{error}");
        enough(&[one, two]).unwrap();
    }

    #[test]
    fn a_root_that_contradicts_itself_is_refused() {
        let good: serde_json::Value = serde_json::from_slice(vendor().trust.bytes()).unwrap();
        let cases: [(&str, Change); 5] = [
            ("versions go from 1", |v| v["version"] = 0.into()),
            ("wants 0 of 1", |v| v["roles"]["pack"]["threshold"] = 0.into()),
            ("wants 2 of 1", |v| v["roles"]["pack"]["threshold"] = 2.into()),
            ("`release` is missing", |v| drop(v["roles"].as_object_mut().unwrap().remove("release"))),
            ("which is not there", |v| v["roles"]["pack"]["keys"] = serde_json::json!(["0".repeat(64)])),
        ];
        for (expected, change) in cases {
            let mut bad = good.clone();
            change(&mut bad);
            let said =
                TrustRoot::parse("root.json", &serde_json::to_vec(&bad).unwrap()).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_key_file_opens_with_its_password_alone() {
        let (key, pem) = SecretKey::generate(b"secret").unwrap();
        let opened = SecretKey::from_encrypted_pem("release.key", &pem, b"secret").unwrap();
        assert_eq!(opened.public(), key.public());
        let wrong = SecretKey::from_encrypted_pem("release.key", &pem, b"guess").unwrap_err();
        assert!(matches!(wrong, Error::WrongPassword { .. }), "{wrong}");
        let public = key.public().to_pem();
        let wrong = SecretKey::from_encrypted_pem("release.pub", public.as_bytes(), b"").unwrap_err();
        assert!(matches!(wrong, Error::BadKey { .. }), "{wrong}");
    }
}
