//! `COUNT`, `SUM`, `AVG`, `MIN`, `MAX` and `GROUP BY`: rows go by one at a time, what stays is one total a column and
//! group.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Row;
use super::evaluate::{compute, order, worth};
use super::syntax::{Aggregate, Arithmetic, Column, Expression, Path, Wanted};
use crate::fault::Fault;

/// The most groups of one query.
const MOST: usize = 10_000;

/// The totals so far.
pub(super) struct Groups<'a> {
    columns: &'a [Column],
    by: &'a [Path],
    groups: BTreeMap<String, Group>,
}

struct Group {
    by: Vec<Option<Value>>,
    totals: Vec<Total>,
}

#[derive(Clone, Default)]
struct Total {
    rows: u64,
    value: Option<Value>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(columns: &'a [Column], by: &'a [Path]) -> Self {
        let mut groups = Self { columns, by, groups: BTreeMap::new() };
        if by.is_empty() {
            groups.groups.insert(String::new(), groups.group(Vec::new())); // a count over nothing is a row with 0
        }
        groups
    }

    fn group(&self, by: Vec<Option<Value>>) -> Group {
        Group { by, totals: vec![Total::default(); self.columns.len()] }
    }

    /// Counts a row in.
    pub(super) fn add(&mut self, row: &dyn Row) -> Result<(), Fault> {
        let by: Vec<Option<Value>> =
            self.by.iter().map(|path| row.at(&path.0).map(std::borrow::Cow::into_owned)).collect();
        let key: String =
            by.iter().map(|value| value.as_ref().map_or(",".into(), |value| format!("{value},"))).collect();
        if !self.groups.contains_key(&key) {
            if self.groups.len() == MOST {
                return Err(Fault::ArgumentInvalid(format!("the query: there are more than {MOST} groups")));
            }
            let group = self.group(by);
            self.groups.insert(key.clone(), group);
        }
        let Some(group) = self.groups.get_mut(&key) else { return Ok(()) };
        for (column, total) in self.columns.iter().zip(&mut group.totals) {
            if let Wanted::Aggregate(aggregate, argument) = &column.value {
                total.add(*aggregate, argument.as_ref(), row);
            }
        }
        Ok(())
    }

    /// One row for each group, in the order of the values that they are grouped by.
    pub(super) fn rows(self) -> impl Iterator<Item = Value> + use<'a> {
        let Self { columns, by, groups } = self;
        groups.into_values().map(move |group| {
            let mut shown = Map::new();
            for (column, total) in columns.iter().zip(group.totals) {
                let value = match &column.value {
                    Wanted::Aggregate(aggregate, _) => total.given(*aggregate),
                    Wanted::Plain(Expression::Path(path)) => {
                        let place = by.iter().position(|by| by == path);
                        place.and_then(|place| group.by.get(place).cloned().flatten())
                    }
                    Wanted::Plain(_) => None,
                };
                if let Some(value) = value {
                    shown.insert(column.name.clone(), value);
                }
            }
            Value::Object(shown)
        })
    }
}

impl Total {
    /// Rows whose argument is undefined, or no number where one is wanted, do not count.
    fn add(&mut self, aggregate: Aggregate, argument: Option<&Expression>, row: &dyn Row) {
        let value = match argument {
            None => None,
            Some(argument) => match worth(argument, row) {
                None => return,
                Some(value) => Some(value),
            },
        };
        let replaces = |than: Ordering| match (&self.value, &value) {
            (None, Some(_)) => true,
            (Some(present), Some(value)) => order(value, present) == Some(than),
            (_, None) => false,
        };
        match aggregate {
            Aggregate::Count => {}
            Aggregate::Sum | Aggregate::Average => {
                let Some(value) = value else { return };
                let zero = Value::from(0);
                match compute(self.value.as_ref().unwrap_or(&zero), Arithmetic::Add, &value) {
                    Some(sum) => self.value = Some(sum),
                    None => return,
                }
            }
            Aggregate::Least if replaces(Ordering::Less) => {
                self.value = value.map(std::borrow::Cow::into_owned)
            }
            Aggregate::Greatest if replaces(Ordering::Greater) => {
                self.value = value.map(std::borrow::Cow::into_owned);
            }
            Aggregate::Least | Aggregate::Greatest => {}
        }
        self.rows += 1;
    }

    fn given(self, aggregate: Aggregate) -> Option<Value> {
        match aggregate {
            Aggregate::Count => Some(self.rows.into()),
            Aggregate::Sum => Some(self.value.unwrap_or_else(|| 0.into())),
            Aggregate::Average => compute(&self.value?, Arithmetic::Divide, &self.rows.into()),
            Aggregate::Least | Aggregate::Greatest => self.value,
        }
    }
}
