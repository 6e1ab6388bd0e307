//! `sealift-registry tls`: the certificate authority of this node.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift_archive::durable;
use sealift_archive::release::Day;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::listed::{Listed, flat};
use crate::Error;
use crate::tls::authority::{self, Authority, CERTIFICATE};
use crate::tls::{DnsName, Facts, Names, certificates};

/// Where a node keeps its authority.
const DEFAULT_DIR: &str = "/var/lib/sealift-registry";
/// Where its certificate is then.
pub(super) const DEFAULT_CA: &str = "/var/lib/sealift-registry/ca.crt";

/// Make and show this node's certificate authority.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Init(Init),
    Issue(Issue),
    Show(Show),
}

/// Make a certificate authority for this node, unless there is one.
///
/// Its key never leaves this node. It may vouch for this node alone: for localhost, this machine's name, the names of
/// the registry's Service in Kubernetes, loopback, and what `--name` and `--address` add. An authority that is there is
/// never changed.
#[derive(Args, Debug)]
#[command(after_help = INIT_EXAMPLES)]
pub(super) struct Init {
    /// Another name of this node; may be repeated.
    #[arg(long, value_name = "NAME", env = "SEALIFT_REGISTRY_NAMES")]
    name: Vec<Listed<DnsName>>,
    /// An address of this node; may be repeated.
    #[arg(long, value_name = "ADDRESS", env = "SEALIFT_REGISTRY_ADDRESSES")]
    address: Vec<Listed<IpAddr>>,
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

const INIT_EXAMPLES: &str = "\
Examples:
  sealift-registry tls init --address 10.0.0.11 --address fd00::11
  sealift-registry tls init --name node-a.example.com --dir /srv/pki";

/// Make a certificate for another program of this node that speaks to other nodes.
///
/// It lasts 30 days, and is for the same names as the authority. The registry and `sealiftctl` need none of this: they make
/// their own.
#[derive(Args, Debug)]
#[command(after_help = ISSUE_EXAMPLES)]
pub(super) struct Issue {
    /// Where `node.crt` and `node.key` are written.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

const ISSUE_EXAMPLES: &str = "\
Examples:
  sealift-registry tls issue --output /run/backup";

/// Say whose certificates these are, what they are for, and when they expire.
#[derive(Args, Debug)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct Show {
    /// Files of certificates in PEM; without any, this node's authority.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  sealift-registry tls show
  sealift-registry tls show --json node-a.crt node-b.crt";

impl Command {
    /// Does what was asked, and says it on `out`.
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Self::Init(init) => init.run(out),
            Self::Issue(issue) => issue.run(out),
            Self::Show(show) => show.run(out),
        }
    }
}

impl Init {
    fn run(self, out: &mut impl Write) -> Result<(), Error> {
        let names = Names::new(flat(self.name), flat(self.address));
        let made = authority::init(&self.dir, names, OffsetDateTime::now_utc())?;
        let file = self.dir.join(CERTIFICATE);
        let remark = if made.is_new { "made" } else { "was there already, and stays" };
        writeln!(out, "{}: {remark}", file.display())?;
        Ok(describe(out, &made.facts)?)
    }
}

impl Issue {
    fn run(self, out: &mut impl Write) -> Result<(), Error> {
        let leaf = Authority::load(&self.dir)?.issue(OffsetDateTime::now_utc())?;
        let (certificate, key) = (self.output.join("node.crt"), self.output.join("node.key"));
        durable::create_dir_all(&self.output)?;
        durable::write_secret(&key, leaf.key_pem().as_bytes())?;
        durable::write(&certificate, leaf.certificate_pem().as_bytes())?;
        Ok(writeln!(out, "{}\n{}", certificate.display(), key.display())?)
    }
}

impl Show {
    fn run(self, out: &mut impl Write) -> Result<(), Error> {
        let files = if self.files.is_empty() { vec![self.dir.join(CERTIFICATE)] } else { self.files };
        let mut shown = Vec::new();
        for file in &files {
            for certificate in certificates(file)? {
                shown.push((file, Facts::of(&certificate, file)?));
            }
        }
        if self.json {
            let list: Vec<_> = shown.iter().map(|(file, facts)| as_json(file, facts)).collect();
            return Ok(writeln!(out, "{:#}", json!({ "certificates": list }))?);
        }
        for (file, facts) in &shown {
            writeln!(out, "{}", file.display())?;
            describe(out, facts)?;
        }
        Ok(())
    }
}

fn describe(out: &mut impl Write, facts: &Facts) -> io::Result<()> {
    let day = |moment: OffsetDateTime| Day(moment.date());
    let purpose = if facts.is_authority { "vouches for" } else { "is for" };
    writeln!(out, "  subject      {}", facts.subject)?;
    writeln!(out, "  {purpose:<11}  {}", facts.names)?;
    writeln!(out, "  valid        {} to {}", day(facts.not_before), day(facts.not_after))?;
    writeln!(out, "  SHA-256      {}", facts.fingerprint.hex())
}

fn as_json(file: &Path, facts: &Facts) -> serde_json::Value {
    let moment = |moment: OffsetDateTime| moment.format(&Rfc3339).unwrap_or_default();
    json!({
        "file": file.display().to_string(),
        "subject": facts.subject,
        "authority": facts.is_authority,
        "names": facts.names.list(),
        "notBefore": moment(facts.not_before),
        "notAfter": moment(facts.not_after),
        "sha256": facts.fingerprint.hex(),
    })
}
