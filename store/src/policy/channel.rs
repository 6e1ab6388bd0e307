//! Whether what a channel says is news, and may be believed.

use sealift_archive::release::CurrentRelease;
use sealift_archive::{Channel, Digest, ReleaseName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Situation;
use crate::Error;

/// Whether an appliance is meant to hear from its vendor. This is configured, and never found out by trying: or whoever cuts
/// the line would decide how much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It asks regularly; what it hears has to be fresh.
    Online,
    /// What it knows came on a stick, and may be old.
    Offline,
}

/// A channel as it was last believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenChannel {
    /// Its version.
    pub version: u64,
    /// Digest of the document.
    pub digest: Digest,
    /// The release that it names.
    pub release: CurrentRelease,
    /// Whether it was seen to have expired. It then stays so, wherever the clock goes; the next version begins anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_expired: bool,
}

/// How old news are that may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// They have not expired.
    Fresh,
    /// They have, where nobody is online: to be told, and no more.
    Expired {
        /// When they did.
        since: OffsetDateTime,
    },
}

impl Situation {
    /// Judges a channel whose signatures are good. `now` is this machine's clock. If that goes back, what has expired does not
    /// become news again; if it was ahead, that spoils no more than the version which was looked at meanwhile.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn judge_channel(
        &self,
        offered: &Channel,
        digest: Digest,
        reach: Reach,
        now: OffsetDateTime,
    ) -> Result<Freshness, Error> {
        let Channel { name, version, .. } = *offered;
        if let Some(installed) = self.product.as_ref().filter(|installed| **installed != offered.product) {
            let (product, installed) = (offered.product.clone(), installed.clone());
            return Err(Error::OtherChannel { name, product, installed, active: self.active_name() });
        }
        match self.channels.get(&name) {
            Some(seen) if version < seen.version => {
                return Err(Error::ChannelBehind { name, offered: version, seen: seen.version });
            }
            Some(seen) if version == seen.version && digest != seen.digest => {
                return Err(Error::ChannelTaken { name, version, offered: digest, seen: seen.digest });
            }
            _ => {}
        }
        let CurrentRelease { version: named, sequence, statement } = offered.release.clone();
        let release = ReleaseName { product: offered.product.clone(), version: named, sequence };
        self.judge_identity(&release, statement)?;
        let was_over = self.channels.get(&name).is_some_and(|seen| seen.digest == digest && seen.has_expired);
        match (was_over || offered.expires <= now, reach) {
            (false, _) => Ok(Freshness::Fresh),
            (true, Reach::Offline) => Ok(Freshness::Expired { since: offered.expires }),
            (true, Reach::Online) => Err(Error::ChannelExpired {
                name,
                version,
                expired: offered.expires,
                now,
                active: self.active_name(),
            }),
        }
    }
}
