//! Asking web servers as a plain client would, by curl: nothing of ours stands between the test and the answer.

use serde_json::Value;

use crate::gap::Side;
use crate::{peers, process, scratch};

/// What curl prints beside the content: the status, and all headers as JSON.
const FACTS: &str = "%{http_code}\n%{header_json}";

/// Gets `url` from `side`; `headers` are sent along, such as `Range: bytes=0-9`.
#[must_use]
pub fn get(side: Side<'_>, url: &str, headers: &[&str]) -> Answer {
    let dir = scratch();
    let body = dir.path().join("body");
    let mut curl = side.command(peers::tool("curl"));
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--write-out", FACTS]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    let facts = process::text(curl.arg("--output").arg(&body).arg(url));
    let (status, headers) = facts.split_once('\n').expect("status and headers");
    let mut answer = Answer {
        url: url.to_owned(),
        status: status.parse().expect("a status is a number"),
        media_type: String::new(),
        headers: serde_json::from_str(headers).expect("curl prints headers as JSON"),
        body: fs_err::read(body).unwrap_or_default(),
    };
    answer.media_type = answer.header("content-type").to_owned();
    answer
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    url: String,
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub media_type: String,
    headers: Value,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header by its name in lower case; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name][0].as_str().unwrap_or_default()
    }

    /// The content of an answer that has this status; the test fails if it is another.
    #[must_use]
    pub fn expect(self, status: u16) -> Vec<u8> {
        let body = || String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "`{}`: {}", self.url, body());
        self.body
    }
}
