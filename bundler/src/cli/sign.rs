//! `statement` and `sign`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use sealift_archive::trust::{KeyId, RoleName, Trusted};
use sealift_archive::{Channel, Digest, ReleaseName};

use super::look::short;
use super::output::{Lines, Output, path};
use super::trust::{describe_lacks, signers};
use super::{SignArgs, StatementArgs, publish};
use crate::definition::Definition;
use crate::keys::Opener;
use crate::lock::Lock;
use crate::publish::Draft;
use crate::trust::{self, Folder, Version};
use crate::{Error, statement};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drafted {
    release: ReleaseName,
    statement: PathBuf,
    digest: Digest,
}

pub(super) fn statement(output: Output, args: &StatementArgs) -> Result<(), Error> {
    let definition = Definition::read(&args.definition)?;
    let lock = Lock::read(&args.definition, &definition)?;
    lock.local(&args.definition)?;
    let release = statement::draft(&definition, &lock)?;
    let file = statement::write(&release, &args.output)?;
    let drafted = Drafted { release: release.statement.name(), statement: file, digest: release.digest() };
    output.result(&drafted, || {
        Lines::title(&format!("Statement of {}", drafted.release))
            .line("file", path(&drafted.statement))
            .line("digest", drafted.digest)
            .end(&format!("next: sealift sign {} --key RELEASE.key", path(&args.output)))
    })
}

pub(super) fn sign(output: Output, args: &SignArgs) -> Result<(), Error> {
    let opener = Opener::new(args.signer.program());
    opener.ask(&args.key)?;
    let opener = opener.watched_by(output.silent_meter("signing")?);
    // A folder that has neither is told what a statement would be.
    if args.dir.is_file() {
        sign_draft(output, args, &opener)
    } else if statement::is_in(&args.dir) || !Folder::is_in(&args.dir) {
        sign_statement(output, args, &opener)
    } else {
        sign_root(output, args, &opener)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    release: ReleaseName,
    digest: Digest,
    signatures: Vec<String>,
}

fn sign_statement(output: Output, args: &SignArgs, opener: &Opener) -> Result<(), Error> {
    if args.key.is_empty() {
        return Err(trust::Error::NoKey { dir: args.dir.clone() }.into());
    }
    let trust = args.trust.as_deref().map(Folder::read).transpose()?;
    let root = trust.as_ref().map(|folder| folder.trusted().map(Trusted::newest)).transpose()?;
    let signers = opener.open_all(&args.key, RoleName::Release)?;
    let (statement, digest, signatures) = statement::sign(&args.dir, &signers, root)?;
    let signed = Signed {
        release: statement.name(),
        digest,
        signatures: signatures.iter().map(|s| format!("signatures/{}", s.path())).collect(),
    };
    output.result(&signed, || {
        let mut lines = Lines::title(&format!("Signed {}", signed.release)).line("digest", signed.digest);
        for signature in &signatures {
            lines = lines.line("by key", signature.key.short());
        }
        lines.text()
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedDraft<'a> {
    draft: &'a Path,
    channel: &'a Channel,
    signed: Vec<KeyId>,
}

fn sign_draft(output: Output, args: &SignArgs, opener: &Opener) -> Result<(), Error> {
    if args.key.is_empty() {
        return Err(trust::Error::NoKey { dir: args.dir.clone() }.into());
    }
    let trust = args.trust.as_deref().map(Folder::read).transpose()?;
    let root = trust.as_ref().map(|folder| folder.trusted().map(Trusted::newest)).transpose()?;
    let mut draft = Draft::read(&args.dir)?;
    let signed = draft.sign(&opener.open_all(&args.key, RoleName::Channel)?, root)?;
    draft.write(&args.dir)?;
    let signed = SignedDraft { draft: &args.dir, channel: &draft.channel, signed };
    output.result(&signed, || {
        let Channel { name, version, product, .. } = signed.channel;
        let title = format!("Signed version {version} of channel {name} of {product}");
        publish::describe_channel(Lines::title(&title), signed.channel)
            .line("by key", short(&signed.signed))
            .end(&format!("next: sealift promote --draft {} PLACE --trust TRUST", path(&args.dir)))
    })
}

fn sign_root(output: Output, args: &SignArgs, opener: &Opener) -> Result<(), Error> {
    let mut folder = Folder::read(&args.dir)?;
    let signers = opener.open_all(&args.key, RoleName::Root)?;
    let version = folder.sign(&signers)?;
    output.result(&version, || describe_root(&folder, &version, &args.dir))
}

fn describe_root(folder: &Folder, version: &Version, dir: &Path) -> String {
    let counts = if version.is_signed() { "counts" } else { "is still a draft" };
    let title = format!("Trust root version {} {counts}", version.version);
    let lines = Lines::title(&title).fingerprint(&version.fingerprint).line("signed by", signers(version));
    if version.is_signed() {
        lines.line("file", path(&folder.newest_file())).text()
    } else {
        describe_lacks(lines, &version.lacks, dir)
    }
}
