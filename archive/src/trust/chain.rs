//! From a trust root that is believed to the newest one that follows from it.
//!
//! TUF's rule (specification 1.0, section 5.3): a version counts only if the thresholds of the root keys of the version
//! before it and of its own have signed it. Version 1 is signed by its own root keys and pinned on the appliance; every
//! bundle carries the chain, so an appliance that has seen nothing for years still follows. What it has followed once it
//! keeps: a bundle that was made before the last rotation is judged by the newest root all the same.

use std::collections::BTreeMap;

use super::{KeyId, PublicKey, RoleName, Signatures, TrustRoot};
use crate::{Digest, Error};

/// The versions of a trust root that came along, first to last. Nothing about them has been checked.
#[derive(Clone, Debug, Default)]
pub struct RootChain(BTreeMap<u64, TrustRoot>);

impl RootChain {
    /// Adds a version; `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the version is there already.
    pub fn insert(&mut self, document: &str, root: TrustRoot) -> Result<(), Error> {
        let version = root.version();
        match self.0.insert(version, root) {
            None => Ok(()),
            Some(_) => Err(Error::inconsistent(document, format!("version {version} stands twice"))),
        }
    }

    /// The versions, first to last.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &TrustRoot> {
        self.0.values()
    }

    /// Follows the chain from what is trusted already, as far as it leads. A chain that ends before that takes nothing away.
    ///
    /// # Errors
    /// [`Error::OtherVendor`] if the newest version that both know is not one and the same, or if there is none;
    /// [`Error::Unsigned`] if a link lacks the signatures of the one before or of its own root keys; [`Error::Inconsistent`]
    /// if a version is left out.
    pub fn follow(
        &self,
        file: &str,
        trusted: impl Into<Trusted>,
        signatures: &Signatures,
    ) -> Result<Trusted, Error> {
        let mut trusted = trusted.into();
        let other_vendor = |why: String| Error::OtherVendor { file: file.to_owned(), why };
        for (before, after) in self.0.keys().zip(self.0.keys().skip(1)) {
            if before + 1 != *after {
                return Err(Error::inconsistent(
                    file,
                    format!("trust root version {} is missing", before + 1),
                ));
            }
        }
        let known = trusted.versions().rev().find_map(|ours| Some((ours, self.0.get(&ours.version())?)));
        let Some((ours, theirs)) = known else { return Err(other_vendor(self.no_common(&trusted))) };
        if ours.bytes() != theirs.bytes() {
            let version = ours.version();
            return Err(other_vendor(format!("its trust root version {version} is not the one known here")));
        }
        theirs.check(&theirs.name(), theirs.bytes(), RoleName::Root, signatures)?;
        while let Some(next) = self.0.get(&(trusted.newest().version() + 1)) {
            trusted.follow(next.clone(), signatures)?;
        }
        Ok(trusted)
    }

    fn no_common(&self, trusted: &Trusted) -> String {
        let (Some((&first, _)), Some((&last, _))) = (self.0.first_key_value(), self.0.last_key_value())
        else {
            return "it brings no trust root".to_owned();
        };
        let oldest = trusted.oldest().version();
        let known = versions(oldest, trusted.newest().version());
        let brings = format!(
            "it brings trust root {}, and none of them is known here ({known})",
            versions(first, last)
        );
        if last < oldest {
            format!("{brings}; if it is the same vendor's, it has to be bundled again")
        } else {
            brings
        }
    }
}

/// The versions of a trust root that somebody believes: one that was pinned, and all that followed from it.
#[derive(Clone, Debug)]
pub struct Trusted {
    before: Vec<TrustRoot>,
    newest: TrustRoot,
}

impl From<TrustRoot> for Trusted {
    fn from(newest: TrustRoot) -> Self {
        Self { before: Vec::new(), newest }
    }
}

impl From<&TrustRoot> for Trusted {
    fn from(newest: &TrustRoot) -> Self {
        newest.clone().into()
    }
}

impl From<&Self> for Trusted {
    fn from(trusted: &Self) -> Self {
        trusted.clone()
    }
}

impl Trusted {
    /// The version that says who may sign today.
    #[must_use]
    pub fn newest(&self) -> &TrustRoot {
        &self.newest
    }

    /// The version that all others followed from.
    #[must_use]
    pub fn oldest(&self) -> &TrustRoot {
        self.before.first().unwrap_or(&self.newest)
    }

    /// All versions, first to last.
    #[must_use]
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &TrustRoot> {
        self.before.iter().chain([&self.newest])
    }

    /// Takes in the version after the newest.
    ///
    /// # Errors
    /// [`Error::Unsigned`] unless the thresholds of the root keys of both have signed it, [`Error::Inconsistent`] if it is
    /// another version.
    pub fn follow(&mut self, next: TrustRoot, signatures: &Signatures) -> Result<(), Error> {
        let name = next.name();
        if next.version() != self.newest.version() + 1 {
            let why = format!(
                "it is version {}, which does not follow version {}",
                next.version(),
                self.newest.version()
            );
            return Err(Error::inconsistent(name, why));
        }
        for root in [&self.newest, &next] {
            root.check(&name, next.bytes(), RoleName::Root, signatures)?;
        }
        self.before.push(std::mem::replace(&mut self.newest, next));
        Ok(())
    }

    /// Checks that enough keys that have the role today signed exactly these bytes, and says which.
    ///
    /// # Errors
    /// [`Error::SignedByFormer`] if those who signed it were enough under an earlier version, else [`Error::Unsigned`].
    pub fn check(
        &self,
        name: &str,
        document: &[u8],
        role: RoleName,
        signatures: &Signatures,
    ) -> Result<Vec<KeyId>, Error> {
        let refused = match self.newest.check(name, document, role, signatures) {
            Ok(signers) => return Ok(signers),
            Err(refused) => refused,
        };
        // Each signature is tried against each key once, however many versions there are.
        let keys: BTreeMap<&KeyId, &PublicKey> = self.before.iter().flat_map(TrustRoot::keys).collect();
        let signers = signatures.signers(&Digest::of(document), keys);
        let sufficed = |root: &&TrustRoot| root.expect_enough(name, role, signers.iter().copied()).is_ok();
        match (refused, self.before.iter().rev().find(sufficed)) {
            (Error::Unsigned { document, have, need, keys, .. }, Some(then)) => Err(Error::SignedByFormer {
                document,
                role,
                have,
                need,
                keys,
                then: then.version(),
                now: self.newest.version(),
            }),
            (refused, _) => Err(refused),
        }
    }
}

fn versions(first: u64, last: u64) -> String {
    if first == last { format!("version {first}") } else { format!("versions {first} to {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Explain as _;
    use crate::trust::fixture::{Vendor, fresh, sign};
    use crate::trust::{RootDraft, SecretKey, Signature};

    /// A vendor that has changed its root key with every version, and all signatures that this takes.
    struct Rotated {
        vendor: Vendor,
        roots: Vec<TrustRoot>,
        signatures: Signatures,
    }

    impl Rotated {
        fn new(versions: usize) -> Self {
            let vendor = Vendor::new();
            let mut roots = vec![vendor.trust.clone()];
            let mut signatures: Signatures = [sign(vendor.trust.bytes(), &vendor.root)].into_iter().collect();
            let mut former: Option<SecretKey> = None;
            for _ in 1..versions {
                let key = former.as_ref().unwrap_or(&vendor.root);
                let (root, next) = successor(&roots[roots.len() - 1], key);
                signatures.push(sign(root.bytes(), key));
                signatures.push(sign(root.bytes(), &next));
                roots.push(root);
                former = Some(next);
            }
            Self { vendor, roots, signatures }
        }

        fn chain(&self, versions: std::ops::RangeInclusive<usize>) -> RootChain {
            chain(&self.roots[versions.start() - 1..*versions.end()])
        }

        fn trusting(&self, versions: std::ops::RangeInclusive<usize>) -> Trusted {
            let mut trusted = Trusted::from(&self.roots[versions.start() - 1]);
            for root in &self.roots[*versions.start()..*versions.end()] {
                trusted.follow(root.clone(), &self.signatures).unwrap();
            }
            trusted
        }
    }

    /// The next version of a root, in which a new key takes the place of the one that could sign roots.
    fn successor(of: &TrustRoot, key: &SecretKey) -> (TrustRoot, SecretKey) {
        let next = fresh();
        let mut draft = RootDraft::after(of);
        draft.remove(RoleName::Root, &key.public().id());
        draft.add(RoleName::Root, next.public().clone());
        (draft.finish().unwrap(), next)
    }

    fn chain(roots: &[TrustRoot]) -> RootChain {
        let mut chain = RootChain::default();
        for root in roots {
            chain.insert("root", root.clone()).expect("distinct versions");
        }
        chain
    }

    /// `versions of what is then trusted`, or the error.
    fn said(result: Result<Trusted, Error>) -> String {
        result.map_or_else(
            |error| format!("{} {error}", error.code()),
            |trusted| versions(trusted.oldest().version(), trusted.newest().version()),
        )
    }

    #[test]
    fn whoever_is_behind_follows_and_whoever_is_ahead_stays() {
        let ours = Rotated::new(5);
        let cases = [
            ("three versions behind", 1..=1, 1..=4, "versions 1 to 4"),
            ("pinned later", 3..=3, 1..=5, "versions 3 to 5"),
            ("has followed before", 1..=3, 1..=5, "versions 1 to 5"),
            ("ahead", 1..=5, 1..=2, "versions 1 to 5"),
            ("ahead, pinned later", 2..=4, 1..=3, "versions 2 to 4"),
            ("level", 1..=2, 1..=2, "versions 1 to 2"),
            ("the chain begins later", 1..=3, 3..=5, "versions 1 to 5"),
            (
                "the chain begins too late",
                1..=2,
                4..=5,
                "SL0115 `file` comes from another vendor: it brings trust root versions 4 to 5, and none of them is known here (versions 1 to 2)",
            ),
            (
                "the chain ends too early",
                3..=3,
                1..=2,
                "SL0115 `file` comes from another vendor: it brings trust root versions 1 to 2, and none of them is known here (version 3); if it is the same vendor's, it has to be bundled again",
            ),
        ];
        for (name, trusted, brought, expected) in cases {
            let said = said(ours.chain(brought).follow("file", ours.trusting(trusted), &ours.signatures));
            assert_eq!(said.split_at(expected.len()).0, expected, "{name}: {said}");
        }
    }

    #[test]
    fn a_link_needs_both_signatures() {
        let ours = Rotated::new(3);
        let all: Vec<Signature> = ours.signatures.iter().cloned().collect();
        for without in 0..all.len() {
            let mut some = all.clone();
            let lost = some.remove(without);
            let signatures = some.into_iter().collect();
            let result = ours.chain(1..=3).follow("file", &ours.roots[0], &signatures);
            assert!(matches!(result, Err(Error::Unsigned { role: RoleName::Root, .. })), "without {lost:?}");
        }
        assert!(ours.chain(1..=3).follow("file", &ours.roots[0], &ours.signatures).is_ok());
    }

    #[test]
    fn a_chain_that_parts_from_what_is_known_is_anothers() {
        let (ours, theirs) = (Rotated::new(2), Rotated::new(1));
        let of_theirs = theirs.chain(1..=1).follow("file", &ours.roots[0], &theirs.signatures);
        assert_eq!(
            said(of_theirs),
            "SL0115 `file` comes from another vendor: its trust root version 1 is not the one known here"
        );
        // Somebody who has the keys of version 1 made another version 2, and signed it as it must be.
        let (fork, key) = successor(&ours.roots[0], &ours.vendor.root);
        let mut signatures = ours.signatures.clone();
        signatures.push(sign(fork.bytes(), &ours.vendor.root));
        signatures.push(sign(fork.bytes(), &key));
        let forked = chain(&[ours.roots[0].clone(), fork]);
        assert!(forked.follow("file", ours.trusting(1..=1), &signatures).is_ok(), "who knows no better");
        assert!(
            said(forked.follow("file", ours.trusting(1..=2), &signatures))
                .contains("version 2 is not the one")
        );
    }

    #[test]
    fn no_version_is_left_out() {
        let ours = Rotated::new(3);
        let gap = chain(&[ours.roots[0].clone(), ours.roots[2].clone()]);
        let said = said(gap.follow("file", &ours.roots[0], &ours.signatures));
        assert!(said.contains("trust root version 2 is missing"), "{said}");
        let mut trusted = ours.trusting(1..=1);
        assert!(trusted.follow(ours.roots[2].clone(), &ours.signatures).is_err());
        assert!(matches!(
            RootChain::default().follow("file", trusted, &ours.signatures),
            Err(Error::OtherVendor { .. })
        ));
    }

    #[test]
    fn what_former_keys_signed_no_longer_counts() {
        let (ours, document) = (Rotated::new(1), b"a statement");
        let (first, new) = (&ours.roots[0], fresh());
        let mut draft = RootDraft::after(first);
        draft.remove(RoleName::Release, &ours.vendor.release.public().id());
        draft.add(RoleName::Release, new.public().clone());
        let second = draft.finish().unwrap();
        let mut trusted = ours.trusting(1..=1);
        trusted
            .follow(second.clone(), &[sign(second.bytes(), &ours.vendor.root)].into_iter().collect())
            .unwrap();
        let check = |signatures: &[Signature]| {
            trusted.check("release.json", document, RoleName::Release, &signatures.iter().cloned().collect())
        };
        let (by_former, by_new) = (sign(document, &ours.vendor.release), sign(document, &new));
        let error = check(std::slice::from_ref(&by_former)).unwrap_err();
        assert!(matches!(error, Error::SignedByFormer { have: 0, need: 1, then: 1, now: 2, .. }), "{error}");
        assert_eq!(check(&[by_former, by_new]).unwrap(), [new.public().id()]);
        let error = check(&[sign(document, &ours.vendor.pack)]).unwrap_err();
        assert!(matches!(error, Error::Unsigned { .. }), "{error}");
    }
}
