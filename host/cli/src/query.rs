//! `hotshoe query`: the hub's query language, all pages, as a table, a document or lines.
//!
//! With `--jsonl` each page is printed and forgotten; a table must know all rows to align its columns.

use serde_json::Value;

use crate::{
    args::Query,
    context::Context,
    failure::Failure,
    output::{Grid, harmless},
};

/// Carries out a query.
pub(crate) async fn run(context: &Context<'_>, query: &Query) -> Result<(), Failure> {
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut rows = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let most = u64::from(query.page).min(left);
        let most = u16::try_from(most).unwrap_or(query.page);
        let mut page = context.hub.query_page(&query.query, most, from.as_deref()).await?;
        page.rows.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= page.rows.len() as u64;
        if query.jsonl {
            page.rows.iter().try_for_each(|row| context.output.json_line(row))?;
        } else {
            rows.append(&mut page.rows);
        }
        match page.next {
            Some(next) if left > 0 && context.output.is_read() => from = Some(next),
            _ => break,
        }
    }
    if query.jsonl {
        return Ok(());
    }
    if context.output.json() {
        return context.output.document(&Value::Array(rows));
    }
    let (grid, hidden) = grid(&rows);
    context.output.grid(&grid)?;
    if !hidden.is_empty() {
        let hidden = hidden.iter().map(|name| harmless(name)).collect::<Vec<_>>().join(", ");
        context.output.note(&format!("not shown: {hidden}; --json has them"));
    }
    Ok(())
}

/// The values that stand in one cell, by column, and the names of the others.
///
/// Columns come in the order in which rows first have them. What is the same nothing in every row (an empty text, a
/// time that stands for never) makes no column.
fn grid(rows: &[Value]) -> (Grid, Vec<String>) {
    let (mut columns, mut hidden): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, value) in rows.iter().filter_map(Value::as_object).flatten() {
        if value.is_object() || value.is_array() {
            if !hidden.contains(name) {
                hidden.push(name.clone());
            }
        } else if !columns.contains(&name.as_str()) && !cell(value).is_empty() {
            columns.push(name);
        }
    }
    let cells = rows.iter().map(|row| match row {
        Value::Object(row) => {
            columns.iter().map(|name| row.get(*name).map(cell).unwrap_or_default()).collect()
        }
        other => vec![cell(other)],
    });
    let cells = cells.collect();
    (Grid { heading: columns.into_iter().map(str::to_owned).collect(), rows: cells }, hidden)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with("0001-01-01") => String::new(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Object(_) | Value::Array(_) => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_a_cell_is_a_column_and_the_rest_is_named() {
        let rows = [
            json!({"deviceId": "a", "version": 3, "tags": {"x": 1}, "reason": "", "never": "0001-01-01T00:00:00Z"}),
            json!({"deviceId": "b", "late": true, "tags": {}, "list": [1]}),
        ];
        let (grid, hidden) = grid(&rows);
        assert_eq!(grid.heading, ["deviceId", "version", "late"]);
        assert_eq!(grid.rows, [["a", "3", ""], ["b", "", "true"]]);
        assert_eq!(hidden, ["tags", "list"]);
    }

    #[test]
    fn rows_that_are_no_objects_are_shown_as_they_are() {
        let (grid, hidden) = grid(&[json!(7)]);
        assert_eq!((grid.rows, hidden.len()), (vec![vec!["7".to_owned()]], 0));
    }
}
