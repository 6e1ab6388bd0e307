//! The push half of the OCI distribution protocol (distribution-spec, "Pushing"), as far as clients use it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use sealift_archive::Digest;
use url::form_urlencoded;

use super::content::Contents;
use super::fault::DOCKER_CONTENT_DIGEST;
use super::service;

/// Uploads that have begun and are not finished.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: u64,
    open: HashMap<String, BytesMut>,
}

impl Uploads {
    /// `POST /v2/<name>/blobs/uploads/`: the whole blob, a blob of another repository, or the begin of an upload.
    pub(crate) fn begin(&self, contents: &Contents, repository: &str, query: &str, body: Bytes) -> Response {
        if let Some(digest) = parameter(query, "digest") {
            return keep(contents, repository, &digest, body);
        }
        if let (Some(digest), Some(from)) = (parameter(query, "mount"), parameter(query, "from"))
            && let Ok(digest) = digest.parse::<Digest>()
            && contents.mount(digest, &from, repository)
        {
            return created_blob(repository, digest);
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.begun += 1;
        let id = inner.begun.to_string();
        inner.open.insert(id.clone(), BytesMut::new());
        progress(StatusCode::ACCEPTED, repository, &id, 0)
    }

    /// `PATCH`: the next bytes.
    pub(crate) fn append(&self, repository: &str, id: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(upload) = inner.open.get_mut(id) else { return unknown_upload(id) };
        // The specification's own form, `<first>-<last>`: there is no unit in front.
        let first =
            headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()?.split('-').next()?.parse().ok());
        if first.is_some_and(|first: usize| first != upload.len()) {
            return progress(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, upload.len());
        }
        upload.extend_from_slice(body);
        progress(StatusCode::ACCEPTED, repository, id, upload.len())
    }

    /// `GET`: how far an upload is.
    pub(crate) fn state(&self, repository: &str, id: &str) -> Response {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).open.get(id) {
            Some(upload) => progress(StatusCode::NO_CONTENT, repository, id, upload.len()),
            None => unknown_upload(id),
        }
    }

    /// `DELETE`: the upload is given up.
    pub(crate) fn cancel(&self, id: &str) -> Response {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(id) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => unknown_upload(id),
        }
    }

    /// `PUT ?digest=`: the last bytes, and what it all should be.
    pub(crate) fn finish(
        &self,
        contents: &Contents,
        repository: &str,
        id: &str,
        query: &str,
        body: &[u8],
    ) -> Response {
        let upload = self.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(id);
        let Some(mut upload) = upload else { return unknown_upload(id) };
        upload.extend_from_slice(body);
        let digest = parameter(query, "digest").unwrap_or_default();
        keep(contents, repository, &digest, upload.freeze())
    }
}

/// `PUT /v2/<name>/manifests/<reference>`: exact bytes under a tag or a digest.
pub(crate) fn manifest(
    contents: &Contents,
    repository: &str,
    reference: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tag = match reference.parse::<Digest>() {
        Ok(digest) if digest == Digest::of(&body) => None,
        Ok(_) => return wrong_digest(),
        Err(_) => Some(reference),
    };
    let digest = contents.add_manifest(repository, tag, media_type, body);
    created(&format!("/v2/{repository}/manifests/{digest}"), digest)
}

fn keep(contents: &Contents, repository: &str, digest: &str, body: Bytes) -> Response {
    match digest.parse::<Digest>() {
        Ok(digest) if digest == Digest::of(&body) => match contents.add_blob(repository, body) {
            Ok(_) => created_blob(repository, digest),
            Err(error) => service::problem(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &error.to_string()),
        },
        _ => wrong_digest(),
    }
}

fn wrong_digest() -> Response {
    service::problem(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the content has another digest")
}

fn unknown_upload(id: &str) -> Response {
    service::problem(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", &format!("no upload {id}"))
}

fn created_blob(repository: &str, digest: Digest) -> Response {
    created(&format!("/v2/{repository}/blobs/{digest}"), digest)
}

fn created(location: &str, digest: Digest) -> Response {
    let headers = [(LOCATION, location.to_owned()), (DOCKER_CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

/// How far an upload is: `Range` names the last byte, and is `0-0` for none as well.
fn progress(status: StatusCode, repository: &str, id: &str, len: usize) -> Response {
    let headers = [
        (LOCATION, format!("/v2/{repository}/blobs/uploads/{id}")),
        (RANGE, format!("0-{}", len.saturating_sub(1))),
    ];
    (status, headers).into_response()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
