//! Small content that is known by its digest, into memory.

use reqwest::StatusCode;
use sealift_archive::Digest;

use crate::client::{Client, Inner, Origin};
use crate::error::Error;
use crate::request::Request;
use crate::retry::Failure;

impl Client {
    /// The content with this digest, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// What the server or the network says ([`Error::is_absent`] tells whether there is no such content); more than
    /// `limit` bytes; other content.
    pub async fn content(&self, origin: &Origin, digest: Digest, limit: u64) -> Result<Vec<u8>, Error> {
        self.inner().again_and_again(|| self.inner().content(origin, digest, limit)).await
    }
}

impl Inner {
    async fn content(&self, origin: &Origin, digest: Digest, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut answer = Request::whole(origin.subject(digest.into())).send(self).await?;
        let status = answer.response.status();
        if status != StatusCode::OK {
            return Err(answer.nonsense(format!("it is {status}, which is no content")).into());
        }
        let bytes = answer.whole(limit).await?;
        self.pace.came(bytes.len()).await;
        let found = Digest::of(&bytes);
        if found == digest {
            return Ok(bytes);
        }
        let (wanted, found) = (Box::new(digest.into()), Box::new(found.into()));
        Err(Error::WrongContent { place: Box::new(answer.place), wanted, found }.into())
    }
}
