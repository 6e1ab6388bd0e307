//! Many blobs at once, each of them once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use sealift_archive::{Digest, Progress};

use crate::client::{Inner, Wanted};
use crate::crew::Crew;
use crate::error::Error;
use crate::stop::Stop;
use crate::transfer::Transfer;

/// Fetches everything. After a failure nothing new is begun, but what is under way is finished; all failures
/// are told together.
pub(crate) async fn fetch_all(
    client: &Inner,
    wanted: Vec<Wanted>,
    crew: Crew,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let hosts = each_once(wanted)?;
    let stop = Stop::new();
    let work = join_all(hosts.into_iter().map(|wanted| from_one_host(client, wanted, &crew, &stop)));
    let failures = tokio::select! {
        failures = work => failures,
        never = stop.watch(progress) => match never {},
    };
    if stop.is_interrupted() {
        return Err(sealift_archive::Error::Interrupted.into());
    }
    Error::all(failures.into_iter().flatten().collect()).map_or(Ok(()), Err)
}

/// Hosts do not wait for each other: each has its own share of requests.
async fn from_one_host(client: &Inner, wanted: Vec<Wanted>, crew: &Crew, stop: &Stop) -> Vec<Error> {
    stream::iter(wanted)
        .map(|wanted| async move {
            if !stop.may_begin() {
                return None;
            }
            let error = Transfer { client, wanted: &wanted, crew, stop }.run().await.err()?;
            stop.begin_nothing();
            Some(error)
        })
        .buffer_unordered(client.options.concurrency.max(1))
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// The distinct blobs by host, in the order in which they are wanted.
fn each_once(wanted: Vec<Wanted>) -> Result<Vec<Vec<Wanted>>, Error> {
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut hosts: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
    for wanted in wanted {
        let blob = wanted.blob;
        match sizes.entry(blob.digest) {
            Entry::Vacant(entry) => {
                entry.insert(blob.size);
                hosts.entry(wanted.subject().host()).or_default().push(wanted);
            }
            Entry::Occupied(entry) if *entry.get() != blob.size => {
                return Err(Error::TwoSizes {
                    reference: wanted.origin.to_string(),
                    digest: blob.digest,
                    one: *entry.get(),
                    other: blob.size,
                });
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(hosts.into_values().collect())
}

#[cfg(test)]
mod tests {
    use sealift_archive::Blob;

    use super::*;
    use crate::client::{Kind, Origin};

    fn wanted(content: &[u8], from: &str) -> Wanted {
        let origin = Origin::Registry { reference: from.parse().unwrap(), kind: Kind::Blob };
        Wanted::new(Blob::of(content), origin)
    }

    #[test]
    fn each_blob_is_wanted_once_whatever_names_it() {
        let all = vec![
            wanted(b"base", "ghcr.io/a/one:1"),
            wanted(b"app", "ghcr.io/a/one:1"),
            wanted(b"base", "quay.io/b/two:1"),
            wanted(b"tool", "quay.io/b/two:1"),
            Wanted::new(Blob::of(b"file"), Origin::Url("https://ghcr.io:443/file".parse().unwrap())),
        ];
        let hosts = each_once(all.clone()).unwrap();
        let expected: [&[usize]; 2] = [&[0, 1, 4], &[3]];
        assert_eq!(
            hosts,
            expected.map(|indexes| indexes.iter().map(|i| all[*i].clone()).collect::<Vec<_>>())
        );
    }

    #[test]
    fn one_content_cannot_have_two_sizes() {
        let mut second = wanted(b"base", "quay.io/b/two:1");
        second.blob.size += 1;
        let error = each_once(vec![wanted(b"base", "ghcr.io/a/one:1"), second]).unwrap_err().to_string();
        assert!(error.contains("4 and 5 bytes") && error.contains("quay.io/b/two:1"), "{error}");
    }
}
