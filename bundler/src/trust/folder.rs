//! The folder of a vendor's trust root.
//!
//! ```text
//! root.json            the newest version that counts: what appliances pin
//! root/<version>.json  all versions; one above that of root.json is a draft
//! signatures/          signatures over all of them
//! channels/            <product>-<name>.json, the envelope of each channel that was published last
//! ```
//!
//! `root.json` is written last: whatever happens before leaves a draft, or nothing.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sealift_archive::release::published::MAX_ENVELOPE_BYTES;
use sealift_archive::trust::{
    KeyId, RoleName, RootChain, Signature, Signatures, Signer, TrustRoot, Trusted, read_root_file,
    versions_in,
};
use sealift_archive::{ChannelName, Product, durable};

use super::Version;
use crate::files::read_capped;
use crate::{Error, trust};

const NEWEST_FILE: &str = "root.json";
const VERSIONS_DIR: &str = "root";
const CHANNELS_DIR: &str = "channels";

/// A vendor's trust root: what counts of it, and what is being made.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// The versions that count. There are none before version 1 is signed.
    counting: Option<Trusted>,
    draft: Option<TrustRoot>,
    signatures: Signatures,
}

impl Folder {
    /// Whether a folder holds a trust root, or a draft of one.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        dir.join(NEWEST_FILE).is_file() || dir.join(VERSIONS_DIR).is_dir()
    }

    /// Reads a trust folder, or the one in which a file `root.json` lies. A `root.json` alone is a chain of one version.
    ///
    /// # Errors
    /// A file that is missing or no trust root, versions that do not follow from each other, or I/O.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (dir, newest_file) = if path.is_dir() {
            (path.to_owned(), path.join(NEWEST_FILE))
        } else {
            (path.parent().unwrap_or(Path::new("")).to_owned(), path.to_owned())
        };
        let versions = versions_in(&dir.join(VERSIONS_DIR))?;
        // Version 1 may still be waiting for signatures.
        let nothing_counts = !versions.is_empty() && !newest_file.exists();
        let newest = if nothing_counts { None } else { Some(read_root(&newest_file)?) };
        let after = newest.as_ref().map_or(0, TrustRoot::version);
        let (mut chain, mut draft) = (Vec::new(), None);
        let mut signatures = Signatures::default();
        for number in versions {
            let file = dir.join(VERSIONS_DIR).join(format!("{number}.json"));
            let root = read_root(&file)?;
            let is_another =
                number == after && newest.as_ref().is_some_and(|newest| newest.bytes() != root.bytes());
            if root.version() != number || is_another || number > after + 1 {
                return Err(trust::Error::StrayRoot { file, newest: newest_file }.into());
            }
            signatures.extend(Signatures::read_from(&dir, &root.digest())?);
            if number > after {
                draft = Some(root);
            } else if number < after {
                chain.push(root);
            }
        }
        if let Some(newest) = newest {
            signatures.extend(Signatures::read_from(&dir, &newest.digest())?);
            chain.push(newest);
        }
        let counting = follow(chain, &signatures)?;
        Ok(Self { dir, counting, draft, signatures })
    }

    /// A folder in which there is nothing yet.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), counting: None, draft: None, signatures: Signatures::default() }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the newest version that counts lies.
    #[must_use]
    pub fn newest_file(&self) -> PathBuf {
        self.dir.join(NEWEST_FILE)
    }

    /// The versions that count.
    ///
    /// # Errors
    /// [`trust::Error::NothingSigned`] if version 1 is still a draft.
    pub fn trusted(&self) -> Result<&Trusted, Error> {
        self.counting.as_ref().ok_or_else(|| trust::Error::NothingSigned { dir: self.dir.clone() }.into())
    }

    /// The version that is being made.
    #[must_use]
    pub fn draft(&self) -> Option<&TrustRoot> {
        self.draft.as_ref()
    }

    /// All versions, first to last, the draft among them.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        let roots: Vec<&TrustRoot> =
            self.counting.iter().flat_map(Trusted::versions).chain(&self.draft).collect();
        Version::of_chain(&roots, &self.signatures)
    }

    /// What goes along with a release: the whole chain, and the signatures over it that count.
    ///
    /// # Errors
    /// [`trust::Error::NothingSigned`], or the archive's `Unsigned` if the first version is not signed by its own root keys.
    pub fn carried(&self) -> Result<(RootChain, Signatures), Error> {
        let mut chain = RootChain::default();
        let mut carried = Signatures::default();
        let trusted = self.trusted()?;
        let first = trusted.oldest();
        first.check(&first.name(), first.bytes(), RoleName::Root, &self.signatures)?;
        let mut former: Option<&TrustRoot> = None;
        for root in trusted.versions() {
            chain.insert(&root.name(), root.clone())?;
            let counts = |key: &KeyId| {
                [Some(root), former].into_iter().flatten().any(|root| root.has(RoleName::Root, key))
            };
            let over_it = self.signatures.of(&root.digest()).into_iter();
            carried.extend(over_it.filter(|signature| counts(&signature.key)).cloned());
            former = Some(root);
        }
        Ok((chain, carried))
    }

    /// Where the last envelope of a channel is kept: places may lose theirs, or show an older one.
    pub(crate) fn channel_file(&self, product: &Product, name: ChannelName) -> PathBuf {
        self.dir.join(CHANNELS_DIR).join(format!("{product}-{name}.json"))
    }

    /// The last envelope of a channel that was published from here; `None` before the first.
    ///
    /// # Errors
    /// I/O, or a file that is too large.
    pub(crate) fn last_channel(
        &self,
        product: &Product,
        name: ChannelName,
    ) -> Result<Option<Vec<u8>>, Error> {
        let file = self.channel_file(product, name);
        if !fs::exists(&file)? {
            return Ok(None);
        }
        read_capped(&file, MAX_ENVELOPE_BYTES as u64).map(Some)
    }

    /// Keeps the envelope of a channel that is about to be published, for good.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn keep_channel(
        &self,
        product: &Product,
        name: ChannelName,
        envelope: &[u8],
    ) -> Result<(), Error> {
        durable::create_dir_all(&self.dir.join(CHANNELS_DIR))?;
        Ok(durable::write(&self.channel_file(product, name), envelope)?)
    }

    /// Puts the next version there, as a draft.
    ///
    /// # Errors
    /// [`trust::Error::DraftThere`], or I/O.
    pub(super) fn put(&mut self, draft: TrustRoot) -> Result<(), Error> {
        self.expect_no_draft()?;
        let dir = self.dir.join(VERSIONS_DIR);
        durable::create_dir_all(&dir)?;
        durable::write(&dir.join(format!("{}.json", draft.version())), draft.bytes())?;
        self.draft = Some(draft);
        Ok(())
    }

    /// Refuses to begin a version while another one is not finished.
    ///
    /// # Errors
    /// [`trust::Error::DraftThere`].
    pub(super) fn expect_no_draft(&self) -> Result<(), Error> {
        match &self.draft {
            Some(draft) => {
                let file = self.dir.join(VERSIONS_DIR).join(format!("{}.json", draft.version()));
                Err(trust::Error::DraftThere { dir: self.dir.clone(), file }.into())
            }
            None => Ok(()),
        }
    }

    /// Signs the draft, and makes it the newest version if enough have signed it now. With no signers it only takes in what
    /// others have put beside it.
    ///
    /// # Errors
    /// [`trust::Error::NothingToSign`] if there is no draft, the archive's `KeyWithoutRole` before anybody is asked to sign, what a
    /// signer says, or I/O.
    pub fn sign(&mut self, signers: &[Box<dyn Signer>]) -> Result<Version, Error> {
        let Some(draft) = self.draft.take() else {
            let version = self.trusted()?.newest().version();
            return Err(trust::Error::NothingToSign { dir: self.dir.clone(), version }.into());
        };
        let former = self.counting.as_ref().map(Trusted::newest);
        for signer in signers {
            let key = signer.public().id();
            if !former.is_some_and(|former| former.has(RoleName::Root, &key)) {
                draft.expect_member(RoleName::Root, key)?;
            }
        }
        let made: Signatures = signers
            .iter()
            .map(|signer| Signature::sign(draft.bytes(), &**signer))
            .collect::<Result<_, _>>()?;
        made.write_to(&self.dir)?;
        self.signatures.extend(made);
        let version = Version::of(&draft, former, &self.signatures);
        if version.is_signed() {
            durable::write(&self.newest_file(), draft.bytes())?;
            match &mut self.counting {
                Some(counting) => counting.follow(draft, &self.signatures)?,
                None => self.counting = Some(draft.into()),
            }
        } else {
            self.draft = Some(draft);
        }
        Ok(version)
    }
}

/// The chain of these roots, each of which must follow from the one before it.
fn follow(roots: Vec<TrustRoot>, signatures: &Signatures) -> Result<Option<Trusted>, Error> {
    let mut trusted: Option<Trusted> = None;
    for root in roots {
        match &mut trusted {
            None => trusted = Some(root.into()),
            Some(trusted) => trusted.follow(root, signatures)?,
        }
    }
    Ok(trusted)
}

fn read_root(file: &Path) -> Result<TrustRoot, Error> {
    Ok(TrustRoot::parse(&file.display().to_string(), &read_root_file(file)?)?)
}
