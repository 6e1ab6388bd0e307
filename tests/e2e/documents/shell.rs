//! As much of a shell's grammar as documents need: which commands a line runs, with which words.

/// The simple commands of a text, each as its words: quotes are taken away, comments and redirections left out.
pub(crate) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut rest = text.chars().peekable();
    let mut word: Option<String> = None;
    let mut redirected = false;
    while let Some(next) = rest.next() {
        match next {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = rest.next_if(|&c| c != next) {
                    word.push(inner);
                }
                rest.next();
            }
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '#' if word.is_none() => while rest.next_if(|&c| c != '\n').is_some() {},
            ' ' | '\t' | '\n' | '|' | '&' | ';' | '(' | ')' | '<' | '>' => {
                if let Some(done) = word.take()
                    && !std::mem::take(&mut redirected)
                    && let Some(command) = all.last_mut()
                {
                    command.push(done);
                }
                match next {
                    ' ' | '\t' => {}
                    '<' | '>' => redirected = true,
                    _ => all.push(Vec::new()),
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    if let Some(done) = word
        && !redirected
        && let Some(command) = all.last_mut()
    {
        command.push(done);
    }
    all.retain(|command| !command.is_empty());
    all
}

#[test]
fn a_line_is_taken_apart_as_a_shell_does() {
    for (line, expected) in [
        ("a b  # c", vec![vec!["a", "b"]]),
        ("a 'b c' \"d e\"f", vec![vec!["a", "b c", "d ef"]]),
        ("a > out/b && c | d", vec![vec!["a"], vec!["c"], vec!["d"]]),
        ("a \\\n  b", vec![vec!["a", "b"]]),
        ("a $(b c)", vec![vec!["a", "$"], vec!["b", "c"]]),
        ("a b#c", vec![vec!["a", "b#c"]]),
        ("# a", vec![]),
    ] {
        assert_eq!(commands(line), expected, "{line}");
    }
}
