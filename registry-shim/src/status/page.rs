//! The status page: one HTML document without anything from elsewhere, readable in a text browser as well.

use std::fmt::{self, Display, Formatter};

use sealift_archive::Digest;
use sealift_store::{State, spell};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::live::{Problem, ReleaseView};

const STYLE: &str = include_str!("style.css");
/// How a moment is written for people; always in UTC.
const MOMENT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
/// Seconds after which a browser asks again.
const REFRESH_SECONDS: u32 = 15;

/// All that the page tells.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The store's releases, by rising sequence.
    pub(crate) releases: &'a [ReleaseView],
    /// Why the store cannot be read, if so.
    pub(crate) problem: Option<&'a Problem>,
    /// The trust root, or why there is none.
    pub(crate) trust: Result<TrustLine, String>,
}

/// The newest trust root of the store.
#[derive(Debug)]
pub(crate) struct TrustLine {
    /// Its version.
    pub(crate) version: u64,
    /// SHA-256 of the document.
    pub(crate) fingerprint: Digest,
}

/// The answer to "is it well?".
struct Verdict {
    class: &'static str,
    word: &'static str,
    details: Vec<String>,
}

impl Page<'_> {
    fn active(&self) -> Option<&ReleaseView> {
        self.releases.iter().find(|release| release.state == State::Active)
    }

    fn verdict(&self) -> Verdict {
        let mut details: Vec<String> = self.problem.iter().map(|problem| problem.text.clone()).collect();
        details.extend(self.releases.iter().filter_map(|release| release.summary.as_ref().err().cloned()));
        let (class, word) = match (self.problem, self.active()) {
            (Some(_), _) => ("bad", "Not healthy"),
            (None, _) if !details.is_empty() => ("warn", "Damaged in part"),
            (None, None) => ("idle", "Nothing active yet"),
            (None, Some(_)) => ("good", "Healthy"),
        };
        Verdict { class, word, details }
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict();
        let title = match self.active() {
            Some(release) => format!("{} – {}", Name(release), verdict.word),
            None => format!("Sealift – {}", verdict.word),
        };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            Text(&title)
        )?;
        headline(f, self.active(), &verdict)?;
        section(f, "Staged, ready to be activated", self.releases, |s| {
            matches!(s, State::Staged | State::Activating)
        })?;
        section(f, "Kept, can be activated again", self.releases, |s| *s == State::Retained)?;
        if self.releases.iter().any(|release| is_failed(&release.state)) {
            section(f, "Failed", self.releases, is_failed)?;
        }
        footer(f, &self.trust)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

fn is_failed(state: &State) -> bool {
    matches!(state, State::Failed { .. })
}

fn headline(f: &mut Formatter<'_>, active: Option<&ReleaseView>, verdict: &Verdict) -> fmt::Result {
    writeln!(f, "<header class=\"{}\">", verdict.class)?;
    writeln!(f, "<p class=\"verdict\">{}</p>", verdict.word)?;
    match active {
        Some(release) => {
            writeln!(f, "<h1>{}</h1>", Text(&Name(release)))?;
            writeln!(f, "<p>sequence {}, active since {}</p>", release.sequence, Moment(release.since))?;
            if let Ok(summary) = &release.summary {
                let (images, git) = (summary.images, summary.git_repositories);
                writeln!(
                    f,
                    "<p>{images} image{}, {git} Git repositor{}, {}</p>",
                    if images == 1 { "" } else { "s" },
                    if git == 1 { "y" } else { "ies" },
                    Size(summary.content_bytes)
                )?;
            }
        }
        None => {
            f.write_str(
                "<h1>No release is active</h1>\n<p>Import one: <code>sealiftctl import</code></p>\n",
            )?;
        }
    }
    for detail in &verdict.details {
        writeln!(f, "<pre>{}</pre>", Text(detail))?;
    }
    f.write_str("</header>\n")
}

fn section(
    f: &mut Formatter<'_>,
    title: &str,
    releases: &[ReleaseView],
    belongs: impl Fn(&State) -> bool,
) -> fmt::Result {
    let mut chosen = releases.iter().rev().filter(|release| belongs(&release.state)).peekable();
    writeln!(f, "<section>\n<h2>{title}</h2>")?;
    if chosen.peek().is_none() {
        return f.write_str("<p class=\"none\">nothing</p>\n</section>\n");
    }
    f.write_str("<table>\n<tr><th>Release<th>Sequence<th>State<th>Since<th>Images<th>Git<th>Size\n")?;
    for release in chosen {
        write!(
            f,
            "<tr><td>{}<td>{}<td>{}<td>{}",
            Text(&Name(release)),
            release.sequence,
            Text(&release.state),
            Moment(release.since)
        )?;
        match &release.summary {
            Ok(summary) => writeln!(
                f,
                "<td>{}<td>{}<td>{}",
                summary.images,
                summary.git_repositories,
                Size(summary.content_bytes)
            )?,
            Err(_) => f.write_str("<td colspan=\"3\">cannot be read\n")?,
        }
        if let State::Failed { reason } = &release.state {
            writeln!(f, "<tr><td colspan=\"7\">{}", Text(reason))?;
        }
    }
    f.write_str("</table>\n</section>\n")
}

fn footer(f: &mut Formatter<'_>, trust: &Result<TrustLine, String>) -> fmt::Result {
    f.write_str("<footer>\n")?;
    match trust {
        Ok(TrustLine { version, fingerprint }) => {
            writeln!(f, "<p>Trust root version {version}<br><code>{}</code></p>", spell(fingerprint))?;
        }
        Err(why) => writeln!(f, "<p>Trust root: {}</p>", Text(why))?,
    }
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        f,
        "<p>sealift-registry {version} · <a href=\"/readyz\">readyz</a> · <a href=\"/healthz\">healthz</a></p>"
    )?;
    f.write_str("</footer>\n")
}

/// Product and version, or what else a release can be called.
struct Name<'a>(&'a ReleaseView);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.summary {
            Ok(summary) => write!(f, "{} {}", summary.name.product, summary.name.version),
            Err(_) => write!(f, "release {}", self.0.sequence),
        }
    }
}

/// Text that HTML takes as text, wherever it stands.
struct Text<'a, T: ?Sized>(&'a T);

impl<T: Display + ?Sized> Display for Text<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// A moment, for people and for programs.
struct Moment(OffsetDateTime);

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(time::UtcOffset::UTC);
        let (precise, readable) = (utc.format(&Rfc3339), utc.format(MOMENT));
        match (precise, readable) {
            (Ok(precise), Ok(readable)) => write!(f, "<time datetime=\"{precise}\">{readable}</time>"),
            // A year that no calendar of ours can write.
            _ => f.write_str("unknown"),
        }
    }
}

/// A number of bytes in a unit for people, with one digit behind the point.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const STEP: u64 = 1000;
        const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
        let Some(power) = self.0.checked_ilog(STEP).filter(|&power| power > 0) else {
            return write!(f, "{} B", self.0);
        };
        let power = power.min(4);
        let tenths = self.0 / (STEP.pow(power) / 10);
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            Text("<a href='x' title=\"y\">&amp;").to_string(),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;amp;"
        );
    }

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_999, "1.9 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (2_900_000_000, "2.9 GB"),
            (4_000_000_000_000, "4.0 TB"),
            (u64::MAX, "18446744.0 TB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }

    #[test]
    fn a_moment_is_told_in_utc() {
        let moment = time::macros::datetime!(2026-11-23 01:05:09 +2);
        assert_eq!(
            Moment(moment).to_string(),
            "<time datetime=\"2026-11-22T23:05:09Z\">2026-11-22 23:05 UTC</time>"
        );
    }
}
