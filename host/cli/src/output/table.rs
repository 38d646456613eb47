//! Aligned columns: what is needed of a table here, in a page.

/// A table with a heading, or without one as a list of names and values.
pub(crate) struct Table {
    heading: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

/// A table whose columns are known only when it runs.
#[derive(Default)]
pub(crate) struct Grid {
    /// The columns' names.
    pub(crate) heading: Vec<String>,
    /// The cells, row by row.
    pub(crate) rows: Vec<Vec<String>>,
}

const GAP: usize = 2;

impl Table {
    /// A table with a heading.
    pub(crate) fn new<const COLUMNS: usize>(heading: [&str; COLUMNS]) -> Self {
        Table { heading: Some(heading.map(str::to_owned).to_vec()), rows: Vec::new(), indent: 0 }
    }

    /// A table without a heading, so many blanks from the left.
    pub(crate) fn plain(indent: usize) -> Self {
        Table { heading: None, rows: Vec::new(), indent }
    }

    /// Adds a row. Control characters are shown escaped, so that no device can paint on the terminal.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(harmless).to_vec());
    }

    /// The same out of rows whose columns are known only now.
    pub(super) fn of(grid: &Grid) -> Self {
        let row = |cells: &Vec<String>| cells.iter().map(|cell| harmless(cell)).collect();
        Table { heading: Some(row(&grid.heading)), rows: grid.rows.iter().map(row).collect(), indent: 0 }
    }

    /// The lines: columns as wide as their widest cell, nothing behind the last one.
    pub(crate) fn lines(&self, colour: bool) -> Vec<String> {
        let mut widths: Vec<usize> = Vec::new();
        for row in self.heading.iter().chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        let line = |row: &Vec<String>| {
            let mut line = " ".repeat(self.indent);
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(GAP + width.saturating_sub(cell.chars().count())));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let heading = self
            .heading
            .iter()
            .map(|heading| if colour { format!("\x1b[1m{}\x1b[0m", line(heading)) } else { line(heading) });
        heading.chain(self.rows.iter().map(line)).collect()
    }
}

/// The text with its control characters escaped.
pub(crate) fn harmless(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] })
        .collect()
}

/// JSON with all control characters of its texts escaped; it stays the same JSON. serde_json escapes those below U+0020,
/// which leaves a terminal U+009B, the beginning of a command to it.
pub(crate) fn harmless_json(json: &str) -> String {
    const LEFT: std::ops::RangeInclusive<char> = '\u{7f}'..='\u{9f}';
    if !json.contains(|one| LEFT.contains(&one)) {
        return json.to_owned();
    }
    let escaped = |one: char| match one {
        one if LEFT.contains(&one) => format!("\\u{:04x}", u32::from(one)),
        other => other.to_string(),
    };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(["DEVICE", "STATUS"]);
        table.row(["pump-7", "enabled"]);
        table.row(["müller", ""]);
        table.row(["a-long-name", "x"]);
        assert_eq!(
            table.lines(false),
            ["DEVICE       STATUS", "pump-7       enabled", "müller", "a-long-name  x",]
        );
        assert_eq!(table.lines(true)[0], "\x1b[1mDEVICE       STATUS\x1b[0m");
    }

    #[test]
    fn no_device_paints_on_the_terminal() {
        let mut table = Table::plain(2);
        table.row(["a", "\x1b[2J\n"]);
        assert_eq!(table.lines(false), ["  a  \\u{1b}[2J\\n"]);
    }

    #[test]
    fn json_paints_on_no_terminal_and_stays_what_it_is() {
        let value = serde_json::json!({"a\u{9b}2J": ["ü\u{7f}", "\u{1b}[1m"]});
        for text in [format!("{value:#}"), value.to_string()] {
            let shown = harmless_json(&text);
            assert!(shown.chars().all(|one| one == '\n' || !one.is_control()), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
