//! Which releases may travel in one file, and which it may build on: those of one product, each with a version and a
//! sequence of its own. A writer and a reader ask the same question.

use super::packing::NeededRelease;
use crate::{Digest, Error, Release};

/// Refuses releases that cannot be in one file, and needed releases that it cannot build on.
///
/// # Errors
/// [`Error::Unlike`] for two releases of the file, [`Error::BadNeed`] for what it needs.
pub fn check(releases: &[Release], needs: &[NeededRelease]) -> Result<(), Error> {
    for (number, release) in releases.iter().enumerate() {
        for earlier in &releases[..number] {
            if let Some(why) = unlike(earlier, release) {
                let (one, other) = (Box::new(earlier.statement.name()), Box::new(release.statement.name()));
                return Err(Error::Unlike { one, other, why });
            }
        }
    }
    let carried: Vec<(Digest, &Release)> = releases.iter().map(|r| (r.digest(), r)).collect();
    let mut before = None;
    for needed in needs {
        if let Some(why) = unfit(&carried, before, needed) {
            return Err(Error::BadNeed { needed: Box::new(needed.name()), why });
        }
        before = Some(needed);
    }
    Ok(())
}

fn unlike(earlier: &Release, later: &Release) -> Option<&'static str> {
    let (earlier, later) = (&earlier.statement, &later.statement);
    if earlier.product != later.product {
        Some("they are two products")
    } else if earlier.sequence >= later.sequence {
        Some("their sequences do not rise")
    } else if earlier.version == later.version {
        Some("they have the same version")
    } else {
        None
    }
}

fn unfit(
    carried: &[(Digest, &Release)],
    before: Option<&NeededRelease>,
    needed: &NeededRelease,
) -> Option<&'static str> {
    let mut statements = carried.iter().map(|(_, release)| &release.statement);
    if carried.iter().any(|(digest, _)| *digest == needed.statement) {
        Some("the file carries that release itself")
    } else if statements.clone().any(|statement| statement.sequence == needed.sequence) {
        Some("the file carries another release with that sequence")
    } else if statements.any(|statement| statement.product != needed.product) {
        Some("the file carries another product")
    } else if before.is_some_and(|before| before.sequence >= needed.sequence) {
        Some("the sequences of needed releases do not rise")
    } else {
        None
    }
}
