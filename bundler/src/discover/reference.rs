//! What text is the name of an image.
//!
//! A container's `image` always is one. Elsewhere the place tells: a key that says `image` takes any name, free text takes only what cannot well be
//! anything else: a registry and a tag, a digest, or a path with a version.

use sealift_archive::Reference;

/// Longest text that can be a reference, in bytes: a repository of 255 characters, a tag of 128, a sha512 digest.
const MAX_REFERENCE_BYTES: usize = 600;
/// Last words of keys that hold an image: `image`, `sidecarImage`, `RELATED_IMAGE`, `imageName`.
const IMAGE_KEY_ENDINGS: [&str; 6] =
    ["image", "imagename", "imageref", "imagereference", "imageurl", "imageuri"];
/// Endings of picture files: `backgroundImage: sunset.png` names no container image.
const PICTURES: [&str; 7] = [".png", ".jpg", ".jpeg", ".svg", ".gif", ".ico", ".webp"];
/// Words that stand under keys like `useImage` or `buildImage`, and are no image.
const SETTINGS: [&str; 8] = ["true", "false", "yes", "no", "auto", "none", "default", "disabled"];
/// Taints are written like an image and its tag: `node.kubernetes.io/unreachable:NoExecute`.
const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What a text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An image, written so.
    Image(String),
    /// It should be one, but cannot be read as one.
    Unclear(String),
    /// Something else.
    Other,
}

/// Judges the `image` of a container: it has to be one.
pub(super) fn in_container(text: &str) -> Verdict {
    match placeholder(text) {
        _ if is_pattern(text) => Verdict::Other,
        Some(why) => Verdict::Unclear(why),
        None if is_reference(text) => Verdict::Image(text.to_owned()),
        None if text.is_empty() => Verdict::Unclear("it is empty".to_owned()),
        None => Verdict::Unclear(format!("`{}` is no image reference", shortened(text))),
    }
}

/// Judges a text whose key says that it is an image.
pub(super) fn under_image_key(text: &str) -> Verdict {
    let text = text.trim().trim_start_matches("docker://");
    let is_setting = SETTINGS.contains(&text.to_ascii_lowercase().as_str());
    let is_picture = PICTURES.iter().any(|ending| text.to_ascii_lowercase().ends_with(ending));
    if text.is_empty()
        || is_pattern(text)
        || text.contains("://")
        || text.contains('\n')
        || is_setting
        || is_picture
    {
        return Verdict::Other;
    }
    if let Some(why) = placeholder(text) {
        return Verdict::Unclear(why);
    }
    if is_reference(text) {
        return Verdict::Image(text.to_owned());
    }
    // `imagePolicy: IfNotPresent`, a title, a number: only what has the shape of a reference is worth a warning.
    let has_its_shape = !text.contains(char::is_whitespace) && text.contains(['/', ':', '@']);
    if has_its_shape {
        Verdict::Unclear(format!("`{}` is no image reference", shortened(text)))
    } else {
        Verdict::Other
    }
}

/// Judges a text whose key has the word `image` somewhere (`image_mysql`, `IMAGE_8`): it is an image if it says which, by tag or digest.
pub(super) fn beside_image_word(key: &str, text: &str) -> Verdict {
    let key = plain_key(key);
    let is_part =
        ["registry", "repository", "repo", "host", "tag", "url"].iter().any(|part| key.ends_with(part));
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let is_host = !text.contains('/') && (host.contains('.') || host == "localhost");
    if key.contains("image") && !is_part && !is_host && is_pinned(text) && is_reference(text) {
        Verdict::Image(text.to_owned())
    } else {
        Verdict::Other
    }
}

/// Whether a text that stands anywhere can hardly be anything but an image.
pub(super) fn is_unmistakable(text: &str) -> bool {
    if text.len() > MAX_REFERENCE_BYTES || text.contains("://") || text.contains(char::is_whitespace) {
        return false;
    }
    let Some((host, rest)) = text.split_once('/') else { return false };
    let name = rest.rsplit('/').next().unwrap_or(rest);
    let digest = name.contains("@sha256:") || name.contains("@sha512:");
    let tag = name.split('@').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let is_host = host == "localhost" || host.contains(['.', ':']);
    let by_tag = tag.is_some_and(|tag| (is_host || is_version(tag)) && !TAINT_EFFECTS.contains(&tag));
    (digest || by_tag) && is_reference(text)
}

/// Whether a key says that its value is an image.
pub(super) fn is_image_key(key: &str) -> bool {
    let word = plain_key(key);
    IMAGE_KEY_ENDINGS.iter().any(|ending| word.ends_with(ending))
}

/// A key in lower case, without the marks between its words.
pub(super) fn plain_key(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a text reads as a reference, in full or in short.
pub(super) fn is_reference(text: &str) -> bool {
    text.len() <= MAX_REFERENCE_BYTES && (text.parse::<Reference>().is_ok() || is_long_digest(text))
}

/// Whether the last part has a tag or a digest.
pub(super) fn is_pinned(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|name| name.contains(':'))
}

/// A reference from its parts, as templates put them together.
pub(super) fn put_together(
    registry: Option<&str>,
    repository: &str,
    tag: Option<&str>,
    digest: Option<&str>,
) -> String {
    let mut text = String::new();
    if let Some(registry) = registry.filter(|registry| !registry.is_empty()) {
        text.push_str(registry.trim_end_matches('/'));
        text.push('/');
    }
    text.push_str(repository);
    if let Some(tag) = tag.filter(|tag| !tag.is_empty()) {
        text.push(':');
        text.push_str(tag);
    }
    if let Some(digest) = digest.filter(|digest| !digest.is_empty()) {
        text.push('@');
        text.push_str(digest);
    }
    text
}

/// Text for a message, not longer than a line.
pub(super) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MAX_CHARS {
        line.to_owned()
    } else {
        line.chars().take(MAX_CHARS).chain(['…']).collect()
    }
}

/// What is still to be filled in, if anything is: by a template, by Flux, by the kubelet.
fn placeholder(text: &str) -> Option<String> {
    let what = if text.contains("{{") {
        "it is a template that is filled in later"
    } else if text.contains("${") || text.contains("$(") {
        "it holds a variable that is filled in later"
    } else {
        return None;
    };
    Some(format!("{what}: `{}`", shortened(text)))
}

/// `*:latest`: policies speak of images in general, inside what looks like a pod.
fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// `Reference` knows sha256 only; an image with a longer digest is an image all the same, and is to be told of.
fn is_long_digest(text: &str) -> bool {
    const SHA512_HEX_LEN: usize = 128;
    text.split_once("@sha512:").is_some_and(|(name, hex)| {
        name.parse::<Reference>().is_ok()
            && hex.len() == SHA512_HEX_LEN
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `1.25`, `v2.0.1-alpine`, `2024.10`.
fn is_version(tag: &str) -> bool {
    let number = tag.strip_prefix('v').unwrap_or(tag);
    number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn free_text_holds_an_image_only_if_nothing_else_is_likely() {
        let digest = format!("acme/api@{DIGEST}");
        let yes = [
            "ghcr.io/acme/api:1.0",
            "localhost:5000/api:dev",
            "rancher/pause:3.6",
            "quay.io/a/b:latest",
            &digest,
        ];
        let no = [
            "nginx",
            "nginx:1.25",
            "acme/api",
            "acme/api:latest",
            "https://ghcr.io/acme/api:1.0",
            "node.kubernetes.io/unreachable:NoExecute",
            "prometheus.svc:9090/metrics",
            "ghcr.io/acme/api",
            "10.0.0.0/8",
            "a b/c:1.0",
            "apps/v1",
        ];
        for text in yes {
            assert!(is_unmistakable(text), "{text}");
        }
        for text in no {
            assert!(!is_unmistakable(text), "{text}");
        }
    }

    #[test]
    fn a_key_that_says_image_takes_short_names_but_no_settings() {
        for text in ["nginx", "acme/api", "docker://nginx:1", "ghcr.io/a/b:1"] {
            assert!(matches!(under_image_key(text), Verdict::Image(_)), "{text}");
        }
        for text in ["", "true", "sunset.png", "https://x/y.z", "IfNotPresent", "Some title"] {
            assert_eq!(under_image_key(text), Verdict::Other, "{text}");
        }
        for text in ["acme/API:1", "repo:", "a/b:${TAG}", "{{ .Values.image }}"] {
            assert!(matches!(under_image_key(text), Verdict::Unclear(_)), "{text}");
        }
    }

    #[test]
    fn a_key_with_the_word_image_takes_what_is_pinned() {
        for (key, text) in
            [("image_mysql", "mysql:8.0"), ("IMAGES_API", "a/b:1"), ("imageV2", "ghcr.io/a/b:1")]
        {
            assert_eq!(beside_image_word(key, text), Verdict::Image(text.to_owned()), "{key}: {text}");
        }
        let others = [
            ("imageRegistry", "r.local:5000"),
            ("imageOf", "localhost:5000"),
            ("imageSize", "large"),
            ("mysql", "mysql:8"),
        ];
        for (key, text) in others {
            assert_eq!(beside_image_word(key, text), Verdict::Other, "{key}: {text}");
        }
    }

    #[test]
    fn a_container_always_has_an_image() {
        assert_eq!(in_container("nginx"), Verdict::Image("nginx".to_owned()));
        let sha512 = format!("a@sha512:{}", "0".repeat(128));
        assert_eq!(in_container(&sha512), Verdict::Image(sha512.clone()));
        assert_eq!(in_container("!*:latest"), Verdict::Other);
        for text in ["", ":1.0", "acme/api:%!s(<nil>)", "$(IMAGE)", "Nginx"] {
            assert!(matches!(in_container(text), Verdict::Unclear(_)), "{text}");
        }
    }

    #[test]
    fn keys_that_name_images_are_known_in_every_spelling() {
        for key in [
            "image",
            "sidecarImage",
            "RELATED_IMAGE",
            "base-image",
            "imageName",
            "sidecar.istio.io/proxyImage",
        ] {
            assert!(is_image_key(key), "{key}");
        }
        for key in ["images", "imagePullPolicy", "imagePullSecrets", "imageTag", "imagine"] {
            assert!(!is_image_key(key), "{key}");
        }
    }
}
