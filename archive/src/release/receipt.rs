//! The receipt: what an appliance holds, so that its vendor can leave that out of the next bundle.
//!
//! A few hundred bytes of JSON that travel against the stream, on a stick or by telephone. It names releases by the digest
//! of their statements and nothing else that is on the appliance. Nobody signs it: a wrong one makes a delta that the
//! appliance cannot use, and says so.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{API_VERSION, Product, ReleaseName, Sequence, Version, expect_kind};
use crate::{Digest, Error, json};

const KIND: &str = "Receipt";

/// Largest receipt, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 16 << 10;
/// Most releases in a receipt; so many fit into it, with the longest of names.
pub const MAX_RECEIPT_RELEASES: usize = 32;

/// What an appliance holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    api_version: String,
    kind: String,
    /// The product.
    pub product: Product,
    /// The releases whose content is all there, by rising sequence; at least one.
    pub releases: Vec<Held>,
    /// What it has seen and will not go back behind.
    pub trust: TrustCounters,
    /// When it was written, by the appliance's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
}

/// A release that an appliance holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// Its version.
    pub version: Version,
    /// Its place in the order.
    pub sequence: Sequence,
    /// Digest of its statement.
    pub statement: Digest,
    /// What it is to the appliance.
    pub state: HeldState,
}

/// What a release is to the appliance that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HeldState {
    /// It has never run.
    Staged,
    /// It is about to run.
    Activating,
    /// It runs.
    Active,
    /// It ran before.
    Retained,
}

/// The counters of an appliance that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustCounters {
    /// Version of the newest trust root that it knows.
    pub root_version: u64,
    /// The lowest sequence that it still takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Sequence>,
    /// The highest sequence that ever ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_sequence: Option<Sequence>,
}

impl Receipt {
    /// A receipt of these releases, of which the newest are kept if they are too many.
    ///
    /// # Errors
    /// What a reader would say of it: no release, or two with one sequence.
    pub fn new(
        product: Product,
        mut releases: Vec<Held>,
        trust: TrustCounters,
        created: OffsetDateTime,
    ) -> Result<Self, Error> {
        releases.sort_by_key(|held| held.sequence);
        let surplus = releases.len().saturating_sub(MAX_RECEIPT_RELEASES);
        releases.drain(..surplus);
        let receipt = Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            product,
            releases,
            trust,
            created,
        };
        receipt.check("the receipt")?;
        Ok(receipt)
    }

    /// Reads a receipt. `document` names it in errors.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`] or [`Error::Inconsistent`].
    pub fn parse(document: &str, bytes: &[u8]) -> Result<Self, Error> {
        expect_kind(document, bytes, MAX_RECEIPT_BYTES, KIND)?;
        let receipt: Self = json::parse(document, bytes, MAX_RECEIPT_BYTES)?;
        receipt.check(document)?;
        Ok(receipt)
    }

    fn check(&self, document: &str) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::inconsistent(document, why));
        if self.releases.is_empty() {
            return refuse("it names no release");
        }
        if self.releases.len() > MAX_RECEIPT_RELEASES {
            let (size, limit) = (self.releases.len() as u64, MAX_RECEIPT_RELEASES as u64);
            return Err(Error::TooLarge {
                what: format!("the number of releases in {document}"),
                size,
                limit,
            });
        }
        if self.releases.windows(2).any(|pair| pair[0].sequence >= pair[1].sequence) {
            return refuse("the sequences of its releases do not rise");
        }
        for (number, held) in self.releases.iter().enumerate() {
            if self.releases[..number].iter().any(|other| other.statement == held.statement) {
                return refuse("it names a statement twice");
            }
        }
        if self.releases.iter().filter(|held| held.state == HeldState::Active).count() > 1 {
            return refuse("it names two active releases");
        }
        Ok(())
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_document(self)
    }

    /// What to call it: `PRODUCT-VERSION.receipt.json`, after the active release, or else the newest.
    #[must_use]
    pub fn file_name(&self) -> String {
        let active = self.releases.iter().find(|held| held.state == HeldState::Active);
        let version = active.or(self.releases.last()).map_or("", |held| held.version.as_str());
        format!("{}-{version}.receipt.json", self.product)
    }

    /// The name of one of its releases.
    #[must_use]
    pub fn name_of(&self, held: &Held) -> ReleaseName {
        ReleaseName { product: self.product.clone(), version: held.version.clone(), sequence: held.sequence }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn held(sequence: u64, version: &str, state: HeldState) -> Held {
        let statement = Digest::of(&sequence.to_le_bytes());
        Held { version: version.parse().unwrap(), sequence: sequence.try_into().unwrap(), statement, state }
    }

    fn receipt(releases: Vec<Held>) -> Result<Receipt, Error> {
        let trust = TrustCounters { root_version: 2, floor: 3.try_into().ok(), installed_sequence: None };
        Receipt::new("acme".parse().unwrap(), releases, trust, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let both = vec![held(5, "1.5", HeldState::Active), held(4, "1.4", HeldState::Retained)];
        let wanted = receipt(both).unwrap();
        assert_eq!(Receipt::parse("receipt", &wanted.to_bytes()).unwrap(), wanted);
        assert_eq!(wanted.file_name(), "acme-1.5.receipt.json");
        let staged = receipt(vec![held(4, "1.4", HeldState::Staged)]).unwrap();
        assert_eq!(staged.file_name(), "acme-1.4.receipt.json");
    }

    #[test]
    fn the_largest_receipt_is_read() {
        let name = "9".repeat(63);
        let many = (1..100).map(|n| held(Sequence::MAX - n, &name, HeldState::Activating)).collect();
        let largest = receipt(many).unwrap();
        assert_eq!(largest.releases.len(), MAX_RECEIPT_RELEASES);
        assert_eq!(largest.releases.last().unwrap().sequence.get(), Sequence::MAX - 1, "the newest are kept");
        assert_eq!(Receipt::parse("receipt", &largest.to_bytes()).unwrap(), largest);
    }

    #[test]
    fn a_receipt_that_contradicts_itself_is_refused() {
        type Change = fn(&mut serde_json::Value);
        let good = receipt(vec![held(4, "1.4", HeldState::Retained), held(5, "1.5", HeldState::Active)]);
        let good: serde_json::Value = serde_json::from_slice(&good.unwrap().to_bytes()).unwrap();
        let cases: [(&str, Change); 9] = [
            ("names no release", |v| v["releases"] = json!([])),
            ("do not rise", |v| v["releases"].as_array_mut().unwrap().reverse()),
            ("twice", |v| v["releases"][1]["statement"] = v["releases"][0]["statement"].clone()),
            ("two active", |v| v["releases"][0]["state"] = "active".into()),
            ("unknown variant", |v| v["releases"][0]["state"] = "failed".into()),
            ("unknown field", |v| v["host"] = "appliance-7".into()),
            ("not a `Receipt`", |v| v["kind"] = "Statement".into()),
            ("number of releases", |v| {
                let one = v["releases"][0].clone();
                v["releases"] = std::iter::repeat_n(one, 33).collect();
            }),
            ("the limit is 16384", |v| v["product"] = "a".repeat(20_000).into()),
        ];
        for (expected, change) in cases {
            let mut bad = good.clone();
            change(&mut bad);
            let error = Receipt::parse("receipt", &serde_json::to_vec(&bad).unwrap()).unwrap_err();
            let said = crate::report(&error);
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_appliance_holds_fits(sequences in proptest::collection::btree_set(1..1_u64 << 53, 1..60)) {
            let releases = sequences.iter().map(|&n| held(n, "1.0", HeldState::Retained)).collect();
            let written = receipt(releases).unwrap();
            prop_assert_eq!(Receipt::parse("receipt", &written.to_bytes()).unwrap(), written);
        }

        #[test]
        fn any_bytes_are_answered(
            place in 0..700_usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..8),
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Receipt::parse("receipt", &noise);
            let good = receipt(vec![held(4, "1.4", HeldState::Retained), held(5, "1.5", HeldState::Active)]);
            let mut likely = good.unwrap().to_bytes();
            let from = place % likely.len();
            let to = likely.len().min(from + bytes.len());
            likely.splice(from..to, bytes);
            let _ = Receipt::parse("receipt", &likely);
        }
    }
}
