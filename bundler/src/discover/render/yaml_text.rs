//! `toYaml`: values as block YAML, keys sorted, as `sigs.k8s.io/yaml` lays it out, since templates indent it and put it between their own lines.

use super::super::yaml::{Yaml, resolve};
use super::print::{json_number, quoted, shown};
use super::value::{Budget, Result, Value};

/// The text, without the line break at its end.
pub(super) fn to_yaml(value: &Value, budget: &Budget) -> Result<String> {
    budget.spend_value(value)?;
    let mut out = String::new();
    write(value, 0, &mut out);
    budget.spend_text(out.len())?;
    out.truncate(out.trim_end_matches('\n').len());
    Ok(out)
}

/// Writes a value that begins a line of its own, or goes on after `- `.
fn write(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Map(map) if !map.borrow().is_empty() => {
            for (at, (key, value)) in map.borrow().iter().enumerate() {
                if at > 0 {
                    pad(indent, out);
                }
                out.push_str(&scalar(key));
                out.push(':');
                write_after_key(value, indent, out);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    pad(indent, out);
                }
                out.push_str("- ");
                write(item, indent + 2, out);
            }
        }
        _ => write_leaf(value, indent, out),
    }
}

fn write_after_key(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Map(map) if !map.borrow().is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            write(value, indent + 2, out);
        }
        // A list stands as deep as its key.
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            pad(indent, out);
            write(value, indent, out);
        }
        _ => {
            out.push(' ');
            write_leaf(value, indent + 2, out);
        }
    }
}

fn write_leaf(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&json_number(*value)),
        Value::Text(text) if is_block(text) => {
            write_block(text, indent, out);
            return;
        }
        Value::Text(text) => out.push_str(&scalar(text)),
        Value::Time(_) => out.push_str(&scalar(&shown(value))),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) | Value::Files(_) | Value::ApiVersions => out.push_str("{}"),
    }
    out.push('\n');
}

/// Text of several lines that a literal block (`|`) can hold.
fn is_block(text: &str) -> bool {
    text.contains('\n') && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

fn write_block(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.ends_with('\n') || body.is_empty() => out.push('+'),
        Some(_) => {}
    }
    out.push('\n');
    // A block at the top of a document is indented too.
    let indent = indent.max(2);
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text on one line: plain if that reads back as the same text, else in quotes.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        quoted(text)
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn is_plain(text: &str) -> bool {
    let starts_well = !text.starts_with([
        ' ', '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
        '=', '<', '~',
    ]) || text.starts_with("--") && text.len() > 3 && !text.starts_with("---");
    starts_well
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.chars().any(char::is_control)
        && matches!(resolve(text), Yaml::Text(_))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::super::yaml::document;
    use super::*;

    #[test]
    fn values_read_back_as_they_were() {
        let text = r##"
a: {b: [1, 2.5, "1", "true", null, "", "x: y", "- z", "--flag=a", "it's", "{{ include \"a\" . }}", "#", "a #b"], c: {}, d: []}
e: [{f: g, h: [i, [j, k]]}, {l: "m\nn"}]
o: "p\nq\n"
r: "s\n\n"
t: "  u\nv"
w: "\n"
"x y": "tab\there\nand there"
"##;
        let file = Rc::from("t");
        let node = document(text, &file).unwrap();
        let written = to_yaml(&Value::of(&node), &Budget::new()).unwrap();
        let again = document(&written, &file).unwrap();
        let sorted = |node| to_yaml(&Value::of(node), &Budget::new()).unwrap();
        assert_eq!(sorted(&again), written, "{written}");
        assert_eq!(again.at("a.b").unwrap(), node.at("a.b").unwrap(), "{written}");
        for key in ["o", "r", "t", "w", "x y"] {
            assert_eq!(again.get(key), node.get(key), "{written}");
        }
    }

    #[test]
    fn lists_stand_as_deep_as_their_key() {
        let node = document("a: {b: [{c: d, e: f}]}", &Rc::from("t")).unwrap();
        assert_eq!(to_yaml(&Value::of(&node), &Budget::new()).unwrap(), "a:\n  b:\n  - c: d\n    e: f");
    }
}
