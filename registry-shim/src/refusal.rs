//! The "no" in plain text, for files and for peers. Registry clients and Git have a "no" of their own kind.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Error;

/// Seconds after which a client may ask again when the store could not be read.
pub(crate) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a client gets nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No visible release has it.
    NotFound,
    /// The client wants to write.
    ReadOnly,
    /// It should be there, and cannot be read.
    Damaged(Error),
    /// The store cannot be read at all.
    NotReady,
}

impl Refusal {
    /// Whether it should be there.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Damaged(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match &self {
            Self::NotFound => (StatusCode::NOT_FOUND, "no release here has anything of this name\n"),
            Self::ReadOnly => (StatusCode::METHOD_NOT_ALLOWED, "this server is read-only\n"),
            Self::Damaged(_) => (StatusCode::INTERNAL_SERVER_ERROR, "it cannot be read\n"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n"),
        };
        let advice = match &self {
            Self::ReadOnly => Some((header::ALLOW, HeaderValue::from_static("GET, HEAD"))),
            Self::NotReady => Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS)),
            Self::NotFound | Self::Damaged(_) => None,
        };
        if let Self::Damaged(error) = &self {
            error.log();
        }
        let mut response = (status, message).into_response();
        response.headers_mut().extend(advice);
        response
    }
}

/// Looks again where something was found and then could not be read: a collection may have taken it away between the look at
/// the catalog and that at the disk, and then it is unknown now.
pub(crate) async fn look_twice<T, E, F: Future<Output = Result<T, E>>>(
    look: impl Fn() -> F,
    is_damage: impl Fn(&E) -> bool,
) -> Result<T, E> {
    match look().await {
        Err(refusal) if is_damage(&refusal) => look().await,
        found => found,
    }
}
