//! `channel.json`: which release is current for those who follow a channel, and until when that may be believed.
//!
//! It is small and short-lived, and signed by the role `channel`, which can neither make a release nor pack one. It never
//! travels in an archive: whoever asks a vendor's endpoint gets it beside the releases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};

use super::statement::expect_known;
use super::{API_VERSION, Product, Requirement, Sequence, Version, expect_kind};
use crate::trust::{KeyId, RoleName, Signatures, Trusted};
use crate::{Digest, Error, json};

const KIND: &str = "Channel";

/// Largest channel, in bytes. Ours are about 500.
pub const MAX_CHANNEL_BYTES: usize = 16 << 10;
/// Most earlier releases in a channel: more steps than any vendor supports.
pub const MAX_EARLIER: usize = 16;

/// A product's channels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ChannelName {
    /// What everybody runs.
    Stable,
    /// What is tried before.
    Candidate,
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "stable",
            Self::Candidate => "candidate",
        })
    }
}

impl FromStr for ChannelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Stable, Self::Candidate].into_iter().find(|name| name.to_string() == text).ok_or_else(|| {
            let (what, value) = ("a channel", text.to_owned());
            Error::BadValue { what, value, rule: "`stable` or `candidate`" }
        })
    }
}

/// What a channel says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    api_version: String,
    kind: String,
    /// The product.
    pub product: Product,
    /// The channel.
    pub name: ChannelName,
    /// Counts the editions of this channel; it only grows. From 1 to 2^53 − 1.
    pub version: u64,
    /// The release that is current.
    pub release: CurrentRelease,
    /// Releases before it that are published too, by rising sequence: the steps for those who are further behind. At most
    /// [`MAX_EARLIER`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<CurrentRelease>,
    /// The lowest sequence that is still allowed.
    pub floor: Sequence,
    /// When this is no longer news: whoever is online and hears nothing later is being kept from hearing it. In UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
    /// Features that a reader must know, so that an old one can say what it lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
}

/// A release, as a channel names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentRelease {
    /// Its version, for people.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
    /// Digest of its statement.
    pub statement: Digest,
}

impl Channel {
    /// A channel of `product`, valid until `expires`. Everything from this release on is allowed; lower the floor to allow
    /// more.
    #[must_use]
    pub fn new(
        product: Product,
        name: ChannelName,
        version: u64,
        release: CurrentRelease,
        expires: OffsetDateTime,
    ) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            product,
            name,
            version,
            floor: release.sequence,
            release,
            earlier: Vec::new(),
            expires: expires.to_offset(UtcOffset::UTC),
            requires: Vec::new(),
        }
    }

    /// Reads a channel that enough keys of the role `channel` have signed, and says which did. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Unsigned`] or [`Error::SignedByFormer`] before anything of it is looked at, then as [`Channel::parse`].
    pub fn verify(
        document: &str,
        bytes: &[u8],
        trusted: &Trusted,
        signatures: &Signatures,
    ) -> Result<(Self, Vec<KeyId>), Error> {
        let signers = trusted.check(document, bytes, RoleName::Channel, signatures)?;
        Ok((Self::parse(document, bytes)?, signers))
    }

    /// Reads `channel.json`. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::NeedsNewer`] before anything else is looked at; [`Error::Json`], [`Error::TooLarge`] or
    /// [`Error::Inconsistent`].
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_known(document, bytes, MAX_CHANNEL_BYTES)?;
        expect_kind(document, bytes, MAX_CHANNEL_BYTES, KIND)?;
        let channel: Self = json::parse(document, bytes, MAX_CHANNEL_BYTES)?;
        let refuse = |why: &str| Err(Error::inconsistent(document, why));
        if !(1..=Sequence::MAX).contains(&channel.version) {
            return refuse("versions go from 1 to 2^53 - 1");
        }
        if channel.floor > channel.release.sequence {
            return refuse("its floor is above the release that it names");
        }
        if channel.earlier.len() > MAX_EARLIER {
            let (size, limit) = (channel.earlier.len() as u64, MAX_EARLIER as u64);
            let what = format!("the number of earlier releases in {document}");
            return Err(Error::TooLarge { what, size, limit });
        }
        let way: Vec<_> = channel.earlier.iter().chain([&channel.release]).collect();
        if way.windows(2).any(|pair| pair[0].sequence >= pair[1].sequence) {
            return refuse("the sequences of its releases do not rise to the current one");
        }
        if !channel.expires.offset().is_utc() {
            return refuse("it does not say in UTC when it expires");
        }
        Ok(channel)
    }

    /// The document's bytes: what is signed and served.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_document(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::trust::RootDraft;
    use crate::trust::fixture::{Vendor, fresh, sign};

    fn channel() -> Channel {
        let (version, sequence) = ("1.5.0".parse().unwrap(), 15.try_into().unwrap());
        let release = CurrentRelease { version, sequence, statement: Digest::of(b"a statement") };
        Channel::new("acme".parse().unwrap(), ChannelName::Stable, 7, release, datetime!(2026-12-01 0:00 UTC))
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_reason() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, Change); 12] = [
            ("known since Sealift 9.1", |v| {
                v["requires"] = serde_json::json!([{"feature": "rings", "since": "9.1"}]);
                v["somethingNew"] = true.into();
            }),
            ("unknown field", |v| v["somethingNew"] = true.into()),
            ("unknown field", |v| v["release"]["somethingNew"] = true.into()),
            ("not a `Channel`", |v| v["kind"] = "Statement".into()),
            ("sealift/v2", |v| v["apiVersion"] = "sealift/v2".into()),
            ("versions go from 1", |v| v["version"] = 0.into()),
            ("floor is above", |v| v["floor"] = 16.into()),
            ("do not rise", |v| v["earlier"] = serde_json::json!([v["release"]])),
            ("number of earlier", |v| {
                v["earlier"] = std::iter::repeat_n(v["release"].clone(), MAX_EARLIER + 1).collect();
            }),
            ("unknown variant", |v| v["name"] = "nightly".into()),
            ("not valid", |v| v["expires"] = "tomorrow".into()),
            ("in UTC", |v| v["expires"] = "2026-12-01T00:00:00+01:00".into()),
        ];
        for (expected, change) in cases {
            let mut value: serde_json::Value = serde_json::from_slice(&channel().to_bytes()).unwrap();
            change(&mut value);
            let error = Channel::parse("channel.json", &serde_json::to_vec(&value).unwrap()).unwrap_err();
            let said = crate::report(&error);
            assert!(said.contains(expected), "{said}");
        }
        let long = [channel().to_bytes(), vec![b' '; MAX_CHANNEL_BYTES]].concat();
        assert!(matches!(Channel::parse("channel.json", &long), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn only_the_role_for_it_signs_a_channel() {
        let (vendor, key) = (Vendor::new(), fresh());
        let mut draft = RootDraft::after(&vendor.trust);
        draft.add(RoleName::Channel, key.public().clone());
        let root = draft.finish().unwrap();
        let bytes = channel().to_bytes();
        let verify = |root, signer| {
            let signatures = [sign(&bytes, signer)].into_iter().collect();
            Channel::verify("channel.json", &bytes, &Trusted::from(root), &signatures)
        };
        assert_eq!(verify(&root, &key).unwrap(), (channel(), vec![key.public().id()]));
        for (root, signer) in [(&root, &vendor.release), (&root, &vendor.root), (&vendor.trust, &key)] {
            let error = verify(root, signer).unwrap_err();
            assert!(matches!(error, Error::Unsigned { role: RoleName::Channel, have: 0, .. }), "{error}");
        }
        // Nothing of it is read before that.
        let error = Channel::verify("channel.json", b"{", &Trusted::from(root), &Signatures::default());
        assert!(matches!(error, Err(Error::Unsigned { .. })));
    }

    fn any_channel() -> impl Strategy<Value = Channel> {
        let name = prop_oneof![Just(ChannelName::Stable), Just(ChannelName::Candidate)];
        let sequences = (1..=Sequence::MAX).prop_flat_map(|sequence| (Just(sequence), 1..=sequence));
        // The years that RFC 3339 can write.
        let seconds = -62_167_219_200_i64..253_402_300_800;
        (name, 1..=Sequence::MAX, sequences, any::<[u8; 32]>(), seconds).prop_map(
            |(name, version, (sequence, floor), digest, seconds)| {
                let release = CurrentRelease {
                    version: "1.5.0-rc.1".parse().unwrap(),
                    sequence: sequence.try_into().unwrap(),
                    statement: Digest::from_raw(digest),
                };
                let expires = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
                let channel = Channel::new("acme".parse().unwrap(), name, version, release, expires);
                Channel { floor: floor.try_into().unwrap(), ..channel }
            },
        )
    }

    proptest! {
        #[test]
        fn a_channel_is_read_as_it_was_written(channel in any_channel()) {
            let bytes = channel.to_bytes();
            let read = Channel::parse("channel.json", &bytes).unwrap();
            prop_assert_eq!(read.to_bytes(), bytes);
            prop_assert_eq!(read, channel);
        }

        #[test]
        fn whatever_comes_is_read_or_refused(at in 0..600_usize, byte: u8, cut in 0..600_usize) {
            let mut bytes = channel().to_bytes();
            let (at, cut) = (at % bytes.len(), bytes.len() - cut % bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Channel::parse("channel.json", &bytes[..cut]) {
                prop_assert_eq!(Channel::parse("channel.json", &read.to_bytes()).unwrap(), read);
            }
        }
    }
}
