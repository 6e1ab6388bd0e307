//! The "no" of the distribution specification: a status, and a JSON body with a code (spec.md, "Error Codes").

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{JSON, json};
use crate::refusal::RETRY_AFTER_SECONDS;

/// The methods that this registry knows.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Why a request is not answered with content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Content that no visible release has.
    BlobUnknown,
    /// Not a digest.
    DigestInvalid,
    /// A tag or manifest that no visible release has.
    ManifestUnknown,
    /// Not a repository name.
    NameInvalid,
    /// A repository that no visible release has.
    NameUnknown,
    /// A page size that is not a number.
    PageInvalid,
    /// This registry takes nothing in.
    ReadOnly,
    /// The store is damaged where this content should be.
    Damaged,
    /// The store cannot be read at all, or this node may not say what is active.
    NotReady,
}

impl Reason {
    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown | Self::ManifestUnknown | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::DigestInvalid | Self::NameInvalid | Self::PageInvalid => StatusCode::BAD_REQUEST,
            Self::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            // Not in the specification; what the reference implementation says.
            Self::PageInvalid => "PAGINATION_NUMBER_INVALID",
            Self::ReadOnly => "UNSUPPORTED",
            Self::Damaged => "UNKNOWN",
            Self::NotReady => "UNAVAILABLE",
        }
    }
}

/// A refused request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    reason: Reason,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    errors: [BodyError<'a>; 1],
}

#[derive(Serialize)]
struct BodyError<'a> {
    code: &'static str,
    message: &'a str,
}

impl Refusal {
    /// Refuses for this reason; the message is for the person who reads the client's log.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The reason.
    #[cfg(test)]
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body { errors: [BodyError { code: self.reason.code(), message: &self.message }] };
        let advice = match self.reason {
            Reason::ReadOnly => Some((header::ALLOW, ALLOWED_METHODS)),
            Reason::NotReady => Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => None,
        };
        let mut response = (self.reason.status(), json(JSON, &body)).into_response();
        response.headers_mut().extend(advice);
        response
    }
}
