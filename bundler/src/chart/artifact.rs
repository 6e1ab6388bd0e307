//! Charts as OCI artifacts, as `helm push` makes them (Helm's documentation, "OCI registries"), byte for byte.

use std::collections::BTreeMap;

use oci_spec::image::{Descriptor, ImageManifest};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use sealift_archive::Blob;

use super::archive::MAX_TGZ_BYTES;
use super::metadata::{MAX_METADATA_BYTES, Metadata};
use super::provenance::MAX_PROVENANCE_BYTES;
use super::{Chart, yaml};
use crate::artifact::{Artifact, Part};
use crate::{Error, chart};

/// The media type of a chart's configuration: `Chart.yaml` as JSON.
pub const CONFIG_TYPE: &str = "application/vnd.cncf.helm.config.v1+json";
/// The media type of a packed chart.
pub const CONTENT_TYPE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The same before Helm 3.7.
pub const LEGACY_CONTENT_TYPE: &str = "application/tar+gzip";
/// The media type of a provenance file.
pub const PROVENANCE_TYPE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// The last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

impl Chart {
    /// The artifact. `created`, in seconds since 1970, is written into it; Helm takes the time at which the archive was
    /// changed, which is why its artifacts differ from one machine to another.
    #[must_use]
    pub fn artifact(&self, created: Option<u64>) -> Artifact {
        let config = Part { media_type: CONFIG_TYPE, bytes: self.metadata.to_config() };
        let mut layers = vec![Part { media_type: CONTENT_TYPE, bytes: self.tgz.clone() }];
        if let Some(bytes) = &self.provenance {
            layers.push(Part { media_type: PROVENANCE_TYPE, bytes: bytes.clone() });
        }
        layers.sort_by_key(|part| part.blob().digest);
        Artifact::new(config, layers, annotations(&self.metadata, created), false)
    }
}

/// The manifest's annotations: what Helm makes of a chart's own words, and then the chart's annotations, which may
/// replace all but name and version.
fn annotations(metadata: &Metadata, created: Option<u64>) -> BTreeMap<String, String> {
    const TITLE: &str = "org.opencontainers.image.title";
    const VERSION: &str = "org.opencontainers.image.version";
    let source = metadata.sources.first().cloned().unwrap_or_default();
    let mut annotations: BTreeMap<String, String> = [
        (TITLE, metadata.name.to_string()),
        (VERSION, metadata.version.to_string()),
        ("org.opencontainers.image.description", metadata.description.clone()),
        ("org.opencontainers.image.url", metadata.home.clone()),
        ("org.opencontainers.image.source", source),
        ("org.opencontainers.image.authors", authors(metadata)),
        ("org.opencontainers.image.created", created.map(rfc3339).unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.trim().is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let own = metadata.annotations.iter().filter(|(key, _)| *key != TITLE && *key != VERSION);
    annotations.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    annotations
}

/// `Ada (ada@example.com), Grace`.
fn authors(metadata: &Metadata) -> String {
    let author = |maintainer: &super::Maintainer| match maintainer.email.as_str() {
        "" => maintainer.name.clone(),
        email => format!("{} ({email})", maintainer.name),
    };
    metadata.maintainers.iter().map(author).collect::<Vec<_>>().join(", ")
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds.min(LAST_SECOND)).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// What the manifest of a chart names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartManifest {
    /// What the chart says of itself; [`Metadata::from_config`] reads it.
    pub config: Blob,
    /// The packed chart.
    pub content: Blob,
    /// Its provenance file.
    pub provenance: Option<Blob>,
}

impl ChartManifest {
    /// Reads a manifest that should be that of a chart; `reference` names it in errors.
    ///
    /// # Errors
    /// [`chart::Error::BadChart`] if it is something else, such as an image or an index, or names something too large.
    pub fn parse(reference: &str, manifest: &[u8]) -> Result<Self, Error> {
        let refuse = |why: String| Error::from(chart::Error::BadChart { chart: reference.to_owned(), why });
        let manifest = ImageManifest::from_reader(manifest)
            .map_err(|_| refuse("it is no chart: it has no manifest, or one that is not valid".to_owned()))?;
        let blob = |descriptor: &Descriptor, limit: u64| {
            let digest = descriptor.digest().to_string();
            let digest = digest.parse().map_err(|_| {
                refuse(format!(
                    "it names `{}`, and of a chart all has to be named by sha256",
                    yaml::clean(&digest)
                ))
            })?;
            super::archive::expect_size(&format!("{digest} of {reference}"), descriptor.size(), limit)?;
            Ok::<_, Error>(Blob { digest, size: descriptor.size() })
        };
        let config_type = manifest.config().media_type().to_string();
        if config_type != CONFIG_TYPE {
            return Err(refuse(format!(
                "it is no chart: its configuration is `{}`",
                yaml::clean(&config_type)
            )));
        }
        let (mut content, mut provenance) = (None, None);
        for layer in manifest.layers() {
            let (slot, limit) = match layer.media_type().to_string().as_str() {
                CONTENT_TYPE | LEGACY_CONTENT_TYPE => (&mut content, MAX_TGZ_BYTES),
                PROVENANCE_TYPE => (&mut provenance, MAX_PROVENANCE_BYTES),
                _ => continue,
            };
            if slot.replace(blob(layer, limit)?).is_some() {
                return Err(refuse(format!("it has two layers of type `{}`", layer.media_type())));
            }
        }
        let content = content.ok_or_else(|| refuse("none of its layers is a packed chart".to_owned()))?;
        Ok(Self { config: blob(manifest.config(), MAX_METADATA_BYTES as u64)?, content, provenance })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(yaml: &str, provenance: Option<&[u8]>) -> Chart {
        let metadata = Metadata::parse("web", yaml.as_bytes(), None).unwrap();
        Chart { metadata, tgz: b"packed".to_vec(), provenance: provenance.map(<[u8]>::to_vec) }
    }

    const YAML: &str = r#"
apiVersion: v2
name: web
version: 1.2.3+build.5
description: A <chart>
home: " "
sources: [https://src.example.com/web, https://other]
maintainers: [{name: A, email: a@x}, {name: B}, {email: c@x}]
annotations: {org.opencontainers.image.title: evil, org.opencontainers.image.url: theirs, z: ""}
"#;

    #[test]
    fn the_manifest_is_the_one_that_helm_makes() {
        let artifact = chart(YAML, None).artifact(Some(1_700_000_000));
        let [config, content] = &artifact.blobs[..] else { panic!() };
        assert_eq!((config.media_type, content.media_type), (CONFIG_TYPE, CONTENT_TYPE));
        // In the form in which Helm 3.22 pushed a chart like this one.
        let expected = format!(
            concat!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{}","size":{}}},"#,
                r#""layers":[{{"mediaType":"{}","digest":"{}","size":6}}],"#,
                r#""annotations":{{"org.opencontainers.image.authors":"A (a@x), B,  (c@x)","#,
                r#""org.opencontainers.image.created":"2023-11-14T22:13:20Z","#,
                r#""org.opencontainers.image.description":"A \u003cchart\u003e","#,
                r#""org.opencontainers.image.source":"https://src.example.com/web","#,
                r#""org.opencontainers.image.title":"web","org.opencontainers.image.url":"theirs","#,
                r#""org.opencontainers.image.version":"1.2.3+build.5","z":""}}}}"#,
            ),
            CONFIG_TYPE,
            config.blob().digest,
            config.bytes.len(),
            CONTENT_TYPE,
            content.blob().digest,
        );
        assert_eq!(String::from_utf8(artifact.manifest.bytes).unwrap(), expected);
    }

    #[test]
    fn without_a_time_nothing_says_when() {
        let text = |created| String::from_utf8(chart(YAML, None).artifact(created).manifest.bytes).unwrap();
        assert!(!text(None).contains("created"));
        assert!(text(Some(0)).contains(r#"created":"1970-01-01T00:00:00Z""#));
        assert!(text(Some(u64::MAX)).contains(r#"created":"9999-12-31T23:59:59Z""#));
    }

    #[test]
    fn what_was_made_is_read_again() {
        for provenance in [None, Some(&b"1"[..]), Some(b"2"), Some(b"3"), Some(b"4")] {
            let chart = chart(YAML, provenance);
            let artifact = chart.artifact(None);
            let read = ChartManifest::parse("r", &artifact.manifest.bytes).unwrap();
            assert_eq!(read.content, Blob::of(b"packed"));
            assert_eq!(read.provenance, provenance.map(Blob::of));
            assert_eq!(read.config, artifact.blobs[0].blob());
            assert_eq!(Metadata::from_config("r", &artifact.blobs[0].bytes).unwrap(), chart.metadata);
            assert!(artifact.blobs[1..].is_sorted_by_key(|part| part.blob().digest), "as Helm sorts them");
        }
    }

    #[test]
    fn other_manifests_are_no_charts() {
        let good = String::from_utf8(chart(YAML, Some(b"prov")).artifact(None).manifest.bytes).unwrap();
        ChartManifest::parse("r", good.replace(CONTENT_TYPE, LEGACY_CONTENT_TYPE).as_bytes()).unwrap();
        let content = ChartManifest::parse("r", good.as_bytes()).unwrap().content.digest.to_string();
        let cases = [
            (good.replace(CONFIG_TYPE, "application/vnd.oci.image.config.v1+json"), "its configuration is"),
            (good.replace(CONTENT_TYPE, "application/octet-stream"), "none of its layers is a packed chart"),
            (good.replace(PROVENANCE_TYPE, CONTENT_TYPE), "two layers of type"),
            (good.replace("\"size\":6", "\"size\":33554433"), "33554433, the limit is 33554432"),
            (good.replace(&content, &format!("sha512:{}", "a".repeat(128))), "`sha512:aaaa"),
            (good.replace(&content, "sha512:aaaa"), "it is no chart"),
            (r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), "it is no chart"),
            (String::new(), "it is no chart"),
        ];
        for (manifest, expected) in cases {
            let said =
                ChartManifest::parse("ghcr.io/acme/web:1", manifest.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains("ghcr.io/acme/web:1"), "{expected}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_manifest_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), at in 0..300_usize) {
            let _ = ChartManifest::parse("x", &bytes);
            let mut text = chart(YAML, None).artifact(None).manifest.bytes;
            text.splice(at..=at, bytes);
            let _ = ChartManifest::parse("x", &text);
        }
    }
}
