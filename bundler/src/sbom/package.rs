//! What a package is, whichever manager installed it.

use std::collections::BTreeMap;
use std::fmt;

use packageurl::PackageUrl;
use serde::Serialize;

/// Longest name, version and the like that is kept, in characters; licences of large packages come near it.
const MAX_TEXT: usize = 4096;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its name, as its manager lists it.
    pub name: String,
    /// Its version, as its manager lists it: dpkg's with its epoch, rpm's as `version-release`.
    pub version: String,
    /// rpm's epoch, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Whose package it is.
    #[serde(rename = "type")]
    pub kind: PackageType,
    /// Its architecture; noted by all managers, though not for all packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The source package that it was built from, if that has another name or version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// Its licence, in the words of its manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

impl Package {
    /// The memory that it takes, in bytes.
    pub(super) fn weight(&self) -> u64 {
        let source = self.source.as_ref();
        let kind = match &self.kind {
            PackageType::Other(kind) => Some(kind),
            PackageType::Deb | PackageType::Apk | PackageType::Rpm => None,
        };
        let optional = [
            kind,
            self.architecture.as_ref(),
            self.license.as_ref(),
            source.map(|source| &source.name),
            source.and_then(|source| source.version.as_ref()),
        ];
        let texts = [&self.name, &self.version].into_iter().chain(optional.into_iter().flatten());
        (size_of::<Self>() + texts.map(String::len).sum::<usize>()) as u64
    }
}

/// A source package: what security advisories name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Whose packages they are: the type of their package URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum PackageType {
    /// dpkg's.
    Deb,
    /// Alpine's and its kin's.
    Apk,
    /// rpm's.
    Rpm,
    /// One that an attached SBOM names: `npm`, `golang`.
    Other(String),
}

impl PackageType {
    /// Of packages of which nobody says whose they are.
    #[must_use]
    pub fn generic() -> Self {
        Self::Other("generic".to_owned())
    }

    /// The type in package URLs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for PackageType {
    fn from(name: &str) -> Self {
        match name {
            "deb" => Self::Deb,
            "apk" => Self::Apk,
            "rpm" => Self::Rpm,
            other => Self::Other(text(other.as_bytes())),
        }
    }
}

impl From<PackageType> for String {
    fn from(kind: PackageType) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for PackageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Package {
    /// The version with its epoch, wherever that is kept.
    #[must_use]
    pub fn full_version(&self) -> String {
        self.epoch.map_or_else(|| self.version.clone(), |epoch| format!("{epoch}:{}", self.version))
    }

    /// Whether this is the package, or built from the source package, that `pattern` names: a name, or the beginning of
    /// one and `*`.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        let is_meant = |name: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        is_meant(&self.name) || self.source.as_ref().is_some_and(|source| is_meant(&source.name))
    }

    /// Its package URL (purl specification, types deb, apk and rpm). `upstream`, which scanners look advisories up by,
    /// is no part of these types, but what others write too.
    #[must_use]
    pub fn purl(&self, distribution: Option<&Distribution>) -> Option<String> {
        if matches!(self.kind, PackageType::Other(_)) {
            return None;
        }
        let mut qualifiers: BTreeMap<&str, String> = BTreeMap::new();
        qualifiers.extend(self.architecture.clone().map(|arch| ("arch", arch)));
        qualifiers.extend(distribution.map(|d| ("distro", d.qualifier())));
        qualifiers.extend(self.epoch.map(|epoch| ("epoch", epoch.to_string())));
        qualifiers.extend(self.source.as_ref().map(|source| ("upstream", source.upstream(&self.kind))));
        purl(
            self.kind.as_str(),
            distribution.map(Distribution::vendor),
            &self.name,
            &self.version,
            &qualifiers,
        )
    }
}

impl SourcePackage {
    /// `openssl-3.0.7-24.el9.src.rpm`
    pub(super) fn of_rpm(file: &str) -> Option<Self> {
        let stem = [".src.rpm", ".nosrc.rpm"].into_iter().find_map(|end| file.strip_suffix(end))?;
        let release = stem.rfind('-')?;
        let version = stem[..release].rfind('-')?;
        Some(Self { name: stem[..version].to_owned(), version: Some(stem[version + 1..].to_owned()) })
    }

    /// What a package URL calls `upstream`.
    pub(super) fn of_upstream(upstream: &str) -> Option<Self> {
        Self::of_rpm(upstream).or_else(|| {
            let (name, version) = upstream.split_once('@').map_or((upstream, None), |(n, v)| (n, Some(v)));
            Some(Self { name: name.to_owned(), version: version.map(str::to_owned) })
                .filter(|s| !s.name.is_empty())
        })
    }

    fn upstream(&self, kind: &PackageType) -> String {
        match (&self.version, kind) {
            (Some(version), PackageType::Rpm) => format!("{}-{version}.src.rpm", self.name),
            (Some(version), _) => format!("{}@{version}", self.name),
            (None, _) => self.name.clone(),
        }
    }
}

/// Puts a package URL together; `None` if the parts make none.
pub(super) fn purl(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: &str,
    qualifiers: &BTreeMap<&str, String>,
) -> Option<String> {
    let mut purl = PackageUrl::new(kind, name).ok()?;
    if let Some(namespace) = namespace {
        purl.with_namespace(namespace).ok()?;
    }
    purl.with_version(version).ok()?;
    for (key, value) in qualifiers {
        purl.add_qualifier(*key, value.as_str()).ok()?;
    }
    Some(purl.to_string())
}

/// What a file system says that it is (`os-release(5)`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// `debian`, `alpine`, `rhel`.
    pub id: String,
    /// `12`, `3.20.3`; rolling ones have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// `Debian GNU/Linux 12 (bookworm)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretty_name: Option<String>,
}

impl Distribution {
    /// Reads `os-release`: lines of `KEY=value`, the values quoted as in a shell. `None` without an `ID`.
    pub(super) fn parse(os_release: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        for line in os_release.split(|&b| b == b'\n') {
            let line = text(line);
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let value = unquote(value);
            match key {
                "ID" => found.id = value,
                "VERSION_ID" => found.version_id = Some(value),
                "PRETTY_NAME" => found.pretty_name = Some(value),
                _ => {}
            }
        }
        Some(found).filter(|found| !found.id.is_empty())
    }

    /// The vendor in package URLs, where it is known by another name than its system.
    fn vendor(&self) -> &str {
        match self.id.as_str() {
            "rhel" => "redhat",
            id if id.starts_with("opensuse-") => "opensuse",
            id => id,
        }
    }

    /// `debian-12`
    pub(super) fn qualifier(&self) -> String {
        self.version_id.as_ref().map_or_else(|| self.id.clone(), |version| format!("{}-{version}", self.id))
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pretty_name.clone().unwrap_or_else(|| self.qualifier()))
    }
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    plain
}

/// Text from inside an image as it may be shown: no byte of it can speak to a terminal, and it ends somewhere.
pub(super) fn text(bytes: &[u8]) -> String {
    /// A character of UTF-8 has four bytes at most.
    const MAX_BYTES: usize = 4 * MAX_TEXT;

    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]).chars().take(MAX_TEXT).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(kind: PackageType, name: &str, version: &str, architecture: &str) -> Package {
        let architecture = Some(architecture.to_owned()).filter(|a| !a.is_empty());
        let (name, version) = (name.to_owned(), version.to_owned());
        Package { name, version, epoch: None, kind, architecture, source: None, license: None }
    }

    #[test]
    fn package_urls_follow_the_specification() {
        let distribution = |id: &str, version: &str| Distribution {
            id: id.to_owned(),
            version_id: Some(version.to_owned()).filter(|v| !v.is_empty()),
            pretty_name: None,
        };
        let source = |name: &str, version: &str| {
            let version = Some(version.to_owned()).filter(|v| !v.is_empty());
            Some(SourcePackage { name: name.to_owned(), version })
        };
        let debian = distribution("debian", "12");
        let cases = [
            (
                package(PackageType::Deb, "openssl", "3.0.15-1~deb12u1", "amd64"),
                Some(&debian),
                "pkg:deb/debian/openssl@3.0.15-1~deb12u1?arch=amd64&distro=debian-12",
            ),
            (
                package(PackageType::Deb, "libstdc++6", "1:12.2.0-14+deb12u1", "amd64"),
                Some(&debian),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
            ),
            (
                Package {
                    source: source("openssl", "3.0.15-1~deb12u1"),
                    ..package(PackageType::Deb, "libssl3", "3.0.15-1~deb12u1", "amd64")
                },
                Some(&debian),
                "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12&upstream=openssl%403.0.15-1~deb12u1",
            ),
            (
                Package {
                    source: source("openssl", ""),
                    ..package(PackageType::Apk, "libcrypto3", "3.3.2-r1", "x86_64")
                },
                Some(&distribution("alpine", "3.20.3")),
                "pkg:apk/alpine/libcrypto3@3.3.2-r1?arch=x86_64&distro=alpine-3.20.3&upstream=openssl",
            ),
            (
                Package {
                    epoch: Some(1),
                    source: source("openssl", "3.0.7-24.el9"),
                    ..package(PackageType::Rpm, "openssl-libs", "3.0.7-24.el9", "x86_64")
                },
                Some(&distribution("rhel", "9.4")),
                "pkg:rpm/redhat/openssl-libs@3.0.7-24.el9?arch=x86_64&distro=rhel-9.4&epoch=1&upstream=openssl-3.0.7-24.el9.src.rpm",
            ),
            (
                package(PackageType::Rpm, "aaa_base", "84.87-1", "x86_64"),
                Some(&distribution("opensuse-tumbleweed", "")),
                "pkg:rpm/opensuse/aaa_base@84.87-1?arch=x86_64&distro=opensuse-tumbleweed",
            ),
            (package(PackageType::Deb, "odd name", "1", ""), None, "pkg:deb/odd%20name@1"),
        ];
        for (package, distribution, expected) in cases {
            assert_eq!(package.purl(distribution).as_deref(), Some(expected), "{package:?}");
        }
        assert_eq!(package(PackageType::Deb, "", "1", "").purl(None), None);
    }

    #[test]
    fn a_package_is_found_by_its_name_its_source_and_their_beginnings() {
        let mut libssl = package(PackageType::Deb, "libssl3", "3", "amd64");
        libssl.source = Some(SourcePackage { name: "openssl".to_owned(), version: None });
        for (pattern, is_meant) in [
            ("libssl3", true),
            ("openssl", true),
            ("openssl*", true),
            ("lib*", true),
            ("*", true),
            ("libssl", false),
            ("ssl", false),
            ("openssl3", false),
            ("*ssl", false),
            ("", false),
        ] {
            assert_eq!(libssl.matches(pattern), is_meant, "{pattern}");
        }
    }

    #[test]
    fn os_release_is_read_as_a_shell_would() {
        let parse = |text: &str| Distribution::parse(text.as_bytes());
        let debian =
            parse("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n").unwrap();
        assert_eq!(debian.qualifier(), "debian-12");
        assert_eq!(debian.to_string(), "Debian GNU/Linux 12 (bookworm)");
        let quoted = parse("# ID=no\r\nID='a b'\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"").unwrap();
        assert_eq!((quoted.id.as_str(), quoted.pretty_name.as_deref()), ("a b", Some("a \"b\" $c")));
        assert_eq!(parse("NAME=nothing\nID=\n"), None);
        assert_eq!(parse("ID=a\x1b[2Jb").unwrap().id, "a\u{fffd}[2Jb");
    }
}
