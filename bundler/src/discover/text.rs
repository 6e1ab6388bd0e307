//! Images in text that is no YAML: scripts, configuration files of other kinds, templates that could not be rendered.

use super::reference::{Verdict, is_image_key, is_pinned, is_unmistakable, under_image_key};

/// What ends a word besides white space.
const MARKS: [char; 15] = ['"', '\'', '`', ',', ';', '(', ')', '[', ']', '{', '}', '<', '>', '|', '='];

/// What a text mentions: the line, from 0, and the judgement. Comments (`#`) mention nothing.
pub(super) fn scan(text: &str) -> Vec<(u32, Verdict)> {
    let lines = (0..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines.flat_map(|(number, line)| words(line).into_iter().map(move |verdict| (number, verdict))).collect()
}

/// What one line mentions.
fn words(line: &str) -> Vec<Verdict> {
    let mut found: Vec<Verdict> = line
        .split(|c: char| c.is_whitespace() || MARKS.contains(&c))
        .filter(|word| is_unmistakable(word))
        .map(|word| Verdict::Image(word.to_owned()))
        .collect();
    for (value, is_whole_line) in values_of_image_keys(line) {
        let verdict = under_image_key(value);
        // In running text a plain word proves nothing: `the image: a picture of …`.
        let is_sure = match &verdict {
            Verdict::Image(text) => is_whole_line || is_pinned(text) || text.contains('/'),
            Verdict::Unclear(_) => true,
            Verdict::Other => false,
        };
        if is_sure && !found.contains(&verdict) {
            found.push(verdict);
        }
    }
    found
}

/// What stands after `image:`, `"image": "`, `FOO_IMAGE=` and `--foo-image `, and whether there is nothing else on the line.
fn values_of_image_keys(line: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(key) = next_key(line, from) {
        from = key.end;
        let name = &line[key.start..key.end];
        let rest = line[key.end..].trim_start_matches(['"', '\'', '`']);
        let after = rest.trim_start();
        let value = if let Some(value) = after.strip_prefix(':').or_else(|| after.strip_prefix('=')) {
            value
        } else if name.starts_with("--") && after.len() < rest.len() {
            after
        } else {
            continue;
        };
        if is_image_key(name) {
            let value = first_value(value.trim_start());
            let is_whole_line = line.trim_start_matches([' ', '\t', '-']).starts_with(name)
                && line.trim_end().ends_with(value);
            found.push((value, is_whole_line));
        }
    }
    found
}

/// A run of characters that can be a key, from a position on.
fn next_key(line: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let start = from + line[from..].find(is_key)?;
    let length = line[start..].find(|c| !is_key(c)).unwrap_or(line.len() - start);
    Some(start..start + length)
}

/// A value up to its end: the closing quote, the closing braces of a template's action, or white space.
fn first_value(text: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = text.strip_prefix(quote) {
            // A template's action has quotes of its own.
            let skip = if inner.contains("{{") { inner.rfind("}}").unwrap_or(0) } else { 0 };
            return &inner[..inner[skip..].find(quote).map_or(inner.len(), |end| skip + end)];
        }
    }
    if text.contains("{{") {
        return text.trim_end();
    }
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '}' | ')'))
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_mentions_images_by_key_or_by_shape() {
        let cases: [(&str, &[&str]); 14] = [
            ("image: acme/api", &["acme/api"]),
            ("  \"image\": \"nginx:1.25\", \"x\": 1", &["nginx:1.25"]),
            ("run --reloader-image quay.io/a/b:1 --v=2", &["quay.io/a/b:1"]),
            ("crictl pull registry.k8s.io/pause:3.10", &["registry.k8s.io/pause:3.10"]),
            ("IMAGE=busybox:1 sh", &["busybox:1"]),
            ("x='ghcr.io/a/b:2' y=(ghcr.io/a/c:3)", &["ghcr.io/a/b:2", "ghcr.io/a/c:3"]),
            ("image: {{ .Values.image }}", &["?"]),
            ("image: \"{{ include \"a\" . }}\"", &["?"]),
            ("the image: a picture", &[]),
            ("  - image: nginx", &["nginx"]),
            ("image: nginx is what we use", &[]),
            ("see https://ghcr.io/a/b:1", &[]),
            ("# image: acme/api:1", &[]),
            ("imagePullPolicy: Always", &[]),
        ];
        for (line, expected) in cases {
            let found: Vec<String> = scan(line)
                .into_iter()
                .map(|(_, verdict)| if let Verdict::Image(text) = verdict { text } else { "?".to_owned() })
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let found = scan("a\nimage: a/b:1\n\nghcr.io/c/d:1\n");
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3]);
    }
}
