//! The section `media`.

use serde::Deserialize;

/// What is done with sticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Media {
    /// What happens with a stick that announces itself.
    #[serde(default)]
    pub policy: Policy,
}

/// What happens with a stick that announces itself, once it is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// It waits until somebody confirms it.
    #[default]
    Ask,
    /// It is loaded.
    Stage,
    /// It is loaded, and what is new becomes active.
    Activate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_says_nothing_is_asked() {
        let read = |text: &str| serde_saphyr::from_str::<Media>(text).map(|media| media.policy);
        for (text, policy) in [
            ("{}", Policy::Ask),
            ("policy: ask", Policy::Ask),
            ("policy: stage", Policy::Stage),
            ("policy: activate", Policy::Activate),
        ] {
            assert_eq!(read(text).unwrap(), policy, "{text}");
        }
        for wrong in ["policy: always", "policy: Stage", "policies: ask"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
