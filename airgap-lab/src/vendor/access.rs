//! Who may use the registry: everybody, holders of a password, or holders of a token.
//!
//! Tokens follow the distribution project's documents `spec/auth/token.md` and `spec/auth/oauth.md`: a 401 names
//! the realm, the client asks there (with Basic, or by posting a refresh token) and comes back with a bearer
//! token that is good for one repository.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json;
use url::form_urlencoded;

use super::service;

/// Where tokens are given out.
pub(crate) const TOKEN_PATH: &str = "/token";
/// The name under which the token service knows this registry.
const SERVICE: &str = "vendor-registry";

/// The rule by which the registry lets requests in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody may do everything.
    #[default]
    Open,
    /// User and password in each request.
    Basic {
        /// The one user.
        user: String,
        /// That user's password.
        password: String,
    },
    /// A token in each request, given out at `/token`.
    Token {
        /// User and password for the token service; without them tokens are given to everybody.
        login: Option<(String, String)>,
        /// A refresh token ("identity token" in Docker's words) that the token service takes as well.
        refresh_token: Option<String>,
        /// How long a token is good.
        lifetime: Duration,
    },
}

#[derive(Debug)]
struct Token {
    scopes: Vec<String>,
    until: Instant,
}

/// Keeps the door: checks requests and gives out tokens.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Access,
    tokens: Mutex<HashMap<String, Token>>,
}

impl Gate {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, tokens: Mutex::default() }
    }

    /// Makes all tokens worthless that were given out so far.
    pub(crate) fn revoke_tokens(&self) {
        for token in self.tokens.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            token.scopes.clear();
        }
    }

    /// The refusal, if a request may not use `repository` (any, if there is none). `origin` is where clients
    /// reach this registry.
    pub(crate) fn refuse(
        &self,
        origin: &str,
        method: &Method,
        repository: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match &self.access {
            Access::Open => None,
            Access::Basic { user, password } => {
                (given != basic(user, password)).then(|| challenge("Basic realm=\"vendor\""))
            }
            Access::Token { .. } => {
                let action = if matches!(*method, Method::GET | Method::HEAD) { "pull" } else { "push" };
                if self.is_good(given, repository, action) {
                    return None;
                }
                let realm = format!("Bearer realm=\"{origin}{TOKEN_PATH}\",service=\"{SERVICE}\"");
                Some(challenge(&match (repository, action) {
                    (None, _) => realm,
                    (Some(name), "pull") => format!("{realm},scope=\"repository:{name}:pull\""),
                    (Some(name), _) => format!("{realm},scope=\"repository:{name}:pull,push\""),
                }))
            }
        }
    }

    fn is_good(&self, given: &str, repository: Option<&str>, action: &str) -> bool {
        let Some(token) = given.strip_prefix("Bearer ") else { return false };
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = tokens.get(token) else { return false };
        let covers = |scope: &String| {
            let mut parts = scope.splitn(3, ':');
            let named = parts.next() == Some("repository") && parts.next() == repository;
            named && parts.next().is_some_and(|actions| actions.split(',').any(|one| one == action))
        };
        token.until > Instant::now() && (repository.is_none() || token.scopes.iter().any(covers))
    }

    /// Answers a request to the token service.
    pub(crate) fn give_token(
        &self,
        method: &Method,
        query: &str,
        form: &[u8],
        headers: &HeaderMap,
    ) -> Response {
        let Access::Token { login, refresh_token, lifetime } = &self.access else {
            return service::problem(StatusCode::NOT_FOUND, "UNSUPPORTED", "there are no tokens here");
        };
        let asked: Vec<(String, String)> = if method == Method::POST {
            form_urlencoded::parse(form).into_owned().collect()
        } else {
            form_urlencoded::parse(query.as_bytes()).into_owned().collect()
        };
        let value = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = if method == Method::POST {
            value("grant_type") == Some("refresh_token") && value("refresh_token") == refresh_token.as_deref()
        } else {
            login.as_ref().is_none_or(|(user, password)| given == Some(&basic(user, password)))
        };
        if !known || value("service") != Some(SERVICE) {
            return service::problem(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "unknown user or wrong password",
            );
        }
        let scopes = asked
            .iter()
            .filter(|(key, _)| key == "scope")
            .flat_map(|(_, value)| value.split(' ').map(str::to_owned))
            .collect();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("token-{}", tokens.len() + 1);
        tokens.insert(name.clone(), Token { scopes, until: Instant::now() + *lifetime });
        let key = if method == Method::POST { "access_token" } else { "token" };
        json_answer(&json!({key: name, "expires_in": lifetime.as_secs()}))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn challenge(value: &str) -> Response {
    let mut response = service::problem(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

fn json_answer(document: &serde_json::Value) -> Response {
    ([("content-type", "application/json")], document.to_string()).into_response()
}
