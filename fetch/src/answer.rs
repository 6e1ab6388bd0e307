//! What an answer's status means, and the little that is read of answers that are not content.

use std::time::SystemTime;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::error::{Error, Place, Said, Status};
use crate::header;
use crate::host::Host;
use crate::http;
use crate::retry::Failure;

/// How much of an error's body is read.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// How much of what a server says is shown, in characters.
const MAX_SAID_CHARS: usize = 300;

/// Answers after which the same request may work a little later.
const PASSING: [StatusCode; 6] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Whether the same request may work a little later.
#[must_use]
pub fn is_passing(status: StatusCode) -> bool {
    PASSING.contains(&status)
}

/// What is wrong with an answer that is not a success. If the server says how long to wait, the whole host is
/// left alone for so long.
pub(crate) async fn failure(host: &Host, place: Place, mut response: Response) -> Failure {
    let status = response.status();
    let wait = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| header::retry_after(value.to_str().ok()?, SystemTime::now()));
    let said = said(&mut response).await;
    let (shown, place) = (Status(status.as_u16()), Box::new(place));
    if !is_passing(status) {
        return Failure::Final(Error::Answer { place, status: shown, said });
    }
    if let Some(wait) = wait
        && !host.leave_alone(wait, shown)
    {
        return Failure::Final(Error::LongWait { place, status: shown, seconds: wait.as_secs(), said });
    }
    Failure::Passing(Error::Answer { place, status: shown, said })
}

/// What the server says about an error. Nothing, if it cannot be read.
pub(crate) async fn said(response: &mut Response) -> Said {
    let bytes = body(response, MAX_ERROR_BYTES).await.unwrap_or_default();
    Said(said_by(&bytes))
}

/// An error's body, as the distribution specification defines it.
#[derive(Deserialize)]
struct Problems {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    message: Option<String>,
}

/// Code and message of an error's body, or the first line of another text. Never a control character, as it
/// will be seen on a terminal.
fn said_by(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Problems>(body) {
        Ok(problems) => problems.errors.first().map_or_else(String::new, |problem| {
            [problem.code.as_deref(), problem.message.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": ")
        }),
        Err(_) => String::from_utf8_lossy(body).trim().lines().next().unwrap_or_default().to_owned(),
    };
    shown(&text)
}

/// A text from outside, as people may see it: no control characters, and no more than 300 characters.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SAID_CHARS).collect()
}

/// Why a body could not be read whole.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLong,
    BrokenOff { received: u64, why: String },
}

/// Reads a whole body of at most `limit` bytes into memory.
pub(crate) async fn body(response: &mut Response, limit: u64) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(bytes),
            Ok(Some(piece)) if bytes.len() as u64 + piece.len() as u64 > limit => {
                return Err(BodyError::TooLong);
            }
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Err(error) => {
                return Err(BodyError::BrokenOff { received: bytes.len() as u64, why: broken_off(&error) });
            }
        }
    }
}

/// Why a body ended too early, in words.
pub(crate) fn broken_off(error: &reqwest::Error) -> String {
    if error.is_timeout() { "nothing more came".to_owned() } else { http::innermost(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_shown_shortly_and_safely() {
        let long = "x".repeat(1000);
        let cases = [
            (r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#, "DENIED: not yours"),
            (r#"{"errors":[{"code":"DENIED"}]}"#, "DENIED"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"errors":[{"message":"a\u001b[31mb\u0007"}]}"#, "a[31mb"),
            ("\n  Bad gateway\r\nmore", "Bad gateway"),
            ("", ""),
            (&long, &long[..MAX_SAID_CHARS]),
        ];
        for (body, expected) in cases {
            assert_eq!(said_by(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(said_by(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}
