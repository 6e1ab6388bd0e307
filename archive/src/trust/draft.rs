//! A trust root in the making: the next version, before anybody has signed it.

use std::collections::{BTreeMap, BTreeSet};

use super::root::{Role, RoleName, Roles, TrustRoot};
use super::{KeyId, PublicKey};
use crate::Error;

/// What the next version of a trust root is to say.
#[derive(Clone, Debug)]
pub struct RootDraft {
    version: u64,
    keys: BTreeMap<KeyId, PublicKey>,
    roles: Roles,
}

impl RootDraft {
    /// Version 1, with nobody in it.
    #[must_use]
    pub fn first() -> Self {
        Self { version: 1, keys: BTreeMap::new(), roles: Roles::new() }
    }

    /// The version after `root`, so far with the same people.
    #[must_use]
    pub fn after(root: &TrustRoot) -> Self {
        Self { version: root.version() + 1, keys: root.keys().clone(), roles: root.roles().clone() }
    }

    /// The roles, as they are so far.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Gives a role to a key. A new role needs one signature until told otherwise.
    pub fn add(&mut self, role: RoleName, key: PublicKey) {
        let id = key.id();
        self.keys.insert(id, key);
        self.role(role).keys.insert(id);
    }

    /// Takes a role from a key; says whether the key had it.
    pub fn remove(&mut self, role: RoleName, key: &KeyId) -> bool {
        self.roles.get_mut(&role).is_some_and(|members| members.keys.remove(key))
    }

    /// Says how many keys of a role must sign.
    pub fn set_threshold(&mut self, role: RoleName, threshold: usize) {
        self.role(role).threshold = threshold;
    }

    /// The document. Keys without a role are left out of it, and so is a role that nobody needs to have.
    ///
    /// # Errors
    /// [`Error::TooFewKeys`], [`Error::RootKeyReused`], or what else [`TrustRoot::parse`] refuses.
    pub fn finish(mut self) -> Result<TrustRoot, Error> {
        self.roles.retain(|role, members| RoleName::NEEDED.contains(role) || !members.keys.is_empty());
        for role in RoleName::NEEDED {
            self.role(role);
        }
        for (&role, members) in &self.roles {
            let (have, need) = (members.keys.len(), members.threshold);
            if have < need {
                return Err(Error::TooFewKeys { role, have, need });
            }
        }
        self.keys.retain(|id, _| self.roles.values().any(|members| members.keys.contains(id)));
        TrustRoot::write(self.version, &self.keys, self.roles)
    }

    fn role(&mut self, role: RoleName) -> &mut Role {
        self.roles.entry(role).or_insert_with(|| Role { threshold: 1, keys: BTreeSet::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::fixture::Vendor;

    #[test]
    fn a_version_says_what_was_drafted() {
        let (vendor, other) = (Vendor::new(), Vendor::new());
        let mut draft = RootDraft::after(&vendor.trust);
        assert!(draft.remove(RoleName::Release, &vendor.release.public().id()));
        assert!(!draft.remove(RoleName::Release, &vendor.release.public().id()), "it is gone");
        draft.add(RoleName::Release, other.release.public().clone());
        draft.add(RoleName::Release, other.pack.public().clone());
        draft.set_threshold(RoleName::Release, 2);
        draft.add(RoleName::Channel, other.pack.public().clone());
        let second = draft.finish().unwrap();
        assert_eq!((second.version(), second.keys().len()), (2, 4), "the key that has no role is left out");
        assert_eq!(second.roles()[&RoleName::Release].threshold, 2);
        assert!(second.has(RoleName::Channel, &other.pack.public().id()));

        let mut draft = RootDraft::after(&second);
        draft.remove(RoleName::Channel, &other.pack.public().id());
        assert!(!draft.finish().unwrap().roles().contains_key(&RoleName::Channel), "nobody needs that role");
    }

    #[test]
    fn a_role_that_nobody_can_fill_is_not_drafted() {
        let vendor = Vendor::new();
        let mut nobody = RootDraft::after(&vendor.trust);
        nobody.remove(RoleName::Pack, &vendor.pack.public().id());
        let error = nobody.finish().unwrap_err();
        assert!(matches!(error, Error::TooFewKeys { role: RoleName::Pack, have: 0, need: 1 }), "{error}");
        let mut two_of_one = RootDraft::after(&vendor.trust);
        two_of_one.set_threshold(RoleName::Root, 2);
        let error = two_of_one.finish().unwrap_err();
        assert!(matches!(error, Error::TooFewKeys { role: RoleName::Root, have: 1, need: 2 }), "{error}");
        let error = RootDraft::first().finish().unwrap_err();
        assert!(matches!(error, Error::TooFewKeys { have: 0, need: 1, .. }), "{error}");
    }
}
