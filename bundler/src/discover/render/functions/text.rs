//! Text: cutting, joining, quoting, indenting, searching.

use std::collections::BTreeMap;
use std::rc::Rc;

use regex::{NoExpand, Regex};

use super::super::print::{format, printed, quoted, shown};
use super::super::value::{Result, Value, fault};
use super::{Arguments, decidable, text_of};

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    let made = match a.name {
        "print" | "println" => print(a),
        "printf" => a.text(0).and_then(|pattern| format(&pattern, a.rest(1), a.budget)),
        "toString" => a.text(0).map(|text| text.to_string()),
        "trim" => on_last(a, |text| text.trim().to_owned()),
        "upper" => on_last(a, str::to_uppercase),
        "lower" => on_last(a, str::to_lowercase),
        "title" => on_last(a, title),
        "untitle" => on_last(a, |text| change_first(text, |c| c.to_lowercase().collect())),
        "swapcase" => on_last(a, |text| text.chars().map(swapped).collect()),
        "nospace" => on_last(a, |text| text.split_whitespace().collect()),
        "initials" => {
            on_last(a, |text| text.split_whitespace().filter_map(|word| word.chars().next()).collect())
        }
        "snakecase" => on_last(a, |text| in_words(text, '_')),
        "kebabcase" => on_last(a, |text| in_words(text, '-')),
        "camelcase" => on_last(a, |text| {
            text.split(['-', '_', ' ', '.'])
                .map(|word| change_first(word, |c| c.to_uppercase().collect()))
                .collect()
        }),
        "shuffle" => on_last(a, str::to_owned),
        "trunc" => trunc(a),
        "abbrev" => abbrev(a),
        "substr" => substr(a),
        "repeat" => repeat(a),
        "trimAll" | "trimall" => {
            with_first(a, |marks, text| text.trim_matches(|c| marks.contains(c)).to_owned())
        }
        "trimPrefix" => with_first(a, |prefix, text| text.strip_prefix(prefix).unwrap_or(text).to_owned()),
        "trimSuffix" => with_first(a, |suffix, text| text.strip_suffix(suffix).unwrap_or(text).to_owned()),
        "replace" => replace(a),
        "quote" => each(a, quoted),
        "squote" => each(a, |text| format!("'{text}'")),
        "cat" => each(a, str::to_owned).map(|text| text.trim().to_owned()),
        "indent" => indent(a),
        "nindent" => indent(a).map(|text| format!("\n{text}")),
        "wrap" | "wrapWith" => a.last_text().map(|text| text.to_string()),
        "plural" => a.text(usize::from(a.int(2).ok()? != 1)).map(|text| text.to_string()),
        "join" => join(a),
        "randAlphaNum" | "randAlpha" | "randAscii" | "randNumeric" | "randBytes" => random(a),
        "base" | "osBase" => {
            on_last(a, |path| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned())
        }
        "dir" | "osDir" => on_last(a, |path| path.rsplit_once('/').map_or(".", |(dir, _)| dir).to_owned()),
        "ext" | "osExt" => on_last(a, |path| path.rfind('.').map_or("", |dot| &path[dot..]).to_owned()),
        "clean" | "osClean" => on_last(a, |path| path.trim_end_matches('/').to_owned()),
        "regexFind" => {
            with_regex(a, 1, |regex, text| regex.find(text).map_or("", |found| found.as_str()).to_owned())
        }
        "regexReplaceAll" => replace_all(a, true),
        "regexReplaceAllLiteral" => replace_all(a, false),
        "regexQuoteMeta" => on_last(a, regex::escape),
        _ => return other(a),
    };
    Some(made.map(Value::text))
}

/// Functions of text that make something else.
fn other(a: &Arguments<'_>) -> Option<Result<Value>> {
    let is = |test: fn(&str, &str) -> bool| {
        a.text(0).and_then(|part| Ok(Value::Bool(test(decidable(&a.text(1)?)?, decidable(&part)?))))
    };
    Some(match a.name {
        "contains" => is(|text, part| text.contains(part)),
        "hasPrefix" => is(|text, part| text.starts_with(part)),
        "hasSuffix" => is(|text, part| text.ends_with(part)),
        "isAbs" | "osIsAbs" => a.last_text().map(|path| Value::Bool(path.starts_with('/'))),
        "splitList" => {
            a.text(0).and_then(|mark| Ok(Value::list(split(&a.text(1)?, &mark, usize::MAX).map(Value::text))))
        }
        "split" => a.text(0).and_then(|mark| Ok(numbered(&a.text(1)?, &mark, usize::MAX))),
        "splitn" => a.text(0).and_then(|mark| Ok(numbered(&a.text(2)?, &mark, a.count(1)?))),
        "toStrings" => texts(a, 0).map(|texts| Value::list(texts.into_iter().map(Value::Text))),
        "sortAlpha" => texts(a, 0).map(|mut texts| {
            texts.sort();
            Value::list(texts.into_iter().map(Value::Text))
        }),
        "regexMatch" => with_regex(a, 1, regex::Regex::is_match).map(Value::Bool),
        "regexFindAll" => with_regex(a, 1, |regex, text| {
            let limit = usize::try_from(a.int(2).unwrap_or(-1)).unwrap_or(usize::MAX);
            Value::list(regex.find_iter(text).take(limit).map(|found| Value::text(found.as_str())))
        }),
        "regexSplit" => with_regex(a, 1, |regex, text| {
            let limit = usize::try_from(a.int(2).unwrap_or(-1)).unwrap_or(usize::MAX);
            Value::list(regex.splitn(text, limit).map(Value::text))
        }),
        _ => return None,
    })
}

fn on_last(a: &Arguments<'_>, change: impl Fn(&str) -> String) -> Result<String> {
    Ok(change(&a.last_text()?))
}

fn with_first(a: &Arguments<'_>, change: impl Fn(&str, &str) -> String) -> Result<String> {
    Ok(change(&a.text(0)?, &a.text(1)?))
}

fn each(a: &Arguments<'_>, change: impl Fn(&str) -> String) -> Result<String> {
    let given = a.values.iter().filter(|value| !matches!(value, Value::Nil));
    let texts: Vec<String> =
        given.map(|value| Ok(change(&text_of(value, a.budget)?))).collect::<Result<_>>()?;
    Ok(texts.join(" "))
}

/// `print`: a space between two operands of which neither is text.
fn print(a: &Arguments<'_>) -> Result<String> {
    let mut out = String::new();
    for (at, value) in a.values.iter().enumerate() {
        let beside_text =
            matches!(value, Value::Text(_)) || at > 0 && matches!(a.values[at - 1], Value::Text(_));
        if at > 0 && (a.name == "println" || !beside_text) {
            out.push(' ');
        }
        printed(value, a.budget)?;
        out.push_str(&shown(value));
    }
    if a.name == "println" {
        out.push('\n');
    }
    Ok(out)
}

fn trunc(a: &Arguments<'_>) -> Result<String> {
    let (count, text) = (a.int(0)?, a.text(1)?);
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(text.len());
    Ok(if count < 0 {
        text[boundary(&text, text.len() - length)..].to_owned()
    } else {
        text[..boundary(&text, length)].to_owned()
    })
}

/// The last place at or before an index where a text may be cut. Go cuts characters in two.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn abbrev(a: &Arguments<'_>) -> Result<String> {
    let (width, text) = (a.count(0)?, a.text(1)?);
    if width < 4 || text.len() <= width {
        Ok(text.to_string())
    } else {
        Ok(format!("{}...", &text[..boundary(&text, width - 3)]))
    }
}

fn substr(a: &Arguments<'_>) -> Result<String> {
    let (start, end, text) = (a.count(0)?, a.int(1)?, a.text(2)?);
    let end = usize::try_from(end).unwrap_or(text.len()).min(text.len());
    Ok(text.get(start.min(end)..end).unwrap_or_default().to_owned())
}

fn repeat(a: &Arguments<'_>) -> Result<String> {
    let (count, text) = (a.count(0)?, a.text(1)?);
    a.budget.spend_text(count.saturating_mul(text.len()))?;
    Ok(text.repeat(count))
}

fn replace(a: &Arguments<'_>) -> Result<String> {
    let (old, new, text) = (a.text(0)?, a.text(1)?, a.text(2)?);
    a.budget.spend_text(text.len().saturating_add(text.matches(&*old).count().saturating_mul(new.len())))?;
    Ok(text.replace(&*old, &new))
}

fn indent(a: &Arguments<'_>) -> Result<String> {
    let (spaces, text) = (a.count(0)?, a.text(1)?);
    let lines = text.matches('\n').count() + 1;
    a.budget.spend_text(text.len().saturating_add(lines.saturating_mul(spaces)))?;
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn join(a: &Arguments<'_>) -> Result<String> {
    let (mark, texts) = (a.text(0)?, texts(a, 1)?);
    a.budget.spend_text(texts.iter().map(|text| text.len() + mark.len()).sum())?;
    Ok(texts.join(&*mark))
}

/// What no image depends on: as many characters as were asked for.
fn random(a: &Arguments<'_>) -> Result<String> {
    let count = a.count(0)?;
    a.budget.spend_text(count)?;
    Ok("0".repeat(count))
}

/// A list's elements as texts (sprig's `strslice`).
fn texts(a: &Arguments<'_>, at: usize) -> Result<Vec<Rc<str>>> {
    match a.value(at)? {
        Value::List(items) => items
            .iter()
            .filter(|item| !matches!(item, Value::Nil))
            .map(|item| text_of(item, a.budget))
            .collect(),
        Value::Nil => Ok(Vec::new()),
        other => Ok(vec![text_of(&other, a.budget)?]),
    }
}

/// Splits as Go does: an empty mark separates all characters.
fn split<'t>(text: &'t str, mark: &str, limit: usize) -> Box<dyn Iterator<Item = &'t str> + 't> {
    if mark.is_empty() {
        return Box::new(text.split("").filter(|part| !part.is_empty()).collect::<Vec<_>>().into_iter());
    }
    Box::new(text.splitn(limit.max(1), mark).collect::<Vec<_>>().into_iter())
}

/// `split`: a map of `_0`, `_1` and so on.
fn numbered(text: &str, mark: &str, limit: usize) -> Value {
    let parts = split(text, mark, limit).enumerate();
    Value::Map(Rc::new(
        parts
            .map(|(at, part)| (Rc::from(format!("_{at}")), Value::text(part)))
            .collect::<BTreeMap<_, _>>()
            .into(),
    ))
}

fn with_regex<T>(a: &Arguments<'_>, text_at: usize, go: impl Fn(&Regex, &str) -> T) -> Result<T> {
    let (pattern, text) = (a.text(0)?, a.text(text_at)?);
    a.budget.spend_text(text.len())?;
    Ok(go(&regex(&pattern)?, decidable(&text)?))
}

fn replace_all(a: &Arguments<'_>, expand: bool) -> Result<String> {
    let (pattern, text, new) = (a.text(0)?, a.text(1)?, a.text(2)?);
    a.budget.spend_text(text.len().saturating_add(1).saturating_mul(new.len() + 1))?;
    let regex = regex(&pattern)?;
    Ok(if expand { regex.replace_all(&text, &*new) } else { regex.replace_all(&text, NoExpand(&new)) }
        .into_owned())
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).or_else(|_| fault(format!("`{pattern}` is no regular expression")))
}

fn title(text: &str) -> String {
    let mut starts = true;
    text.chars()
        .flat_map(|c| {
            let upper = std::mem::replace(&mut starts, !c.is_alphanumeric()) && c.is_alphabetic();
            if upper { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

fn change_first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| change(first) + chars.as_str()).unwrap_or_default()
}

fn swapped(c: char) -> char {
    if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }
}

/// `fooBar baz` → `foo_bar_baz`.
fn in_words(text: &str, mark: char) -> String {
    let mut out = String::new();
    let mut before = None;
    for c in text.chars() {
        let c = if matches!(c, '-' | '_' | ' ' | '.') { mark } else { c };
        if c.is_uppercase()
            && before.is_some_and(|before: char| before.is_lowercase() || before.is_ascii_digit())
        {
            out.push(mark);
        }
        out.extend(c.to_lowercase());
        before = Some(c);
    }
    out
}
