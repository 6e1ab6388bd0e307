//! The status page: one HTML document without anything from elsewhere, readable in a text browser as well.
//!
//! What runs and whether it is well stands first and largest, what to do about it next, and the rest below.

use std::fmt::{self, Display, Formatter};

use sealift_store::State;
use sealift_store::status::{Status, Verified};
use time::OffsetDateTime;

use super::look::Look;
use super::sections;
use crate::html::{self, Moment, Size, Text};
use crate::live::{ReleaseView, View};
use crate::tls::{Identity, Tls};

/// All that the page tells.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// What is served.
    pub(super) view: &'a View,
    /// The whole picture, unless there is none.
    pub(super) status: Option<&'a Status>,
    /// What was seen besides.
    pub(super) look: &'a Look,
    /// Who we are, if we speak TLS.
    identity: Option<&'a Identity>,
    /// Everything that is wrong, certificates that end soon last.
    problems: Vec<String>,
}

/// The answer to "is it well?".
struct Verdict {
    class: &'static str,
    word: &'static str,
}

impl<'a> Page<'a> {
    pub(super) fn new(view: &'a View, look: &'a Look, tls: Option<&'a Tls>) -> Self {
        let status = look.status.as_ref().ok();
        let mut problems = status.map_or_else(Vec::new, |status| status.problems.clone());
        problems.extend(tls.into_iter().flat_map(|tls| tls.expiring(OffsetDateTime::now_utc())));
        Self { view, status, look, identity: tls.map(|tls| &**tls.identity()), problems }
    }

    fn active(&self) -> Option<&ReleaseView> {
        self.view.releases().iter().find(|release| release.state == State::Active)
    }

    /// How a release was verified, as far as that is known.
    pub(super) fn verified(&self, release: &ReleaseView) -> Option<&Verified> {
        let entry = self.status?.releases.iter().find(|entry| entry.sequence == release.sequence)?;
        entry.verified.as_ref()
    }

    /// What keeps the registry from serving the store as it is.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.view.problem().iter().map(|problem| problem.text.clone()).collect();
        faults.extend(self.look.status.as_ref().err().cloned());
        faults.extend(self.identity.and_then(super::unfit));
        faults
    }

    fn damages(&self) -> Vec<String> {
        self.view.releases().iter().filter_map(|release| release.summary.as_ref().err().cloned()).collect()
    }

    fn verdict(&self) -> Verdict {
        let (class, word) = if !self.faults().is_empty() {
            ("bad", "Not healthy")
        } else if !self.damages().is_empty() {
            ("warn", "Damaged in part")
        } else if self.active().is_none() {
            ("idle", "Nothing active yet")
        } else if !self.problems.is_empty() {
            ("warn", "Needs attention")
        } else {
            ("good", "Healthy")
        };
        Verdict { class, word }
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict();
        let title = match self.active() {
            Some(release) => format!("{} – {}", Name(release), verdict.word),
            None => format!("Sealift – {}", verdict.word),
        };
        html::begin(f, &title, html::Renewal::ByItself)?;
        self.headline(f, &verdict)?;
        sections::attention(f, &self.problems, self.status)?;
        sections::under_way(f, self.status)?;
        sections::sticks(f, self.status)?;
        sections::releases(f, self)?;
        sections::machine(f, self.status, self.identity)?;
        sections::history(f, &self.look.records)?;
        footer(f)?;
        html::end(f)
    }
}

impl Page<'_> {
    fn headline(&self, f: &mut Formatter<'_>, verdict: &Verdict) -> fmt::Result {
        writeln!(f, "<header class=\"{}\">", verdict.class)?;
        writeln!(f, "<p class=\"verdict\">{}</p>", verdict.word)?;
        match self.active() {
            Some(release) => {
                writeln!(f, "<h1>{}</h1>", Text(&Name(release)))?;
                writeln!(f, "<p>sequence {}, active since {}</p>", release.sequence, Moment(release.since))?;
                if let Ok(summary) = &release.summary {
                    writeln!(f, "<p>{}; {}</p>", summary.inventory, Size(summary.content_bytes))?;
                }
                if let Some(verified) = self.verified(release) {
                    writeln!(f, "<p>{}</p>", sections::By(verified))?;
                }
            }
            None => {
                f.write_str(
                    "<h1>No release is active</h1>\n<p>Import one: <code>sealiftctl import</code></p>\n",
                )?;
            }
        }
        for fault in self.faults().into_iter().chain(self.damages()) {
            writeln!(f, "<pre>{}</pre>", Text(&fault))?;
        }
        f.write_str("</header>\n")
    }
}

fn footer(f: &mut Formatter<'_>) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        f,
        "<footer>\n<p>sealift-registry {version} · <a href=\"/files/\">files</a> · <a href=\"/readyz\">readyz</a> · \
         <a href=\"/healthz\">healthz</a></p>\n</footer>"
    )
}

/// Product and version, or what else a release can be called.
pub(super) struct Name<'a>(pub(super) &'a ReleaseView);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.summary {
            Ok(summary) => write!(f, "{} {}", summary.name.product, summary.name.version),
            Err(_) => write!(f, "release {}", self.0.sequence),
        }
    }
}
