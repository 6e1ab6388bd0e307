//! What the pages for people have in common: style, headers, and how values are written.

use std::fmt::{self, Display, Formatter};

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The style of all pages.
const STYLE: &str = include_str!("style.css");
const HTML: &str = "text/html; charset=utf-8";
/// A page brings its style along and nothing else, and belongs in nobody's frame.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// A page, with the headers that go with it.
pub(crate) fn respond(page: &impl Display) -> Response {
    let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY)];
    (headers, page.to_string()).into_response()
}

/// The beginning of a page, up to its content. With `refresh`, a browser asks again after so many seconds.
pub(crate) fn begin(f: &mut Formatter<'_>, title: &impl Display, refresh: Option<u32>) -> fmt::Result {
    f.write_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    )?;
    if let Some(seconds) = refresh {
        writeln!(f, "<meta http-equiv=\"refresh\" content=\"{seconds}\">")?;
    }
    write!(f, "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n", Text(title))
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
}
