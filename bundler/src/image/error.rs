//! What can go wrong with a container image, or with the layout or archive that it comes from.

use std::path::PathBuf;

use sealift_fetch::without_secrets;

use sealift_archive::{AnyDigest, Class, Code, Digest, Explain, Platform, Reference};

/// Why an image cannot be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something about an image that cannot be carried.
    #[error("`{image}` cannot be carried: {why}")]
    BadImage {
        /// The image.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// An index has no child for a platform that was asked for.
    #[error("`{image}` has nothing for platform `{platform}`; it has {has}")]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform.
        platform: Platform,
        /// What there is.
        has: String,
    },
    /// An OCI layout does not hold what it was asked for.
    #[error("OCI layout `{}`: {why}", layout.display())]
    Layout {
        /// Its folder.
        layout: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An archive of `docker save` does not hold what it should.
    #[error("docker archive `{}`: {why}", archive.display())]
    DockerArchive {
        /// The archive.
        archive: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An archive that cannot be read in place.
    #[error("docker archive `{}` is compressed with {format}", archive.display())]
    CompressedArchive {
        /// The archive.
        archive: PathBuf,
        /// How it is compressed.
        format: &'static str,
        /// What undoes it.
        program: &'static str,
    },
    /// An index names a manifest that is not there.
    #[error("`{index}` names {child}{}, which `{place}` does not have", for_platform(platform.as_ref()))]
    MissingChild {
        /// The index.
        index: String,
        /// The manifest.
        child: Box<AnyDigest>,
        /// What it is for, if the index says so.
        platform: Option<String>,
        /// The registry, layout or archive.
        place: String,
    },
    /// What is listed as a signature or SBOM is not there.
    #[error("`{subject}` is said to have {}{referrer}, which `{place}` does not have", as_type(artifact_type.as_ref()))]
    DanglingReferrer {
        /// What it should refer to.
        subject: String,
        /// What is missing.
        referrer: Box<AnyDigest>,
        /// What it should be, if the list says so.
        artifact_type: Option<String>,
        /// The registry, layout or archive.
        place: String,
    },
    /// Nobody can say what refers to an image.
    #[error("what refers to `{subject}` cannot be found out: {cause}")]
    Referrers {
        /// A manifest of the image.
        subject: String,
        /// Why.
        cause: Box<crate::Error>,
    },
    /// A layer that its registry may not give away.
    #[error("`{image}` has a foreign layer, {layer}, which registries do not keep")]
    ForeignLayer {
        /// The image.
        image: String,
        /// The layer.
        layer: Box<AnyDigest>,
    },
    /// A layer that its registry may not give away, and that nobody else gives either.
    #[error("foreign layer {layer} of `{image}` is neither in `{place}` nor at {}", addresses(urls))]
    NoForeignLayer {
        /// The image.
        image: String,
        /// The layer.
        layer: Box<AnyDigest>,
        /// The registry, layout or archive.
        place: String,
        /// Where the image says that it is.
        urls: Vec<String>,
    },
    /// Two images would have one tag for different things.
    #[error("`{name}` would have to be {one} for one image of the release and {other} for another")]
    TagTwice {
        /// The tag.
        name: Box<Reference>,
        /// What it is for the one.
        one: Digest,
        /// What it is for the other.
        other: Digest,
    },
}

fn for_platform(platform: Option<&String>) -> String {
    platform.map_or_else(String::new, |platform| format!(" for {platform}"))
}

fn as_type(artifact_type: Option<&String>) -> String {
    artifact_type.map_or_else(String::new, |artifact_type| format!("a `{artifact_type}`, "))
}

/// An address that an image names, which may be anything, without its secrets.
fn shown(url: &str) -> String {
    match url.parse() {
        Ok(url) => without_secrets(&url),
        Err(_) => url.split(['?', '#']).next().unwrap_or_default().escape_debug().to_string(),
    }
}

fn addresses(urls: &[String]) -> String {
    if urls.is_empty() {
        "any other address".to_owned()
    } else {
        urls.iter().map(|url| shown(url)).collect::<Vec<_>>().join(", ")
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoPlatform { .. } => 405,
            Self::BadImage { .. } => 407,
            Self::Layout { .. } => 408,
            Self::MissingChild { .. } => 471,
            Self::DanglingReferrer { .. } => 472,
            Self::Referrers { .. } => 473,
            Self::ForeignLayer { .. } => 474,
            Self::NoForeignLayer { .. } => 475,
            Self::DockerArchive { .. } => 476,
            Self::CompressedArchive { .. } => 477,
            Self::TagTwice { .. } => 478,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Layout { .. } | Self::DockerArchive { .. } => Class::Failed,
            Self::MissingChild { .. } | Self::DanglingReferrer { .. } | Self::NoForeignLayer { .. } => {
                Class::Refused
            }
            Self::Referrers { cause, .. } => cause.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadImage { .. } | Self::Layout { .. } | Self::DockerArchive { .. } => return None,
            Self::TagTwice { .. } => {
                "the appliance answers to a tag with one thing: name one of them by its digest, without the tag".into()
            }
            Self::NoPlatform { .. } => "change `platforms:`, or use an image that has it".into(),
            Self::CompressedArchive { program, archive, .. } => {
                format!("it is read in place, so decompress it first: `{program} {}`", archive.display())
            }
            Self::MissingChild { .. } => {
                "choose `platforms:` that are there, or ask who pushed or saved the image".into()
            }
            Self::DanglingReferrer { .. } => {
                "sign it again, or carry the image without what refers to it: `referrers: false`".into()
            }
            Self::Referrers { cause, .. } => {
                let without = "carry the image without signatures and SBOMs: `referrers: false`";
                cause.hint().map_or_else(|| without.to_owned(), |hint| format!("{hint}; or {without}"))
            }
            Self::ForeignLayer { .. } => {
                "if its licence allows it, carry it all the same with `foreignLayers: carry`".into()
            }
            Self::NoForeignLayer { .. } => {
                "ask who made the image; addresses without https:// are asked only with --plain-http".into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;

    use super::*;

    #[test]
    fn addresses_of_layers_are_shown_without_their_secrets() {
        let urls = ["https://cdn.example.com/a?X-Amz-Signature=secret", "no address?secret"];
        let error = Error::NoForeignLayer {
            image: "api".to_owned(),
            layer: Box::new(Digest::of(b"").into()),
            place: "ghcr.io".to_owned(),
            urls: urls.map(str::to_owned).to_vec(),
        };
        let said = error.to_string();
        assert!(said.ends_with("at https://cdn.example.com/a, no address"), "{said}");
    }
}
