//! One request from its line to its answer: who asks, what is done wrong on purpose, and what is really there.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sealift_archive::AnyDigest;
use serde_json::json;

use super::access::{Gate, TOKEN_PATH};
use super::content::Contents;
use super::fault::{self, Faults};
use super::log::Log;
use super::pull;
use super::push::{self, Uploads};
use super::registry::Referrers;
use super::wire::{Door, Line};

/// The largest body of a request: one layer of an image.
const MAX_REQUEST_BYTES: usize = 4 << 30;

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) contents: Contents,
    pub(crate) faults: Faults,
    pub(crate) gate: Gate,
    pub(crate) log: Log,
    pub(crate) uploads: Uploads,
    pub(crate) referrers: Referrers,
    /// `scheme://host:port` of the registry itself.
    pub(crate) origin: String,
    /// The same of the mirror, if blobs are to be fetched there.
    pub(crate) mirror: Option<String>,
    /// The registry's own port, on which access is checked; the mirror lets everybody in, as a CDN does.
    pub(crate) front_port: u16,
}

/// Answers all requests of one door, for ever.
pub(crate) async fn serve(service: Arc<Service>, door: Door) {
    let app = Router::new().fallback(answer).with_state(service);
    // Serving ends with its runtime and not by itself; an error here has nobody to be told to.
    let _ = axum::serve(door, app.into_make_service_with_connect_info::<Line>()).await;
}

async fn answer(
    State(service): State<Arc<Service>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let seen = Log::note(&request, line.port);
    let is_head = request.method() == Method::HEAD;
    let mut response = respond(&service, &line, request).await;
    if is_head {
        // The headers stay as they would be for GET, the length included.
        *response.body_mut() = Body::empty();
    }
    service.log.enter(seen, response)
}

async fn respond(service: &Service, line: &Line, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let Some(route) = Route::of(&path).or_else(|| service.contents.file(&path).map(|_| Route::File)) else {
        return problem(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "there is nothing here");
    };
    let at_front = line.port == service.front_port;
    let refusal = if at_front && route != Route::Token {
        service.gate.refuse(&service.origin, &parts.method, route.repository(), &parts.headers)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return refusal;
    }
    // Faults are for what is sent, and neither a refusal nor a redirect sends anything: they are kept for the
    // request that is let in, and goes to where the content is.
    if let (true, Some(mirror), Route::Blob { .. } | Route::File, &Method::GET) =
        (at_front, &service.mirror, route, &parts.method)
    {
        return (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, format!("{mirror}{path}"))]).into_response();
    }

    let faults = service.faults.take(&path);
    if let Some(response) = fault::before(&faults, &mut parts.headers).await {
        return response;
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the request is too large");
    };
    let response = handle(service, route, &parts, &query, body).await;
    fault::after(&faults, &line.cut, response)
}

async fn handle(
    service: &Service,
    route: Route<'_>,
    request: &axum::http::request::Parts,
    query: &str,
    body: Bytes,
) -> Response {
    let (contents, headers) = (&service.contents, &request.headers);
    match (route, request.method.as_str()) {
        (Route::Token, "GET" | "POST") => service.gate.give_token(&request.method, query, &body, headers),
        (Route::File, "GET" | "HEAD") => pull::file(contents, request.uri.path(), headers).await,
        (Route::Root, "GET" | "HEAD") => ([(CONTENT_TYPE, "application/json")], "{}").into_response(),
        (Route::Tags { repository }, "GET") => pull::tags(contents, repository),
        (Route::Referrers { repository, subject }, "GET") => match service.referrers {
            Referrers::Unknown => problem(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "there is nothing here"),
            Referrers::Whole => pull::referrers(contents, repository, subject, None, query),
            Referrers::Paged(size) => pull::referrers(contents, repository, subject, Some(size), query),
        },
        (Route::Manifest { repository, reference }, "GET" | "HEAD") => {
            pull::manifest(contents, repository, reference).await
        }
        (Route::Manifest { repository, reference }, "PUT") => {
            push::manifest(contents, repository, reference, headers, body)
        }
        (Route::Blob { repository, digest }, "GET" | "HEAD") => {
            pull::blob(contents, repository, digest, headers).await
        }
        (Route::Uploads { repository }, "POST") => service.uploads.begin(contents, repository, query, body),
        (Route::Upload { repository, id }, "PATCH") => service.uploads.append(repository, id, headers, &body),
        (Route::Upload { repository, id }, "PUT") => {
            service.uploads.finish(contents, repository, id, query, &body)
        }
        (Route::Upload { repository, id }, "GET") => service.uploads.state(repository, id),
        (Route::Upload { id, .. }, "DELETE") => service.uploads.cancel(id),
        _ => problem(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported"),
    }
}

/// What a path means. Repository names contain slashes, so paths are read from their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Token,
    /// None of the registry's own: whatever file was put there.
    File,
    Root,
    Tags {
        repository: &'a str,
    },
    Manifest {
        repository: &'a str,
        reference: &'a str,
    },
    Referrers {
        repository: &'a str,
        subject: AnyDigest,
    },
    Blob {
        repository: &'a str,
        digest: AnyDigest,
    },
    Uploads {
        repository: &'a str,
    },
    Upload {
        repository: &'a str,
        id: &'a str,
    },
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        if path == TOKEN_PATH {
            return Some(Self::Token);
        }
        let rest = path.strip_prefix("/v2")?;
        let rest = match rest {
            "" | "/" => return Some(Self::Root),
            rest => rest.strip_prefix('/')?,
        };
        if let Some((repository, id)) = rest.rsplit_once("/blobs/uploads/") {
            return Some(if id.is_empty() {
                Self::Uploads { repository }
            } else {
                Self::Upload { repository, id }
            });
        }
        if let Some((repository, digest)) = rest.rsplit_once("/blobs/") {
            return Some(Self::Blob { repository, digest: digest.parse().ok()? });
        }
        if let Some((repository, subject)) = rest.rsplit_once("/referrers/") {
            return Some(Self::Referrers { repository, subject: subject.parse().ok()? });
        }
        if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
            return Some(Self::Manifest { repository, reference });
        }
        rest.strip_suffix("/tags/list").map(|repository| Self::Tags { repository })
    }

    fn repository(&self) -> Option<&'a str> {
        match *self {
            Self::Token | Self::File | Self::Root => None,
            Self::Tags { repository }
            | Self::Manifest { repository, .. }
            | Self::Referrers { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Uploads { repository }
            | Self::Upload { repository, .. } => Some(repository),
        }
    }
}

/// An error answer as the distribution specification defines it.
pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;

    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = Digest::of(b"x");
        let blob = format!("/v2/a/b/c/blobs/{digest}");
        let list = format!("/v2/a/b/referrers/{digest}");
        let cases = [
            ("/v2/", Some(Route::Root)),
            ("/token", Some(Route::Token)),
            ("/v2/a/b/manifests/1.0", Some(Route::Manifest { repository: "a/b", reference: "1.0" })),
            ("/v2/blobs/manifests/1", Some(Route::Manifest { repository: "blobs", reference: "1" })),
            (blob.as_str(), Some(Route::Blob { repository: "a/b/c", digest: digest.into() })),
            (list.as_str(), Some(Route::Referrers { repository: "a/b", subject: digest.into() })),
            ("/v2/a/blobs/uploads/", Some(Route::Uploads { repository: "a" })),
            ("/v2/a/blobs/uploads/7", Some(Route::Upload { repository: "a", id: "7" })),
            ("/v2/a/b/tags/list", Some(Route::Tags { repository: "a/b" })),
            ("/v2/a/blobs/sha256:zz", None),
            ("/other", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::of(path), expected, "{path}");
        }
    }
}
