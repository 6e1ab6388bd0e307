//! Where a repository is: what Git is given, and what people are shown.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use sealift_fetch::is_loopback;
use url::Url;

use super::said::without_secrets;
use crate::secrets::without_userinfo;
use crate::{Error, git};

/// Protocols that are spoken. Not `git`, in which nobody knows who answers and anybody can change what is said; and
/// not `ext` and `fd`, which run programs.
pub(super) const SCHEMES: [&str; 4] = ["https", PLAIN, "ssh", "file"];
/// The one among them whose words others can read and change.
pub(super) const PLAIN: &str = "http";

/// A repository's address, in any of the forms of gitremote-helpers(7) that name a place: a URL, `user@host:path`, a
/// path. It holds no password, and in a web address no user name either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    given: OsString,
    shown: String,
}

impl Address {
    /// Reads an address; a path is relative to `base`.
    ///
    /// # Errors
    /// [`git::Error::Address`].
    pub(super) fn parse(url: &str, base: &Path) -> Result<Self, Error> {
        let refuse = |why| refuse(without_userinfo(url), why);
        if url.is_empty() || url.starts_with('-') || url.chars().any(char::is_control) {
            return Err(refuse("it is empty, begins with `-`, or holds a control character".to_owned()));
        }
        let remote = |host: &str| {
            // To ssh, and to whatever else is given the host's name, that would be an option.
            if host.starts_with('-') {
                return Err(refuse("its host begins with `-`".to_owned()));
            }
            Ok(Self { given: url.into(), shown: without_secrets(url) })
        };
        if let Some((scheme, rest)) = url.split_once("://") {
            if !SCHEMES.contains(&scheme) {
                return Err(refuse(format!("Sealift speaks {}, not `{scheme}`", SCHEMES.join(", "))));
            }
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            let is_web = matches!(scheme, PLAIN | "https");
            // In a web address the user name alone is a token as often as not.
            if user.contains(':') || is_web && !user.is_empty() {
                return Err(refuse(
                    "it holds a user name or password, and definitions and locks are no place for one"
                        .to_owned(),
                ));
            }
            // Git would take what follows for a port; it is what is left of a password with a `/` in it.
            if is_web && url.parse::<Url>().is_err() {
                return Err(refuse("it is not a URL".to_owned()));
            }
            return remote(host);
        }
        match url.split_once(':') {
            Some((helper, rest)) if rest.starts_with(':') && !helper.contains('/') => {
                Err(refuse(format!("Sealift runs no remote helpers such as `{helper}`")))
            }
            Some((place, _)) if !place.contains('/') => {
                remote(place.rsplit_once('@').map_or(place, |(_, host)| host))
            }
            _ => {
                let path = std::path::absolute(base.join(url))?;
                Ok(Self { shown: path.display().to_string(), given: path.into() })
            }
        }
    }

    /// Whether Git would speak plain HTTP to it.
    pub(super) fn is_plain(&self) -> bool {
        self.plain_url().is_some()
    }

    /// Whether it names a host other than this machine, to which plain HTTP can be read and changed by others.
    pub(super) fn is_exposed(&self) -> bool {
        self.plain_url().is_some_and(|url| !is_loopback(&url))
    }

    fn plain_url(&self) -> Option<Url> {
        self.given.to_str()?.parse().ok().filter(|url: &Url| url.scheme() == PLAIN)
    }

    /// The error that says why it, or what is wanted from it, is not to be used.
    pub(super) fn refuse(&self, why: String) -> Error {
        refuse(self.shown.clone(), why)
    }

    /// For Git.
    pub(super) fn given(&self) -> &OsStr {
        &self.given
    }

    /// For people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

fn refuse(address: String, why: String) -> Error {
    git::Error::Address { address, why }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_a_host_with_a_path_or_a_path() {
        let cases = [
            ("https://git.example/x.git", "https://git.example/x.git", "https://git.example/x.git"),
            ("https://git.example/a@b", "https://git.example/a@b", "https://git.example/a@b"),
            ("ssh://git@git.example:2222/x", "ssh://git@git.example:2222/x", "ssh://git@git.example:2222/x"),
            ("git@git.example:acme/x.git", "git@git.example:acme/x.git", "git@git.example:acme/x.git"),
            ("git.example:x", "git.example:x", "git.example:x"),
            ("file:///srv/x", "file:///srv/x", "file:///srv/x"),
            ("../x.git", "/base/../x.git", "/base/../x.git"),
            ("./a:b", "/base/a:b", "/base/a:b"),
            ("/srv/x", "/srv/x", "/srv/x"),
        ];
        for (url, given, shown) in cases {
            let address = Address::parse(url, Path::new("/base")).unwrap();
            assert_eq!((address.given(), address.shown()), (OsStr::new(given), shown));
        }
    }

    #[test]
    fn what_would_run_a_program_or_tell_a_secret_is_refused() {
        let cases = [
            ("", "empty"),
            ("--upload-pack=touch x", "begins with `-`"),
            ("https://x/\n", "control"),
            ("ext::sh -c true", "`ext`"),
            ("fd::3", "`fd`"),
            ("https::https://x/y", "not `https::https`"),
            ("git://git.example/x", "not `git`"),
            ("ftp://git.example/x", "not `ftp`"),
            ("ssh://-oProxyCommand=x/y", "its host"),
            ("git@-oProxyCommand=x:y", "its host"),
            ("https://bob:hunter2@git.example/x", "user name or password"),
            ("https://hunter2@git.example/x", "user name or password"),
            ("http://hunter2@git.example:8080/x", "user name or password"),
            ("ssh://git:hunter2@git.example/x", "user name or password"),
            ("https://bob:hunter2/x@git.example/x", "not a URL"),
            ("ftp://bob:hunter2/x@git.example/x", "not `ftp`"),
        ];
        for (url, expected) in cases {
            let said = Address::parse(url, Path::new("/base")).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{url}: {said}");
        }
    }

    #[test]
    fn plain_http_to_others_is_told_apart() {
        let cases = [
            ("https://git.example/x", (false, false)),
            ("http://git.example/x", (true, true)),
            ("http://localhost.example.com/x", (true, true)),
            ("http://10.0.0.1/x", (true, true)),
            ("http://localhost:3000/x", (true, false)),
            ("http://127.8.8.8/x", (true, false)),
            ("http://[::1]:3000/x", (true, false)),
            ("ssh://git.example/x", (false, false)),
            ("http/x", (false, false)),
        ];
        for (url, expected) in cases {
            let address = Address::parse(url, Path::new("/base")).unwrap();
            assert_eq!((address.is_plain(), address.is_exposed()), expected, "{url}");
        }
    }
}
