//! The section `mirror`.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use sealift_archive::{ChannelName, Reference, split};
use sealift_fetch::{Options, Proxy, Url};
use serde::Deserialize;

/// How releases are mirrored from where the vendor publishes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Where the vendor publishes.
    pub source: Location,
    /// The channel that is followed.
    #[serde(default = "stable")]
    pub channel: ChannelName,
    /// Whether what comes is activated too, not only staged.
    #[serde(default)]
    pub activate: bool,
    /// The most that is fetched in a second.
    #[serde(default)]
    rate: Option<Rate>,
    /// Certificates to trust beside those of the system, in PEM.
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
    /// The proxy that leads outside; else what the environment says.
    #[serde(default)]
    proxy: Option<ProxyAddress>,
    /// Hosts that are asked without the proxy; else those of `NO_PROXY`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The folder with Docker's `config.json`, in which credentials are found.
    #[serde(default)]
    docker_config: Option<PathBuf>,
    /// Whether plain HTTP will do. What comes is verified all the same; but others see it, and credentials.
    #[serde(default)]
    plain_http: bool,
}

fn stable() -> ChannelName {
    ChannelName::Stable
}

impl Mirror {
    /// How to fetch.
    #[must_use]
    pub fn options(&self) -> Options {
        let proxy = self.proxy.as_ref().map(|proxy| proxy.0.clone());
        Options {
            plain_http: self.plain_http,
            ca_files: self.ca_file.iter().cloned().collect(),
            docker_config: self.docker_config.clone(),
            proxy: proxy.and_then(|url| Proxy::new(url, self.no_proxy.clone())),
            rate: self.rate.map(|rate| rate.0),
            ..Options::default()
        }
    }
}

/// Where a vendor publishes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// A directory, by its absolute path.
    Directory(PathBuf),
    /// A web server's directory; the address ends with `/`.
    Web(Url),
    /// A repository of a registry.
    Registry(Reference),
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("oci://") {
            let reference: Reference = name.parse().map_err(|error| format!("{error}"))?;
            // Docker would complete a name without a host, or with a tag cut off, to one that nobody meant.
            if reference.name() != name {
                return Err(format!(
                    "`{text}`: write host and repository, as in `oci://registry.example.com/acme/releases`"
                ));
            }
            return Ok(Self::Registry(reference));
        }
        if text.starts_with('/') {
            return Ok(Self::Directory(text.into()));
        }
        let refuse = |why: &str| Err(format!("`{}` {why}", shown(text)));
        let mut url: Url = match text.parse() {
            Ok(url) => url,
            Err(_) => return refuse("is neither https://…, oci://… nor a directory that begins with /"),
        };
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return refuse("is neither https://…, oci://… nor a directory that begins with /");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(
                "holds a user name or password; those belong into the config.json of `dockerConfig`",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("holds a `?` or `#`; names are put behind it");
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self::Web(url))
    }
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Location {
    /// As logs name it: always a URL, so that nobody takes it for an archive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "file://{}", dir.display()),
            Self::Web(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Registry(reference) => write!(f, "oci://{}", reference.name()),
        }
    }
}

/// A text from the configuration without what may be a password.
fn shown(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Rate(NonZeroU64);

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.strip_suffix("/s").and_then(split::parse_bytes).and_then(NonZeroU64::new);
        bytes.map(Self).ok_or_else(|| format!("`{text}` is no rate: write bytes a second, as in `10MB/s`"))
    }
}

/// The address of a proxy, which may hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct ProxyAddress(Url);

impl TryFrom<String> for ProxyAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url: Option<Url> = text.parse().ok();
        let url = url.filter(|url| Proxy::new(url.clone(), Vec::new()).is_some());
        url.map(Self).ok_or_else(|| format!("`{}` is no http:// address of a proxy", shown(&text)))
    }
}

impl fmt::Debug for ProxyAddress {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sealift_fetch::without_secrets(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mirror, String> {
        serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
    }

    #[test]
    fn only_the_source_has_to_be_named() {
        let mirror = read("source: https://releases.acme.example/acme").unwrap();
        assert_eq!((mirror.channel, mirror.activate), (ChannelName::Stable, false));
        assert!(mirror.options().rate.is_none() && mirror.options().proxy.is_none());
        let all = "source: oci://registry.acme.example:5000/acme/releases\nchannel: candidate\nactivate: true\n\
                   rate: 10MB/s\ncaFile: /etc/ca.pem\nproxy: http://me:hush@proxy:3128\nnoProxy: [acme.example]\n\
                   dockerConfig: /etc/sealift/docker\nplainHttp: true\n";
        let mirror = read(all).unwrap();
        let options = mirror.options();
        assert_eq!(options.rate.map(NonZeroU64::get), Some(10_000_000));
        assert!(options.proxy.is_some() && options.plain_http && mirror.activate);
        assert!(!format!("{mirror:?} {options:?}").contains("hush"));
    }

    #[test]
    fn places_are_written_as_urls_or_paths() {
        let cases = [
            ("/srv/releases", Ok("file:///srv/releases")),
            ("https://a.example", Ok("https://a.example")),
            ("https://a.example/b/", Ok("https://a.example/b")),
            ("http://a.example/b", Ok("http://a.example/b")),
            ("oci://a.example/b/c", Ok("oci://a.example/b/c")),
            ("oci://127.0.0.1:5000/b", Ok("oci://127.0.0.1:5000/b")),
            ("oci://acme/releases", Err("write host and repository")),
            ("oci://a.example/b:1", Err("write host and repository")),
            ("oci://a.example/B", Err("not an image reference")),
            ("releases", Err("neither https://")),
            ("ftp://a.example", Err("neither https://")),
            ("https://me:hush@a.example/", Err("`a.example/` holds a user name")),
            ("https://a.example/?sig=1", Err("holds a `?`")),
        ];
        for (text, expected) in cases {
            match (text.parse::<Location>(), expected) {
                (Ok(location), Ok(shown)) => assert_eq!(location.to_string(), shown),
                (Err(said), Err(part)) => assert!(said.contains(part) && !said.contains("hush"), "{said}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }

    #[test]
    fn mistakes_are_told_without_passwords() {
        for (text, expected) in [
            ("channel: stable", "source"),
            ("source: /srv\nchannel: nightly", "nightly"),
            ("source: /srv\nrate: 10MB", "no rate"),
            ("source: /srv\nrate: 0B/s", "no rate"),
            ("source: /srv\nproxy: 'socks5://me:hush@proxy:1080'", "`proxy:1080` is no http:// address"),
            ("source: /srv\nproxies: x", "unknown field `proxies`"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hush"), "{text}: {said}");
        }
    }
}
