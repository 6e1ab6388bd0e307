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
/// From how many digits on a hexadecimal number is taken for one, if it is no digest.
const HEX_DIGITS: &str = "24";
/// Longest word of small letters that has a meaning, in characters: a name in DNS or Kubernetes.
const MAX_NAME_CHARS: usize = 63;

/// What is looked for, and what is put in its place; one after the other.
static RULES: LazyLock<[(Regex, Rule); 8]> = LazyLock::new(|| {
    let opaque = format!("[A-Za-z0-9+/_=-]{{{OPAQUE_CHARS},}}");
    let hex = format!(r"(?i)(?:sha(?:256|512):|/)?\b[0-9a-f]{{{HEX_DIGITS},}}\b");
    [
        // Users and passwords in addresses; a password may hold a `/` or an `@`.
        (regex(r"\b([A-Za-z][A-Za-z0-9+.-]*)://\S*@"), Rule::Put("$1://***@")),
        (regex(r"\S+:\S*@\S+"), Rule::Ask(without_pair)),
        // Signed addresses carry their signature behind the question mark.
        (regex(r"(://[^\s?#]*)[?#]\S+"), Rule::Put("$1?***")),
        // Whatever follows one of these words.
        (
            regex(
                r#"(?i)(authorization|authentication:|cookie|bearer|basic +[a-z0-9+/=]{6}|passw|passphrase|pwd|secret|token|credential|psk|\bpass\b|pass"?\s*[=:]|key"?\s*[=:]|-[a-z-]*(?:pass|key)\s|(?:api|access|private|signing|auth|client)[-_ ]?key).*"#,
            ),
            Rule::Put("$1***"),
        ),
        // The account of `curl` and its like.
        (regex(r"((?:^|\s)(?:-u\s*|--(?:proxy-)?user[\s=]+)[^\s:]+:).*"), Rule::Put("$1***")),
        // Keys that are known by how they begin.
        (
            regex(
                r"(?i)\b(?:gh[pousr]_|github_pat_|glpat-|dckr_pat_|xox[a-z]-|hvs\.|akia|asia|k10[0-9a-f]{8}|eyj[a-z0-9_-]{8}|age-plugin-)\S*",
            ),
            Rule::Put(HIDDEN),
        ),
        (regex(&hex), Rule::Ask(without_hex)),
        (regex(&opaque), Rule::Ask(without_opaque)),
    ]
});

/// Where messages of ours go on in the words of a hook or a check (`activation::Error`, `status`, the news of an activation).
static BEFORE_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    let phases = "(?:self-update|suspend|serve|(?:hook|undo of) `[^`]*`|point|resume|health|conclude)";
    regex(&format!(r"\bphase [^:]*: |\bnothing was changed: |{phases} failed: "))
});
/// What may be told of these words.
static ENDING: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"exit status: \d+|signal: \d+|(?:it took longer than|not healthy within) \d+ (?:s|min)\b")
});
/// How lines of ours begin that follow such words.
const AFTER_WORDS: [&str; 3] = ["error[", "hint: ", "what was done is undone:"];
/// Time, program and process in front of a line of the journal.
static STAMP: LazyLock<Regex> = LazyLock::new(|| regex(r"^\S+ (\S+\[\d+\]): "));

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

/// A long number, unless what stands before it says that it is a digest or a part of a path.
fn without_hex(found: &Captures<'_>) -> String {
    let text = &found[0];
    if text.contains([':', '/']) { text.to_owned() } else { HIDDEN.to_owned() }
}

/// A long word, unless it is a digest, a path of short names, or of small letters alone.
fn without_opaque(found: &Captures<'_>) -> String {
    let text = &found[0];
    let is_small = |byte: u8| byte.is_ascii_lowercase() || b"-_".contains(&byte);
    let is_word = |word: &str| word.len() <= MAX_NAME_CHARS && word.bytes().all(is_small);
    let is_hex = |word: &str| word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_short = |word: &str| word.len() < 24;
    let is_plain = |word: &str| is_word(word) || is_hex(word) || (text.starts_with('/') && is_short(word));
    if text.split('/').all(is_plain) { text.to_owned() } else { HIDDEN.to_owned() }
}

/// How a hook or a check ended, without its words.
pub(super) fn ending(words: &str) -> String {
    match ENDING.find_iter(words).last() {
        Some(ending) => format!("{HIDDEN} ({})", ending.as_str()),
        None => HIDDEN.to_owned(),
    }
}

/// Text without secrets, line by line: some secrets are longer than a line, and so are the words of a hook.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    is_in_block: bool,
    /// Who is in the middle of a hook's words.
    quoting: Option<String>,
}

impl Scrubber {
    /// A text of any number of lines.
    pub(super) fn text(text: &str) -> String {
        let mut scrubber = Self::default();
        text.lines().map(|line| scrubber.line(line)).collect::<Vec<_>>().join("\n")
    }

    /// The next line.
    pub(super) fn line(&mut self, line: &str) -> String {
        let line = self.without_words(line);
        if line.contains(PEM_BEGIN) || self.is_in_block {
            self.is_in_block = !line.contains(PEM_END);
            return HIDDEN_BLOCK.to_owned();
        }
        // Escape sequences could make a terminal show something else than is there.
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = line.chars().map(visible).collect();
        let line = RULES.iter().fold(line, |line, (pattern, rule)| match rule {
            Rule::Put(text) => pattern.replace_all(&line, *text).into_owned(),
            Rule::Ask(ask) => pattern.replace_all(&line, *ask).into_owned(),
        });
        // Not before: half a secret may look like none.
        line.chars().take(MAX_LINE_CHARS).collect()
    }

    /// A line up to where a hook or a check is quoted, and how that ended.
    fn without_words(&mut self, line: &str) -> String {
        let (who, begin) = STAMP
            .captures(line)
            .map_or(("", 0), |stamp| (stamp.get(1).map_or("", |who| who.as_str()), stamp[0].len()));
        let (stamp, said) = line.split_at(begin);
        if self.quoting.as_deref() == Some(who) {
            if !AFTER_WORDS.iter().any(|after| said.starts_with(after)) {
                return format!("{stamp}{}", ending(said));
            }
            self.quoting = None;
        }
        let Some(before) = BEFORE_WORDS.find(said) else { return line.to_owned() };
        self.quoting = Some(who.to_owned());
        let (before, words) = said.split_at(before.end());
        format!("{stamp}{before}{}", ending(words))
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
            "+ curl -u bob:hunter2 https://h/x",
            "curl -u bob:hunter2:x -ubob:hunter2 --proxy-user bob:hunter2",
            "pass=hunter2",
            "DB_PASS=hunter2",
            "PSK=hunter2",
            "X-Auth-Key: hunter2",
            "--key hunter2",
            "{\"key\": \"hunter2\"}",
            "error[SL0527]: the way to acme 1.2 (sequence 2) stopped in phase hook `k3s`: hunter2\nhunter2\nhint: go on",
            "hook `k3s` failed: hunter2\nwhat was done is undone:",
            "acme 1.2 (sequence 2) was not activated, and nothing was changed: `disk`: hunter2",
            "{\"error\":{\"message\":\"activating acme 1.2 failed in phase health, and x is active: hunter2\\nhunter2\"}}",
        ];
        for case in cases {
            let kept = Scrubber::text(case);
            assert!(!kept.contains("hunter2") && kept.contains(HIDDEN), "{case}: {kept}");
        }
        let hex = "0123456789abcdef0123456789ABCDEF";
        assert_eq!(Scrubber::text(&format!("found {hex}, and {hex}{hex}")), "found ***, and ***");
        let long =
            format!("{}https://bob:hunter2@h", " ".repeat(MAX_LINE_CHARS - "https://bob:hunter2".len()));
        assert!(!Scrubber::text(&long).contains("hunter2"), "it is cut too early");
    }

    #[test]
    fn of_a_hook_that_failed_phase_code_and_ending_stay() {
        let said = "2026-11-23T10:00:00+0000 sealiftctl[12]: error[SL0527]: the way to acme 1.2 stopped in phase hook `k3s`: + x
2026-11-23T10:00:00+0000 sealift-registry[7]: all is well
2026-11-23T10:00:00+0000 sealiftctl[12]: y: words (exit status: 3)
2026-11-23T10:00:00+0000 sealiftctl[12]: hint: `sealiftctl resume`";
        let kept = "2026-11-23T10:00:00+0000 sealiftctl[12]: error[SL0527]: the way to acme 1.2 stopped in phase hook `k3s`: ***
2026-11-23T10:00:00+0000 sealift-registry[7]: all is well
2026-11-23T10:00:00+0000 sealiftctl[12]: *** (exit status: 3)
2026-11-23T10:00:00+0000 sealiftctl[12]: hint: `sealiftctl resume`";
        assert_eq!(Scrubber::text(said), kept);
        let cases = [
            ("words (signal: 9 (SIGKILL))", "*** (signal: 9)"),
            ("it took longer than 15 min; it said: words", "*** (it took longer than 15 min)"),
            ("words", "***"),
        ];
        for (words, told) in cases {
            assert_eq!(ending(words), told);
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
