//! Arithmetic.

use super::super::value::{Result, Value, fault};
use super::{Arguments, float_of, int_of};

/// Longest list of numbers.
const MAX_NUMBERS: usize = 1_000_000;

pub(super) fn call(a: &Arguments<'_>) -> Option<Result<Value>> {
    Some(match a.name {
        // Any number does for chance: the lowest is one.
        "int" | "int64" | "randInt" => a.int(0).map(Value::Int),
        "atoi" => a.text(0).map(|text| Value::Int(text.parse().unwrap_or(0))),
        "float64" => a.float(0).map(Value::Float),
        "toDecimal" => a.text(0).map(|text| Value::Int(i64::from_str_radix(&text, 8).unwrap_or(0))),
        "add" => Ok(Value::Int(a.values.iter().map(int_of).fold(0, i64::wrapping_add))),
        "add1" => a.int(0).map(|value| Value::Int(value.wrapping_add(1))),
        "sub" => pair(a).map(|(left, right)| Value::Int(left.wrapping_sub(right))),
        "mul" => Ok(Value::Int(a.values.iter().map(int_of).fold(1, i64::wrapping_mul))),
        "div" => pair(a).and_then(|(left, right)| divided(left.checked_div(right))),
        "mod" => pair(a).and_then(|(left, right)| divided(left.checked_rem(right))),
        "max" | "biggest" => {
            a.int(0).map(|first| Value::Int(a.rest(1).iter().map(int_of).fold(first, i64::max)))
        }
        "min" => a.int(0).map(|first| Value::Int(a.rest(1).iter().map(int_of).fold(first, i64::min))),
        "addf" => Ok(Value::Float(a.values.iter().map(float_of).sum())),
        "add1f" => a.float(0).map(|value| Value::Float(value + 1.0)),
        "subf" => fold(a, |left, right| left - right),
        "mulf" => fold(a, |left, right| left * right),
        "divf" => fold(a, |left, right| left / right),
        "maxf" => fold(a, f64::max),
        "minf" => fold(a, f64::min),
        "floor" => a.float(0).map(|value| Value::Float(value.floor())),
        "ceil" => a.float(0).map(|value| Value::Float(value.ceil())),
        "round" => round(a),
        "until" => a.int(0).and_then(|end| steps(0, end, if end < 0 { -1 } else { 1 })),
        "untilStep" => until_step(a),
        "seq" => seq(a),
        _ => return None,
    })
}

fn pair(a: &Arguments<'_>) -> Result<(i64, i64)> {
    Ok((a.int(0)?, a.int(1)?))
}

fn divided(value: Option<i64>) -> Result<Value> {
    value.map_or_else(|| fault("division by zero"), |value| Ok(Value::Int(value)))
}

fn fold(a: &Arguments<'_>, operation: impl Fn(f64, f64) -> f64) -> Result<Value> {
    Ok(Value::Float(a.rest(1).iter().map(float_of).fold(a.float(0)?, operation)))
}

fn round(a: &Arguments<'_>) -> Result<Value> {
    let scale = 10_f64.powi(i32::try_from(a.int(1)?).unwrap_or(0));
    Ok(Value::Float((a.float(0)? * scale).round() / scale))
}

fn until_step(a: &Arguments<'_>) -> Result<Value> {
    steps(a.int(0)?, a.int(1)?, a.int(2)?)
}

/// Numbers from one on, up to but without the end.
fn steps(start: i64, end: i64, step: i64) -> Result<Value> {
    let mut found = Vec::new();
    let mut at = start;
    while step > 0 && at < end || step < 0 && at > end {
        if found.len() >= MAX_NUMBERS {
            return fault(format!("it makes a list of more than {MAX_NUMBERS} numbers"));
        }
        found.push(Value::Int(at));
        at = at.saturating_add(step);
    }
    Ok(Value::list(found))
}

/// `seq 1 2 9`: as text, the end included.
fn seq(a: &Arguments<'_>) -> Result<Value> {
    let (start, step, end) = match a.values.len() {
        1 => (1, None, a.int(0)?),
        2 => (a.int(0)?, None, a.int(1)?),
        3 => (a.int(0)?, Some(a.int(1)?), a.int(2)?),
        _ => return Ok(Value::text("")),
    };
    let direction = if end < start { -1 } else { 1 };
    let Value::List(numbers) = steps(start, end.saturating_add(direction), step.unwrap_or(direction))? else {
        return Ok(Value::text(""));
    };
    let texts: Vec<String> = numbers.iter().map(|number| int_of(number).to_string()).collect();
    Ok(Value::text(texts.join(" ")))
}
