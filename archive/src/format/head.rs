//! The head: plain JSON documents in one stored frame, padded with filler to exactly [`HEAD_BYTES`]. The only part
//! that is parsed before a signature has been checked, so it needs no decompressor and has a fixed size.

use std::collections::BTreeMap;

use super::{HEAD_BYTES, frame, member};
use crate::trust::{RootChain, Signature, Signatures, TrustRoot};
use crate::{Error, Malformed, Sequence};

/// Most documents in a head; each takes at least two tar blocks of it.
const MAX_DOCUMENTS: usize = 256;
const PART: &str = "the head";

/// The documents of the head, as they are stored; nothing about them has been checked.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// `pack.json`.
    pub packing: Vec<u8>,
    /// `releases/<sequence>/release.json`, by sequence.
    pub statements: BTreeMap<Sequence, Vec<u8>>,
    /// `root/<version>.json`, by version.
    pub roots: RootChain,
    /// `signatures/…`.
    pub signatures: Signatures,
}

impl Head {
    /// The head area, exactly [`HEAD_BYTES`] long.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the documents do not fit.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let plain = member::write_all(&self.members());
        let mut area = frame::stored(&plain);
        let used = area.len() as u64;
        if used + frame::MIN_FILLER > HEAD_BYTES {
            let what = "the head of the archive (statements, trust roots and signatures)".to_owned();
            return Err(Error::TooLarge { what, size: used, limit: HEAD_BYTES - frame::MIN_FILLER });
        }
        area.extend(frame::filler(HEAD_BYTES - used));
        Ok(area)
    }

    /// Reads a head area. `file` names the archive in errors.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`] if it does not even begin like one, [`Error::Damaged`] if its checksum or filler is
    /// wrong, [`Error::Malformed`] and others for documents that should not be there.
    pub fn parse(file: &str, area: &[u8]) -> Result<Self, Error> {
        let refuse = |why: &str| Error::NotAnArchive { file: file.to_owned(), why: why.to_owned() };
        let damaged =
            || Error::Damaged { file: file.to_owned(), part: PART.to_owned(), start: 0, end: HEAD_BYTES };
        let plain_len =
            frame::stored_plain_len(area).ok_or_else(|| refuse("it does not begin with a stored frame"))?;
        if area.len() as u64 != HEAD_BYTES {
            return Err(refuse("it is shorter than a head"));
        }
        let (size, limit) = (frame::stored_len(plain_len), HEAD_BYTES - frame::MIN_FILLER);
        if size > limit {
            return Err(Malformed::HeadTooLarge { size, limit }.into());
        }
        let split = usize::try_from(size).unwrap_or(usize::MAX);
        let (frame0, filler) = area.split_at_checked(split).ok_or_else(damaged)?;
        let plain = frame::decode_stored(frame0).ok_or_else(damaged)?;
        if !frame::is_filler(filler) {
            return Err(damaged());
        }
        let head = Self::from_members(file, member::read_all(PART, &plain)?)?;
        // One head has one form: order and all.
        let one_form = member::write_all(&head.members());
        match one_form.iter().zip(&plain).position(|(ours, found)| ours != found) {
            None if one_form.len() == plain.len() => Ok(head),
            first => {
                let offset = first.unwrap_or(plain.len().min(one_form.len())) as u64;
                Err(Malformed::foreign(PART, offset))
            }
        }
    }

    fn members(&self) -> Vec<(String, Vec<u8>)> {
        let mut members = vec![("pack.json".to_owned(), self.packing.clone())];
        for (sequence, statement) in &self.statements {
            members.push((format!("releases/{sequence}/release.json"), statement.clone()));
        }
        for root in self.roots.iter() {
            members.push((format!("root/{}.json", root.version()), root.bytes().to_owned()));
        }
        let signatures: BTreeMap<String, &Signature> =
            self.signatures.iter().map(|s| (format!("signatures/{}", s.path()), s)).collect();
        members.extend(signatures.into_iter().map(|(name, s)| (name, s.bundle.clone())));
        members
    }

    fn from_members(file: &str, members: Vec<(String, Vec<u8>)>) -> Result<Self, Error> {
        let unexpected = |name: &str| Malformed::unexpected(PART, name);
        if members.len() > MAX_DOCUMENTS {
            let (size, limit) = (members.len() as u64, MAX_DOCUMENTS as u64);
            return Err(Error::TooLarge { what: format!("the head of `{file}`"), size, limit });
        }
        let mut head = Self::default();
        let mut packing = None;
        for (name, content) in members {
            let parts: Vec<&str> = name.split('/').collect();
            match parts[..] {
                ["pack.json"] => packing = Some(content),
                ["releases", sequence, "release.json"] => {
                    let sequence = sequence.parse().map_err(|_| unexpected(&name))?;
                    head.statements.insert(sequence, content);
                }
                ["root", version] => {
                    let root = TrustRoot::parse(&name, &content)?;
                    if version != format!("{}.json", root.version()) {
                        return Err(Error::inconsistent(&name, format!("it is version {}", root.version())));
                    }
                    head.roots.insert(&name, root)?;
                }
                ["signatures", document, key] => {
                    let path = format!("{document}/{key}");
                    let signature = Signature::from_file(&path, content)?.ok_or_else(|| unexpected(&name))?;
                    head.signatures.push(signature);
                }
                _ => return Err(unexpected(&name)),
            }
        }
        head.packing = packing.ok_or_else(|| Malformed::missing(PART, "pack.json"))?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::fixture::{fresh, sign};
    use crate::trust::{RoleName, RootDraft, SecretKey};

    /// A head with four statements of 2 KiB, each signed twice, and so many trust roots: `keys` keys in each of the four
    /// roles, the root keys replaced with every version, so that twice as many must sign it.
    fn head_with_chain(versions: u64, keys: usize) -> Head {
        let some_keys = || std::iter::repeat_with(fresh).take(keys).collect::<Vec<SecretKey>>();
        let mut head = Head { packing: vec![b' '; 2 << 10], ..Head::default() };
        for sequence in 1..=4_u64 {
            let statement = vec![u8::try_from(sequence).unwrap(); 2 << 10];
            for key in [fresh(), fresh()] {
                head.signatures.push(sign(&statement, &key));
            }
            head.statements.insert(sequence.try_into().unwrap(), statement);
        }
        let (mut draft, mut former) = (RootDraft::first(), Vec::new());
        for role in RoleName::ALL.into_iter().filter(|role| *role != RoleName::Root) {
            for key in some_keys() {
                draft.add(role, key.public().clone());
            }
        }
        for _ in 0..versions {
            let root_keys = some_keys();
            for key in &former {
                draft.remove(RoleName::Root, &SecretKey::public(key).id());
            }
            for key in &root_keys {
                draft.add(RoleName::Root, key.public().clone());
            }
            draft.set_threshold(RoleName::Root, keys);
            let root = draft.finish().unwrap();
            former.iter().chain(&root_keys).for_each(|key| head.signatures.push(sign(root.bytes(), key)));
            (draft, former) = (RootDraft::after(&root), root_keys);
            head.roots.insert("root", root).unwrap();
        }
        head
    }

    /// What `FORMAT.md` promises of the chain of trust roots.
    #[test]
    fn many_rotations_fit_into_a_head() {
        for (versions, keys) in [(50, 1), (20, 3)] {
            let area = head_with_chain(versions, keys).encode().unwrap();
            let head = Head::parse("file", &area).unwrap();
            let first = head.roots.iter().next().unwrap();
            let trusted = head.roots.follow("file", first, &head.signatures).unwrap();
            assert_eq!(trusted.newest().version(), versions, "{keys} keys");
            let too_many = head_with_chain(2 * versions, keys).encode();
            assert!(matches!(too_many, Err(Error::TooLarge { .. })), "{keys} keys");
        }
    }
}
