//! What the YAML parser says, in the way in which people are told.

/// Where it stopped: ` line 3, column 5`; nothing if it does not say.
pub(crate) fn place(error: &serde_saphyr::Error) -> String {
    error.location().map_or_else(String::new, |l| format!(" line {}, column {}", l.line(), l.column()))
}

/// What is wrong. The place is told once, in front.
pub(crate) fn reason(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    text.split(" at line ").next().unwrap_or(&text).trim_start_matches("error: ").to_owned()
}
