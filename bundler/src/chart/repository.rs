//! Chart repositories: a web server with an `index.yaml` (Helm's documentation, "The Chart Repository Guide").

use sealift_archive::Digest;
use sealift_fetch::{Client, Url};

use super::archive::MAX_TGZ_BYTES;
use super::index::{Entry, Listing, MAX_INDEX_BYTES};
use super::provenance::MAX_PROVENANCE_BYTES;
use super::{Chart, ChartName, ChartVersion};
use crate::Error;

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

/// Gets a chart from the repository at an address, which is the one that `helm repo add` takes.
///
/// The index's digest is checked if it has one. Of several addresses the first that answers with a file is believed.
/// That there is no provenance file is only believed of a 404.
///
/// # Errors
/// [`Error::NoRepository`], [`Error::NoChart`], [`Error::ChartDigest`], [`Error::OtherChart`], [`Error::ChartElsewhere`],
/// what is wrong with index or chart, and what servers and network say.
pub async fn from_repository(
    client: &Client,
    repository: &Url,
    name: &ChartName,
    version: &ChartVersion,
) -> Result<Found, Error> {
    let index_url = resolve(repository, "index.yaml")?;
    let index = client.get(&index_url, MAX_INDEX_BYTES).await.map_err(|error| {
        if error.is_absent() { Error::NoRepository { index: shown(&index_url) } } else { error.into() }
    })?;
    let listing = Listing::find(&shown(&index_url), &index, name)?;
    drop(index);
    let entry = choose(repository, &listing, name, version)?;
    let wanted = digest(&shown(&index_url), name, entry)?;
    let (tgz_url, tgz) = download(client, repository, name, entry).await?;
    let found = Digest::of(&tgz);
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        return Err(Error::ChartDigest { url: shown(&tgz_url), wanted, found });
    }
    let beside = provenance_of(&tgz_url);
    let provenance = match client.get(&beside, MAX_PROVENANCE_BYTES).await {
        Err(error) if error.is_absent() => None,
        answer => Some(answer?),
    };
    let provenance_url = provenance.is_some().then_some(beside);
    let chart = Chart::from_bytes(&shown(&tgz_url), tgz, provenance)?;
    if chart.metadata.name != *name || !chart.metadata.version.is_same(version) {
        let found = format!("{} {}", chart.metadata.name, chart.metadata.version);
        return Err(Error::OtherChart { url: shown(&tgz_url), wanted: format!("{name} {version}"), found });
    }
    Ok(Found { chart, tgz_url, provenance_url })
}

/// An address in an index, seen from the repository: as Helm does it, a relative one takes over the repository's query.
fn resolve(repository: &Url, address: &str) -> Result<Url, Error> {
    let refuse =
        |_| Error::BadChart { chart: shown(repository), why: "an address in its index is none".to_owned() };
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

fn choose<'a>(
    repository: &Url,
    listing: &'a Listing,
    name: &ChartName,
    version: &ChartVersion,
) -> Result<&'a Entry, Error> {
    let refuse = |has| Error::NoChart {
        repository: shown(repository),
        chart: format!("{name} {version}"),
        has,
        nearest: listing.nearest.clone(),
    };
    let versions = listing.versions.as_ref().ok_or_else(|| refuse(None))?;
    listing.version(version).ok_or_else(|| {
        let mut has: Vec<&str> =
            versions.iter().take(MAX_SHOWN_VERSIONS).map(|entry| entry.version.as_str()).collect();
        let more = format!("and {} more", versions.len() - has.len());
        if versions.len() > has.len() {
            has.push(&more);
        }
        refuse(Some(has.join(", ")))
    })
}

fn digest(index: &str, name: &ChartName, entry: &Entry) -> Result<Option<Digest>, Error> {
    let text = entry.digest.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digest = format!("sha256:{hex}").parse().map_err(|_| Error::BadChart {
        chart: format!("{name} {}", entry.version),
        why: format!("its digest in {index} is not sha256: `{text}`"),
    })?;
    Ok(Some(digest))
}

/// The archive, from the first address that has it.
async fn download(
    client: &Client,
    repository: &Url,
    name: &ChartName,
    entry: &Entry,
) -> Result<(Url, Vec<u8>), Error> {
    let mut failures = Vec::new();
    let mut in_registry = None;
    for address in entry.urls.iter().take(MAX_ADDRESSES) {
        let url = resolve(repository, address)?;
        if url.scheme() == REGISTRY_SCHEME {
            in_registry.get_or_insert_with(|| address.clone());
            continue;
        }
        match client.get(&url, MAX_TGZ_BYTES).await {
            Ok(tgz) => return Ok((url, tgz)),
            Err(error) => failures.push(error),
        }
    }
    let chart = format!("{name} {}", entry.version);
    match (failures.len(), in_registry) {
        (0, None) => {
            Err(Error::BadChart { chart, why: format!("{} gives no address of it", shown(repository)) })
        }
        (0, Some(reference)) => Err(Error::ChartElsewhere { chart, reference }),
        (1, _) => Err(failures.remove(0).into()),
        _ => Err(sealift_fetch::Error::Several(failures).into()),
    }
}

/// Where the provenance file of an archive would be.
fn provenance_of(tgz: &Url) -> Url {
    let mut url = tgz.clone();
    url.set_path(&format!("{}.prov", tgz.path()));
    url
}

/// An address without its query, which may be a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
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
