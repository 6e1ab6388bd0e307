//! What Git and a remote said: made fit to be shown, and told apart.

use crate::secrets::HIDDEN;
use crate::{Error, git};

/// Longest message that is passed on, in lines and in characters.
const MAX_LINES: usize = 5;
const MAX_CHARS: usize = 1000;

/// What a remote, and Git, tell of their progress (after an optional `remote: `), and what they say whatever has
/// happened.
const NOISE: [&str; 14] = [
    "Enumerating objects",
    "Counting objects",
    "Compressing objects",
    "Receiving objects",
    "Resolving deltas",
    "Unpacking objects",
    "Indexing objects",
    "Checking objects",
    "Total ",
    "From ",
    "* [",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
    "fatal: Could not read from remote repository.",
];

/// Said when Git, or what it started, was halted because it read from the terminal.
pub(super) const WANTED_TO_ASK: &str = "it wanted to ask somebody at the terminal";

/// In messages about credentials: Git's own, libcurl's by way of Git, OpenSSH's.
const ABOUT_ACCESS: [&str; 9] = [
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "HTTP Basic: Access denied",
    "returned error: 401",
    "returned error: 403",
    "Permission denied (",
    "Host key verification failed",
    WANTED_TO_ASK,
];
/// In messages about an object that breaks Git's rules.
const ABOUT_OBJECTS: [&str; 2] = ["fsck error in", "error: object "];
/// In messages about a ref or object that is not there.
const ABOUT_ABSENCE: [&str; 4] =
    ["couldn't find remote ref", "not our ref", "unadvertised object", "no such remote ref"];
/// In messages of a partial clone that is asked for what it left out.
const ABOUT_PARTS: &str = "promisor remote";

/// The lines that say what happened; without control characters and secrets, and not too many.
pub(super) fn clean(said: &str) -> String {
    let lines = said.lines().map(|line| {
        // A carriage return goes back to the start of the line: what follows is what stays to be read.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
        line.chars().filter(|c| !c.is_control()).collect::<String>()
    });
    let is_news = |line: &str| {
        let bare = line.strip_prefix("remote:").unwrap_or(line).trim();
        !bare.is_empty() && !NOISE.iter().any(|noise| bare.starts_with(noise))
    };
    let news: Vec<String> = lines.map(|line| line.trim().to_owned()).filter(|line| is_news(line)).collect();
    let last = &news[news.len().saturating_sub(MAX_LINES)..];
    without_secrets(&last.join("; ")).chars().take(MAX_CHARS).collect()
}

/// Text in which user names of web addresses, some of which are tokens, and passwords cannot be seen.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c.is_whitespace() || "/?#'\"`<>".contains(c)).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        shown.push_str(before);
        shown.push_str("://");
        match authority.rsplit_once('@') {
            Some((user, host))
                if before.ends_with("http") || before.ends_with("https") || user.contains(':') =>
            {
                shown.push_str(HIDDEN);
                shown.push('@');
                shown.push_str(host);
            }
            _ => shown.push_str(authority),
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

/// What talking to a remote came to nothing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It wants to know who asks, or does not like who does.
    Access,
    /// It sent an object that breaks Git's rules.
    BadObject,
    /// It does not have what it was asked for.
    Absent,
    /// It is a partial clone, and cannot give what it lacks itself.
    Partial,
    /// All else: names, networks, servers.
    Other,
}

impl Trouble {
    /// Told by the words of Git, which have been the same for years, in a fixed locale.
    pub(super) fn of(said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
        if has(&[ABOUT_PARTS]) {
            Self::Partial
        } else if has(&ABOUT_OBJECTS) {
            Self::BadObject
        } else if has(&ABOUT_ACCESS) {
            Self::Access
        } else if has(&ABOUT_ABSENCE) {
            Self::Absent
        } else {
            Self::Other
        }
    }

    /// The error about `repository`.
    pub(super) fn error(self, repository: &str, said: String) -> Error {
        let repository = repository.to_owned();
        let error = match self {
            Self::Access => git::Error::Access { repository, said },
            Self::BadObject => git::Error::BadObject { repository, said },
            Self::Partial => git::Error::Source { repository, why: git::Unfit::Partial },
            Self::Absent | Self::Other => git::Error::Remote { repository, said },
        };
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_kept_and_the_rest_is_not() {
        let cases = [
            (
                "remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\nfatal: it broke\n",
                "fatal: it broke",
            ),
            (
                "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct \
                 access rights\nand the repository exists.\n",
                "",
            ),
            ("remote: \u{1b}[31mgo away\u{7}\nfatal: no", "remote: [31mgo away; fatal: no"),
            ("1\n2\n3\n4\n5\n6\n", "2; 3; 4; 5; 6"),
            (
                "fatal: unable to access 'https://bob:hunter2@git.example/x.git/': no",
                "fatal: unable to access 'https://***@git.example/x.git/': no",
            ),
        ];
        for (said, expected) in cases {
            assert_eq!(clean(said), expected, "{said:?}");
        }
        assert_eq!(clean(&"x".repeat(10 * MAX_CHARS)).len(), MAX_CHARS);
    }

    #[test]
    fn no_secret_is_shown() {
        let cases = [
            ("https://token@git.example/x", "https://***@git.example/x"),
            ("http://a:b@c@git.example", "http://***@git.example"),
            ("ssh://git@git.example/x", "ssh://git@git.example/x"),
            ("ssh://git:pw@git.example/x", "ssh://***@git.example/x"),
            ("https://git.example/a@b and https://t@h", "https://git.example/a@b and https://***@h"),
            ("git@git.example:x", "git@git.example:x"),
            ("://", "://"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_secrets(text), expected);
        }
    }

    #[test]
    fn trouble_is_told_by_its_words() {
        let cases = [
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Trouble::Access),
            ("git@h: Permission denied (publickey).", Trouble::Access),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 403", Trouble::Access),
            (
                "error: object 1234: zeroPaddedFilemode: x; fatal: fsck error in packed object",
                Trouble::BadObject,
            ),
            ("fatal: remote error: upload-pack: not our ref 1234", Trouble::Absent),
            ("fatal: couldn't find remote ref refs/heads/x", Trouble::Absent),
            ("remote: fatal: could not fetch 1234 from promisor remote", Trouble::Partial),
            ("fatal: unable to access 'http://h/': Could not resolve host: h", Trouble::Other),
        ];
        for (said, expected) in cases {
            assert_eq!(Trouble::of(said), expected, "{said}");
        }
    }
}
