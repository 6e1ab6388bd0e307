//! Text of several YAML documents, as templates render it: each document is read alone, so that one that is broken hides no other.

use std::rc::Rc;

use super::walk::Walk;
use super::yaml::documents;
use super::{Place, Warning};

/// The comment by which Helm says what template a document comes from.
const SOURCE: &str = "# Source: ";

/// One document of a text.
pub(super) struct Document<'t> {
    pub(super) text: &'t str,
    /// Where it begins in the whole, in bytes.
    pub(super) offset: usize,
}

impl Document<'_> {
    /// `app/templates/pod.yaml`, from Helm's comment.
    pub(super) fn source(&self) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(SOURCE)).map(str::trim)
    }
}

/// Parts a text at its `---` lines, as Helm does.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut begin, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            found.push(Document { text: &text[begin..at], offset: begin });
            // What stands on the line of the mark belongs to the document: `--- # Source: …`, `--- {a: b}`.
            begin = at + 3;
        }
        at += line.len();
    }
    found.push(Document { text: &text[begin..], offset: begin });
    found.retain(|document| !document.text.trim().is_empty());
    found
}

/// Walks through a document. `line_at` tells, for a byte of it, the line that is shown.
pub(super) fn walk(
    walk: &mut Walk,
    document: &Document<'_>,
    file: &str,
    line_at: &dyn Fn(usize) -> Option<u32>,
) {
    let (hits, warnings) = (walk.hits.len(), walk.warnings.len());
    match documents(document.text, &Rc::from(file)) {
        Ok(objects) => objects.iter().for_each(|object| walk.object(object)),
        Err(problem) => {
            let place = Place { file: file.to_owned(), line: u32::try_from(problem.line).ok(), path: None };
            walk.warnings.push(Warning {
                place,
                why: format!("it is no YAML, and was searched as text: {}", problem.why),
            });
            walk.plain_text(file, 1, document.text);
        }
    }
    // Lines were counted in the document.
    let starts: Vec<usize> =
        std::iter::once(0).chain(document.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let shown = |line: Option<u32>| {
        let start = *starts.get(usize::try_from(line?).ok()?.checked_sub(1)?)?;
        let line = &document.text[start..];
        // What is rendered by an action begins after the indentation.
        line_at(document.offset + start + (line.len() - line.trim_start_matches(' ').len()))
    };
    walk.hits[hits..].iter_mut().for_each(|hit| hit.place.line = shown(hit.place.line));
    walk.warnings[warnings..].iter_mut().for_each(|warning| warning.place.line = shown(warning.place.line));
}
