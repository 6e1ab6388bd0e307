//! The tags of a repository (distribution-spec 1.1, "Listing Tags").

use std::collections::{BTreeSet, HashSet};

use reqwest::header::LINK;
use sealift_archive::Reference;
use serde::Deserialize;

use crate::client::{Client, Inner};
use crate::error::Error;
use crate::referrers::next_page;
use crate::request::{Request, Subject};
use crate::retry::Failure;

/// The most that is read of all pages together, in bytes: some 100,000 tags.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// The most pages that are read; registries commonly put 50 to 1,000 tags on one.
const MAX_PAGES: usize = 2_000;

/// A page of the list.
#[derive(Deserialize)]
struct Page {
    /// Registries written in Go say `null` where there are none.
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of the repository of `reference`; none if there is no such repository.
    ///
    /// # Errors
    /// What the registry or the network says; lists without an end.
    pub async fn tags(&self, reference: &Reference) -> Result<BTreeSet<String>, Error> {
        let mut tags = BTreeSet::new();
        let mut asked = HashSet::new();
        let mut left = MAX_LIST_BYTES;
        let mut next = Some(String::new());
        while let Some(query) = next {
            let ask = || self.inner().tags(reference, &query, left, asked.len());
            let (page, bytes, following) = match self.inner().again_and_again(ask).await {
                Err(error) if error.is_absent() && asked.is_empty() => return Ok(tags),
                page => page?,
            };
            left -= bytes;
            tags.extend(page);
            asked.insert(query);
            // A link to a page that was read already would lead round in a circle.
            next = following.filter(|query| !asked.contains(query));
        }
        Ok(tags)
    }
}

impl Inner {
    /// A page of at most `limit` bytes after `read` others, its length in bytes, and where the next one is.
    async fn tags(
        &self,
        reference: &Reference,
        query: &str,
        limit: u64,
        read: usize,
    ) -> Result<(Vec<String>, u64, Option<String>), Failure> {
        let subject = Subject::Repository { reference, path: format!("tags/list{query}") };
        let mut answer = Request::whole(subject).send(self).await?;
        if read >= MAX_PAGES {
            return Err(answer.nonsense(format!("its list of tags has more than {MAX_PAGES} pages")).into());
        }
        let bytes = answer.whole(limit).await?;
        let links = answer.response.headers().get_all(LINK).iter().filter_map(|field| field.to_str().ok());
        let next = match next_page(answer.response.url(), links) {
            Ok(next) => next,
            Err(why) => return Err(answer.nonsense(why).into()),
        };
        match serde_json::from_slice::<Page>(&bytes) {
            Ok(page) => Ok((page.tags.unwrap_or_default(), bytes.len() as u64, next)),
            Err(error) => Err(answer.nonsense(format!("its list of tags is not valid: {error}")).into()),
        }
    }
}
