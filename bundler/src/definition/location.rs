//! Where a file is: a path, relative to the definition, or an HTTP URL; maybe with the digest that it must have.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use sealift_archive::Digest;
use sealift_fetch::without_secrets;

use super::text_or_map::{self, Either, TextOrMap};
use crate::secrets::without_userinfo;

/// A path or a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// On this machine; relative paths begin at the definition.
    Path(PathBuf),
    /// On a server.
    Url(Url),
}

impl Location {
    /// The last part of it: `k3s` of `https://example.com/v1.36.4%2Bk3s1/k3s`.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        match self {
            Self::Path(path) => Some(path.file_name()?.to_str()?.to_owned()),
            Self::Url(url) => {
                let last = url.path_segments()?.next_back()?;
                Some(percent_encoding::percent_decode_str(last).decode_utf8().ok()?.into_owned())
            }
        }
    }

    pub(super) fn of(path: Option<PathBuf>, url: Option<String>) -> Result<Self, String> {
        match (path, url) {
            (Some(path), None) => Ok(Self::Path(path)),
            (None, Some(url)) => parse_url(&url).map(Self::Url),
            _ => Err("say where it is with either `path` or `url`".to_owned()),
        }
    }
}

/// Reads the URL of something that is fetched over HTTP.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let shown = without_userinfo(text);
    let url: Url = text.parse().map_err(|e| format!("`{shown}` is not a URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{shown}` begins with neither `https://` nor `http://`"));
    }
    if url.password().is_some() || !url.username().is_empty() {
        // It would end up in the lock, which is committed. A user name alone is a token as often as not.
        return Err(
            "a definition holds no passwords and no user names: use `docker login` for the host".to_owned()
        );
    }
    Ok(url)
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is empty".to_owned()),
            url if url.contains("://") => parse_url(url).map(Self::Url),
            path => Ok(Self::Path(PathBuf::from(path))),
        }
    }
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        match location {
            Location::Path(path) => path.display().to_string(),
            Location::Url(url) => url.into(),
        }
    }
}

impl fmt::Display for Location {
    /// As errors name it: an address without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => fmt::Display::fmt(&path.display(), f),
            Self::Url(url) => f.write_str(&without_secrets(url)),
        }
    }
}

/// A file, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// Where it is.
    pub location: Location,
    /// The digest that it must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// The form with keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetObject {
    /// A file, relative to the definition.
    path: Option<PathBuf>,
    /// Where to fetch it from: `https://…`
    url: Option<String>,
    /// The SHA-256 that it must have, in hexadecimal.
    sha256: Option<String>,
}

/// Reads the hexadecimal text that `sha256sum` prints; `sha256:` may stand in front.
pub(super) fn parse_sha256(text: &str) -> Result<Digest, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    format!("sha256:{hex}")
        .parse()
        .map_err(|_| format!("`{text}` is not a SHA-256 in lower-case hexadecimal"))
}

impl TryFrom<AssetObject> for Asset {
    type Error = String;

    fn try_from(object: AssetObject) -> Result<Self, String> {
        Ok(Self {
            location: Location::of(object.path, object.url)?,
            sha256: object.sha256.as_deref().map(parse_sha256).transpose()?,
        })
    }
}

impl TextOrMap for Asset {
    type Map = AssetObject;
    const EXPECTED: &'static str = "a path, a URL, or a map with `path` or `url`";
    const DESCRIPTION: &'static str = "A path or a URL, or a map that says which.";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self { location: text.parse()?, sha256: None })
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_map::deserialize(deserializer)
    }
}

impl JsonSchema for Asset {
    fn schema_name() -> Cow<'static, str> {
        "Asset".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        text_or_map::schema::<Self>(generator)
    }
}

/// One asset, or a list of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assets(pub Vec<Asset>);

impl<'de> Deserialize<'de> for Assets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AssetsVisitor)
    }
}

struct AssetsVisitor;

impl<'de> Visitor<'de> for AssetsVisitor {
    type Value = Assets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, a URL, a map with `path` or `url`, or a list of these")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Assets, E> {
        Either::<Asset>::new().visit_str(text).map(|asset| Assets(vec![asset]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Assets, A::Error> {
        Either::<Asset>::new().visit_map(map).map(|asset| Assets(vec![asset]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Assets, A::Error> {
        let mut assets = Vec::new();
        while let Some(asset) = list.next_element()? {
            assets.push(asset);
        }
        Ok(Assets(assets))
    }
}

impl JsonSchema for Assets {
    fn schema_name() -> Cow<'static, str> {
        "Assets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let asset = generator.subschema_for::<Asset>();
        schemars::json_schema!({
            "description": "A path or a URL, or a list of them.",
            "anyOf": [asset, {"type": "array", "items": asset}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_accepted_or_told() {
        let cases = [
            ("https://bob:hunter2@h/x", "holds no passwords"),
            ("https://hunter2@h/x", "holds no passwords"),
            ("ftp://bob:hunter2@h/x", "neither"),
            ("https://bob:hunter2/x@h/y", "not a URL"),
            ("https://bob:hunter2@h:port/y", "not a URL"),
        ];
        for (url, expected) in cases {
            let said = Location::of(None, Some(url.to_owned())).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{url}: {said}");
            assert_eq!(url.parse::<Location>().unwrap_err(), said);
        }
    }

    #[test]
    fn a_signed_address_is_kept_whole_and_shown_without_its_signature() {
        let signed = "https://cdn.example.com/a?X-Amz-Signature=secret";
        let location: Location = signed.parse().unwrap();
        assert_eq!(location.to_string(), "https://cdn.example.com/a");
        assert_eq!(String::from(location), signed);
        for refused in ["https://user@example.com/a", "https://user:secret@example.com/a"] {
            let why = refused.parse::<Location>().unwrap_err();
            assert!(why.contains("docker login") && !why.contains("secret"), "{why}");
        }
    }
}
