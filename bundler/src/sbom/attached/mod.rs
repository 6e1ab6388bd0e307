//! SBOMs that are attached to an image: SPDX 2 and CycloneDX as JSON, plain or as the predicate of an in-toto statement
//! (cosign's attestations, BuildKit's), in a DSSE envelope, in a Sigstore bundle.
//!
//! Who signed an attachment is not looked at here: the release's signature covers its bytes, and whoever signed the
//! release took it in.

mod cyclonedx;
mod spdx;

use std::collections::BTreeMap;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use packageurl::PackageUrl;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use sealift_archive::{Digest, json};

use super::AttachedFormat;
use super::database::Unreadable;
use super::package::{Package, PackageType, SourcePackage, text};

/// Largest document, in bytes, with its envelope.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// Most packages of one document.
const MAX_PACKAGES: usize = 200_000;

/// Media types of layers that are SBOMs, or envelopes that may have one in them.
const READ: [&str; 7] = [
    "application/spdx+json",
    "text/spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.in-toto+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json",
];
/// SBOMs in other words than JSON, or in nobody else's.
const NOT_READ: [&str; 6] = [
    "text/spdx",
    "text/spdx+xml",
    "application/vnd.cyclonedx",
    "application/vnd.cyclonedx+xml",
    "application/vnd.syft+json",
    "application/x-spdx",
];

const STATEMENT: &str = "application/vnd.in-toto+json";
const SPDX_PREDICATE: &str = "https://spdx.dev/Document";
const CYCLONEDX_PREDICATE: &str = "https://cyclonedx.org/bom";

/// What a layer of an attachment is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// An SBOM that can be read, or what may have one in it.
    Read,
    /// An SBOM that cannot be read.
    Tell,
    /// A signature, a scan report, whatever else.
    None,
}

/// What a layer of this media type is to us.
pub(super) fn interest(media_type: &str) -> Interest {
    // Parameters (`; version=1.5`) say what the document says itself.
    let plain = media_type.split(';').next().unwrap_or_default().trim();
    if READ.contains(&plain) {
        Interest::Read
    } else if NOT_READ.contains(&plain) {
        Interest::Tell
    } else {
        Interest::None
    }
}

/// An SBOM that was attached.
#[derive(Clone, Debug)]
pub(super) struct Sbom {
    pub(super) format: AttachedFormat,
    pub(super) packages: Vec<Listed>,
}

/// A package that an attached SBOM names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) package: Package,
    pub(super) purl: Option<String>,
}

/// Reads a document that is attached to `subject`; `None` if it is about something else than packages.
///
/// # Errors
/// If it should be an SBOM and cannot be read, or is the SBOM of something else.
pub(super) fn read(document: &[u8], subject: &Digest) -> Result<Option<Sbom>, Unreadable> {
    let marks: Marks = parse(document)?;
    let envelope = marks.dsse_envelope.or(marks
        .payload
        .map(|payload| Envelope { payload, payload_type: marks.payload_type.unwrap_or_default() }));
    if let Some(envelope) = envelope {
        if envelope.payload_type != STATEMENT {
            return Ok(None);
        }
        let decoded = STANDARD.decode(envelope.payload);
        let statement = decoded.map_err(|e| Unreadable::new(format!("its payload is not base64: {e}")))?;
        return read_statement(&statement, subject);
    }
    if marks.predicate_type.is_some() {
        read_statement(document, subject)
    } else if marks.spdx_version.is_some() {
        sbom::<spdx::Document>(parse(document)?)
    } else if marks.bom_format.is_some() {
        sbom::<cyclonedx::Document>(parse(document)?)
    } else {
        Ok(None)
    }
}

/// The keys that tell what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marks {
    /// A Sigstore bundle.
    dsse_envelope: Option<Envelope>,
    /// A DSSE envelope.
    payload: Option<String>,
    payload_type: Option<String>,
    /// An in-toto statement.
    predicate_type: Option<IgnoredAny>,
    spdx_version: Option<IgnoredAny>,
    bom_format: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
}

/// An in-toto statement without its predicate (in-toto attestation framework, v0.1 and v1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    #[serde(default)]
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

fn read_statement(statement: &[u8], subject: &Digest) -> Result<Option<Sbom>, Unreadable> {
    let head: Statement = parse(statement)?;
    // Versions follow the names: `https://cyclonedx.org/bom/v1.6`.
    let is_spdx = head.predicate_type.starts_with(SPDX_PREDICATE);
    if !is_spdx && !head.predicate_type.starts_with(CYCLONEDX_PREDICATE) {
        return Ok(None);
    }
    if !head.subject.iter().any(|s| s.digest.get("sha256") == Some(&subject.hex())) {
        return Err(Unreadable::new("it is about something else than what it is attached to"));
    }
    if is_spdx {
        sbom::<spdx::Document>(predicate(statement)?)
    } else {
        sbom::<cyclonedx::Document>(predicate(statement)?)
    }
}

/// The predicate itself, or what the first versions of cosign wrapped it in.
fn predicate<T: DeserializeOwned>(statement: &[u8]) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct With<P> {
        predicate: P,
    }
    #[derive(Deserialize)]
    struct Wrapped<P> {
        #[serde(rename = "Data")]
        data: P,
    }
    parse::<With<T>>(statement).map(|with| with.predicate).or_else(|plain| {
        let wrapped: Result<With<Wrapped<T>>, _> = parse(statement);
        wrapped.map(|with| with.predicate.data).map_err(|_| plain)
    })
}

/// What is common to the two formats.
trait ListsPackages {
    const FORMAT: AttachedFormat;

    /// The packages that count, without the thing that the document is about.
    fn packages(self) -> Vec<Listed>;
}

/// `None` without packages: CycloneDX is used for vulnerabilities alone, too.
fn sbom<T: ListsPackages>(document: T) -> Result<Option<Sbom>, Unreadable> {
    let packages = document.packages();
    if packages.len() > MAX_PACKAGES {
        return Err(Unreadable::new(format!("it names more than {MAX_PACKAGES} packages")));
    }
    Ok((!packages.is_empty()).then_some(Sbom { format: T::FORMAT, packages }))
}

fn parse<T: DeserializeOwned>(document: &[u8]) -> Result<T, Unreadable> {
    let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    json::parse("it", document, limit).map_err(|error| {
        use std::error::Error as _;

        Unreadable::new(error.source().map_or_else(|| error.to_string(), ToString::to_string))
    })
}

impl Listed {
    /// A package as an SBOM names it. A package URL, if it has one that can be read, says the most about it.
    fn new(name: &str, version: Option<&str>, purl: Option<&str>, license: Option<&str>) -> Option<Self> {
        let name = text(name.as_bytes());
        if name.is_empty() {
            return None;
        }
        let mut package = Package {
            name,
            version: version.map(|v| text(v.as_bytes())).unwrap_or_default(),
            epoch: None,
            kind: PackageType::generic(),
            architecture: None,
            source: None,
            license: license.map(|l| text(l.as_bytes())),
        };
        let purl = purl.and_then(|purl| PackageUrl::from_str(purl).ok());
        if let Some(purl) = &purl {
            package.kind = PackageType::from(purl.ty());
            let qualifier = |key: &str| purl.qualifiers().get(key).map(|value| text(value.as_bytes()));
            package.architecture = qualifier("arch");
            package.epoch = qualifier("epoch").and_then(|epoch| epoch.parse().ok());
            // Tools spell names and versions of distributions' packages in their own ways, but not in the URL.
            if !matches!(package.kind, PackageType::Other(_)) {
                package.name = text(purl.name().as_bytes());
                package.version = purl.version().map(|v| text(v.as_bytes())).unwrap_or_default();
                package.source = qualifier("upstream").and_then(|u| SourcePackage::of_upstream(&u));
            }
        }
        Some(Self { package, purl: purl.map(|purl| purl.to_string()) })
    }
}

#[cfg(test)]
mod tests;
