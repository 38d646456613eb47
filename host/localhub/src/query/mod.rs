//! IoT Hub's query language, as far as its documents for twins and jobs go (`iothub.md` §6.6): queries, and the
//! conditions of jobs and automatic configurations.
//!
//! [`parse`] and [`condition`] read texts; a [`Query`] runs a page at a time over a [`Source`] of rows, which is the
//! hub's database read as it goes. Texts are bounded in length and nesting, so are groups and pages. Beyond IoT Hub's
//! own functions there are a few for texts and types; what it has not is refused by a fault that names the position:
//! `ORDER BY`, joins, subscripts, comparisons of whole objects by order.

mod aggregate;
mod evaluate;
mod functions;
mod lexer;
mod names;
mod page;
mod parser;
mod rows;
mod syntax;
mod table;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::Value;

pub(crate) use self::page::{Found, Page};
pub(crate) use self::rows::TwinRow;
pub(crate) use self::syntax::Collection;
use self::syntax::{Comparison, Expression};
pub use self::table::find;
use crate::fault::Fault;

/// One row of a collection.
pub(crate) trait Row {
    /// The value at a path; `None` if it leads nowhere.
    fn at(&self, path: &[String]) -> Option<Cow<'_, Value>>;

    /// The whole row, as `SELECT *` gives it.
    fn shown(&self) -> Value;
}

/// What a source calls for each row, with the row's key.
pub(crate) type See<'a> = dyn FnMut(&str, &dyn Row) -> Result<ControlFlow<()>, Fault> + 'a;

/// Where rows come from.
pub(crate) trait Source {
    /// Shows the rows of a collection whose keys come after `after`, in the order of their keys, until it is told to
    /// stop. Rows for which the condition cannot hold may be left out; others are shown whether it holds or not.
    fn visit(
        &self,
        from: Collection,
        condition: &Condition,
        after: Option<&str>,
        see: &mut See<'_>,
    ) -> Result<(), Fault>;
}

/// A query that was read.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: String,
    statement: parser::Statement,
    condition: Condition,
}

/// Reads a query.
pub(crate) fn parse(text: &str) -> Result<Query, Fault> {
    let mut statement = parser::statement(text)?;
    let condition = Condition { expression: statement.condition.take() };
    Ok(Query { text: text.to_owned(), statement, condition })
}

impl Query {
    /// What the rows of a query over twins can be counted by, without running it: their collection, their condition, and
    /// how many they are at most. Refuses one that groups.
    pub(crate) fn counted(&self) -> Result<(Collection, &Condition, u64), Fault> {
        let statement = &self.statement;
        if statement.is_aggregated() || statement.from == Collection::Jobs {
            let text = "the query: its rows are counted, so it is SELECT … FROM devices or devices.modules, without \
                        GROUP BY and aggregates";
            return Err(Fault::ArgumentInvalid(text.into()));
        }
        Ok((statement.from, &self.condition, statement.top.unwrap_or(u64::MAX)))
    }
}

/// All rows of a source that knows its own, cut into pages; `label` tells it from others' pages.
pub(crate) fn everything(label: &str) -> Query {
    let statement = parser::Statement {
        top: None,
        selection: syntax::Selection::Everything,
        from: Collection::Devices,
        condition: None,
        groups: Vec::new(),
    };
    Query { text: label.to_owned(), statement, condition: Condition::all() }
}

/// Which rows are meant.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    expression: Option<Expression>,
}

/// Reads the text of a job's `queryCondition` or a configuration's `targetCondition`: what stands after `WHERE`, or
/// `*` for all.
pub(crate) fn condition(text: &str) -> Result<Condition, Fault> {
    if text.trim() == "*" {
        return Ok(Condition::all());
    }
    Ok(Condition { expression: Some(parser::condition(text)?) })
}

impl Condition {
    /// All rows.
    pub(crate) fn all() -> Self {
        Self { expression: None }
    }

    /// True if the condition holds for the row.
    pub(crate) fn holds(&self, row: &dyn Row) -> bool {
        self.expression.as_ref().is_none_or(|expression| evaluate::truth(expression, row) == Some(true))
    }

    /// The members of a row that it looks at.
    pub(crate) fn members(&self) -> BTreeSet<&str> {
        let mut members = BTreeSet::new();
        if let Some(expression) = &self.expression {
            expression.members(&mut members);
        }
        members
    }

    /// The only texts which the row's member `name` can have where the condition holds, if it confines them:
    /// `deviceId = 'a'`, `deviceId IN ['a', 'b']`, either alone or as a part of `AND`.
    pub(crate) fn only(&self, name: &str) -> Option<BTreeSet<&str>> {
        match self.expression.as_ref()? {
            Expression::And(all) => all.iter().find_map(|expression| confined(expression, name)),
            expression => confined(expression, name),
        }
    }
}

fn confined<'a>(expression: &'a Expression, name: &str) -> Option<BTreeSet<&'a str>> {
    let is_name = |value: &Expression| matches!(value, Expression::Path(path) if path.0 == [name]);
    match expression {
        Expression::In { value, list, negated: false } if is_name(value) => {
            Some(list.iter().filter_map(Value::as_str).collect())
        }
        Expression::Compare(left, Comparison::Equal, right) => match (&**left, &**right) {
            (left, Expression::Constant(value)) if is_name(left) => {
                Some(value.as_str().into_iter().collect())
            }
            (Expression::Constant(value), right) if is_name(right) => {
                Some(value.as_str().into_iter().collect())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Shows the rows for which a condition holds, in the order of their keys. Blocks.
pub(crate) fn select(
    source: &dyn Source,
    from: Collection,
    condition: &Condition,
    after: Option<&str>,
    see: &mut See<'_>,
) -> Result<(), Fault> {
    source.visit(from, condition, after, &mut |key, row| {
        if condition.holds(row) { see(key, row) } else { Ok(ControlFlow::Continue(())) }
    })
}
