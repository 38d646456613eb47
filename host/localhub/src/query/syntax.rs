//! What a query is once it is read: a tree whose depth the parser bounds.
//!
//! Chains (`a AND b AND c`, `1 + 2 - 3`) are lists and not towers of pairs, so a long text is a wide tree and never a
//! deep one; only brackets, `NOT`, signs and function calls nest.

use std::collections::BTreeSet;

use serde_json::Value;

use super::functions::Function;

/// Where a value stands in a row: `properties.reported.[[1st]]` without the dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<String>);

/// Something that has a value, or none (*undefined*), for a row.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Constant(Value),
    Path(Path),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    In { value: Box<Expression>, list: Vec<Value>, negated: bool },
    Chain(Box<Expression>, Vec<(Arithmetic, Expression)>),
    Negative(Box<Expression>),
    Call(Function, Vec<Expression>),
}

impl Expression {
    /// The members of a row that it looks at: the first segments of its paths.
    pub(super) fn members<'a>(&'a self, into: &mut BTreeSet<&'a str>) {
        match self {
            Self::Constant(_) => {}
            Self::Path(path) => into.extend(path.0.first().map(String::as_str)),
            Self::And(several) | Self::Or(several) | Self::Call(_, several) => {
                several.iter().for_each(|one| one.members(into));
            }
            Self::Not(inner) | Self::Negative(inner) => inner.members(into),
            Self::Compare(left, _, right) => {
                left.members(into);
                right.members(into);
            }
            Self::In { value, .. } => value.members(into),
            Self::Chain(first, more) => {
                first.members(into);
                more.iter().for_each(|(_, one)| one.members(into));
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What `FROM` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collection {
    /// The twins of devices.
    Devices,
    /// The twins of modules.
    Modules,
    /// One row for each device of each job.
    Jobs,
}

/// What `SELECT` names.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    Everything,
    Columns(Vec<Column>),
}

/// One member of a projected row.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) value: Wanted,
}

/// A value of each row, or one over all rows of a group.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Plain(Expression),
    Aggregate(Aggregate, Option<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Count,
    Sum,
    Average,
    Least,
    Greatest,
}
