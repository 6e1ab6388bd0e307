//! What other nodes fetch below `/peer/`: the published tree of `archive/FORMAT.md`, 3.7, made from what the store holds.
//!
//! There are envelopes of visible releases and of the trust roots that are known here, and blobs: content of visible releases,
//! their blob lists and `refs.json`. There is no channel. Which release is wanted never comes from a peer, and whoever fetches
//! here checks everything against a trust root of their own: this endpoint hands on what was signed, and vouches for nothing.
//!
//! Every part has one spelling, which is compared and never decoded; nothing of a path becomes a file name of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use sealift_archive::release::published::{Envelope, Published};
use sealift_archive::{AnyDigest, Blob, Digest};
use sealift_store::{Store, StoredRelease};
use tokio::task::spawn_blocking;

use crate::Error;
use crate::app::App;
use crate::content::{self, Content, OCTET_STREAM, Place};
use crate::refusal::{Refusal, look_twice};

/// Where the names begin.
const ROOT: &str = "/peer/";

/// Answers whatever is asked below `/peer/`.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let found = look_twice(|| look_up(&app, &method, &uri, &headers), Refusal::is_damage).await;
    found.unwrap_or_else(IntoResponse::into_response)
}

async fn look_up(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::ReadOnly);
    }
    let path = uri.path().strip_prefix(ROOT).unwrap_or_default();
    match parse(path).ok_or(Refusal::NotFound)? {
        Published::Blob(digest) => {
            let content = find_content(app, digest).await?;
            Ok(content::answer(content, method, headers, app.buffers()).await?)
        }
        part => {
            let envelope = ask_store(app, move |store| find_envelope(store, &part)).await?;
            Ok(respond(&envelope.ok_or(Refusal::NotFound)?))
        }
    }
}

/// The part that a path names, if it names one that is answered for.
fn parse(path: &str) -> Option<Published> {
    let (folder, name) = path.rsplit_once('/')?;
    let part = match folder {
        "releases" => Published::Release(Digest::from_hex(name.strip_suffix(".json")?)?),
        "roots" => Published::Root(name.strip_suffix(".json")?.parse().ok()?),
        "blobs/sha256" => Published::Blob(Digest::from_hex(name)?),
        _ => return None,
    };
    // A number can be written in more ways than one.
    (part.path() == path).then_some(part)
}

/// Content of a visible release, or one of its documents.
async fn find_content(app: &App, digest: Digest) -> Result<Content, Refusal> {
    let view = app.live().view().await;
    let catalog = view.catalog().ok_or(Refusal::NotReady)?;
    let (path, size) = if let Some(size) = catalog.blob_size(&digest) {
        (app.blob_path(&digest), size)
    } else {
        let document = ask_store(app, move |store| find_document(store, &digest)).await?;
        document.ok_or(Refusal::NotFound)?
    };
    Ok(Content {
        blob: Blob { digest, size },
        name: AnyDigest::from(digest).into(),
        place: Place::File(path),
        media_type: OCTET_STREAM,
    })
}

/// The file of a blob list or `refs.json`, and its size in bytes.
fn find_document(store: &Store, digest: &Digest) -> Result<Option<(PathBuf, u64)>, Error> {
    for release in visible(store)? {
        // A release that is damaged keeps nobody from another one; the status page tells of it.
        if let Ok(Some(path)) = release.document(digest) {
            let size = fs_err::metadata(&path)?.len();
            return Ok(Some((path, size)));
        }
    }
    Ok(None)
}

fn find_envelope(store: &Store, part: &Published) -> Result<Option<Envelope>, Error> {
    match part {
        Published::Root(version) => Ok(store.root_envelope(*version)?),
        Published::Release(digest) => {
            let release = visible(store)?.find(|release| release.digest() == *digest);
            Ok(release.map(|release| release.envelope()).transpose()?)
        }
        Published::Channel(_) | Published::Blob(_) => Ok(None),
    }
}

fn visible(store: &Store) -> Result<impl Iterator<Item = StoredRelease>, Error> {
    Ok(store.releases()?.into_iter().filter(|release| release.state().is_served()))
}

/// Asks the store where waiting holds up nobody else.
async fn ask_store<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let store = app.live().store().clone();
    let answer = spawn_blocking(move || question(&store)).await;
    Ok(answer.map_err(|_| Refusal::NotReady)??)
}

fn respond(envelope: &Envelope) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        // Signatures may be added to a release, and a root be learnt.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, envelope.to_bytes()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_spelling() {
        let digest = Digest::of(b"");
        let hex = digest.hex();
        let upper = hex.to_uppercase();
        for part in
            [Published::Release(digest), Published::Root(0), Published::Root(12), Published::Blob(digest)]
        {
            assert_eq!(parse(&part.path()), Some(part));
        }
        for path in [
            "",
            "/",
            "releases",
            "releases/",
            "channels/stable.json",
            &format!("releases/{hex}"),
            &format!("releases/{upper}.json"),
            &format!("releases/{}.json", &hex[1..]),
            &format!("/releases/{hex}.json"),
            &format!("releases//{hex}.json"),
            &format!("./releases/{hex}.json"),
            &format!("releases/../releases/{hex}.json"),
            &format!("releases/%{}.json", &hex[1..]),
            &format!("releases/{hex}.json/"),
            "roots/01.json",
            "roots/+1.json",
            "roots/-1.json",
            "roots/1",
            "roots/18446744073709551616.json",
            "roots/../../trust/root.json",
            &format!("blobs/sha512/{hex}"),
            &format!("blobs/sha256/{hex}/"),
            &format!("blobs/sha256/{upper}"),
            &format!("blobs/{hex}"),
            "blobs/sha256/..",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
