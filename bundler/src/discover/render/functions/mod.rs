//! The functions of templates: Go's own, sprig's, and Helm's (`pkg/engine` of Helm 3, Masterminds/sprig v3).
//!
//! What only chance, time or keys decide (`uuidv4`, `date`, `genCA`) is replaced by stand-ins; a template that decides by one fails. So does one that
//! calls a function that is not known here. A template that fails is told of; nothing is guessed.

mod collections;
mod data;
mod dates;
mod logic;
mod numbers;
mod text;
mod version;

use std::rc::Rc;

use super::machine::Machine;
use super::print::shown;
use super::value::{Budget, Fault, Result, Table, Value, fault};
pub(in super::super) use version::is_in_range;

/// In place of what differs with every run. It is known again wherever it gets to.
pub(super) const STAND_IN: &str = "sealift-stand-in";

/// Calls a function.
pub(super) fn call(machine: &Machine, name: &str, arguments: &[Value]) -> Result<Value> {
    let budget = &machine.budget;
    budget.spend(1)?;
    // `mustX` is `X` that fails instead of swallowing an error.
    let plain = name.strip_prefix("must").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    let name = plain.map_or_else(|| name.to_owned(), |rest| rest[..1].to_ascii_lowercase() + &rest[1..]);
    let arguments = Arguments { name: &name, must: plain.is_some(), values: arguments, budget };
    let found = match name.as_str() {
        "include" => Some(machine.include(&arguments.text(0)?, arguments.value(1)?).map(Value::text)),
        "tpl" => Some(machine.render_text(&arguments.text(0)?, arguments.value(1)?).map(Value::text)),
        _ => logic::call(&arguments)
            .or_else(|| text::call(&arguments))
            .or_else(|| collections::call(&arguments))
            .or_else(|| numbers::call(&arguments))
            .or_else(|| data::call(&arguments))
            .or_else(|| dates::call(&arguments))
            .or_else(|| version::call(&arguments)),
    };
    let result = found.unwrap_or_else(|| fault(format!("there is no function `{name}` here")))?;
    match &result {
        Value::Text(text) => budget.spend_text(text.len())?,
        Value::List(items) => budget.spend(items.len())?,
        _ => {}
    }
    Ok(result)
}

/// What a function is called with.
struct Arguments<'a> {
    name: &'a str,
    /// It was called as `mustX`.
    must: bool,
    values: &'a [Value],
    budget: &'a Budget,
}

impl Arguments<'_> {
    fn value(&self, at: usize) -> Result<Value> {
        self.values.get(at).cloned().ok_or_else(|| self.wrong("has too few arguments"))
    }

    /// The last argument: the one that is piped in.
    fn last(&self) -> Result<Value> {
        self.values.last().cloned().ok_or_else(|| self.wrong("has no arguments"))
    }

    /// The arguments from one on.
    fn rest(&self, from: usize) -> &[Value] {
        self.values.get(from..).unwrap_or_default()
    }

    /// An argument as text, whatever it is (sprig's `strval`). Nothing is the empty text.
    fn text(&self, at: usize) -> Result<Rc<str>> {
        let value = self.value(at)?;
        text_of(&value, self.budget)
    }

    fn last_text(&self) -> Result<Rc<str>> {
        text_of(&self.last()?, self.budget)
    }

    fn int(&self, at: usize) -> Result<i64> {
        Ok(int_of(&self.value(at)?))
    }

    /// A count or a length: not below zero.
    fn count(&self, at: usize) -> Result<usize> {
        Ok(usize::try_from(self.int(at)?).unwrap_or(0))
    }

    fn float(&self, at: usize) -> Result<f64> {
        Ok(float_of(&self.value(at)?))
    }

    fn list(&self, at: usize) -> Result<Rc<Vec<Value>>> {
        match self.value(at)? {
            Value::List(items) => Ok(items),
            Value::Nil => Ok(Rc::default()),
            other => Err(self.wrong(&format!("takes a list, not a {}", other.kind()))),
        }
    }

    fn map(&self, at: usize) -> Result<Table> {
        match self.value(at)? {
            Value::Map(map) => Ok(map),
            // Go hands a map that is not there to a function as an empty one.
            Value::Nil => Ok(Table::default()),
            other => Err(self.wrong(&format!("takes a map, not a {}", other.kind()))),
        }
    }

    fn wrong(&self, why: &str) -> Fault {
        Fault(format!("`{}` {why}", self.name))
    }
}

/// Refuses to look into what differs with every run.
fn decidable(text: &str) -> Result<&str> {
    if text.contains(STAND_IN) { fault("it decides by time, chance or keys") } else { Ok(text) }
}

fn text_of(value: &Value, budget: &Budget) -> Result<Rc<str>> {
    match value {
        Value::Text(text) => Ok(Rc::clone(text)),
        Value::Nil => Ok(Rc::from("")),
        other => {
            budget.spend_value(other)?;
            Ok(Rc::from(shown(other)))
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "as Go converts: towards zero")]
fn int_of(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        Value::Float(value) => *value as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => {
            text.trim().parse().or_else(|_| text.trim().parse::<f64>().map(|value| value as i64)).unwrap_or(0)
        }
        _ => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn float_of(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Text(text) => text.trim().parse().unwrap_or(0.0),
        other => int_of(other) as f64,
    }
}
