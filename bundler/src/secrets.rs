//! Addresses as people wrote them, made fit to be shown before anybody knows whether they are addresses at all.

/// What is seen in place of a user name or password.
pub(crate) const HIDDEN: &str = "***";

/// An address without anything that may be a user name, some of which are tokens, or a password. Rather too much is
/// hidden: a password may hold a `/`, and then it is no password to a parser.
pub(crate) fn without_userinfo(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => {
            // An `@` before the `://` leaves nothing that could be believed to be a scheme.
            let scheme = if scheme.contains('@') { HIDDEN } else { scheme };
            format!("{scheme}://{HIDDEN}@{rest}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_before_the_last_at_sign_is_shown() {
        let cases = [
            ("ftp://bob:hunter2@h/x", "ftp://***@h/x"),
            ("https://bob:hunter2/x@h/y", "https://***@h/y"),
            ("https://hunter2@h", "https://***@h"),
            ("hunter2@x://h", "***://***@x://h"),
            ("https://h/x", "https://h/x"),
            ("git@h:x", "git@h:x"),
        ];
        for (address, shown) in cases {
            assert_eq!(without_userinfo(address), shown);
        }
    }
}
