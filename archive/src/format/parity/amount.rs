//! How much parity, as people write it.

use std::fmt;
use std::str::FromStr;

use super::MAX_FILES;
use crate::Error;

/// How much parity: a part of the archive (`10%`), or so much that any so many files of it may be lost (`2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 1 to 100.
    Percent(u32),
    /// 1 to [`MAX_FILES`].
    Files(u32),
}

impl Amount {
    pub(super) fn kind(self) -> Kind {
        self.0
    }
}

impl FromStr for Amount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |digits: &str, most: u32| {
            digits.parse().ok().filter(|n| (1..=most).contains(n) && !digits.starts_with('+'))
        };
        let kind = match text.strip_suffix('%') {
            Some(digits) => number(digits, 100).map(Kind::Percent),
            None => number(text, MAX_FILES).map(Kind::Files),
        };
        kind.map(Self).ok_or_else(|| Error::BadValue {
            what: "an amount of parity",
            value: text.to_owned(),
            rule: "`1%` to `100%`, or the number of volumes that may be lost",
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Percent(percent) => write!(f, "{percent}%"),
            Kind::Files(files) => write!(f, "{files}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_one_spelling() {
        for good in ["1%", "10%", "100%", "1", "2", "999"] {
            assert_eq!(good.parse::<Amount>().unwrap().to_string(), good);
        }
        for bad in ["", "%", "0%", "101%", "+1%", "1.5%", "0", "1000", "-1", "ten", "10 %", "10%%"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }
}
