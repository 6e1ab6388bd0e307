//! Being let in: Basic, and tokens as the distribution project's `spec/auth/token.md` and `oauth.md` define them.
//!
//! A token is asked for once for each repository, however many requests wait for it, and again when it expires
//! or is no longer taken.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::answer::{self, BodyError};
use crate::credentials::{self, Credential};
use crate::error::{Error, Place, Said, Status};
use crate::header::Challenge;
use crate::host::Host;
use crate::http::{self, Http};
use crate::request::Subject;
use crate::retry::Failure;

/// How we call ourselves to token services.
const CLIENT_ID: &str = "sealift";
/// The largest answer of a token service; tokens of a few KiB are common.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// How long a token is good if its service does not say (token.md).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A token is renewed so long before it expires, as a request takes time too.
const MARGIN: Duration = Duration::from_secs(5);

/// What is sent along with a request so that it is let in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    Basic { user: String, password: String },
    Token(String),
}

impl Pass {
    pub(crate) fn show(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { user, password } => request.basic_auth(user, Some(password)),
            Self::Token(token) => request.bearer_auth(token),
        }
    }
}

impl std::fmt::Debug for Pass {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}

/// The pass for one repository, and what to do for the next one.
#[derive(Debug, Default)]
struct Held {
    pass: Option<(Pass, Option<Instant>)>,
    challenge: Option<Challenge>,
}

/// What a token service thinks of our credential.
#[derive(Debug)]
enum Verdict {
    Known,
    Unknown { realm: String, status: Status, said: Said },
}

/// What one host knows about us.
#[derive(Debug)]
pub(crate) struct Access {
    docker_config: Option<PathBuf>,
    credential: OnceCell<Option<Credential>>,
    /// Set when a token service has taken our credential, or does not know it. Until then it is shown by one
    /// request at a time: many wrong ones at once would lock the account.
    verdict: OnceLock<Verdict>,
    trial: tokio::sync::Mutex<()>,
    held: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Held>>>>,
}

impl Access {
    pub(crate) fn new(docker_config: Option<PathBuf>) -> Self {
        Self {
            docker_config,
            credential: OnceCell::new(),
            verdict: OnceLock::new(),
            trial: tokio::sync::Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// The pass to try first, if there is one. An expired one is renewed.
    pub(crate) async fn pass(
        &self,
        http: &Http,
        host: &Host,
        subject: &Subject<'_>,
    ) -> Result<Option<Pass>, Failure> {
        let held = self.held(subject);
        let mut held = held.lock().await;
        match (&held.pass, &held.challenge) {
            (Some((_, Some(until))), Some(challenge)) if *until <= Instant::now() => {
                held.pass = self.obtain(http, host, subject, challenge).await?;
            }
            _ => {}
        }
        Ok(held.pass.as_ref().map(|(pass, _)| pass.clone()))
    }

    /// Another pass than the one that was not taken; `None` if there is nothing more to try.
    pub(crate) async fn renew(
        &self,
        http: &Http,
        host: &Host,
        subject: &Subject<'_>,
        challenges: Vec<Challenge>,
        not_taken: Option<&Pass>,
    ) -> Result<Option<Pass>, Failure> {
        let held = self.held(subject);
        let mut held = held.lock().await;
        // While we waited for the lock, somebody else may have got it for us.
        let is_new = held.pass.as_ref().is_some_and(|(pass, _)| Some(pass) != not_taken);
        if !is_new {
            let Some(challenge) = choose(&challenges, subject) else { return Ok(None) };
            held.pass = self.obtain(http, host, subject, challenge).await?;
            held.challenge = Some(challenge.clone());
        }
        Ok(held.pass.as_ref().map(|(pass, _)| pass.clone()).filter(|pass| Some(pass) != not_taken))
    }

    fn held(&self, subject: &Subject<'_>) -> Arc<tokio::sync::Mutex<Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(subject.realm()).or_default())
    }

    /// A pass that answers the challenge, and until when it is good.
    async fn obtain(
        &self,
        http: &Http,
        host: &Host,
        subject: &Subject<'_>,
        challenge: &Challenge,
    ) -> Result<Option<(Pass, Option<Instant>)>, Failure> {
        let credential = self.credential(host).await?;
        match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                let pass = Pass::Basic { user: user.clone(), password: password.clone() };
                Ok(Some((pass, None)))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let ours = subject.realm();
                // What is challenged is one request; whoever writes has to do more than that one.
                let scope = scope.as_ref().filter(|_| !matches!(subject, Subject::Written { .. }));
                let scope = scope.unwrap_or(&ours);
                let asked = TokenRequest { realm, service: service.as_deref(), scope, credential };
                let token = self.token(http, host, subject, &asked).await?;
                Ok(Some(token))
            }
        }
    }

    /// Helper programs may take long or ask a person, so they run apart, and once.
    async fn credential(&self, host: &Host) -> Result<Option<&Credential>, Failure> {
        let look_up = || async {
            let (dir, name) = (self.docker_config.clone(), host.name().to_owned());
            tokio::task::spawn_blocking(move || credentials::look_up(dir, &name))
                .await
                .map_err(|_| Error::Archive(sealift_archive::Error::Interrupted))?
        };
        Ok(self.credential.get_or_try_init(look_up).await?.as_ref())
    }

    async fn token(
        &self,
        http: &Http,
        host: &Host,
        subject: &Subject<'_>,
        asked: &TokenRequest<'_>,
    ) -> Result<(Pass, Option<Instant>), Failure> {
        let url: Url =
            asked.realm.parse().map_err(|_| bad_realm(subject, host, asked.realm, "is not a URL"))?;
        if !http.allows(&url) {
            return Err(bad_realm(subject, host, asked.realm, "is not encrypted").into());
        }
        let shows_credential = asked.credential.is_some();
        let _trial = match self.verdict.get() {
            None if shows_credential => Some(self.trial.lock().await),
            _ => None,
        };
        if let Some(Verdict::Unknown { realm, status, said }) = self.verdict.get() {
            return Err(login(subject, host, realm, *status, said.clone()).into());
        }
        let place = Place::new(subject, &url);
        let sent = Instant::now();
        let mut response =
            asked.build(http, url).send().await.map_err(|error| http::failure(&error, place.clone()))?;
        if response.status().is_success() {
            if shows_credential {
                // Another request may have learned it before; the verdict is the same.
                let _ = self.verdict.set(Verdict::Known);
            }
            return read_token(&mut response, place, sent).await;
        }
        if response.status() == StatusCode::UNAUTHORIZED || response.status() == StatusCode::FORBIDDEN {
            let status = Status(response.status().as_u16());
            let said = answer::said(&mut response).await;
            if shows_credential && response.status() == StatusCode::UNAUTHORIZED {
                let realm = place.url.clone();
                let _ = self.verdict.set(Verdict::Unknown { realm, status, said: said.clone() });
            }
            return Err(login(subject, host, &place.url, status, said).into());
        }
        // It is not the registry that answered, so this is never an answer to what the registry was asked.
        let realm = place.url.clone();
        Err(answer::failure(host, place, response).await.map(|error| match error {
            Error::Answer { status, said, .. } => login(subject, host, &realm, status, said),
            other => other,
        }))
    }
}

/// The challenge that is answered. Tokens are a protocol of registries; web servers are shown a password or nothing.
fn choose<'a>(challenges: &'a [Challenge], subject: &Subject<'_>) -> Option<&'a Challenge> {
    let basic = || challenges.iter().find(|challenge| matches!(challenge, Challenge::Basic));
    match subject {
        Subject::Repository { .. } | Subject::Written { .. } => {
            challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. })).or_else(basic)
        }
        Subject::File(_) => basic(),
    }
}

/// What a token service is asked.
struct TokenRequest<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
    credential: Option<&'a Credential>,
}

impl TokenRequest<'_> {
    fn build(&self, http: &Http, mut url: Url) -> RequestBuilder {
        let service = self.service.map(|service| ("service", service));
        let common = service.into_iter().chain([("scope", self.scope)]);
        match self.credential {
            Some(Credential::IdentityToken(token)) => {
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs([("grant_type", "refresh_token"), ("refresh_token", token)])
                    .extend_pairs([("client_id", CLIENT_ID)])
                    .extend_pairs(common)
                    .finish();
                let request = http.client(&url).post(url);
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            Some(Credential::Password { user, password }) => {
                url.query_pairs_mut().extend_pairs(common).append_pair("account", user);
                http.client(&url).get(url).basic_auth(user, Some(password))
            }
            None => {
                url.query_pairs_mut().extend_pairs(common);
                http.client(&url).get(url)
            }
        }
    }
}

/// The two names under which services send tokens, and how long they are good in seconds.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

async fn read_token(
    response: &mut Response,
    place: Place,
    sent: Instant,
) -> Result<(Pass, Option<Instant>), Failure> {
    let place = Box::new(place);
    let bytes = match answer::body(response, MAX_TOKEN_BYTES).await {
        Ok(bytes) => bytes,
        Err(BodyError::TooLong) => return Err(Error::TooLong { place, limit: MAX_TOKEN_BYTES }.into()),
        Err(BodyError::BrokenOff { why, .. }) => {
            return Err(Failure::Passing(Error::Unreachable { place, why }));
        }
    };
    // The parser's message would repeat what it read, and that is a secret.
    let answer: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
    let lifetime =
        answer.as_ref().and_then(|answer| answer.expires_in).map_or(DEFAULT_LIFETIME, Duration::from_secs);
    match answer.and_then(|answer| answer.token.or(answer.access_token)) {
        Some(token) => Ok((Pass::Token(token), Some(sent + lifetime.saturating_sub(MARGIN)))),
        None => Err(Error::BadAnswer { place, why: "there is no token in it".to_owned() }.into()),
    }
}

fn login(subject: &Subject<'_>, host: &Host, realm: &str, status: Status, said: Said) -> Error {
    Error::Login {
        reference: subject.to_string(),
        host: host.name().to_owned(),
        realm: realm.to_owned(),
        status,
        said,
    }
}

fn bad_realm(subject: &Subject<'_>, host: &Host, realm: &str, why: &str) -> Error {
    Error::BadAnswer {
        place: Box::new(Place {
            reference: subject.to_string(),
            host: host.name().to_owned(),
            url: realm.to_owned(),
        }),
        why: format!("its token service {why}"),
    }
}
