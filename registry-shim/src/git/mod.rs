//! Git over smart HTTP, for reading (git's gitprotocol-http.adoc): `git upload-pack` behind two routes.
//!
//! Each request reads once which release is active and answers from that release's Git namespace, so an activation
//! rewrites no ref. A clone is several requests; if the active release changes between them, the objects that were
//! named before are still there and may still be asked for (`uploadpack.allowAnySHA1InWant`).
//!
//! Nothing of a request reaches a shell, a file name or the environment: the repository's name is looked up in the
//! catalog, and of the client's protocol header only the wish for version 2 is taken over.

mod advertisement;
mod body;
mod packet;
mod turns;
mod upload_pack;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sealift_archive::RepositoryName;
use url::form_urlencoded;

pub(crate) use self::upload_pack::UploadPack;
use self::upload_pack::{Answer, Question};
use crate::agreed::Unfit;
use crate::app::App;
use crate::refusal::RETRY_AFTER_SECONDS;

const PREFIX: &str = "/git/";
const GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");
const UPLOAD_PACK: &str = "git-upload-pack";
const RECEIVE_PACK: &str = "git-receive-pack";
const REQUEST_TYPE: &str = "application/x-git-upload-pack-request";
const RESULT_TYPE: &str = "application/x-git-upload-pack-result";
const ADVERTISEMENT_TYPE: &str = "application/x-git-upload-pack-advertisement";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(IpAddr);

/// Says who asks, to whoever shares out turns among clients. Nobody else needs to know, and it takes memory.
pub(crate) fn introduce<B>(client: IpAddr, request: &mut Request<B>) {
    if request.uri().path().starts_with(PREFIX) {
        request.extensions_mut().insert(Client(client));
    }
}

/// Answers whatever is asked below `/git/`.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut response = match route(&app, client, &method, &uri, &headers, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn route(
    app: &App,
    client: Client,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let path = uri.path().strip_prefix(PREFIX).ok_or(Refusal::NotFound)?;
    let (name, service) = path.split_once('/').ok_or(Refusal::NotFound)?;
    let read_only = method == Method::GET || method == Method::HEAD;
    match service {
        "info/refs" if read_only => match requested_service(uri).as_deref() {
            Some(UPLOAD_PACK) => {
                let question = ask(app, client, name, headers).await?;
                let answer = app.upload_pack().advertise(&question).await.map_err(refuse)?;
                Ok(stream(ADVERTISEMENT_TYPE, answer))
            }
            Some(RECEIVE_PACK) => Err(Refusal::ReadOnly),
            // Without a service it is the dumb protocol, which needs files that we do not make.
            _ => Err(Refusal::NotFound),
        },
        UPLOAD_PACK if method == Method::POST => {
            if headers.get(header::CONTENT_TYPE).is_none_or(|found| found != REQUEST_TYPE) {
                return Err(Refusal::WrongType);
            }
            let question = ask(app, client, name, headers).await?;
            let answer = app.upload_pack().negotiate(&question, headers, body).await.map_err(refuse)?;
            Ok(stream(RESULT_TYPE, answer))
        }
        RECEIVE_PACK => Err(Refusal::ReadOnly),
        "info/refs" => Err(Refusal::WrongMethod("GET, HEAD")),
        UPLOAD_PACK => Err(Refusal::WrongMethod("POST")),
        _ => Err(Refusal::NotFound),
    }
}

/// Finds the repository in the active release.
async fn ask(
    app: &App,
    Client(client): Client,
    name: &str,
    headers: &HeaderMap,
) -> Result<Question, Refusal> {
    let repository: RepositoryName =
        name.strip_suffix(".git").unwrap_or(name).parse().map_err(|_| Refusal::NotFound)?;
    let view = app.live().view().await;
    let catalog = view.catalog().ok_or(Refusal::NotReady)?;
    let namespace = catalog.git(&repository).ok_or(Refusal::NotFound)?;
    app.judge().expect_fit(app.live().store(), namespace).await.map_err(Refusal::Unfit)?;
    let dir = app.git_path(&repository);
    let wishes = headers.get(GIT_PROTOCOL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let version_2 = wishes.split(':').any(|wish| wish == "version=2");
    Ok(Question { repository, dir, namespace, version_2, client })
}

fn requested_service(uri: &Uri) -> Option<String> {
    let mut query = form_urlencoded::parse(uri.query()?.as_bytes());
    query.find(|(name, _)| name == "service").map(|(_, service)| service.into_owned())
}

fn stream(media_type: &'static str, answer: Answer) -> Response {
    ([(header::CONTENT_TYPE, media_type)], answer.into_body()).into_response()
}

/// Why a Git client gets no answer. The body is plain text, which `git` shows to its user.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NotFound,
    ReadOnly,
    WrongMethod(&'static str),
    WrongType,
    TooLarge,
    TooSlow,
    Malformed,
    NotReady,
    Unfit(Unfit),
    Busy,
    Failed,
}

fn refuse(error: upload_pack::Error) -> Refusal {
    match error {
        upload_pack::Error::Body(body::Error::WrongEncoding) => Refusal::WrongType,
        upload_pack::Error::Body(body::Error::TooLarge) => Refusal::TooLarge,
        upload_pack::Error::Body(body::Error::TooSlow) => Refusal::TooSlow,
        upload_pack::Error::Body(body::Error::Malformed) => Refusal::Malformed,
        upload_pack::Error::Busy | upload_pack::Error::Body(body::Error::Busy) => Refusal::Busy,
        upload_pack::Error::Failed(error) => {
            error.log();
            Refusal::Failed
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "the active release has no such repository"),
            Self::ReadOnly => (StatusCode::FORBIDDEN, "this server is read-only"),
            Self::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "this method has no meaning here"),
            Self::WrongType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is not a request of Git's"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "the request cannot be read"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read"),
            Self::Unfit(why) => (StatusCode::SERVICE_UNAVAILABLE, why.message()),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many clients at once"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the repository cannot be read"),
        };
        let advice = match self {
            Self::WrongMethod(allowed) => Some((header::ALLOW, HeaderValue::from_static(allowed))),
            Self::Busy | Self::NotReady | Self::Unfit(_) => Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => None,
        };
        let mut response = (status, format!("{message}\n")).into_response();
        response.headers_mut().extend(advice);
        response
    }
}
