//! Settings that are lists, on the command line or in the file of an environment.

use std::str::FromStr;

/// Values with commas between them. A line that is left empty has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listed<T>(Vec<T>);

impl<T: FromStr> FromStr for Listed<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// All values of several lists.
pub(super) fn flat<T>(lists: Vec<Listed<T>>) -> Vec<T> {
    lists.into_iter().flat_map(|list| list.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_be_empty_and_have_spaces() {
        for (text, expected) in [("", &[][..]), ("1", &[1]), ("1, 2,3 ,", &[1, 2, 3]), (" , ", &[])] {
            assert_eq!(text.parse::<Listed<u8>>().unwrap().0, expected, "{text}");
        }
        assert!("1,x".parse::<Listed<u8>>().is_err());
        assert_eq!(flat(vec![Listed(vec![1, 2]), Listed(vec![]), Listed(vec![3])]), [1, 2, 3]);
    }
}
