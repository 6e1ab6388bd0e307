//! The rule that nothing grows old unseen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sealift_archive::release::Waiver;

/// How old base images and the operating system may be, and what may be older. `sealift check` goes by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rebuild {
    /// The most days since the base of an image, or the operating system, was built.
    pub max_age_days: u16,
    /// What may be older, why, and until when. They are signed with the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
}
