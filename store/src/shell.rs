//! Commands for a person to type, with names in them that somebody else has chosen.

use std::borrow::Cow;

/// A word that a shell takes for exactly this text (POSIX.1-2024, Shell Command Language, 2.2.2).
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_takes_a_quoted_word_for_what_it_was() {
        assert_eq!(quoted("/media/stick-1/acme_1.5.0.sealift"), "/media/stick-1/acme_1.5.0.sealift");
        for word in
            ["", "/media/my stick", "it's", "'", "$(reboot)", "`x`; y & z", "a\\b", "~", "*", "ä\n#", "!!"]
        {
            let script = format!("printf %s {}", quoted(word));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
            assert_eq!(String::from_utf8(said).unwrap(), word);
        }
    }
}
