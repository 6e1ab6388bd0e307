//! XML that is written, never read.

use std::fmt::Write as _;

use super::Error;

/// A document in the making, indented by its depth.
#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
}

/// Attributes of an element, in their order.
pub(super) type Attributes<'a> = [(&'a str, &'a str)];

impl Xml {
    pub(super) fn new() -> Self {
        Self { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() }
    }

    /// An element with others in it, which `inside` adds.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: &Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.tag(name, attributes, ">\n");
        self.open.push(name);
        inside(self);
        self.open.pop();
        self.indent();
        self.add(&format!("</{name}>\n"));
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, name: &str, attributes: &Attributes<'_>) {
        self.tag(name, attributes, "/>\n");
    }

    /// An element with text in it.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.tag(name, &[], ">");
        self.escaped(text);
        self.add(&format!("</{name}>\n"));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn tag(&mut self, name: &str, attributes: &Attributes<'_>, end: &str) {
        self.indent();
        self.add(&format!("<{name}"));
        for (key, value) in attributes {
            self.add(&format!(" {key}=\""));
            self.escaped(value);
            self.add("\"");
        }
        self.add(end);
    }

    fn indent(&mut self) {
        self.add(&"  ".repeat(self.open.len()));
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.add("&amp;"),
                '<' => self.add("&lt;"),
                '>' => self.add("&gt;"),
                '"' => self.add("&quot;"),
                // Left alone, a reader makes blanks of them in attributes.
                '\t' | '\r' => write!(self.text, "&#{};", u32::from(c)).expect("a string takes all text"),
                c => self.text.push(c),
            }
        }
    }
}

/// Refuses text that XML 1.0 has no way to write (2.2), or that is longer than `limit` bytes.
pub(super) fn check(what: &str, text: &str, limit: usize) -> Result<(), Error> {
    let refuse = |why| Err(Error::BadText { what: what.to_owned(), why });
    if text.len() > limit {
        return refuse(format!("it has {} bytes, and {limit} is the most", text.len()));
    }
    let is_foreign =
        |c: &char| matches!(*c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    match text.chars().find(is_foreign) {
        Some(c) => refuse(format!("XML cannot have the character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_stay_what_they_are() {
        let mut xml = Xml::new();
        xml.element("a", &[("b", "x\"<&>'\ty")], |xml| {
            xml.text("c", "]]> & <d/>\r\nÄ");
            xml.empty("e", &[]);
        });
        let expected =
            "<a b=\"x&quot;&lt;&amp;&gt;'&#9;y\">\n  <c>]]&gt; &amp; &lt;d/&gt;&#13;\nÄ</c>\n  <e/>\n</a>\n";
        assert_eq!(xml.finish().split_once('\n').unwrap().1, expected);
    }

    #[test]
    fn what_xml_cannot_carry_is_refused() {
        for (text, expected) in
            [("a\tb\r\nc", true), ("1234567", false), ("\0", false), ("\x1b[0m", false), ("\u{ffff}", false)]
        {
            assert_eq!(check("text", text, 6).is_ok(), expected, "{text:?}");
        }
    }
}
