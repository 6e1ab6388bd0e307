//! What the pages for people have in common: style, headers, and how values are written.

use std::fmt::{self, Display, Formatter};

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// How a moment is written for people; always in UTC.
const MOMENT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
/// The style of all pages.
const STYLE: &str = include_str!("style.css");
/// What shows a page anew without blinking, for browsers that run it.
const SCRIPT: &str = include_str!("renew.js");
/// Seconds after which the other browsers ask again.
const REFRESH_SECONDS: u32 = 15;
const HTML: &str = "text/html; charset=utf-8";
/// A page brings its style and its script along and nothing else, asks only where it came from, and belongs in nobody's frame.
static CONTENT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let script = BASE64.encode(Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 and words are visible ASCII")
});

/// How a page comes to show what is new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Renewal {
    /// When somebody asks for it.
    OnDemand,
    /// Every few seconds.
    ByItself,
}

/// A page, with the headers that go with it.
pub(crate) fn respond(page: &impl Display) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(HTML)),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY.clone()),
    ];
    (headers, page.to_string()).into_response()
}

/// The beginning of a page, up to its content.
pub(crate) fn begin(f: &mut Formatter<'_>, title: &impl Display, renewal: Renewal) -> fmt::Result {
    f.write_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    )?;
    writeln!(f, "<title>{}</title>\n<style>\n{STYLE}</style>", Text(title))?;
    if renewal == Renewal::ByItself {
        writeln!(f, "<noscript><meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\"></noscript>")?;
        writeln!(f, "<script>{SCRIPT}</script>")?;
    }
    f.write_str("</head>\n<body>\n<main>\n")
}

/// What ends a page.
pub(crate) fn end(f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("</main>\n</body>\n</html>\n")
}

/// Text that HTML takes as text, wherever it stands.
pub(crate) struct Text<'a, T: ?Sized>(pub(crate) &'a T);

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

/// A number of bytes in a unit for people, with one digit behind the point.
pub(crate) struct Size(pub(crate) u64);

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

/// A moment, for people and for programs.
pub(crate) struct Moment(pub(crate) OffsetDateTime);

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
    fn text_stays_text() {
        assert_eq!(
            Text("<a href='x' title=\"y\">&amp;").to_string(),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;amp;"
        );
    }

    #[test]
    fn a_moment_is_told_in_utc() {
        let moment = time::macros::datetime!(2026-11-23 01:05:09 +2);
        assert_eq!(
            Moment(moment).to_string(),
            "<time datetime=\"2026-11-22T23:05:09Z\">2026-11-22 23:05 UTC</time>"
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
}
