//! Licences in the words of package managers, as far as documents can take them.

/// A licence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum License<'a> {
    /// An SPDX licence expression, with no name in it that the SPDX licence list lacks.
    Expression(&'a str),
    /// Anything else: `GPLv2+ and MIT`.
    Words(&'a str),
}

impl<'a> License<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        // A reference to another document's licences means nothing in ours.
        let is_own = !text.contains("LicenseRef-") && !text.contains("DocumentRef-");
        if is_own && spdx::Expression::parse(text).is_ok() {
            Self::Expression(text)
        } else {
            Self::Words(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spdx_knows_is_an_expression() {
        for expression in
            ["MIT", "Apache-2.0 OR MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "(MIT AND ISC)"]
        {
            assert_eq!(License::of(expression), License::Expression(expression));
        }
        for words in [
            "GPLv2+ and MIT",
            "BSD",
            "",
            "MIT AND",
            "LicenseRef-Fedora-Public-Domain",
            "((((",
            "public domain",
        ] {
            assert_eq!(License::of(words), License::Words(words));
        }
    }
}
