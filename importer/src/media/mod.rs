//! Sticks that announce themselves: which offer somebody means who confirms one.
//!
//! What is confirmed is a release, by the digest of its statement, never a device: whoever confirms has seen what was planned,
//! and a stick that is changed between the offer and the import brings another digest, or none.

mod error;

use std::str::FromStr;

use sealift_store::{Device, NotADevice, Offer};

pub use error::Error;

/// Fewest hexadecimal digits of a digest by which a release is confirmed: as many as are shown.
const MIN_DIGITS: usize = 12;
const MAX_DIGITS: usize = 64;

/// The beginning of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_prefix = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_prefix {
            return Err(Error::NotAPrefix { text: sealift_store::shown(text) });
        }
        // Somebody may copy it from a sheet of paper.
        Ok(Self(digits.to_ascii_lowercase()))
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    fn fits(&self, offer: &Offer) -> bool {
        offer.digest().is_some_and(|digest| digest.hex().starts_with(&self.0))
    }
}

/// The one offer that is meant.
///
/// # Errors
/// [`Error::NoSuchOffer`], [`Error::SeveralOffers`], [`Error::NotWaiting`].
pub fn choose(offers: Vec<Offer>, prefix: &Prefix) -> Result<Offer, Error> {
    let (open, closed): (Vec<Offer>, Vec<Offer>) =
        offers.into_iter().filter(|offer| prefix.fits(offer)).partition(Offer::is_open);
    let sticks = || open.iter().map(Offer::name).collect();
    match (open.as_slice(), closed.first()) {
        ([_], _) => {}
        ([], None) => return Err(Error::NoSuchOffer { prefix: prefix.clone() }),
        ([], Some(closed)) => {
            return Err(Error::NotWaiting { stick: closed.name(), state: closed.state.to_string() });
        }
        _ => return Err(Error::SeveralOffers { prefix: prefix.clone(), sticks: sticks() }),
    }
    open.into_iter().next().ok_or(Error::NoSuchOffer { prefix: prefix.clone() })
}

/// The name of a device.
///
/// # Errors
/// [`Error::BadName`].
pub fn device(name: &str) -> Result<Device, Error> {
    name.parse()
        .map_err(|why: NotADevice| Error::BadName { name: sealift_store::shown(name), why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use sealift_archive::{Digest, Explain as _};
    use sealift_store::{Brings, OfferState, Subject};

    use super::*;

    fn offer(device: &str, state: OfferState, content: &[u8]) -> Offer {
        let release = Subject {
            product: "acme".parse().unwrap(),
            version: "1.6".parse().unwrap(),
            sequence: 6.try_into().unwrap(),
            digest: Digest::of(content),
        };
        let brings = Brings {
            release,
            archive: String::new(),
            steps: 1,
            missing_bytes: 0,
            needed_bytes: 0,
            free_bytes: 0,
        };
        let offer = Offer::new(device.parse().unwrap(), "/".to_owned(), None);
        Offer { brings: Some(brings), state, ..offer }
    }

    #[test]
    fn a_prefix_is_long_enough_and_hexadecimal() {
        let whole = Digest::of(b"a").to_string();
        for good in ["0123456789ab", "0123456789AB", &whole, &whole[7..]] {
            let prefix: Prefix = good.parse().unwrap();
            assert_eq!(prefix.to_string(), good.trim_start_matches("sha256:").to_lowercase());
        }
        for bad in ["", "0123456789a", "0123456789ax", "sha256:0123456789a", &format!("{whole}0"), "\x1b[2J"]
        {
            let error = bad.parse::<Prefix>().unwrap_err();
            assert!(error.code().0 == 571 && !error.to_string().contains('\x1b'), "{bad}: {error}");
        }
    }

    #[test]
    fn exactly_one_open_offer_is_meant() {
        let (waiting, loading, done) = (OfferState::Waiting, OfferState::Loading, OfferState::Done);
        let nothing = Offer::new("sdz1".parse().unwrap(), "/".to_owned(), None);
        let cases: [(Vec<Offer>, Result<&str, u16>); 7] = [
            (vec![], Err(570)),
            (vec![nothing], Err(570)),
            (vec![offer("sda1", waiting.clone(), b"b")], Err(570)),
            (vec![offer("sda1", done.clone(), b"a")], Err(575)),
            (vec![offer("sda1", loading, b"a")], Ok("sda1")),
            (vec![offer("sda1", done, b"a"), offer("sdb1", waiting.clone(), b"a")], Ok("sdb1")),
            (vec![offer("sda1", waiting.clone(), b"a"), offer("sdb1", waiting, b"a")], Err(572)),
        ];
        let prefix: Prefix = Digest::of(b"a").hex()[..12].parse().unwrap();
        for (number, (offers, wanted)) in cases.into_iter().enumerate() {
            let chosen = choose(offers, &prefix).map(|offer| offer.device.to_string());
            assert_eq!(
                chosen.as_deref().map_err(|error| error.code().0),
                wanted.as_deref().map_err(|&c| c),
                "case {number}"
            );
        }
    }
}
