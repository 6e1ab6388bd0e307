//! The section `media`.

use serde::Deserialize;

/// What is done with sticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Media {}
