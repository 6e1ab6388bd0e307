//! The status page: one HTML document without anything from elsewhere, readable in a text browser as well.

use std::fmt::{self, Display, Formatter};

use sealift_archive::Digest;
use sealift_store::{Offer, OfferState, State};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::html::{self, Size, Text};
use crate::live::{Problem, ReleaseView};

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
    /// What sticks offer that are plugged in, or why that cannot be read.
    pub(crate) offers: Result<Vec<Offer>, String>,
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
        html::begin(f, &title, Some(REFRESH_SECONDS))?;
        headline(f, self.active(), &verdict)?;
        sticks(f, &self.offers)?;
        section(f, "Staged, ready to be activated", self.releases, |s| {
            matches!(s, State::Staged | State::Activating)
        })?;
        section(f, "Kept, can be activated again", self.releases, |s| *s == State::Retained)?;
        if self.releases.iter().any(|release| is_failed(&release.state)) {
            section(f, "Failed", self.releases, is_failed)?;
        }
        footer(f, &self.trust)?;
        html::end(f)
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
                writeln!(f, "<p>{}; {}</p>", summary.inventory, Size(summary.content_bytes))?;
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

/// Nothing at all where no stick is.
fn sticks(f: &mut Formatter<'_>, offers: &Result<Vec<Offer>, String>) -> fmt::Result {
    let offers = match offers {
        Ok(offers) if offers.is_empty() => return Ok(()),
        offers => offers,
    };
    f.write_str("<section>\n<h2>Sticks</h2>\n")?;
    match offers {
        Ok(offers) => offers.iter().try_for_each(|offer| stick(f, offer))?,
        Err(why) => writeln!(f, "<p>{}</p>", Text(why))?,
    }
    f.write_str("</section>\n")
}

fn stick(f: &mut Formatter<'_>, offer: &Offer) -> fmt::Result {
    write!(f, "<p>Stick {}", Text(&offer.name()))?;
    if let Some(brings) = &offer.brings {
        let release = &brings.release;
        write!(
            f,
            " offers {} {}, {} missing here",
            Text(&release.product),
            Text(&release.version),
            Size(brings.missing_bytes)
        )?;
        if offer.state == OfferState::Waiting {
            let digest = release.digest;
            write!(
                f,
                "; confirm with <code>sealiftctl media confirm {}</code><br><code>{digest}</code>",
                digest.short()
            )?;
        }
    }
    if offer.state != OfferState::Waiting {
        write!(f, ": {}", Text(&offer.state))?;
    }
    f.write_str("</p>\n")
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
    f.write_str("<table>\n<tr><th>Release<th>Sequence<th>State<th>Since<th>Holds<th>Size\n")?;
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
            Ok(summary) => writeln!(f, "<td>{}<td>{}", summary.inventory, Size(summary.content_bytes))?,
            Err(_) => f.write_str("<td colspan=\"2\">cannot be read\n")?,
        }
        if let State::Failed { reason } = &release.state {
            writeln!(f, "<tr><td colspan=\"6\">{}", Text(reason))?;
        }
    }
    f.write_str("</table>\n</section>\n")
}

fn footer(f: &mut Formatter<'_>, trust: &Result<TrustLine, String>) -> fmt::Result {
    f.write_str("<footer>\n")?;
    match trust {
        Ok(TrustLine { version, fingerprint }) => {
            writeln!(f, "<p>Trust root version {version}<br><code>{}</code></p>", fingerprint.spelt())?;
        }
        Err(why) => writeln!(f, "<p>Trust root: {}</p>", Text(why))?,
    }
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        f,
        "<p>sealift-registry {version} · <a href=\"/files/\">files</a> · <a href=\"/readyz\">readyz</a> · \
         <a href=\"/healthz\">healthz</a></p>"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc() {
        let moment = time::macros::datetime!(2026-11-23 01:05:09 +2);
        assert_eq!(
            Moment(moment).to_string(),
            "<time datetime=\"2026-11-22T23:05:09Z\">2026-11-22 23:05 UTC</time>"
        );
    }
}
