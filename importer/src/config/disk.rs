//! The section `disk`: what else an import fills, besides the store.

use std::path::PathBuf;

use serde::Deserialize;

/// What is known of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disk {
    /// Where containerd keeps images; without it, where k3s or Debian's containerd has them, if that is there.
    #[serde(default)]
    pub containerd: Option<PathBuf>,
    /// From which share of that file system on kubelet removes images.
    #[serde(default)]
    pub image_gc_threshold: Threshold,
}

/// A share of a disk, in percent: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Threshold(u8);

impl Threshold {
    /// In percent.
    #[must_use]
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl Default for Threshold {
    /// `imageGCHighThresholdPercent`, if nobody set it (kubelet's configuration, v1beta1).
    fn default() -> Self {
        Self(85)
    }
}

impl TryFrom<u8> for Threshold {
    type Error = &'static str;

    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err("a share is 1 to 100 percent") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_share() {
        let threshold =
            |text: &str| serde_saphyr::from_str::<Disk>(text).map(|disk| disk.image_gc_threshold.0);
        for (text, expected) in
            [("{}", Some(85)), ("imageGcThreshold: 70", Some(70)), ("imageGcThreshold: 100", Some(100))]
        {
            assert_eq!(threshold(text).ok(), expected, "{text}");
        }
        for wrong in
            ["imageGcThreshold: 0", "imageGcThreshold: 101", "imageGcThreshold: 85 %", "containerD: /x"]
        {
            assert!(threshold(wrong).is_err(), "{wrong}");
        }
    }
}
