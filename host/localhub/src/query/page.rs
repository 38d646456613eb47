//! Running a query a page at a time (`iothub.md` §6.6).
//!
//! Rows are read from the database as they are looked at, in the order of their keys, and written into the answer's
//! text at once: a page's memory is its text, and that is bounded in bytes as well as in rows. What goes on where a
//! page ended is the last row's key, inside an opaque text that fits no other query; rows that change between two
//! pages may be seen in either state, as with IoT Hub.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::aggregate::Groups;
use super::evaluate::worth;
use super::syntax::{Collection, Column, Selection, Wanted};
use super::{Query, Row, Source, select};
use crate::fault::Fault;

/// IoT Hub's largest page.
pub(crate) const LARGEST: usize = 1000;
/// The page when nobody asks for a size.
pub(crate) const USUAL: usize = 100;
/// A page ends early when its text has this many bytes.
const BYTES: usize = 8 * 1024 * 1024;

/// Which page is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Rows, 1 to [`LARGEST`].
    pub(crate) size: usize,
    /// What the page before gave.
    pub(crate) continuation: Option<String>,
}

/// One page.
#[derive(Debug)]
pub(crate) struct Found {
    /// A JSON array.
    pub(crate) body: String,
    /// `Twin`, `DeviceJob` or `Raw`.
    pub(crate) item_type: &'static str,
    /// Present if there is more.
    pub(crate) continuation: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    query: u64,
    given: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Query {
    /// Reads one page. Blocks.
    pub(crate) fn run(&self, source: &dyn Source, page: &Page) -> Result<Found, Fault> {
        let cursor = self.cursor(page.continuation.as_deref())?;
        let statement = &self.statement;
        match &statement.selection {
            Selection::Columns(columns) if statement.is_aggregated() => {
                self.groups(source, page, columns, &cursor)
            }
            Selection::Columns(columns) => {
                self.rows(source, page, cursor, "Raw", &|row| project(columns, row))
            }
            Selection::Everything => {
                let item_type = if statement.from == Collection::Jobs { "DeviceJob" } else { "Twin" };
                self.rows(source, page, cursor, item_type, &|row| row.shown())
            }
        }
    }

    fn rows(
        &self,
        source: &dyn Source,
        page: &Page,
        cursor: Cursor,
        item_type: &'static str,
        show: &dyn Fn(&dyn Row) -> Value,
    ) -> Result<Found, Fault> {
        let left = self.statement.top.map_or(u64::MAX, |top| top.saturating_sub(cursor.given));
        let mut text = Text::default();
        let mut last = cursor.after.clone();
        let mut more = false;
        let after = cursor.after.as_deref();
        select(source, self.statement.from, &self.condition, after, &mut |key, row| {
            if text.rows >= left {
                return Ok(ControlFlow::Break(()));
            }
            if text.is_full(page.size) {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            text.push(&show(row));
            last = Some(key.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let given = cursor.given + text.rows;
        let continuation = more.then(|| self.continuation(given, last));
        Ok(Found { body: text.finish(), item_type, continuation })
    }

    /// Groups are counted anew for every page: there is nothing to hold on to between two.
    fn groups(
        &self,
        source: &dyn Source,
        page: &Page,
        columns: &[Column],
        cursor: &Cursor,
    ) -> Result<Found, Fault> {
        let mut groups = Groups::new(columns, &self.statement.groups);
        select(source, self.statement.from, &self.condition, None, &mut |_, row| {
            groups.add(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let top = self.statement.top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
        let given = usize::try_from(cursor.given).unwrap_or(usize::MAX);
        let mut rows = groups.rows().take(top).skip(given).peekable();
        let mut text = Text::default();
        while !text.is_full(page.size) {
            let Some(row) = rows.next() else { break };
            text.push(&row);
        }
        let continuation = rows.peek().map(|_| self.continuation(cursor.given + text.rows, None));
        Ok(Found { body: text.finish(), item_type: "Raw", continuation })
    }

    fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        hasher.finish()
    }

    fn continuation(&self, given: u64, after: Option<String>) -> String {
        let cursor = Cursor { query: self.number(), given, after };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }

    fn cursor(&self, continuation: Option<&str>) -> Result<Cursor, Fault> {
        let Some(text) = continuation else { return Ok(Cursor::default()) };
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        match serde_json::from_slice::<Cursor>(&bytes) {
            Ok(cursor) if cursor.query == self.number() => Ok(cursor),
            _ => Err(Fault::ArgumentInvalid(
                "x-ms-continuation is not what the page before of this query gave".into(),
            )),
        }
    }
}

impl Page {
    /// Reads the two headers as clients write them: an absent, empty or negative size is the usual one, and a larger
    /// one than IoT Hub gives is its largest.
    pub(crate) fn read(size: Option<&str>, continuation: Option<&str>) -> Result<Self, Fault> {
        let size = match size.map(str::trim) {
            None | Some("") => USUAL,
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number < 0 => USUAL,
                Ok(number) if number > 0 => usize::try_from(number).unwrap_or(LARGEST).min(LARGEST),
                _ => {
                    let text = format!("x-ms-max-item-count is 1 to {LARGEST}, not {text:?}");
                    return Err(Fault::ArgumentInvalid(text));
                }
            },
        };
        let continuation = continuation.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self { size, continuation })
    }
}

/// Undefined columns are left out of the row.
fn project(columns: &[Column], row: &dyn Row) -> Value {
    let mut shown = Map::new();
    for column in columns {
        if let Wanted::Plain(expression) = &column.value
            && let Some(value) = worth(expression, row)
        {
            shown.insert(column.name.clone(), value.into_owned());
        }
    }
    Value::Object(shown)
}

/// A JSON array that grows.
#[derive(Default)]
struct Text {
    body: String,
    rows: u64,
}

impl Text {
    fn is_full(&self, rows: usize) -> bool {
        usize::try_from(self.rows).is_ok_and(|written| written >= rows) || self.body.len() >= BYTES
    }

    fn push(&mut self, row: &Value) {
        self.body.push(if self.rows == 0 { '[' } else { ',' });
        self.body.push_str(&row.to_string());
        self.rows += 1;
    }

    fn finish(mut self) -> String {
        self.body.push_str(if self.rows == 0 { "[]" } else { "]" });
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_read_as_clients_write_them() {
        let size = |text: &str| Page::read(Some(text), Some("")).map(|page| page.size);
        assert_eq!((size("").unwrap(), size("-1").unwrap(), size("7").unwrap()), (USUAL, USUAL, 7));
        assert_eq!(size("5000").unwrap(), LARGEST);
        assert!(size("0").is_err() && size("many").is_err());
    }

    #[test]
    fn a_continuation_fits_the_query_that_gave_it() {
        let query = super::super::parse("SELECT * FROM devices").unwrap();
        let other = super::super::parse("SELECT * FROM devices.modules").unwrap();
        let token = query.continuation(3, Some("d".into()));
        assert_eq!(query.cursor(Some(&token)).unwrap().given, 3);
        for (query, token) in [(&other, token.as_str()), (&query, "AAAA"), (&query, "{}")] {
            assert_eq!(query.cursor(Some(token)).unwrap_err().code(), 400_004);
        }
    }
}
