//! The manifests that refer to another one: its signatures, SBOMs and attestations (distribution-spec 1.1, "Listing
//! Referrers").
//!
//! Many registries do not know the question, and say so in many ways; that is an answer, and the caller goes on to
//! the tags that clients keep instead. That a registry refuses or fails is never taken for it.

use std::collections::HashSet;

use oci_spec::image::Descriptor;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, LINK};
use sealift_archive::{AnyDigest, Reference};
use serde::Deserialize;

use crate::client::{Client, Inner, MAX_MANIFEST_BYTES};
use crate::error::{Error, Status};
use crate::header;
use crate::request::{Answer, Request, Subject};
use crate::retry::Failure;

/// The media type of the answer.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The most pages that are read.
const MAX_PAGES: usize = 64;
/// The most that is read of all pages together, in bytes: as much as an index may have that says the same.
const MAX_LIST_BYTES: u64 = MAX_MANIFEST_BYTES;

/// What registries say that do not know the question: the specification's 404; that the method or operation is not
/// supported; and, as Artifactory did, that there is no such representation.
const UNKNOWN: [Status; 4] = [Status(404), Status(405), Status(406), Status(501)];

/// One page of a list.
enum Page {
    /// Some referrers, and where the next page is.
    Some(Vec<Descriptor>, Option<String>),
    /// The registry does not know the question.
    Unknown,
}

impl Client {
    /// The manifests in the repository of `reference` whose subject is `subject`, as the registry lists them; `None` if
    /// the registry does not know this question.
    ///
    /// # Errors
    /// Any other answer than a list or "what do you mean"; lists without an end.
    pub async fn referrers(
        &self,
        reference: &Reference,
        subject: impl Into<AnyDigest>,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let subject = reference.at(subject);
        let mut found = Vec::new();
        let mut asked = HashSet::new();
        let mut left = MAX_LIST_BYTES;
        let mut next = Some(String::new());
        while let Some(query) = next {
            let ask = || self.inner().referrers(&subject, &query, left, asked.len());
            let (page, bytes) = self.inner().again_and_again(ask).await?;
            left -= bytes;
            match page {
                Page::Unknown => return Ok(None),
                Page::Some(referrers, following) => {
                    found.extend(referrers);
                    asked.insert(query);
                    // A link to a page that was read already would lead round in a circle.
                    next = following.filter(|query| !asked.contains(query));
                }
            }
        }
        Ok(Some(found))
    }
}

impl Inner {
    /// A page of at most `limit` bytes after `read` others, and its length in bytes.
    async fn referrers(
        &self,
        subject: &Reference,
        query: &str,
        limit: u64,
        read: usize,
    ) -> Result<(Page, u64), Failure> {
        let digest = subject.digest().map_or_else(String::new, |digest| digest.to_string());
        let path = format!("referrers/{digest}{query}");
        let list = Subject::Repository { reference: subject, path };
        let mut answer = match (Request { accept: Some(INDEX), ..Request::whole(list) }).send(self).await {
            // On a later page it cannot mean that.
            Err(Failure::Final(Error::Answer { status, .. })) if read == 0 && UNKNOWN.contains(&status) => {
                return Ok((Page::Unknown, 0));
            }
            answer => answer?,
        };
        if read == 0 && is_for_people(&answer) {
            return Ok((Page::Unknown, 0));
        }
        if read >= MAX_PAGES {
            return Err(answer
                .nonsense(format!("its list of referrers has more than {MAX_PAGES} pages"))
                .into());
        }
        let bytes = answer.whole(limit).await?;
        let links = answer.response.headers().get_all(LINK).iter().filter_map(|field| field.to_str().ok());
        let next = match next_page(answer.response.url(), links) {
            Ok(next) => next,
            Err(why) => return Err(answer.nonsense(why).into()),
        };
        match parse(&bytes) {
            Ok(referrers) => Ok((Page::Some(referrers, next), bytes.len() as u64)),
            Err(error) => Err(answer.nonsense(format!("its list of referrers is not valid: {error}")).into()),
        }
    }
}

/// Reads a page. Registries written in Go say `null` where they mean that there is nothing; what says nothing at all,
/// such as an error that came with a wrong status, is no list.
fn parse(page: &[u8]) -> serde_json::Result<Vec<Descriptor>> {
    #[derive(Deserialize)]
    struct List {
        // With a function of its own the field has to be there.
        #[serde(deserialize_with = "Option::deserialize")]
        manifests: Option<Vec<Descriptor>>,
    }
    Ok(serde_json::from_slice::<List>(page)?.manifests.unwrap_or_default())
}

/// Google's registry sent unknown questions to a page where people log in. The tags that are asked for next tell
/// whether it would have refused us.
fn is_for_people(answer: &Answer) -> bool {
    let media_type = answer.response.headers().get(CONTENT_TYPE).and_then(|field| field.to_str().ok());
    media_type.is_some_and(|media_type| media_type.to_ascii_lowercase().starts_with("text/html"))
}

/// The query of the page behind the one at `here`, by its `Link` fields. Registries behind proxies often name themselves
/// wrongly, so nothing else of the address is followed; it leads to another page of this list, or to none.
pub(crate) fn next_page<'a>(
    here: &Url,
    mut fields: impl Iterator<Item = &'a str>,
) -> Result<Option<String>, String> {
    let Some(target) = fields.find_map(header::next_link) else { return Ok(None) };
    let list = |path: &str| path.rsplit_once("/v2/").map(|(_, rest)| rest.to_owned());
    match here.join(&target) {
        Ok(url) if list(url.path()) == list(here.path()) => {
            Ok(url.query().filter(|query| !query.is_empty()).map(|query| format!("?{query}")))
        }
        _ => Err(format!("the next page of its list is `{}`", target.escape_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_lists_something_or_says_that_it_does_not() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let one = format!(r#"{{"manifests":[{{"mediaType":"a/b","digest":"{digest}","size":1}}]}}"#);
        let cases = [
            (one.as_str(), Some(1)),
            (r#"{"schemaVersion":2,"manifests":[]}"#, Some(0)),
            (r#"{"schemaVersion":2,"manifests":null}"#, Some(0)),
            (r#"{"errors":[{"code":"DENIED"}]}"#, None),
            ("{}", None),
            ("null", None),
            ("", None),
        ];
        for (page, expected) in cases {
            assert_eq!(parse(page.as_bytes()).ok().map(|referrers| referrers.len()), expected, "{page}");
        }
    }

    #[test]
    fn the_next_page_is_one_of_the_same_list() {
        let here: Url = "https://r.example.com/v2/a/referrers/sha256:0?n=1".parse().unwrap();
        let cases = [
            ("</v2/a/referrers/sha256:0?n=2>; rel=next", Ok(Some("?n=2"))),
            ("<?n=2>; rel=next", Ok(Some("?n=2"))),
            ("<http://inside:5000/v2/a/referrers/sha256:0?n=2>; rel=next", Ok(Some("?n=2"))),
            ("</docker/v2/a/referrers/sha256:0?n=2>; rel=next", Ok(Some("?n=2"))),
            ("</v2/a/referrers/sha256:0>; rel=next", Ok(None)),
            ("<?n=2>; rel=prev", Ok(None)),
            ("</v2/b/referrers/sha256:0?n=2>; rel=next", Err("is `/v2/b/")),
            ("<https://[>; rel=next", Err("is `https://[`")),
        ];
        for (field, expected) in cases {
            let found = next_page(&here, [field].into_iter());
            match expected {
                Ok(query) => assert_eq!(found, Ok(query.map(str::to_owned)), "{field}"),
                Err(word) => {
                    assert!(found.as_ref().is_err_and(|why| why.contains(word)), "{field}: {found:?}");
                }
            }
        }
    }
}
