//! The receipt of a store: what its vendor may leave out of the next bundle.

use sealift_archive::release::{Held, HeldState, TrustCounters};
use sealift_archive::{Product, Receipt};

use crate::{Error, State, Store, StoredRelease, audit};

impl Store {
    /// Names the releases whose content is all here. Looks at sizes and refs, and reads no content.
    ///
    /// # Errors
    /// [`Error::HoldsNothing`], [`Error::NotPinned`], or I/O.
    pub fn receipt(&self) -> Result<Receipt, Error> {
        let mut complete: Vec<(Product, Held)> = Vec::new();
        for release in self.releases()? {
            // What it is to the appliance decides first: completeness has to look at every blob.
            if let Some(state) = held_as(release.state())
                && self.is_complete(&release)?
            {
                complete.push(entry(&release, state)?);
            }
        }
        let counters = self.counters()?;
        // Releases of several products can only lie here as long as none has run.
        let product =
            counters.product.clone().or_else(|| complete.last().map(|(product, _)| product.clone()));
        let product = product.ok_or_else(|| Error::HoldsNothing { store: self.root().to_owned() })?;
        let releases: Vec<Held> =
            complete.into_iter().filter(|(of, _)| *of == product).map(|(_, held)| held).collect();
        if releases.is_empty() {
            return Err(Error::HoldsNothing { store: self.root().to_owned() });
        }
        let trust = TrustCounters {
            root_version: self.trust()?.newest().version(),
            floor: counters.floor,
            installed_sequence: counters.installed,
        };
        Ok(Receipt::new(product, releases, trust, audit::now())?)
    }
}

fn held_as(state: &State) -> Option<HeldState> {
    Some(match state {
        State::Staged => HeldState::Staged,
        State::Activating => HeldState::Activating,
        State::Active => HeldState::Active,
        State::Retained => HeldState::Retained,
        State::Failed { .. } => return None,
    })
}

fn entry(release: &StoredRelease, state: HeldState) -> Result<(Product, Held), Error> {
    let statement = release.statement()?;
    let held =
        Held { version: statement.version, sequence: statement.sequence, statement: release.digest(), state };
    Ok((statement.product, held))
}

#[cfg(test)]
mod tests {
    use sealift_archive::Digest;

    use super::*;
    use crate::fixture::{Content, Place};

    #[test]
    fn only_what_is_whole_is_named() {
        let place = Place::new();
        assert!(matches!(place.store.receipt(), Err(Error::HoldsNothing { .. })));
        let writer = place.writer();
        for (sequence, content) in [(1, "one"), (2, "two"), (3, "three"), (4, "four")] {
            Content::new(sequence, &[content.as_bytes()]).stage(&writer).unwrap();
        }
        for sequence in [1, 2] {
            writer.activate(sequence.try_into().unwrap()).unwrap();
        }
        let named = || {
            let receipt = place.store.receipt().unwrap();
            let held = receipt.releases.iter().map(|held| format!("{} {:?}", held.sequence, held.state));
            (held.collect::<Vec<_>>().join(", "), receipt)
        };
        let (all, receipt) = named();
        assert_eq!(all, "1 Retained, 2 Active, 3 Staged, 4 Staged");
        assert_eq!(
            receipt.releases[1].statement,
            place.store.release(2.try_into().unwrap()).unwrap().digest()
        );
        let trust = receipt.trust;
        assert_eq!((trust.root_version, trust.installed_sequence), (1, 2.try_into().ok()));
        fs_err::remove_file(place.store.blob_path(&Digest::of(b"three"))).unwrap();
        fs_err::write(place.store.release(1.try_into().unwrap()).unwrap().dir().join("blobs"), "").unwrap();
        assert_eq!(named().0, "2 Active, 4 Staged");
    }
}
