//! Fits lines to one screen: what matters least goes first, and the last line says that there is more.

use super::output::shorten;

/// A terminal as it comes up, in characters; the last row is for whoever types.
const COLUMNS: usize = 80;
const ROWS: usize = 23;
/// What stands at the end if something was left out.
const MORE: &str = "(more: sealiftctl status --all)";

/// What a line is to a reader, in the order in which lines go if there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Good to know, once.
    Detail,
    /// One of many of its kind.
    Further,
    /// What the screen is looked at for.
    Main,
    /// Something to be copied: it goes last of all, and is never cut.
    Command,
}

/// Lines with their ranks.
#[derive(Debug, Default)]
pub(super) struct Screen(Vec<(Rank, String)>);

impl Screen {
    pub(super) fn add(&mut self, rank: Rank, text: impl Into<String>) {
        self.0.push((rank, text.into()));
    }

    /// All of it, however long.
    pub(super) fn whole(self) -> String {
        self.0.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// As much of it as a screen takes.
    pub(super) fn fitted(mut self) -> String {
        let total = self.0.len();
        let is_too_long = |lines: &[(Rank, String)]| {
            let marks = usize::from(lines.len() < total);
            lines.iter().map(height).sum::<usize>() + marks > ROWS
        };
        while is_too_long(&self.0) {
            let Some(least) = self.0.iter().map(|line| line.0).min() else { break };
            if let Some(last) = self.0.iter().rposition(|line| line.0 == least) {
                self.0.remove(last);
            }
        }
        let is_cut = self.0.len() < total;
        let line = |(rank, line): (Rank, String)| match rank {
            Rank::Command => line + "\n",
            _ => shorten(&line, COLUMNS) + "\n",
        };
        let text: String = self.0.into_iter().map(line).collect();
        if is_cut { text + MORE + "\n" } else { text }
    }
}

/// How many rows a line takes.
fn height((rank, line): &(Rank, String)) -> usize {
    match rank {
        Rank::Command => line.chars().count().div_ceil(COLUMNS).max(1),
        _ => 1,
    }
}

/// Text in lines that fit, the second and later ones indented.
pub(super) fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.chars().count() + word.chars().count() < COLUMNS);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("{:indent$}{word}", "")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first() {
        let mut screen = Screen::default();
        for number in 0..10 {
            screen.add(Rank::Main, format!("main {number}"));
            screen.add(Rank::Further, format!("further {number}"));
            screen.add(Rank::Detail, "detail");
        }
        screen.add(Rank::Command, "next: ".to_owned() + &"x".repeat(2 * COLUMNS));
        let text = screen.fitted();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines.last()), (ROWS - 2, Some(&MORE)), "{text}");
        assert!(
            text.contains("main 9") && text.contains("further 8") && !text.contains("further 9"),
            "{text}"
        );
        assert!(!text.contains("detail") && text.contains(&"x".repeat(2 * COLUMNS)), "{text}");
    }

    #[test]
    fn long_text_is_wrapped_and_long_lines_are_cut() {
        let lines = wrapped(&"word ".repeat(40), 7);
        assert!(lines.len() == 3 && lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:?}");
        assert!(lines[1].starts_with("       word"));
        let mut screen = Screen::default();
        screen.add(Rank::Main, "é".repeat(100));
        assert_eq!(screen.fitted().trim_end().chars().count(), COLUMNS);
    }
}
