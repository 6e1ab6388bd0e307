//! Where documents, help texts and sources show commands.

/// A piece of text that shows commands, and the line on which it begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Excerpt {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// How much of a command stands there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    /// All of it: somebody will copy it.
    Whole,
    /// A name, some options: what is spoken of.
    Mention,
}

/// What a page in Markdown shows: lines of code blocks, and commands between backticks.
pub(crate) fn in_markdown(page: &str) -> Vec<Excerpt> {
    let mut found = Vec::new();
    let mut prose = String::new();
    let mut language: Option<&str> = None;
    let mut lines = page.lines().enumerate();
    while let Some((index, text)) = lines.next() {
        // What is code is no prose; its lines are left empty, so that those behind keep their numbers.
        let mut taken = 1;
        match (language, text.trim_start().strip_prefix("```")) {
            (_, Some(fence)) => language = if language.is_none() { Some(fence) } else { None },
            (Some("" | "sh"), None) => {
                let mut whole = text.to_owned();
                while whole.ends_with('\\')
                    && let Some((_, more)) = lines.next()
                {
                    whole = format!("{whole}\n{more}");
                    taken += 1;
                }
                found.push(Excerpt { line: index + 1, text: whole, kind: Kind::Whole });
            }
            (Some(_), None) => found.extend(in_lists(text, index + 1)),
            (None, None) => prose += text,
        }
        prose += &"\n".repeat(taken);
    }
    found.extend(in_backticks(&prose));
    found
}

/// Commands between backticks, also over the end of a line, of prose, help texts and Rust's sources.
pub(crate) fn in_backticks(prose: &str) -> Vec<Excerpt> {
    let mut found = Vec::new();
    for (start, _) in prose.match_indices("`sealift").chain(prose.match_indices("`make ")) {
        let Some((text, _)) = prose[start + 1..].split_once('`') else { continue };
        if text.contains("\n\n") {
            continue;
        }
        let words: Vec<&str> = text
            .lines()
            .map(|line| line.trim_start().trim_start_matches('/').trim_start_matches("! "))
            .map(|line| line.trim_end_matches('\\').trim())
            .collect();
        let line = prose[..start].matches('\n').count() + 1;
        found.push(Excerpt { line, text: words.join(" "), kind: Kind::Mention });
    }
    found
}

/// Examples of a help text: what is indented and begins with the name of a program; two spaces end it.
pub(crate) fn in_help(help: &str) -> Vec<Excerpt> {
    let mut found = Vec::new();
    let mut lines = help.lines().enumerate();
    while let Some((index, text)) = lines.next() {
        found.extend(in_lists(text, index + 1));
        if !text.starts_with("  sealift") {
            continue;
        }
        let mut example = text.trim().to_owned();
        while let Some(begun) = example.strip_suffix('\\') {
            let more = lines.next().map_or("", |(_, more)| more.trim());
            example = format!("{} {more}", begun.trim_end());
        }
        let text = example.split("  ").next().unwrap_or_default().to_owned();
        found.push(Excerpt { line: index + 1, text, kind: Kind::Whole });
    }
    found.extend(in_backticks(help));
    found
}

/// Commands in lists of YAML: `command: [/usr/bin/sealiftctl, k3s, upgrade]`.
fn in_lists(text: &str, line: usize) -> Option<Excerpt> {
    let list = text.split_once("[/")?.1.split_once(']')?.0;
    // What a hook is not told by its words it is told by its environment.
    Some(Excerpt { line, text: format!("/{}", list.replace(", ", " ")), kind: Kind::Mention })
}

#[test]
fn commands_are_found_with_their_lines() {
    let page = "see `sealift verify\nFILE`:\n```\nsealift \\\n  lock\n```\n```yaml\na: [/usr/bin/sealiftctl, gc]\n```\n`sealiftctl gc`\n";
    let found: Vec<_> = in_markdown(page).into_iter().map(|found| (found.line, found.text)).collect();
    let expected = [
        (4, "sealift \\\n  lock"),
        (8, "/usr/bin/sealiftctl gc"),
        (1, "sealift verify FILE"),
        (10, "sealiftctl gc"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    let help = "Words.\n\nExamples:\n  sealift lock   pins\n  sealift join \\\n      a";
    let found: Vec<_> = in_help(help).into_iter().map(|found| (found.line, found.text)).collect();
    assert_eq!(found, [(4, "sealift lock".to_owned()), (5, "sealift join a".to_owned())]);
}
