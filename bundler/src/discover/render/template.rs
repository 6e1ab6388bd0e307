//! Parsed templates. The parser is `gotmpl`'s; what it reads is executed by [`super::machine`].

use std::collections::BTreeMap;
use std::rc::Rc;

use gotmpl::TemplateError;
use gotmpl::parse::{ListNode, Parser, Pos};

/// Most branches of a template: the parser goes one call deeper for each `else if` of a chain.
const MAX_BRANCHES: usize = 4096;

/// A template, and where its lines are.
#[derive(Debug)]
pub(super) struct Template {
    /// The file that it stands in, as it is shown.
    pub(super) source: Rc<str>,
    pub(super) body: ListNode,
    breaks: Rc<Vec<usize>>,
}

/// A parsed file: itself, and the templates that it defines.
pub(super) struct Parsed {
    pub(super) main: Rc<Template>,
    pub(super) defined: BTreeMap<String, Rc<Template>>,
}

impl Template {
    /// The line of a position, from 1.
    pub(super) fn line(&self, at: Pos) -> u32 {
        u32::try_from(self.breaks.partition_point(|line_break| *line_break < at.offset) + 1)
            .unwrap_or(u32::MAX)
    }
}

/// Parses a template. On failure: line and reason.
pub(super) fn parse(source: &Rc<str>, text: &str) -> Result<Parsed, (u32, String)> {
    let is_else = |action: &&str| action.trim_start_matches(['-', ' ', '\t', '\r', '\n']).starts_with("else");
    if text.split("{{").filter(is_else).count() > MAX_BRANCHES {
        return Err((1, format!("it has more than {MAX_BRANCHES} branches")));
    }
    let text = without_comments(text);
    let (body, named) =
        Parser::new(&text, "{{", "}}").and_then(Parser::parse).map_err(|error| match error {
            TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
                (u32::try_from(line).unwrap_or(u32::MAX), message)
            }
            other => (1, other.to_string()),
        })?;
    let breaks: Rc<Vec<usize>> = Rc::new(text.match_indices('\n').map(|(at, _)| at).collect());
    let template = |body| Rc::new(Template { source: Rc::clone(source), body, breaks: Rc::clone(&breaks) });
    let defined = named.into_iter().map(|define| (define.name.to_string(), template(define.body))).collect();
    Ok(Parsed { main: template(body), defined })
}

/// Puts an action that prints nothing, just as long, in place of each comment.
///
/// The parser (gotmpl 0.6) trims the text after `{{- /* … */}}`, which Go does not: two lines of YAML would become one.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let (before, action) = rest.split_at(at);
        out.push_str(before);
        let Some(length) = comment_length(action) else {
            // Strings and further braces inside an action begin no comment.
            out.push_str("{{");
            rest = &action[2..];
            continue;
        };
        let (open, close) = (action.starts_with("{{- "), action[..length].ends_with(" -}}"));
        let inner = &action[2 + usize::from(open) * 2..length - 2 - usize::from(close) * 2];
        out.push_str(if open { "{{- \"\"" } else { "{{\"\"" });
        // What is left of the comment is white space, with its line breaks where they were.
        out.extend(inner.bytes().skip(2).map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        out.push_str(if close { " -}}" } else { "}}" });
        rest = &action[length..];
    }
    out.push_str(rest);
    out
}

/// The length of the comment that a text begins with: `{{/*`, `{{- /*`, to `*/}}` or `*/ -}}`.
fn comment_length(action: &str) -> Option<usize> {
    let body = action.strip_prefix("{{- ").or_else(|| action.strip_prefix("{{"))?.trim_start();
    let comment = body.strip_prefix("/*")?;
    let after = comment[comment.find("*/")? + 2..].trim_start();
    let rest = after.strip_prefix("-}}").or_else(|| after.strip_prefix("}}"))?;
    Some(action.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_leave_every_other_byte_where_it_was() {
        let cases = [
            ("a {{/* b */}} c", "a {{\"\"     }} c"),
            ("a\n{{- /* b\n */}}\nc", "a\n{{- \"\"  \n   }}\nc"),
            ("a {{- /* b */ -}} c", "a {{- \"\"      -}} c"),
            ("{{/**/}}", "{{\"\"  }}"),
            ("{{ .x }} {{ \"/*\" }}", "{{ .x }} {{ \"/*\" }}"),
            ("{{/* never closed", "{{/* never closed"),
        ];
        for (text, expected) in cases {
            let cleared = without_comments(text);
            assert_eq!(cleared, expected);
            assert_eq!(cleared.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_parsed_is_an_error_with_its_line() {
        let source = Rc::from("t");
        let deep = "{{ if .a }}".repeat(100_000);
        let wide = format!("{{{{ if .a }}}}{}{{{{ end }}}}", "{{ else if .b }}x".repeat(100_000));
        let cases = [
            ("a\n\n{{ .b", 3, "unclosed"),
            ("{{ if }}x{{ end }}", 1, "empty"),
            (&deep, 0, "nesting depth"),
            (&wide, 1, "branches"),
        ];
        for (text, line, expected) in cases {
            let (found, why) = parse(&source, text).err().unwrap();
            assert_eq!(found, line, "{why}");
            assert!(why.contains(expected), "{why}");
        }
    }
}
