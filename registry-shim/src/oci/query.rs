//! The parameters of a request.

use std::borrow::Cow;

use sealift_archive::reference::is_host;
use url::form_urlencoded;

use super::refusal::{Reason, Refusal};

/// The parameters of a request; of one that comes twice, the first counts.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// The host on whose behalf the client asks. An empty one is none.
    pub(super) fn namespace(&self) -> Result<Option<&str>, Refusal> {
        match self.get("ns").filter(|host| !host.is_empty()) {
            Some(host) if !is_host(host) => {
                Err(Refusal::new(Reason::NameInvalid, "the namespace is not the name of a host"))
            }
            host => Ok(host),
        }
    }

    /// How many entries the client wants; all of them if it does not say.
    pub(super) fn page_size(&self) -> Result<usize, Refusal> {
        let Some(n) = self.get("n") else { return Ok(usize::MAX) };
        // `usize::from_str` would take a sign. What is too large for it is larger than any list.
        if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) {
            Ok(n.parse().unwrap_or(usize::MAX))
        } else {
            Err(Refusal::new(Reason::PageInvalid, "`n` is not a number of entries"))
        }
    }

    /// Where the list goes on behind `last`.
    pub(super) fn next_page(&self, path: &str, limit: usize, last: &str) -> String {
        let mut next = form_urlencoded::Serializer::new(format!("{path}?"));
        next.append_pair("n", &limit.to_string()).append_pair("last", last);
        if let Ok(Some(host)) = self.namespace() {
            next.append_pair("ns", host);
        }
        next.finish()
    }
}
