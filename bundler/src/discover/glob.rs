//! Patterns of file names, as `.Files.Glob` (gobwas/glob) and `.helmignore` (Go's `filepath.Match`) have them.

use regex::Regex;

/// Which patterns there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `*`, `?`, `[a-z]`; nothing crosses a `/`.
    Plain,
    /// `**` crosses, and `{a,b}` is a choice.
    Extended,
}

/// A pattern as a regular expression; `None` if it is none.
pub(super) fn compile(pattern: &str, style: Style) -> Option<Regex> {
    let is_extended = style == Style::Extended;
    let mut regex = String::from("^");
    let mut open_braces = 0_usize;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if is_extended && chars.next_if_eq(&'*').is_some() => regex.push_str(".*"),
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '{' if is_extended => {
                open_braces += 1;
                regex.push_str("(?:");
            }
            '}' if open_braces > 0 => {
                open_braces -= 1;
                regex.push(')');
            }
            ',' if open_braces > 0 => regex.push('|'),
            '[' => {
                regex.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
            }
            ']' | '-' | '^' => regex.push(c),
            '\\' => regex.push_str(&regex::escape(chars.next()?.encode_utf8(&mut [0; 4]))),
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Regex::new(&regex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_match_in_go() {
        let cases = [
            ("*.yaml", Style::Plain, "a.yaml", true),
            ("*.yaml", Style::Plain, "a/b.yaml", false),
            ("a?c", Style::Plain, "abc", true),
            ("[a-c]x", Style::Plain, "bx", true),
            ("[!b].*", Style::Extended, "b.conf", false),
            ("**.yaml", Style::Extended, "a/b.yaml", true),
            ("a/*.{conf,txt}", Style::Extended, "a/b.txt", true),
            ("{a}", Style::Plain, "{a}", true),
            ("a\\*", Style::Plain, "a*", true),
            ("a.b", Style::Plain, "axb", false),
        ];
        for (pattern, style, name, expected) in cases {
            assert_eq!(compile(pattern, style).unwrap().is_match(name), expected, "{pattern} on {name}");
        }
        assert!(compile("[", Style::Plain).is_none());
    }
}
