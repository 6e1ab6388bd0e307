//! The report: what was played, where, with which commands, what came of it, how long it took, and what was not played.

use std::fmt::Write as _;

use super::book::Chapter;
use super::figure::{draw, escape};

const STYLE: &str = "
:root { color-scheme: light dark; --bar: #2d6cdf; --line: #8884; --quiet: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: currentColor; }
svg .mark { fill: var(--quiet); } svg rect { fill: var(--bar); } svg .lane { stroke: var(--line); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem; vertical-align: top; }
tr { border-top: 1px solid var(--line); } td.time { text-align: right; white-space: nowrap; }
code { font-size: 12px; color: var(--quiet); overflow-wrap: anywhere; } h2 { margin-top: 2rem; font-size: 1.1rem; }
";

/// All that is told.
pub(super) struct Report {
    pub(super) chapters: Vec<Chapter>,
    /// How many packets tried to leave each place.
    pub(super) escaped: Vec<(String, u64)>,
    pub(super) not_played: Vec<&'static str>,
}

impl Report {
    fn seconds(&self) -> f64 {
        let steps = self.chapters.iter().flat_map(|chapter| &chapter.steps);
        steps.map(|step| (step.at + step.took).as_secs_f64()).fold(0.0, f64::max)
    }

    fn summary(&self) -> String {
        let steps: usize = self.chapters.iter().map(|chapter| chapter.steps.len()).sum();
        let packets: u64 = self.escaped.iter().map(|(_, packets)| packets).sum();
        let places = self.escaped.len();
        format!(
            "{steps} steps in {:.1} s, all as they should be. {packets} packets tried to leave {places} places.",
            self.seconds()
        )
    }

    /// A page that stands alone.
    pub(super) fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Sealift: the lab</title>\n\
             <style>{STYLE}</style>\n<h1>Sealift: the whole story</h1>\n<p>{}</p>\n{}",
            escape(&self.summary()),
            draw(&self.chapters)
        );
        for chapter in &self.chapters {
            put(&mut page, &format!("<h2>{}</h2>\n<table>", escape(&chapter.title)));
            for step in &chapter.steps {
                let commands: Vec<String> = step
                    .commands
                    .iter()
                    .map(|command| format!("<br><code>{}</code>", escape(command)))
                    .collect();
                put(
                    &mut page,
                    &format!(
                        "<tr><th>{}<td>{}{}<td class=\"time\">{:.2} s",
                        escape(&step.name),
                        escape(&step.told),
                        commands.concat(),
                        step.took.as_secs_f64()
                    ),
                );
            }
            put(&mut page, "</table>");
        }
        put(&mut page, "<h2>Packets that tried to leave</h2>\n<table>");
        for (place, packets) in &self.escaped {
            put(&mut page, &format!("<tr><th>{}<td>{packets}", escape(place)));
        }
        put(&mut page, "</table>\n<h2>Not played</h2>\n<ul>");
        for what in &self.not_played {
            put(&mut page, &format!("<li>{}", escape(what)));
        }
        put(&mut page, "</ul>");
        page
    }

    /// The same without figure and commands, for a terminal.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("# Sealift: the whole story\n{}\n", self.summary());
        for chapter in &self.chapters {
            put(
                &mut text,
                &format!("\n## {}\n| step | what came of it | s |\n| --- | --- | --- |", chapter.title),
            );
            for step in &chapter.steps {
                let told = step.told.replace('|', "\\|");
                put(&mut text, &format!("| {} | {told} | {:.2} |", step.name, step.took.as_secs_f64()));
            }
        }
        put(&mut text, "\n## Packets that tried to leave");
        for (place, packets) in &self.escaped {
            put(&mut text, &format!("- {place}: {packets}"));
        }
        put(&mut text, "\n## Not played");
        for what in &self.not_played {
            put(&mut text, &format!("- {what}"));
        }
        text
    }
}

fn put(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// A small story, for tests.
#[cfg(test)]
pub(super) fn fixture() -> Vec<Chapter> {
    use std::time::Duration;

    use super::book::{Place, Step};

    let step = |name: &str, at| Step {
        name: name.to_owned(),
        commands: vec!["sealift verify <stick>".to_owned()],
        told: "good | whole".to_owned(),
        at: Duration::from_secs(at),
        took: Duration::from_millis(1500),
    };
    let vendor = Chapter {
        place: Place::Vendor,
        title: "a <title>".to_owned(),
        steps: vec![step("lock", 0), step("bundle", 2)],
    };
    let node = Chapter { place: Place::Node(2), title: "node".to_owned(), steps: vec![step("import", 4)] };
    vec![vendor, node]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            chapters: fixture(),
            escaped: vec![("node 2".to_owned(), 0)],
            not_played: vec!["k3s & more"],
        }
    }

    #[test]
    fn everything_is_told_and_nothing_is_markup() {
        let html = report().html();
        for wanted in [
            "3 steps in 5.5 s",
            "0 packets tried to leave 1 places",
            "a &lt;title&gt;",
            "sealift verify &lt;stick&gt;",
            "1.50 s",
            "k3s &amp; more",
            "<svg",
        ] {
            assert!(html.contains(wanted), "{wanted}: {html}");
        }
        assert!(!html.contains("<stick>"));
        let text = report().markdown();
        assert!(text.contains("| lock | good \\| whole | 1.50 |") && text.contains("- node 2: 0"), "{text}");
    }
}
