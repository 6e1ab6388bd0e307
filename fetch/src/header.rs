//! Header fields that tell a client what to do: parsers only, for text that any server may send.

use std::time::{Duration, SystemTime};

/// A way to identify oneself that a server offers (RFC 9110, 11.6.1, and the distribution project's
/// `spec/auth/token.md`). Schemes that registries do not use are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token that is to be fetched at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenges of one `WWW-Authenticate` field, in its order.
    pub(crate) fn parse(field: &str) -> Vec<Self> {
        let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
        let mut text = Text(field);
        loop {
            text.skip(|c| c == ',' || c.is_ascii_whitespace());
            let word = text.take_while(is_token_char);
            if word.is_empty() {
                if text.0.is_empty() {
                    break;
                }
                // Not a word at all: go on behind it.
                text.skip_one();
                continue;
            }
            let mut behind = text;
            behind.skip(|c| c.is_ascii_whitespace());
            match (behind.strip('='), found.last_mut()) {
                (Some(mut value), Some((_, parameters))) => {
                    value.skip(|c| c.is_ascii_whitespace());
                    let (value, rest) = value.value();
                    parameters.push((word.to_ascii_lowercase(), value));
                    text = rest;
                }
                _ => found.push((word.to_ascii_lowercase(), Vec::new())),
            }
        }
        found.into_iter().filter_map(|(scheme, parameters)| Self::of(&scheme, &parameters)).collect()
    }

    fn of(scheme: &str, parameters: &[(String, String)]) -> Option<Self> {
        let value = |name: &str| Some(parameters.iter().find(|(key, _)| key == name)?.1.clone());
        match scheme {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: value("realm")?,
                service: value("service"),
                scope: value("scope"),
            }),
            _ => None,
        }
    }
}

/// The characters of tokens and of `token68` (RFC 9110, 5.6.2 and 11.2), without `=`.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)
}

/// What is left of a header field.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.take_while(unwanted);
    }

    fn skip_one(&mut self) {
        let mut chars = self.0.chars();
        chars.next();
        self.0 = chars.as_str();
    }

    fn strip(self, prefix: char) -> Option<Self> {
        self.0.strip_prefix(prefix).map(Self)
    }

    /// What follows a semicolon.
    fn parameter(mut self) -> Option<Self> {
        self.skip(|c| c.is_ascii_whitespace());
        let mut parameter = self.strip(';')?;
        parameter.skip(|c| c.is_ascii_whitespace());
        Some(parameter)
    }

    /// A quoted string or a token, and what follows it.
    fn value(self) -> (String, Self) {
        let Some(quoted) = self.strip('"') else {
            let mut rest = self;
            return (rest.take_while(is_token_char).to_owned(), rest);
        };
        let mut value = String::new();
        let mut chars = quoted.0.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => value.extend(chars.next()),
                c => value.push(c),
            }
        }
        (value, Self(chars.as_str()))
    }
}

/// The targets of a `Link` field that lead to the next page (RFC 8288, 3).
pub(crate) fn next_link(field: &str) -> Option<String> {
    let mut text = Text(field);
    loop {
        text.skip(|c| c != '<');
        let mut target = text.strip('<')?;
        let found = target.take_while(|c| c != '>').trim();
        text = target.strip('>')?;
        while let Some(mut parameter) = text.parameter() {
            let name = parameter.take_while(is_token_char);
            parameter.skip(|c| c.is_ascii_whitespace() || c == '=');
            let (value, rest) = parameter.value();
            let is_next = |relation: &str| relation.eq_ignore_ascii_case("next");
            if name.eq_ignore_ascii_case("rel") && value.split_ascii_whitespace().any(is_next) {
                return Some(found.to_owned());
            }
            text = rest;
        }
    }
}

/// How long a `Retry-After` field asks to wait, seen from `now` (RFC 9110, 10.2.3: seconds, or a date).
pub(crate) fn retry_after(field: &str, now: SystemTime) -> Option<Duration> {
    let field = field.trim();
    if let Some(seconds) = number(field) {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(field).ok()?;
    // A date that has passed means: now.
    Some(date.duration_since(now).unwrap_or_default())
}

/// Which part of the content an answer brings (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// Offset of the first byte.
    pub(crate) first: u64,
    /// Offset of the last byte.
    pub(crate) last: u64,
    /// Length of the whole, unless the server does not say.
    pub(crate) complete: Option<u64>,
}

impl ContentRange {
    /// Reads a `Content-Range` field; `None` if it does not name a range of bytes.
    pub(crate) fn parse(field: &str) -> Option<Self> {
        let (range, complete) = field.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            complete: if complete == "*" { None } else { Some(number(complete)?) },
        };
        let is_sound =
            range.first <= range.last && range.complete.is_none_or(|complete| range.last < complete);
        is_sound.then_some(range)
    }

    /// The length of the whole, as a refusal of a range tells it; `None` if it does not.
    pub(crate) fn unsatisfied(field: &str) -> Option<u64> {
        number(field.trim().strip_prefix("bytes ")?.trim().strip_prefix("*/")?)
    }
}

/// `u64::from_str` would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull"));
        let cases = [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#,
                vec![hub.clone()],
            ),
            (
                r#"bearer REALM="https://auth.docker.io/token" , service=registry.docker.io, scope="repository:a/b:pull""#,
                vec![hub],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            (
                r#"Negotiate YIIabc==, Basic realm="a, b", Bearer realm="r\"x""#,
                vec![Challenge::Basic, bearer("r\"x", None, None)],
            ),
            (
                r#"Bearer realm="r",scope="repository:a:pull,push",error="invalid_token""#,
                vec![bearer("r", None, Some("repository:a:pull,push"))],
            ),
            (r#"Bearer service="no realm""#, vec![]),
            (r#"Bearer realm="never closed"#, vec![bearer("never closed", None, None)]),
            ("Digest realm=\"x\", nonce=\"y\"", vec![]),
            ("", vec![]),
            (",,, ==", vec![]),
            ("ü Basic", vec![Challenge::Basic]),
        ];
        for (field, expected) in cases {
            assert_eq!(Challenge::parse(field), expected, "{field}");
        }
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:39 GMT", Some(2)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ];
        for (field, expected) in cases {
            assert_eq!(retry_after(field, now), expected.map(Duration::from_secs), "{field}");
        }
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        let cases = [
            (r#"</v2/a/referrers/x?n=2>; rel="next""#, Some("/v2/a/referrers/x?n=2")),
            ("<?n=2>;rel=next", Some("?n=2")),
            (r#"<?n=1>; rel="prev first", <?n=3>; title="a, <b>; c" ; rel="last NEXT""#, Some("?n=3")),
            (r#"< ?n=2 >; REL="next""#, Some("?n=2")),
            (r#"<?n=2>; rel="nextish""#, None),
            ("<?n=2>", None),
            ("<?n=2; rel=next", None),
            ("?n=2; rel=next", None),
            ("", None),
        ];
        for (field, expected) in cases {
            assert_eq!(next_link(field).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn content_ranges_are_whole_and_sound() {
        let range = |first, last, complete| Some(ContentRange { first, last, complete });
        let cases = [
            ("bytes 0-9/10", range(0, 9, Some(10))),
            ("bytes 5-5/10", range(5, 5, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 5-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("bytes +5-9/10", None),
            ("bytes=5-9/10", None),
            ("lines 5-9/10", None),
            ("bytes 5-99999999999999999999/*", None),
            ("", None),
        ];
        for (field, expected) in cases {
            assert_eq!(ContentRange::parse(field), expected, "{field}");
        }
        for (field, expected) in
            [("bytes */10", Some(10)), ("bytes */*", None), ("bytes 0-9/10", None), ("", None)]
        {
            assert_eq!(ContentRange::unsatisfied(field), expected, "{field}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(field in any::<String>(), words in "[a-zA-Z =\",\\\\/0-9-]*") {
            for text in [&field, &words] {
                Challenge::parse(text);
                next_link(text);
                retry_after(text, SystemTime::UNIX_EPOCH);
                ContentRange::parse(text);
                ContentRange::unsatisfied(text);
            }
        }

        #[test]
        fn what_is_written_is_read(realm in "[ -~]*", scope in "[ -~]*") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("Bearer realm=\"{}\",scope=\"{}\"", quote(&realm), quote(&scope));
            prop_assert_eq!(Challenge::parse(&field), vec![bearer(&realm, None, Some(&scope))]);
        }
    }
}
