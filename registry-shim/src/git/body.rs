//! The body of a Git request: a few kilobytes of wants and haves, from somebody who may send anything.
//!
//! It is taken into memory before it gets a turn at a child process, so whoever is slow to send it holds up nobody else. There
//! is a limit on its size as it arrives, on its size once inflated, and on the time that it takes; only so many may arrive at
//! once, and few be large.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderMap};
use flate2::read::GzDecoder;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::packet;
use super::turns::{Turn, Turns};

/// Largest request, in bytes, as it arrives and once it is inflated. A client with 20,000 refs sends 1 MiB.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// How much of a request is taken in without a turn at being large, in bytes. Git names at most 256 commits at first, of 50
/// bytes each.
const MAX_SMALL_BYTES: usize = 32 << 10;
/// How long a client may take to send its request, and again once that turns out to be large.
const RECEIVE_LIMIT: Duration = Duration::from_secs(10);

/// Why a body was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// An encoding other than gzip.
    WrongEncoding,
    /// More than [`MAX_REQUEST_BYTES`].
    TooLarge,
    /// It did not arrive within [`RECEIVE_LIMIT`].
    TooSlow,
    /// Too many large ones for too long.
    Busy,
    /// It ended early, or it is not the gzip or the packets that it should be.
    Malformed,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    is_gzip: bool,
    large: Option<Turn>,
}

/// Takes a request in.
pub(crate) async fn receive(
    headers: &HeaderMap,
    body: Body,
    client: IpAddr,
    large: &Turns,
) -> Result<Received, Error> {
    let is_gzip = match headers.get(header::CONTENT_ENCODING).map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err(Error::WrongEncoding),
    };
    let mut received = Received { bytes: Vec::new(), is_gzip, large: None };
    let mut deadline = Instant::now() + RECEIVE_LIMIT;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = timeout_at(deadline, pieces.next()).await.map_err(|_| Error::TooSlow)? {
        let piece: Bytes = piece.map_err(|_| Error::Malformed)?;
        let size = received.bytes.len() + piece.len();
        if size > MAX_REQUEST_BYTES {
            return Err(Error::TooLarge);
        }
        if size > MAX_SMALL_BYTES && received.large.is_none() {
            received.large = Some(large.take(client).await.ok_or(Error::Busy)?);
            deadline = Instant::now() + RECEIVE_LIMIT;
        }
        received.bytes.extend_from_slice(&piece);
    }
    Ok(received)
}

impl Received {
    /// The request, if it is one. It may be much larger than what arrived.
    pub(crate) fn open(self) -> Result<Vec<u8>, Error> {
        let request = if self.is_gzip { inflate(&self.bytes, MAX_REQUEST_BYTES)? } else { self.bytes };
        if packet::are_whole(&request) { Ok(request) } else { Err(Error::Malformed) }
    }
}

fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let one_too_many = limit as u64 + 1;
    GzDecoder::new(bytes).take(one_too_many).read_to_end(&mut plain).map_err(|_| Error::Malformed)?;
    if plain.len() > limit { Err(Error::TooLarge) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_goes_off_within_the_limit() {
        let plain = vec![b'0'; 1000];
        let packed = gzip(&plain);
        assert_eq!(inflate(&packed, 1000).unwrap(), plain);
        assert_eq!(inflate(&packed, 999), Err(Error::TooLarge));
        assert_eq!(inflate(&gzip(&vec![0; 64 << 20]), 1000), Err(Error::TooLarge));
    }

    #[test]
    fn damaged_gzip_is_malformed() {
        let packed = gzip(b"0032want 95d09f2b10159347eece71399a7e2e907ea3df4f\n");
        for cut in 0..packed.len() {
            assert_eq!(inflate(&packed[..cut], 1000), Err(Error::Malformed), "cut at {cut}");
        }
        assert_eq!(inflate(b"0000", 1000), Err(Error::Malformed));
    }
}
