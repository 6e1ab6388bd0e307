//! What a release holds, by kind and number: for people who ask what is on the stick, or what runs.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::{Descriptor, Refs};
use crate::{Digest, Reference, digest_tag};

/// Type of a Helm chart: that of its configuration.
pub const CHART_TYPE: &str = "application/vnd.cncf.helm.config.v1+json";
/// Type of a Flux artifact: that of its configuration.
pub const FLUX_TYPE: &str = "application/vnd.cncf.flux.config.v1+json";

/// What a name of [`Refs::images`] leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Kind {
    /// A container image.
    Image,
    /// A Helm chart.
    Chart,
    /// Manifests that Flux takes from a registry.
    FluxArtifact,
    /// An artifact of a type that we have no word for.
    OtherArtifact,
    /// What belongs to another manifest: a signature, an attestation, an SBOM.
    Attachment,
}

impl Kind {
    /// What this name leads to.
    #[must_use]
    pub fn of(reference: &Reference, descriptor: &Descriptor) -> Self {
        if reference.tag().is_some_and(digest_tag::is_one) {
            return Self::Attachment;
        }
        match descriptor.artifact_type.as_deref() {
            None => Self::Image,
            Some(CHART_TYPE) => Self::Chart,
            Some(FLUX_TYPE) => Self::FluxArtifact,
            Some(_) => Self::OtherArtifact,
        }
    }
}

/// How many things of each kind a release holds. What has several names counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Container images; an index with all that it names is one.
    pub images: usize,
    /// Helm charts.
    pub charts: usize,
    /// Flux artifacts.
    pub flux_artifacts: usize,
    /// Artifacts of other types.
    pub other_artifacts: usize,
    /// Plain files.
    pub files: usize,
    /// Git repositories.
    pub git_repositories: usize,
    /// Signatures, attestations, SBOMs: what belongs to one of the others.
    pub attachments: usize,
}

impl Inventory {
    /// Counts what these names lead to.
    #[must_use]
    pub fn of(refs: &Refs) -> Self {
        let named: BTreeSet<(Kind, Digest)> =
            refs.images.iter().map(|(name, found)| (Kind::of(name, found), found.digest)).collect();
        let count = |wanted| named.iter().filter(|(kind, _)| *kind == wanted).count();
        let by_tag = named.iter().filter(|(kind, _)| *kind == Kind::Attachment).map(|&(_, digest)| digest);
        let by_subject = refs.referrers.values().flatten().map(|referrer| referrer.digest);
        Self {
            images: count(Kind::Image),
            charts: count(Kind::Chart),
            flux_artifacts: count(Kind::FluxArtifact),
            other_artifacts: count(Kind::OtherArtifact),
            files: refs.files.len(),
            git_repositories: refs.git.len(),
            attachments: by_tag.chain(by_subject).collect::<BTreeSet<_>>().len(),
        }
    }
}

/// `3 images, 1 chart, 2 files`: what there is, without what belongs to something else.
impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.images, "image", "images"),
            (self.charts, "chart", "charts"),
            (self.flux_artifacts, "Flux artifact", "Flux artifacts"),
            (self.other_artifacts, "other artifact", "other artifacts"),
            (self.files, "file", "files"),
            (self.git_repositories, "Git repository", "Git repositories"),
        ];
        let mut separator = "";
        for (number, one, many) in kinds.into_iter().filter(|(number, ..)| *number > 0) {
            write!(f, "{separator}{number} {}", if number == 1 { one } else { many })?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("nothing that has a name") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Blob;

    fn descriptor(content: &str, artifact_type: Option<&str>) -> Descriptor {
        let Blob { digest, size } = Blob::of(content.as_bytes());
        let artifact_type = artifact_type.map(str::to_owned);
        Descriptor { media_type: String::new(), digest, size, artifact_type, annotations: BTreeMap::new() }
    }

    #[test]
    fn a_name_leads_to_one_kind_of_thing() {
        let hex = "0a".repeat(32);
        let cases = [
            ("ghcr.io/acme/api:1", None, Kind::Image),
            ("ghcr.io/acme/charts/api:1", Some(CHART_TYPE), Kind::Chart),
            ("sealift.internal/flux/apps:1", Some(FLUX_TYPE), Kind::FluxArtifact),
            ("ghcr.io/acme/module:1", Some("application/wasm"), Kind::OtherArtifact),
            (&format!("ghcr.io/acme/api:sha256-{hex}"), None, Kind::Attachment),
            (&format!("ghcr.io/acme/api:sha256-{hex}.sig"), None, Kind::Attachment),
            (&format!("ghcr.io/acme/api:sha512-{hex}"), Some("text/sbom"), Kind::Attachment),
            (&format!("ghcr.io/acme/api:sha256-{hex}0"), None, Kind::Image),
            (&format!("ghcr.io/acme/api:sha256-{}", &hex[1..]), None, Kind::Image),
            (&format!("ghcr.io/acme/api@sha256:{hex}"), None, Kind::Image),
        ];
        for (name, artifact_type, kind) in cases {
            assert_eq!(Kind::of(&name.parse().unwrap(), &descriptor("", artifact_type)), kind, "{name}");
        }
    }

    #[test]
    fn what_has_several_names_counts_once() {
        let mut refs = Refs::default();
        assert_eq!(Inventory::of(&refs).to_string(), "nothing that has a name");
        let signature = format!("ghcr.io/acme/api:sha256-{}.sig", "0a".repeat(32));
        for (name, content, artifact_type) in [
            ("ghcr.io/acme/api:1", "api", None),
            ("ghcr.io/acme/api:latest", "api", None),
            ("ghcr.io/acme/web:1", "web", None),
            ("ghcr.io/acme/charts/api:1", "chart", Some(CHART_TYPE)),
            ("sealift.internal/charts/api:1", "chart", Some(CHART_TYPE)),
            (&signature, "signature", None),
        ] {
            refs.images.insert(name.parse().unwrap(), descriptor(content, artifact_type));
        }
        refs.files.insert("a".parse().unwrap(), descriptor("same", None));
        refs.files.insert("b".parse().unwrap(), descriptor("same", None));
        let referrers = ["signature", "sbom"].map(|content| descriptor(content, Some("text/x")));
        refs.referrers.insert(Digest::of(b"api"), referrers.to_vec());
        let inventory = Inventory::of(&refs);
        assert_eq!(inventory.to_string(), "2 images, 1 chart, 2 files");
        assert_eq!(inventory.attachments, 2);
    }
}
