//! Rows that somebody has in memory.

use std::ops::ControlFlow;

use serde_json::Value;

use super::page::LARGEST;
use super::{Collection, Condition, Page, See, Source, condition, parse};
use crate::fault::Fault;

/// What a query finds in these rows, which may be of any collection, as the JSON array that IoT Hub would answer; at most a
/// page of it. A text that is no query is read as the condition of one.
///
/// # Errors
/// It is neither; the fault of the query says where.
pub fn find(text: &str, rows: &[Value]) -> Result<String, Fault> {
    let page = Page { size: LARGEST, continuation: None };
    match (parse(text), condition(text)) {
        (Ok(query), _) => Ok(query.run(&Table(rows), &page)?.body),
        (Err(_), Ok(condition)) => {
            let found: Vec<&Value> = rows.iter().filter(|row| condition.holds(*row)).collect();
            serde_json::to_string(&found).map_err(|error| Fault::Internal(error.to_string()))
        }
        (Err(fault), Err(_)) => Err(fault),
    }
}

/// Rows in the order in which they stand.
pub(super) struct Table<'a>(pub(super) &'a [Value]);

impl Source for Table<'_> {
    fn visit(
        &self,
        _: Collection,
        _: &Condition,
        after: Option<&str>,
        see: &mut See<'_>,
    ) -> Result<(), Fault> {
        for (number, row) in self.0.iter().enumerate() {
            let key = format!("{number:04}");
            if after.is_none_or(|after| key.as_str() > after) && see(&key, row)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}
