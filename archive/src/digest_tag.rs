//! Tags that are made of digests: under them lies what belongs to a manifest where there is no referrers API.
//!
//! - `<algorithm>-<hex>`, both cut to what fits, is the list of what refers to it (distribution-spec 1.1, "Referrers Tag
//!   Schema");
//! - `<algorithm>-<hex>.sig` and the like are cosign's, and never cut.

use crate::AnyDigest;
use crate::reference::is_tag;

/// How much of the digest stands in the tag of a list, in hexadecimal characters: all of a SHA-256.
const HEX_LEN: usize = 64;
/// The kinds of digests, as they begin tags.
const ALGORITHMS: [&str; 2] = ["sha256-", "sha512-"];

/// The tag of the list of what refers to the manifest of this name.
#[must_use]
pub fn of(name: AnyDigest) -> String {
    let whole = whole(name);
    let algorithm = ALGORITHMS.iter().find(|algorithm| whole.starts_with(**algorithm)).map_or(0, |a| a.len());
    whole.chars().take(algorithm + HEX_LEN).collect()
}

/// The tag that ends so, as cosign makes them. `None` if it would be longer than a tag may be: of a SHA-512 there is none.
#[must_use]
pub fn with_suffix(name: AnyDigest, suffix: &str) -> Option<String> {
    Some(format!("{}{suffix}", whole(name))).filter(|tag| is_tag(tag))
}

/// Whether a tag is made of a digest in one of these ways, whatever it ends with.
#[must_use]
pub fn is_one(tag: &str) -> bool {
    let hex = ALGORITHMS.iter().find_map(|algorithm| tag.strip_prefix(algorithm));
    hex.and_then(|hex| hex.split_at_checked(HEX_LEN)).is_some_and(|(hex, end)| {
        hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && (end.is_empty() || end.starts_with('.'))
    })
}

fn whole(name: AnyDigest) -> String {
    name.to_string().replacen(':', "-", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Sha512};

    #[test]
    fn tags_are_made_of_digests_as_others_make_them_and_known_again() {
        let digest = AnyDigest::from(Digest::of(b""));
        let stem = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(digest), stem);
        assert_eq!(with_suffix(digest, ".sig"), Some(format!("{stem}.sig")));
        let long = AnyDigest::from(Sha512::of(b""));
        assert_eq!(of(long), "sha512-cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce");
        assert_eq!(with_suffix(long, ".sig"), None);

        for tag in [of(digest), of(long), format!("{stem}.sig"), format!("{stem}.sbom")] {
            assert!(is_one(&tag), "{tag}");
        }
        let other = stem.to_uppercase().replace("SHA", "sha");
        for tag in ["1.0", "sha256", "sha256-", &stem[..70], "sha256-1.0", &format!("{stem}0"), &other] {
            assert!(!is_one(tag), "{tag}");
        }
    }
}
