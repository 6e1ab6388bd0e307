//! `.helmignore`: what a folder holds besides the chart (`pkg/ignore` of Helm 3).

use regex::Regex;

use super::super::glob::{Style, compile};

/// The file's name.
pub(super) const FILE: &str = ".helmignore";
/// Helm's own rule: no hidden files among the templates.
const DEFAULT: &str = "templates/.?*";

/// The rules of a file.
#[derive(Debug, Default)]
pub(super) struct Ignore(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    folders_only: bool,
    /// `!pattern`. In Helm such a rule leaves out what does not match it.
    inverted: bool,
    /// A pattern without a slash is about last names.
    by_name: bool,
}

impl Ignore {
    pub(super) fn parse(text: &str) -> Self {
        let rules = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(rules.chain([DEFAULT]).filter_map(rule).collect())
    }

    /// Whether a path is left out. The first rule that says so decides.
    pub(super) fn takes_out(&self, path: &str, is_folder: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().any(|rule| {
            let fits = rule.pattern.is_match(if rule.by_name { name } else { path })
                && (is_folder || !rule.folders_only);
            fits != rule.inverted
        })
    }
}

/// A pattern that is none leaves nothing out.
fn rule(line: &str) -> Option<Rule> {
    let (inverted, line) = line.strip_prefix('!').map_or((false, line), |line| (true, line));
    let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |line| (true, line));
    let by_name = !line.contains('/');
    let pattern =
        compile(line.strip_prefix('/').unwrap_or(line), Style::Plain).filter(|_| !line.contains("**"))?;
    Some(Rule { pattern, folders_only, inverted, by_name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_leave_out_what_they_leave_out_in_helm() {
        let ignore = Ignore::parse("# comment\n\n*.bak\n/ci/\ntemplates/README.md\n**/x\n");
        let cases = [
            ("a.bak", false, true),
            ("templates/a.bak", false, true),
            ("ci", true, true),
            ("ci", false, false),
            ("templates/README.md", false, true),
            ("README.md", false, false),
            ("templates/.hidden.yaml", false, true),
            ("templates/a.yaml", false, false),
            ("x", false, false),
        ];
        for (path, is_folder, expected) in cases {
            assert_eq!(ignore.takes_out(path, is_folder), expected, "{path}");
        }
        assert!(Ignore::parse("!Chart.yaml").takes_out("values.yaml", false));
    }
}
