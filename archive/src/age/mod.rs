//! Small secrets on their way to one reader: files that `age` opens, and files that it made (age-encryption.org/v1, as
//! C2SP's `age.md` has it).
//!
//! Of that format there is what a receipt needs: recipients of type X25519, and content of one chunk. The pieces of
//! cryptography are all of aws-lc-rs; what is here is how they are put together. What is read is hostile: nothing is believed
//! before its authenticator is checked, and the cost is bounded by [`MAX_STANZAS`] and [`MAX_IDENTITIES`].

mod keys;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

pub use keys::{Identity, KeyError, MAX_IDENTITIES, MAX_IDENTITY_FILE_BYTES, Recipient};

/// How every file begins, one that is not armored.
const VERSION: &str = "age-encryption.org/v1";
/// How files of all versions begin.
const FAMILY: &[u8] = b"age-encryption.org/";
/// How an armored file begins.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const STANZA: &str = "->";
const FOOTER: &str = "---";
const X25519: &str = "X25519";
/// Labels by which keys for different uses are told apart.
const WRAP_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const HEADER_LABEL: &[u8] = b"header";
const PAYLOAD_LABEL: &[u8] = b"payload";

const FILE_KEY_LEN: usize = 16;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const PAYLOAD_NONCE_LEN: usize = 16;
/// The nonce under which a file key is wrapped: each wrapping key is used once.
const WRAP_NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];
/// The nonce of a first chunk that is the last one, too: counter 0, and the mark of the last.
const ONLY_CHUNK_NONCE: [u8; NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Columns of a body's lines. A line that is full is not the last.
const BODY_COLUMNS: usize = 64;

/// Largest content, in bytes: one chunk of the format.
pub const MAX_CONTENT_BYTES: usize = 64 << 10;
/// Largest header, in bytes. One recipient of type X25519 takes 100, one that resists quantum computers 1,600.
const MAX_HEADER_BYTES: usize = 32 << 10;
/// Largest file, in bytes.
pub const MAX_BYTES: usize = MAX_HEADER_BYTES + PAYLOAD_NONCE_LEN + MAX_CONTENT_BYTES + TAG_LEN;
/// Most recipients of a file that is read.
const MAX_STANZAS: usize = 32;

/// Why something was not encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More content than this module is for.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// Most bytes.
        limit: usize,
    },
    /// An armored file.
    #[error("it is armored text")]
    Armored,
    /// Something else, or a damaged file.
    #[error("it is not a file that `age` has encrypted: {0}")]
    Malformed(&'static str),
    /// The keys at hand open none of its stanzas.
    #[error("it is encrypted for other keys")]
    OtherKeys,
    /// It was changed after it was encrypted, or cut off.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// The machine gives no random numbers, or a key is of a kind that agrees with everything.
    #[error("the recipient cannot be encrypted for")]
    BadRecipient,
}

/// Whether a file begins like one that is encrypted, armored or not.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(FAMILY) || is_armored(bytes)
}

fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(ARMOR)
}

/// Encrypts content of at most [`MAX_CONTENT_BYTES`] for one recipient.
///
/// # Errors
/// [`Error::TooLong`] or [`Error::BadRecipient`].
pub fn seal(recipient: &Recipient, content: &[u8]) -> Result<Vec<u8>, Error> {
    if content.len() > MAX_CONTENT_BYTES {
        return Err(Error::TooLong { limit: MAX_CONTENT_BYTES });
    }
    let file_key: [u8; FILE_KEY_LEN] = random()?;
    let (share, shared) = recipient.agree().ok_or(Error::BadRecipient)?;
    let wrapped = encrypt(wrapping_key(&shared, &share, recipient), WRAP_NONCE, &file_key)?;
    let share = BASE64.encode(share);
    let header = format!("{VERSION}\n{STANZA} {X25519} {share}\n{}\n{FOOTER}", BASE64.encode(wrapped));
    let mac = hmac::sign(&header_key(&file_key), header.as_bytes());
    let nonce: [u8; PAYLOAD_NONCE_LEN] = random()?;
    let chunk = encrypt(payload_key(&file_key, &nonce), ONLY_CHUNK_NONCE, content)?;
    let header = format!("{header} {}\n", BASE64.encode(mac));
    Ok([header.as_bytes(), &nonce, &chunk].concat())
}

/// Decrypts content with the first of these keys that fits.
///
/// # Errors
/// [`Error`] with what is wrong.
pub fn open(identities: &[Identity], bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if is_armored(bytes) {
        return Err(Error::Armored);
    }
    let header = Header::parse(bytes)?;
    let file_key = identities
        .iter()
        .take(MAX_IDENTITIES)
        .flat_map(|identity| header.stanzas.iter().filter_map(|stanza| stanza.open(identity)))
        .next()
        .ok_or(Error::OtherKeys)?;
    hmac::verify(&header_key(&file_key), header.signed, &header.mac).map_err(|_| Error::Damaged("header"))?;
    let Some((nonce, chunk)) = header.payload.split_first_chunk::<PAYLOAD_NONCE_LEN>() else {
        return Err(Error::Damaged("content"));
    };
    if chunk.len() > MAX_CONTENT_BYTES + TAG_LEN {
        return Err(Error::TooLong { limit: MAX_CONTENT_BYTES });
    }
    decrypt(payload_key(&file_key, nonce), ONLY_CHUNK_NONCE, chunk).ok_or(Error::Damaged("content"))
}

/// An X25519 stanza: the file key, wrapped for one recipient.
#[derive(Debug)]
struct Stanza {
    share: [u8; KEY_LEN],
    wrapped: [u8; FILE_KEY_LEN + TAG_LEN],
}

impl Stanza {
    fn open(&self, identity: &Identity) -> Option<[u8; FILE_KEY_LEN]> {
        let shared = identity.agree(&self.share)?;
        let key = wrapping_key(&shared, &self.share, identity.recipient());
        decrypt(key, WRAP_NONCE, &self.wrapped)?.try_into().ok()
    }
}

/// A header, and what follows it.
#[derive(Debug)]
struct Header<'a> {
    /// The stanzas of type X25519.
    stanzas: Vec<Stanza>,
    /// What the authenticator is over.
    signed: &'a [u8],
    mac: [u8; KEY_LEN],
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut lines = Lines { bytes, read: 0 };
        if lines.next()? != VERSION {
            return Err(Error::Malformed("it does not begin with the line of version 1"));
        }
        let mut stanzas = Vec::new();
        for _ in 0..=MAX_STANZAS {
            let begin = lines.read;
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix(FOOTER).and_then(|rest| rest.strip_prefix(' ')) {
                let mac = exactly(mac).ok_or(Error::Malformed("its authenticator is none"))?;
                let (signed, payload) = (&bytes[..begin + FOOTER.len()], &bytes[lines.read..]);
                return Ok(Self { stanzas, signed, mac, payload });
            }
            let mut words = line.split(' ');
            if words.next() != Some(STANZA) {
                return Err(Error::Malformed("a recipient is expected, and something else is there"));
            }
            let (kind, arguments) = (words.next(), words.collect::<Vec<_>>());
            let body = lines.body()?;
            // Other types are for other programs; they may stand beside ours.
            if kind == Some(X25519) {
                let [share] = arguments[..] else { return Err(Error::Malformed("a recipient has no share")) };
                let (share, wrapped) = (exactly(share), exactly(&body));
                let (Some(share), Some(wrapped)) = (share, wrapped) else {
                    return Err(Error::Malformed("a recipient has other lengths than it must have"));
                };
                stanzas.push(Stanza { share, wrapped });
            }
        }
        Err(Error::Malformed("it has too many recipients"))
    }
}

/// The lines of a header.
#[derive(Debug)]
struct Lines<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, Error> {
        let rest = &self.bytes[self.read..self.bytes.len().min(MAX_HEADER_BYTES)];
        let end =
            rest.iter().position(|&byte| byte == b'\n').ok_or(Error::Malformed("its header has no end"))?;
        self.read += end + 1;
        let line = &rest[..end];
        if !line.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Err(Error::Malformed("its header is not text"));
        }
        str::from_utf8(line).map_err(|_| Error::Malformed("its header is not text"))
    }

    fn body(&mut self) -> Result<String, Error> {
        let mut body = String::new();
        loop {
            let line = self.next()?;
            body.push_str(line);
            match line.len() {
                ..BODY_COLUMNS => return Ok(body),
                BODY_COLUMNS => {}
                _ => return Err(Error::Malformed("a line of its header is too long")),
            }
        }
    }
}

/// So many bytes, in the one spelling that the format allows.
fn exactly<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn random<const LEN: usize>() -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    rand::fill(&mut bytes).map_err(|_| Error::BadRecipient)?;
    Ok(bytes)
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

fn derive(secret: &[u8], salt: &[u8], label: &[u8]) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret);
    derived
        .expand(&[label], Length)
        .and_then(|okm| okm.fill(&mut key))
        .expect("HKDF-SHA256 gives up to 8,160 bytes, and this is one hash");
    key
}

fn wrapping_key(shared: &[u8], share: &[u8; KEY_LEN], recipient: &Recipient) -> [u8; KEY_LEN] {
    derive(shared, &[*share, *recipient.as_bytes()].concat(), WRAP_LABEL)
}

fn header_key(file_key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], HEADER_LABEL))
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> [u8; KEY_LEN] {
    derive(file_key, nonce, PAYLOAD_LABEL)
}

fn cipher(key: [u8; KEY_LEN]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the cipher's keys are 32 bytes long");
    LessSafeKey::new(key)
}

fn encrypt(key: [u8; KEY_LEN], nonce: [u8; NONCE_LEN], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let done = cipher(key).seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes);
    done.map_err(|_| Error::TooLong { limit: MAX_CONTENT_BYTES })?;
    Ok(bytes)
}

fn decrypt(key: [u8; KEY_LEN], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = cipher(key).open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests;
