//! What an expression is worth for a row.
//!
//! A path that leads nowhere is *undefined* and so is everything computed or compared with it: neither `=` nor `!=`
//! nor `NOT` makes it true, and only rows whose condition is true are found. `AND` and `OR` look past it where the
//! other side decides. Values of different types are unequal and stand in no order; texts compare by code points.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::Row;
use super::syntax::{Arithmetic, Comparison, Expression};

type Worth<'a> = Option<Cow<'a, Value>>;

/// The value, or `None` for undefined. The tree's depth is bounded, and so is the recursion.
pub(super) fn worth<'a>(expression: &'a Expression, row: &'a dyn Row) -> Worth<'a> {
    match expression {
        Expression::Constant(value) => Some(Cow::Borrowed(value)),
        Expression::Path(path) => row.at(&path.0),
        Expression::Chain(first, more) => {
            let mut value = worth(first, row)?.as_ref().clone();
            for (operator, other) in more {
                value = compute(&value, *operator, worth(other, row)?.as_ref())?;
            }
            Some(Cow::Owned(value))
        }
        Expression::Negative(value) => negative(worth(value, row)?.as_ref()).map(Cow::Owned),
        Expression::Call(function, arguments) => {
            let arguments: Vec<Worth<'a>> = arguments.iter().map(|argument| worth(argument, row)).collect();
            function.call(&arguments)
        }
        condition => truth(condition, row).map(|truth| Cow::Owned(truth.into())),
    }
}

/// Whether a condition holds; `None` for undefined.
pub(super) fn truth(expression: &Expression, row: &dyn Row) -> Option<bool> {
    match expression {
        Expression::And(all) => decided(all, row, false),
        Expression::Or(any) => decided(any, row, true),
        Expression::Not(inner) => truth(inner, row).map(|truth| !truth),
        Expression::Compare(left, comparison, right) => {
            compare(worth(left, row)?.as_ref(), *comparison, worth(right, row)?.as_ref())
        }
        Expression::In { value, list, negated } => {
            let value = worth(value, row)?;
            let found = list.iter().any(|listed| order(&value, listed) == Some(Ordering::Equal));
            Some(found != *negated)
        }
        other => worth(other, row)?.as_bool(),
    }
}

/// The first operand that `decides` ends it; else an undefined one makes the whole undefined.
fn decided(operands: &[Expression], row: &dyn Row, decides: bool) -> Option<bool> {
    let mut undefined = false;
    for operand in operands {
        match truth(operand, row) {
            Some(truth) if truth == decides => return Some(decides),
            Some(_) => {}
            None => undefined = true,
        }
    }
    (!undefined).then_some(!decides)
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> Option<bool> {
    let order = order(left, right);
    match comparison {
        Comparison::Equal => Some(order == Some(Ordering::Equal)),
        Comparison::Unequal => Some(order != Some(Ordering::Equal)),
        Comparison::Less => order.map(Ordering::is_lt),
        Comparison::LessOrEqual => order.map(Ordering::is_le),
        Comparison::Greater => order.map(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.map(Ordering::is_ge),
    }
}

/// The order of two values of one type; `None` if they have none.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => (left == right).then_some(Ordering::Equal),
    }
}

/// `-x`, for numbers.
pub(super) fn negative(value: &Value) -> Option<Value> {
    compute(&Value::from(0), Arithmetic::Subtract, value)
}

/// Whole numbers stay whole while they fit; a division by zero and whatever else is no number is undefined.
pub(super) fn compute(left: &Value, operator: Arithmetic, right: &Value) -> Option<Value> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        let whole = match operator {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide if right != 0 && left.checked_rem(right) == Some(0) => left.checked_div(right),
            Arithmetic::Divide => None,
            Arithmetic::Remainder => left.checked_rem(right),
        };
        if let Some(whole) = whole {
            return Some(whole.into());
        }
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    let number = match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    };
    Number::from_f64(number).map(Value::Number)
}
