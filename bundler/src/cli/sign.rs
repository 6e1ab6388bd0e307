//! `trust init`, `statement`, `sign`.

use std::path::Path;

use serde::Serialize;

use sealift_archive::trust::{KeyId, RoleName};
use sealift_archive::{Digest, ReleaseName};

use super::output::{Lines, Output, path};
use super::{SignArgs, StatementArgs};
use crate::definition::Definition;
use crate::keys::{self, Password};
use crate::lock::Lock;
use crate::trust::{self, ExistingKeys};
use crate::{Error, statement};

pub(super) fn init_trust(output: Output, dir: &Path, existing: &ExistingKeys) -> Result<(), Error> {
    let made = trust::init(dir, existing, &Password::default())?;
    output.result(&made, || {
        let mut lines = Lines::title("Made a trust root, version 1")
            .line("file", path(&made.root))
            .line("digest", made.digest);
        for role in [RoleName::Root, RoleName::Release, RoleName::Pack] {
            let keys: Vec<String> = made.roles.get(&role).into_iter().flatten().map(KeyId::short).collect();
            lines = lines.line(&role.to_string(), format!("1 of {} ({})", keys.len(), keys.join(", ")));
        }
        for key in &made.private_keys {
            lines = lines.line("secret", path(key));
        }
        lines.end("Keep root.key offline. Appliances pin root.json, with signatures/ beside it.")
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drafted {
    release: ReleaseName,
    statement: std::path::PathBuf,
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    release: ReleaseName,
    digest: Digest,
    signatures: Vec<String>,
}

pub(super) fn sign(output: Output, args: &SignArgs) -> Result<(), Error> {
    let root = args.trust.as_deref().map(trust::read).transpose()?;
    let keys = keys::open_all(&args.key, &Password::default())?;
    let (statement, digest, signatures) =
        statement::sign(&args.dir, &keys, root.as_ref().map(|(root, _)| root))?;
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
