//! Chart repositories: a web server with an `index.yaml` (Helm's documentation, "The Chart Repository Guide").

use std::sync::Arc;

use sealift_archive::Digest;
use sealift_fetch::{Client, Url, without_secrets};

use super::archive::MAX_TGZ_BYTES;
use super::index::{Entry, Listing, MAX_INDEX_BYTES};
use super::provenance::MAX_PROVENANCE_BYTES;
use super::{Chart, ChartName, ChartVersion, yaml};
use crate::{Error, chart};

/// Addresses of one chart that are tried; an index has one or two.
const MAX_ADDRESSES: usize = 8;
/// Versions that an error lists.
const MAX_SHOWN_VERSIONS: usize = 10;
/// How addresses begin that are those of a registry.
const REGISTRY_SCHEME: &str = "oci";

/// A chart from a repository, and where its parts can be fetched again.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The chart.
    pub chart: Chart,
    /// Where its archive is.
    pub tgz_url: Url,
    /// Where its provenance file is, if it has one.
    pub provenance_url: Option<Url>,
}

/// A chart repository, whose index has been fetched.
#[derive(Clone, Debug)]
pub struct Repository {
    client: Client,
    url: Url,
    /// The index's address, as errors name it.
    index_name: String,
    index: Arc<[u8]>,
}

impl Repository {
    /// The repository at the address that `helm repo add` takes.
    ///
    /// # Errors
    /// [`chart::Error::NoRepository`], or what server and network say.
    pub async fn open(client: &Client, url: &Url) -> Result<Self, Error> {
        let index_url = resolve(url, "index.yaml")?;
        let index_name = without_secrets(&index_url);
        let index = match client.get(&index_url, MAX_INDEX_BYTES).await {
            Err(error) if error.is_absent() => {
                return Err(chart::Error::NoRepository { index: index_name }.into());
            }
            answer => answer?.into(),
        };
        Ok(Self { client: client.clone(), url: url.clone(), index_name, index })
    }

    /// Gets a chart.
    ///
    /// The index's digest is checked if it has one. Of several addresses the first that answers with a file is
    /// believed. That there is no provenance file is only believed of a 404.
    ///
    /// # Errors
    /// [`chart::Error::NoChart`], [`chart::Error::Digest`], [`chart::Error::OtherChart`], [`chart::Error::Elsewhere`], what is wrong with
    /// index or chart, and what servers and network say.
    pub async fn get(&self, name: &ChartName, version: &ChartVersion) -> Result<Found, Error> {
        let entry = self.entry(name.clone(), version.clone()).await?;
        let wanted = self.digest(name, &entry)?;
        let (tgz_url, tgz) = self.download(name, &entry).await?;
        let beside = provenance_of(&tgz_url);
        let provenance = match self.client.get(&beside, MAX_PROVENANCE_BYTES).await {
            Err(error) if error.is_absent() => None,
            answer => Some(answer?),
        };
        let provenance_url = provenance.is_some().then_some(beside);
        let place = without_secrets(&tgz_url);
        let chart = apart(move || {
            let found = Digest::of(&tgz);
            match wanted {
                Some(wanted) if wanted != found => {
                    Err(chart::Error::Digest { url: place, wanted, found }.into())
                }
                _ => Chart::from_bytes(&place, tgz, provenance),
            }
        })
        .await?;
        if chart.metadata.name != *name || !chart.metadata.version.is_same(version) {
            let found = format!("{} {}", chart.metadata.name, chart.metadata.version);
            return Err(chart::Error::OtherChart {
                url: without_secrets(&tgz_url),
                wanted: format!("{name} {version}"),
                found,
            }
            .into());
        }
        Ok(Found { chart, tgz_url, provenance_url })
    }

    async fn entry(&self, name: ChartName, version: ChartVersion) -> Result<Entry, Error> {
        let (index_name, index) = (self.index_name.clone(), Arc::clone(&self.index));
        let repository = without_secrets(&self.url);
        apart(move || {
            let listing = Listing::find(&index_name, &index, &name)?;
            let entry = listing.version(&version).cloned().ok_or_else(|| chart::Error::NoChart {
                repository,
                chart: format!("{name} {version}"),
                has: listing.versions.as_deref().map(few),
                nearest: listing.nearest.map(|name| name.to_string()),
            })?;
            Ok(entry)
        })
        .await
    }

    fn digest(&self, name: &ChartName, entry: &Entry) -> Result<Option<Digest>, Error> {
        let text = entry.digest.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let digest = Digest::from_hex(hex).ok_or_else(|| chart::Error::BadChart {
            chart: format!("{name} {}", entry.version),
            why: format!("its digest in {} is not sha256: `{text}`", self.index_name),
        })?;
        Ok(Some(digest))
    }

    /// The archive, from the first address that has it.
    async fn download(&self, name: &ChartName, entry: &Entry) -> Result<(Url, Vec<u8>), Error> {
        let mut failures = Vec::new();
        let mut in_registry = None;
        for address in entry.urls.iter().take(MAX_ADDRESSES) {
            let url = resolve(&self.url, address)?;
            if url.scheme() == REGISTRY_SCHEME {
                in_registry.get_or_insert(address);
                continue;
            }
            match self.client.get(&url, MAX_TGZ_BYTES).await {
                Ok(tgz) => return Ok((url, tgz)),
                Err(error) => failures.push(error),
            }
        }
        let chart = format!("{name} {}", entry.version);
        match (failures.len(), in_registry) {
            (0, None) => Err(chart::Error::BadChart {
                chart,
                why: format!("{} gives no address of it", self.index_name),
            }
            .into()),
            (0, Some(reference)) => {
                Err(chart::Error::Elsewhere { chart, reference: reference.clone() }.into())
            }
            (1, _) => Err(failures.remove(0).into()),
            _ => Err(sealift_fetch::Error::Several(failures).into()),
        }
    }
}

/// Large indexes take seconds, and nothing else on the network should wait for that.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(sealift_archive::Error::Interrupted.into()),
        },
    }
}

/// The first of some versions.
fn few(versions: &[Entry]) -> String {
    let shown = versions.iter().take(MAX_SHOWN_VERSIONS).map(|entry| yaml::cut(&entry.version));
    let more = versions.len().saturating_sub(MAX_SHOWN_VERSIONS);
    let more = (more > 0).then(|| format!("and {more} more"));
    shown.chain(more).collect::<Vec<_>>().join(", ")
}

/// An address in an index, seen from the repository: as Helm does it, a relative one takes over the repository's query.
fn resolve(repository: &Url, address: &str) -> Result<Url, Error> {
    let refuse = |_| {
        Error::from(chart::Error::BadChart {
            chart: without_secrets(repository),
            why: "an address in its index is none".to_owned(),
        })
    };
    if let Ok(absolute) = address.parse() {
        return Ok(absolute);
    }
    let mut base = repository.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let mut url = base.join(address).map_err(refuse)?;
    url.set_query(repository.query());
    Ok(url)
}

/// Where the provenance file of an archive would be.
fn provenance_of(tgz: &Url) -> Url {
    let mut url = tgz.clone();
    url.set_path(&format!("{}.prov", tgz.path()));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_seen_from_the_repository() {
        let cases = [
            ("https://x.com/charts", "a.tgz", "https://x.com/charts/a.tgz"),
            ("https://x.com/charts/", "sub/a.tgz", "https://x.com/charts/sub/a.tgz"),
            ("https://x.com/charts", "/a.tgz", "https://x.com/a.tgz"),
            ("https://x.com/charts", "../a.tgz", "https://x.com/a.tgz"),
            ("https://x.com", "a.tgz", "https://x.com/a.tgz"),
            ("https://x.com/charts?t=1", "a.tgz", "https://x.com/charts/a.tgz?t=1"),
            ("https://x.com/charts?t=1", "a.tgz?u=2", "https://x.com/charts/a.tgz?t=1"),
            ("https://x.com/charts", "a.tgz?u=2", "https://x.com/charts/a.tgz"),
            ("https://x.com/charts?t=1", "https://y.com/a.tgz?u=2", "https://y.com/a.tgz?u=2"),
            ("https://x.com/charts", "//y.com/a.tgz", "https://y.com/a.tgz"),
            ("https://x.com/charts", "web-1.0.0+b1.tgz", "https://x.com/charts/web-1.0.0+b1.tgz"),
        ];
        for (repository, address, expected) in cases {
            let url = resolve(&repository.parse().unwrap(), address).unwrap();
            assert_eq!(url.as_str(), expected, "{address} from {repository}");
        }
        let url: Url = "https://x.com/a.tgz?t=1".parse().unwrap();
        assert_eq!(provenance_of(&url).as_str(), "https://x.com/a.tgz.prov?t=1");
        assert!(resolve(&url, "//").is_err());
    }
}
