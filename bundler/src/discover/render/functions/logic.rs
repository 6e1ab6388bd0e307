//! Comparing, choosing, failing, asking for kinds.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::super::print::type_name;
use super::super::value::{Result, Value, fault};
use super::{Arguments, STAND_IN, decidable};

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        "not" => a.value(0).map(|value| Value::Bool(!value.is_true())),
        "eq" => is_any_equal(a).map(Value::Bool),
        "ne" => is_any_equal(a).map(|equal| Value::Bool(!equal)),
        "lt" => compare(a).map(|order| Value::Bool(order == Ordering::Less)),
        "le" => compare(a).map(|order| Value::Bool(order != Ordering::Greater)),
        "gt" => compare(a).map(|order| Value::Bool(order == Ordering::Greater)),
        "ge" => compare(a).map(|order| Value::Bool(order != Ordering::Less)),
        "default" => default(a),
        "empty" => a.value(0).map(|value| Value::Bool(!value.is_true())),
        "coalesce" => Ok(a.values.iter().find(|value| value.is_true()).cloned().unwrap_or(Value::Nil)),
        "all" => Ok(Value::Bool(a.values.iter().all(Value::is_true))),
        "any" => Ok(Value::Bool(a.values.iter().any(Value::is_true))),
        "ternary" => ternary(a),
        "required" => required(a),
        "fail" => a.text(0).and_then(|why| fault(format!("the chart says: {why}"))),
        // Without a cluster `helm template` finds nothing either.
        "lookup" => Ok(Value::Map(std::rc::Rc::new(BTreeMap::new().into()))),
        "getHostByName" => Ok(Value::text("")),
        "kindOf" => a.value(0).map(|value| Value::text(value.kind())),
        "kindIs" => is_kind(a).map(Value::Bool),
        "typeOf" => a.value(0).map(|value| Value::text(type_name(&value))),
        "typeIs" | "typeIsLike" => is_type(a).map(Value::Bool),
        "deepEqual" => is_deeply_equal(a).map(Value::Bool),
        "uuidv4" | "genPrivateKey" | "htpasswd" | "bcrypt" | "derivePassword" | "encryptAES"
        | "decryptAES" => Ok(Value::text(STAND_IN)),
        "genCA"
        | "genCAWithKey"
        | "genSelfSignedCert"
        | "genSelfSignedCertWithKey"
        | "genSignedCert"
        | "genSignedCertWithKey"
        | "buildCustomCert" => {
            Ok(Value::map([("Cert", Value::text(STAND_IN)), ("Key", Value::text(STAND_IN))]))
        }
        _ => return None,
    })
}

fn default(a: &Arguments<'_>) -> Result<Value> {
    let given = a.values.get(1).cloned().unwrap_or(Value::Nil);
    if given.is_true() { Ok(given) } else { a.value(0) }
}

fn ternary(a: &Arguments<'_>) -> Result<Value> {
    let decision = a.value(2)?.is_true();
    a.value(usize::from(!decision))
}

fn required(a: &Arguments<'_>) -> Result<Value> {
    let value = a.value(1)?;
    match &value {
        Value::Nil => fault(format!("a value is required: {}", a.text(0)?)),
        Value::Text(text) if text.is_empty() => fault(format!("a value is required: {}", a.text(0)?)),
        _ => Ok(value),
    }
}

fn is_kind(a: &Arguments<'_>) -> Result<bool> {
    let (kind, value) = (a.text(0)?, a.value(1)?);
    // Both of Go's integers are one here.
    Ok(&*kind == value.kind() || matches!(value, Value::Int(_)) && &*kind == "int64")
}

fn is_type(a: &Arguments<'_>) -> Result<bool> {
    let (wanted, value) = (a.text(0)?, a.value(1)?);
    let wanted = if a.name == "typeIsLike" { wanted.trim_start_matches('*') } else { &wanted };
    Ok(wanted == type_name(&value) || matches!(value, Value::Int(_)) && wanted == "int64")
}

fn is_deeply_equal(a: &Arguments<'_>) -> Result<bool> {
    let (left, right) = (a.value(0)?, a.value(1)?);
    a.budget.spend_value(&left)?;
    a.budget.spend_value(&right)?;
    Ok(is_same(&left, &right))
}

/// Whether two values are the same, all the way down. Their cost has been paid.
pub(super) fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(l, r)| is_same(l, r))
        }
        (Value::Map(left), Value::Map(right)) => {
            let (left, right) = (left.borrow(), right.borrow());
            left.len() == right.len()
                && left.iter().zip(right.iter()).all(|((k, l), (j, r))| k == j && is_same(l, r))
        }
        _ => is_equal(left, right).unwrap_or(false),
    }
}

/// `eq` with several arguments: the first against each of the others.
fn is_any_equal(a: &Arguments<'_>) -> Result<bool> {
    let first = a.value(0)?;
    a.value(1)?;
    for other in a.rest(1) {
        if is_equal(&first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(clippy::float_cmp, reason = "templates compare what was written, not what was measured")]
fn is_equal(left: &Value, right: &Value) -> Result<bool> {
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) | (Value::Time(left), Value::Time(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(decidable(left)? == decidable(right)?),
        _ => fault(format!("a {} cannot be compared with a {}", left.kind(), right.kind())),
    }
}

fn compare(a: &Arguments<'_>) -> Result<Ordering> {
    let (left, right) = (a.value(0)?, a.value(1)?);
    match (&left, &right) {
        (Value::Int(left), Value::Int(right)) => Ok(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(decidable(left)?.cmp(decidable(right)?)),
        _ => fault(format!("a {} cannot be compared with a {}", left.kind(), right.kind())),
    }
}
