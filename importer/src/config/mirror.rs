//! The section `mirror`.

use serde::Deserialize;

/// Where releases are fetched from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {}
