//! YAML, JSON, base64, hashes, addresses.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};

use super::super::super::yaml::document;
use super::super::print::{json_number, shown};
use super::super::value::{Result, Value};
use super::super::yaml_text::to_yaml;
use super::{Arguments, STAND_IN};

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        "toYaml" | "toYamlPretty" => a.value(0).and_then(|value| Ok(Value::text(to_yaml(&value, a.budget)?))),
        // TOML only goes into configuration files; JSON has the same strings in it, which is what is looked for.
        "toJson" | "toRawJson" | "toPrettyJson" | "toToml" => to_json(a),
        "fromYaml" | "fromJson" => parsed(a, false),
        "fromYamlArray" | "fromJsonArray" => parsed(a, true),
        "b64enc" => a.last_text().map(|text| Value::text(STANDARD.encode(text.as_bytes()))),
        "b64dec" => a.last_text().map(|text| {
            let bytes = STANDARD.decode(text.as_bytes());
            Value::text(
                bytes.map_or_else(|e| e.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned()),
            )
        }),
        "sha256sum" => a.last_text().map(|text| Value::text(hex::encode(Sha256::digest(text.as_bytes())))),
        "sha512sum" => a.last_text().map(|text| Value::text(hex::encode(Sha512::digest(text.as_bytes())))),
        "sha1sum" | "adler32sum" => Ok(Value::text(STAND_IN)),
        "urlParse" => a.last_text().map(|text| url_parts(&text)),
        "urlJoin" => a.value(0).map(|parts| url(&parts)),
        _ => return None,
    })
}

fn to_json(a: &Arguments<'_>) -> Result<Value> {
    let value = a.value(0)?;
    a.budget.spend_value(&value)?;
    let mut out = String::new();
    write_json(&value, &mut out);
    if a.name != "toRawJson" {
        // As Go does, so that JSON can stand inside HTML.
        for (mark, escaped) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")] {
            out = out.replace(mark, escaped);
        }
    }
    Ok(Value::text(out))
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&json_number(*value)),
        Value::Text(text) => out.push_str(&serde_json::Value::from(&**text).to_string()),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, (key, value)) in map.borrow().iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(&**key).to_string());
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
        Value::Time(_) => out.push_str(&serde_json::Value::from(shown(value)).to_string()),
        Value::Files(_) | Value::ApiVersions => out.push_str("{}"),
    }
}

/// A document as a value. What cannot be read becomes a map, or a list, with the reason, as in Helm.
fn parsed(a: &Arguments<'_>, as_list: bool) -> Result<Value> {
    let text = a.text(0)?;
    a.budget.spend_text(text.len())?;
    let reason = |why: String| {
        if as_list { Value::list([Value::text(why)]) } else { Value::map([("Error", Value::text(why))]) }
    };
    let found = match document(&text, &Rc::from("text")) {
        Ok(node) => Value::of(&node),
        Err(problem) => return Ok(reason(problem.to_string())),
    };
    a.budget.spend_value(&found)?;
    Ok(match (&found, as_list) {
        (Value::List(_), true) | (Value::Map(_), false) => found,
        (Value::Map(map), true) if map.borrow().is_empty() => Value::list([]),
        _ => reason(format!("it is a {}", found.kind())),
    })
}

/// `scheme://userinfo@host/path?query#fragment`, in parts.
fn url_parts(text: &str) -> Value {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").map_or(("", rest), |(scheme, rest)| (scheme, rest));
    let (authority, path) =
        if scheme.is_empty() { ("", rest) } else { rest.split_at(rest.find('/').unwrap_or(rest.len())) };
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hostname = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let part = Value::text;
    Value::map([
        ("scheme", part(scheme)),
        ("userinfo", part(userinfo)),
        ("host", part(host)),
        ("hostname", part(hostname)),
        ("path", part(path)),
        ("query", part(query)),
        ("fragment", part(fragment)),
        ("opaque", part("")),
    ])
}

fn url(parts: &Value) -> Value {
    let part = |name: &str, before: &str, after: &str| match parts.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => format!("{before}{text}{after}"),
        _ => String::new(),
    };
    let authority = part("userinfo", "", "@") + &part("host", "", "");
    Value::text(
        part("scheme", "", "://")
            + &authority
            + &part("path", "", "")
            + &part("query", "?", "")
            + &part("fragment", "#", ""),
    )
}
