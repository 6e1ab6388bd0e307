//! `.helmignore`: which files of a folder are no part of the chart (Helm's documentation, "The .helmignore file").
//!
//! Its rules are not Git's. Patterns are those of Go's `filepath.Match`, where no `*` reaches across a `/`; a rule
//! without a `/` is about the last part of a path; and `!rule` drops everything that does *not* match. The first rule
//! that drops a path decides, so nothing can be taken back.

/// What a chart never carries, whatever its own rules say.
const ALWAYS: &str = "templates/.?*";

/// The rules of one chart.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    /// It drops what does not match.
    negated: bool,
    /// It is about folders.
    folders_only: bool,
    /// It is about the last part of a path.
    last_part: bool,
}

impl Rules {
    /// Reads the file, which may be empty.
    ///
    /// # Errors
    /// The number of a line that is no rule, and what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut rules = Vec::new();
        for (number, line) in (1..).zip(text.lines()).chain([(0, ALWAYS)]) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            rules.push(Rule::parse(line).map_err(|why| (number, why))?);
        }
        Ok(Self(rules))
    }

    /// Whether the file or folder at `path`, relative to the chart's folder, is dropped.
    pub(super) fn drops(&self, path: &str, is_folder: bool) -> bool {
        self.0.iter().any(|rule| rule.drops(path, is_folder))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Self, &'static str> {
        if line.contains("**") {
            return Err("Helm knows no `**`");
        }
        let (negated, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let last_part = !line.contains('/');
        let pattern = Pattern::parse(line.strip_prefix('/').unwrap_or(line))?;
        Ok(Self { pattern, negated, folders_only, last_part })
    }

    fn drops(&self, path: &str, is_folder: bool) -> bool {
        let subject = if self.last_part { path.rsplit('/').next().unwrap_or(path) } else { path };
        let matches = (is_folder || !self.folders_only) && self.pattern.matches(subject);
        matches != self.negated
    }
}

/// A pattern of Go's `filepath.Match`: runs of tokens, with or without a `*` in front.
#[derive(Debug)]
struct Pattern(Vec<Run>);

#[derive(Debug, Default)]
struct Run {
    starred: bool,
    tokens: Vec<Token>,
}

#[derive(Debug)]
enum Token {
    Char(char),
    /// `?`: anything but `/`.
    Any,
    /// `[a-z]`, `[^a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut runs = vec![Run::default()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => {
                    runs.push(Run { starred: true, tokens: Vec::new() });
                    continue;
                }
                '?' => Token::Any,
                '\\' => Token::Char(chars.next().ok_or("it ends in a `\\`")?),
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    while ranges.is_empty() || chars.peek() != Some(&']') {
                        let first = class_char(&mut chars)?;
                        let last =
                            if chars.next_if_eq(&'-').is_some() { class_char(&mut chars)? } else { first };
                        ranges.push((first, last));
                    }
                    chars.next();
                    Token::Class { negated, ranges }
                }
                c => Token::Char(c),
            };
            if let Some(run) = runs.last_mut() {
                run.tokens.push(token);
            }
        }
        Ok(Self(runs))
    }

    /// Each starred run is taken where it fits first, as Go does it: so there is no going back, and no pattern that
    /// takes for ever.
    fn matches(&self, name: &str) -> bool {
        let mut rest = name;
        for (index, run) in self.0.iter().enumerate() {
            let is_last = index + 1 == self.0.len();
            if is_last && run.starred && run.tokens.is_empty() {
                return !rest.contains('/');
            }
            let fits = |at: &'_ str| run.fits(at).filter(|left| !is_last || left.is_empty()).map(str::len);
            let reach = if run.starred { rest.find('/').unwrap_or(rest.len()) } else { 0 };
            let mut starts =
                rest.char_indices().map(|(at, _)| at).chain([rest.len()]).take_while(|at| *at <= reach);
            let Some(left) = starts.find_map(|at| fits(&rest[at..])) else { return false };
            rest = &rest[rest.len() - left..];
        }
        rest.is_empty()
    }
}

/// One character of a class; an unescaped `-` or `]` is none.
fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, &'static str> {
    const OPEN: &str = "a `[` is never closed";
    match chars.next().ok_or(OPEN)? {
        '-' | ']' => Err("a class between `[` and `]` is not complete"),
        '\\' => chars.next().ok_or(OPEN),
        c => Ok(c),
    }
}

impl Run {
    /// What is left of `text` behind this run.
    fn fits<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut chars = text.chars();
        let fits = self.tokens.iter().all(|token| chars.next().is_some_and(|c| token.fits(c)));
        fits.then_some(chars.as_str())
    }
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == c,
            Self::Any => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_gos_do() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            (".?*", ".", false),
            (".?*", ".a", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
        for wrong in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "a[b-", "\\", "[a-b-c]"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_helms_and_not_gits() {
        let cases: [(&str, &[&str], &[&str]); 10] = [
            (
                "",
                &["templates/.hidden", "templates/.d"],
                &["a", ".hidden", "templates/x/.hidden", "templates/."],
            ),
            ("# nothing\n\n  *.txt  \n", &["a.txt", "a/b.txt"], &["a.txt/b", "a.tx"]),
            ("/a.txt", &["a.txt"], &["b/a.txt"]),
            ("helm.txt", &["helm.txt", "x/helm.txt"], &["helm"]),
            ("templates/*.yaml", &["templates/a.yaml"], &["templates/b/a.yaml", "x/templates/a.yaml"]),
            ("docs/", &["docs/", "x/docs/"], &["docs"]),
            ("/docs/", &["docs/"], &["x/docs/", "docs"]),
            ("x/docs/", &["x/docs/"], &["docs/"]),
            ("!*.yaml", &["a.txt"], &["a.yaml"]),
            ("*.md\n!README.md", &["README.md", "x.yaml"], &[]),
        ];
        for (text, dropped, kept) in cases {
            let rules = Rules::parse(text).unwrap();
            let drops = |path: &str| rules.drops(path.trim_end_matches('/'), path.ends_with('/'));
            for path in dropped {
                assert!(drops(path), "{text:?} keeps {path}");
            }
            for path in kept {
                assert!(!drops(path), "{text:?} drops {path}");
            }
        }
    }

    #[test]
    fn lines_that_are_no_rules_are_named() {
        assert_eq!(Rules::parse("a\n**/b\n").unwrap_err(), (2, "Helm knows no `**`"));
        assert_eq!(Rules::parse("[\n").unwrap_err().0, 1);
    }

    proptest! {
        #[test]
        fn no_rule_panics_or_hangs(text in any::<String>(), odd in "[]a*?!^/\\[-]{0,30}", path in "[]a/*-]{0,60}") {
            for text in [&text, &odd] {
                if let Ok(rules) = Rules::parse(text) {
                    rules.drops(&path, true);
                    rules.drops(&path, false);
                }
            }
        }

        #[test]
        fn escaped_text_matches_itself(name in "\\PC{0,20}", other in "\\PC{0,20}") {
            let pattern: String = name.chars().flat_map(|c| ['\\', c]).collect();
            let pattern = Pattern::parse(&pattern).unwrap();
            prop_assert!(pattern.matches(&name));
            prop_assert_eq!(pattern.matches(&other), name == other);
        }
    }
}
