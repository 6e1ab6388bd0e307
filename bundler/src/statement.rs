//! From a lock to a statement: blob list, refs and `release.json`, a pure function of definition and lock.

use std::path::{Path, PathBuf};

use fs_err as fs;

use sealift_archive::format::MAX_FRONT_PLAIN_BYTES;
use sealift_archive::release::{self, BlobListSummary, MAX_STATEMENT_BYTES};
use sealift_archive::trust::{RoleName, Signature, Signatures, Signer, TrustRoot};
use sealift_archive::{Blob, BlobList, Digest, Refs, Release, Sequence, Statement, durable};

use crate::Error;
use crate::definition::Definition;
use crate::files::read_capped;
use crate::lock::Lock;

/// Name of the statement in its folder.
pub(crate) const STATEMENT: &str = "release.json";
/// Names of the documents that lie beside it.
const BLOB_LIST: &str = "blobs";
const REFS: &str = "refs.json";

/// Draws the release up. Nobody has signed it yet.
///
/// # Errors
/// If the lock contradicts itself.
pub fn draft(definition: &Definition, lock: &Lock) -> Result<Release, Error> {
    let (refs, blob_list) = content(lock)?;
    let refs_bytes = refs.to_bytes();
    // What a reader would refuse must not be signed.
    Refs::parse("refs.json", &refs_bytes)?;
    let summary = BlobListSummary::of(&blob_list);
    let mut statement = Statement::new(definition.name(), summary, Blob::of(&refs_bytes));
    statement.floor = definition.floor.unwrap_or(Sequence::FIRST);
    statement.platforms = definition.platforms.chosen().map(<[_]>::to_vec).unwrap_or_default();
    statement.upgrade_from.clone_from(&definition.upgrade_from);
    statement.os = definition
        .os
        .as_ref()
        .map(|os| release::OperatingSystem { base: os.base.clone(), artifacts: lock.os_artifacts.clone() });
    statement.kubernetes = definition
        .kubernetes
        .as_ref()
        .map(|k| release::Kubernetes { distribution: k.distribution.clone(), version: k.version.clone() });
    statement.waivers = definition.rebuild.iter().flat_map(|rebuild| rebuild.waivers.clone()).collect();
    let statement_bytes = statement.to_bytes();
    Statement::parse(STATEMENT, &statement_bytes)?;
    Ok(Release {
        statement,
        statement_bytes,
        signatures: Vec::new(),
        signers: Vec::new(),
        blob_list,
        refs,
        refs_bytes,
    })
}

/// What a lock's names point at, and all its content.
///
/// # Errors
/// If the lock contradicts itself.
pub fn content(lock: &Lock) -> Result<(Refs, BlobList), Error> {
    let mut blob_list = BlobList::default();
    for content in lock.contents() {
        blob_list.insert(content.blob())?;
    }
    let refs = refs(lock)?;
    refs.check_against("refs.json", &blob_list)?;
    Ok((refs, blob_list))
}

fn refs(lock: &Lock) -> Result<Refs, Error> {
    let mut refs = Refs::default();
    for image in &lock.images {
        image.add_to(&mut refs)?;
    }
    for chart in &lock.charts {
        chart.add_to(&mut refs)?;
    }
    for flux in &lock.flux {
        flux.add_to(&mut refs)?;
    }
    for git in &lock.git {
        refs.git.insert(git.name.clone(), git.pinned.carried());
    }
    refs.files = lock.files.iter().map(|file| (file.name.clone(), file.content.descriptor())).collect();
    Ok(refs)
}

/// Writes `release.json`, the blob list and `refs.json` to a folder, for people who sign.
///
/// # Errors
/// I/O.
pub fn write(release: &Release, dir: &Path) -> Result<PathBuf, Error> {
    durable::create_dir_all(dir)?;
    durable::write(&dir.join(BLOB_LIST), release.blob_list.to_text().as_bytes())?;
    durable::write(&dir.join(REFS), &release.refs_bytes)?;
    let statement = dir.join(STATEMENT);
    durable::write(&statement, &release.statement_bytes)?;
    Ok(statement)
}

/// Reads the statement in a folder, its digest, and the blob list that it vouches for. Who signed it is not looked at.
///
/// # Errors
/// A document that is no statement or too large, [`Error::OtherStatement`] if the blob list is another one, or I/O.
pub fn read_with_list(dir: &Path) -> Result<(Statement, Digest, BlobList), Error> {
    let file = dir.join(STATEMENT);
    let bytes = read_capped(&file, MAX_STATEMENT_BYTES as u64)?;
    let statement = Statement::parse(&file.display().to_string(), &bytes)?;
    let list = dir.join(BLOB_LIST);
    let text = read_capped(&list, MAX_FRONT_PLAIN_BYTES)?;
    if Digest::of(&text) != statement.blob_list.digest {
        return Err(Error::OtherStatement { file: list });
    }
    let blob_list = BlobList::parse(&list.display().to_string(), &text)?;
    Ok((statement, Digest::of(&bytes), blob_list))
}

/// Writes the statement of a release that is signed already, with its documents and signatures: to be signed again.
///
/// # Errors
/// I/O.
pub fn write_signed(release: &Release, dir: &Path) -> Result<PathBuf, Error> {
    let statement = write(release, dir)?;
    release.signatures.iter().cloned().collect::<Signatures>().write_to(dir)?;
    Ok(statement)
}

/// The signatures in a folder over the statement of `release`.
///
/// # Errors
/// [`Error::OtherStatement`] if the folder's statement is another one.
pub fn read_signatures(release: &Release, dir: &Path) -> Result<Signatures, Error> {
    let file = dir.join(STATEMENT);
    if fs::read(&file)? != release.statement_bytes {
        return Err(Error::OtherStatement { file });
    }
    Ok(Signatures::read_from(dir, &release.digest())?)
}

fn expect_digest(file: &Path, wanted: Digest) -> Result<(), Error> {
    if Digest::of(&fs::read(file)?) == wanted {
        Ok(())
    } else {
        Err(Error::OtherStatement { file: file.to_owned() })
    }
}

/// Whether a folder holds a statement.
#[must_use]
pub fn is_in(dir: &Path) -> bool {
    dir.join(STATEMENT).is_file()
}

/// Reads the statement in a folder, and its bytes.
///
/// # Errors
/// A document that is no statement, or I/O.
pub fn read(dir: &Path) -> Result<(Statement, Vec<u8>), Error> {
    let file = dir.join(STATEMENT);
    let size = fs::metadata(&file)?.len();
    if size > MAX_STATEMENT_BYTES as u64 {
        let (what, limit) = (file.display().to_string(), MAX_STATEMENT_BYTES as u64);
        return Err(sealift_archive::Error::TooLarge { what, size, limit }.into());
    }
    let bytes = fs::read(&file)?;
    Ok((Statement::parse(&file.display().to_string(), &bytes)?, bytes))
}

/// Signs the statement in a folder; with a trust root, only with keys that may. The digest is that of the bytes that were
/// signed.
///
/// # Errors
/// A document that is no statement, a key without the role, what a signer says, or I/O.
pub fn sign(
    dir: &Path,
    signers: &[Box<dyn Signer>],
    root: Option<&TrustRoot>,
) -> Result<(Statement, Digest, Vec<Signature>), Error> {
    // Nobody signs what Sealift would not read.
    let (statement, bytes) = read(dir)?;
    // Nor what is about other files than those that lie beside it to be looked at.
    expect_digest(&dir.join(BLOB_LIST), statement.blob_list.digest)?;
    expect_digest(&dir.join(REFS), statement.refs.digest)?;
    for signer in signers {
        root.map_or(Ok(()), |root| root.expect_member(RoleName::Release, signer.public().id()))?;
    }
    let signatures =
        signers.iter().map(|signer| Signature::sign(&bytes, &**signer)).collect::<Result<Vec<_>, _>>()?;
    signatures.iter().cloned().collect::<Signatures>().write_to(dir)?;
    Ok((statement, Digest::of(&bytes), signatures))
}
