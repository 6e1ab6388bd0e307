//! Takes out of text whatever looks like a secret.
//!
//! It is the second fence: what is collected is an allow-list, and this is for the words of logs and messages, which may hold
//! anything. Rather too much goes than too little.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What is seen in place of what was taken out.
pub(super) const HIDDEN: &str = "***";
/// What is seen in place of each line of a key or certificate.
const HIDDEN_BLOCK: &str = "*** (PEM)";
const PEM_BEGIN: &str = "-----BEGIN";
const PEM_END: &str = "-----END";
/// Longest line that is kept, in characters.
const MAX_LINE_CHARS: usize = 2000;
/// From how many characters on a word without a meaning is taken for a secret.
const OPAQUE_CHARS: &str = "40";

/// What is looked for, and what is put in its place; one after the other.
static RULES: LazyLock<[(Regex, Rule); 6]> = LazyLock::new(|| {
    let opaque = format!("[A-Za-z0-9+/_=-]{{{OPAQUE_CHARS},}}");
    [
        // Users and passwords in addresses; a password may hold a `/` or an `@`.
        (regex(r"\b([A-Za-z][A-Za-z0-9+.-]*)://\S*@"), Rule::Put("$1://***@")),
        (regex(r"\S+:\S*@\S+"), Rule::Ask(without_pair)),
        // Signed addresses carry their signature behind the question mark.
        (regex(r"(://[^\s?#]*)[?#]\S+"), Rule::Put("$1?***")),
        // Whatever follows one of these words.
        (
            regex(
                r"(?i)(authorization|authentication:|cookie|bearer|basic +[a-z0-9+/=]{6}|passw|passphrase|pwd|secret|token|credential|(?:api|access|private|signing)[-_ ]?key).*",
            ),
            Rule::Put("$1***"),
        ),
        // Keys that are known by how they begin.
        (
            regex(
                r"(?i)\b(?:gh[pousr]_|github_pat_|glpat-|dckr_pat_|xox[a-z]-|hvs\.|akia|asia|k10[0-9a-f]{8}|eyj[a-z0-9_-]{8}|age-plugin-)\S*",
            ),
            Rule::Put(HIDDEN),
        ),
        (regex(&opaque), Rule::Ask(without_opaque)),
    ]
});

enum Rule {
    Put(&'static str),
    Ask(fn(&Captures<'_>) -> String),
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that a test has tried")
}

/// `user:password@host`, unless it is an image with a digest, or an address that was seen to already.
fn without_pair(found: &Captures<'_>) -> String {
    let text = &found[0];
    let is_harmless = |(before, after): (&str, &str)| {
        before.ends_with("://***") || after.starts_with("sha256:") || after.starts_with("sha512:")
    };
    if text.rsplit_once('@').is_some_and(is_harmless) { text.to_owned() } else { HIDDEN.to_owned() }
}

/// A long word, unless it is a digest, a path of short names, or of small letters alone.
fn without_opaque(found: &Captures<'_>) -> String {
    let text = &found[0];
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    let is_hex = |word: &str| word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_short = |word: &str| word.len() < 24;
    let is_plain = |word: &str| is_word(word) || is_hex(word) || (text.starts_with('/') && is_short(word));
    if text.split('/').all(is_plain) { text.to_owned() } else { HIDDEN.to_owned() }
}

/// Text without secrets, line by line: some secrets are longer than a line.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    is_in_block: bool,
}

impl Scrubber {
    /// A text of any number of lines.
    pub(super) fn text(text: &str) -> String {
        let mut scrubber = Self::default();
        text.lines().map(|line| scrubber.line(line)).collect::<Vec<_>>().join("\n")
    }

    /// The next line.
    pub(super) fn line(&mut self, line: &str) -> String {
        if line.contains(PEM_BEGIN) || self.is_in_block {
            self.is_in_block = !line.contains(PEM_END);
            return HIDDEN_BLOCK.to_owned();
        }
        // Escape sequences could make a terminal show something else than is there.
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = line.chars().take(MAX_LINE_CHARS).map(visible).collect();
        RULES.iter().fold(line, |line, (pattern, rule)| match rule {
            Rule::Put(text) => pattern.replace_all(&line, *text).into_owned(),
            Rule::Ask(ask) => pattern.replace_all(&line, *ask).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_goes() {
        let cases = [
            "GET https://bob:hunter2@host/x failed",
            "GET https://hunter2@host/x failed",
            "https://bob:a/b@hunter2@host/x",
            "proxy bob:hunter2@10.0.0.1:3128 refused",
            "https://host/blob?X-Amz-Signature=hunter2",
            "Authorization: Basic hunter2",
            "> authorization=\"hunter2\"",
            "Bearer hunter2",
            "Basic Ym9iOmh1bnRlcjI=hunter2",
            "COSIGN_PASSWORD=hunter2",
            "\"password\": \"hunter2\", \"x\": 1",
            "--password hunter2",
            "the secret is hunter2",
            "api_key=hunter2",
            "apiKey: hunter2",
            "ghp_hunter2hunter2",
            "AGE-SECRET-KEY-1hunter2",
            "K10abcdef0123::server:hunter2",
            "eyJhbGciOiJIUzI1NiJ9.hunter2",
            "took QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphunter2hunter2hunter2",
            "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
            "x -----BEGIN PRIVATE KEY-----\\nhunter2",
            "-----BEGIN PRIVATE KEY-----\nhunter2\nhunter2",
        ];
        for case in cases {
            let kept = Scrubber::text(case);
            assert!(!kept.contains("hunter2") && kept.contains(HIDDEN), "{case}: {kept}");
        }
    }

    #[test]
    fn what_helps_stays() {
        let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let cases = [
            "2026-11-23T10:00:00+0000 sealiftctl[12]: error[SL0114]: too few signatures of role release"
                .to_owned(),
            format!("content sha256:{digest} is missing"),
            format!("/var/lib/sealift/blobs/sha256/{digest}"),
            format!("registry.example/acme/app:1.0@sha256:{digest}"),
            "GET https://releases.acme.example/appliance/channels/stable.json: 503".to_owned(),
            "/var/lib/sealift/releases/12/state and /media/stick/acme-appliance-1.5.0.001.tar.zst".to_owned(),
            "git@host:path/to/repository".to_owned(),
            "-----END OF FILE-----\nand more".to_owned(),
        ];
        for case in cases {
            assert_eq!(Scrubber::text(&case), case);
        }
        assert_eq!(Scrubber::text("\x1b[31mred\x1b[0m"), " [31mred [0m");
        assert_eq!(Scrubber::text(&"x ".repeat(5000)).len(), MAX_LINE_CHARS);
    }
}
