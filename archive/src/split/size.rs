//! How large a volume may be, as people write it.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The largest file that FAT32 takes: 4 GiB − 1.
pub const FAT32_FILE_BYTES: u64 = (4 << 30) - 1;

/// What that size is called.
const FAT32: &str = "fat32";

/// The most bytes that the file of a volume may have; not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeSize(u64);

impl VolumeSize {
    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for VolumeSize {
    fn default() -> Self {
        Self(FAT32_FILE_BYTES)
    }
}

impl FromStr for VolumeSize {
    type Err = Error;

    /// `fat32`, a number of bytes, or a number and a unit. `4G` means 4,000,000,000 as on the box of a stick, so that it
    /// still fits FAT32; `4GiB` would not.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::BadValue {
            what: "the size of a volume",
            value: text.to_owned(),
            rule: "write `fat32`, bytes, or a unit behind the number: `4G` (powers of 1000), `650MiB`",
        };
        if text == FAT32 {
            return Ok(Self::default());
        }
        parse_bytes(text).filter(|&bytes| bytes > 0).map(Self).ok_or_else(refuse)
    }
}

/// Reads a number of bytes, or a number with a unit right behind it: `4G` and `4GB` are powers of 1000, `4GiB` of 1024.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (unit, base) = match unit.strip_suffix("iB") {
        Some(unit) => (unit, 1024_u64),
        None => (unit.strip_suffix('B').unwrap_or(unit), 1000),
    };
    let power = match unit {
        "" if base == 1000 => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.checked_mul(base.pow(power))
}

impl fmt::Display for VolumeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() { f.write_str(FAT32) } else { fmt::Display::fmt(&self.0, f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("fat32", Some(FAT32_FILE_BYTES)),
            ("4294967295", Some(FAT32_FILE_BYTES)),
            ("1B", Some(1)),
            ("700M", Some(700_000_000)),
            ("650MB", Some(650_000_000)),
            ("650MiB", Some(650 << 20)),
            ("4G", Some(4_000_000_000)),
            ("2GiB", Some(2 << 30)),
            ("64KiB", Some(64 << 10)),
            ("1T", Some(1_000_000_000_000)),
            ("", None),
            ("0", None),
            ("G", None),
            ("iB", None),
            ("4iB", None),
            ("4g", None),
            ("-4G", None),
            ("4 G", None),
            ("4.7G", None),
            ("99999999999T", None),
            ("18446744073709551616", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<VolumeSize>().ok().map(VolumeSize::bytes), expected, "{text}");
        }
        assert_eq!(VolumeSize::default().to_string(), "fat32");
    }
}
