//! Tables that keep their columns: long values are shortened in the middle, on a terminal only. No I/O.

use super::paint::Paint;
use super::text::{clean, pad, shorten, width};

/// Narrowest width to which a column is shortened.
const FLOOR: usize = 8;
/// Blanks between columns.
const GAP: usize = 2;

/// Rows under headings.
#[derive(Debug, Clone, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// An empty table.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), ..Self::default() }
    }

    /// The table, moved to the right.
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// One more row; an empty value is shown as `-`.
    pub fn row(&mut self, cells: Vec<String>) {
        let mut cells: Vec<String> =
            cells.iter().map(|c| clean(c)).map(|c| if c.is_empty() { "-".to_owned() } else { c }).collect();
        cells.resize(self.headings.len(), "-".to_owned());
        self.rows.push(cells);
    }

    /// The table as text.
    pub fn render(&self, paint: &Paint, columns: Option<usize>) -> String {
        let widths = self.widths(columns);
        let indent = " ".repeat(self.indent);
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        let heading: Vec<String> = self.headings.iter().zip(&widths).map(|(h, w)| pad(&shorten(h, *w), *w)).collect();
        lines.push(format!("{indent}{}", paint.dim(heading.join("  ").trim_end())));
        for row in &self.rows {
            let last = row.len().saturating_sub(1);
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(i, (cell, w))| {
                    let cell = shorten(cell, *w);
                    let padded = if i == last { cell } else { pad(&cell, *w) };
                    if self.is_state(i) { paint.state(&padded) } else { padded }
                })
                .collect();
            lines.push(format!("{indent}{}", cells.join("  ").trim_end()));
        }
        lines.join("\n")
    }

    fn is_state(&self, column: usize) -> bool {
        self.headings.get(column).is_some_and(|h| matches!(*h, "STATE" | "STATUS" | "VALID"))
    }

    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.headings.len())
            .map(|i| {
                let cells = self.rows.iter().map(|r| width(&r[i])).max().unwrap_or(0);
                cells.max(width(self.headings[i]))
            })
            .collect();
        let Some(columns) = columns else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1) + self.indent;
        // Takes width from the widest column, one by one, until the table fits or nothing can be taken.
        while widths.iter().sum::<usize>() + gaps > columns {
            let Some((widest, w)) = widths.iter().copied().enumerate().max_by_key(|(_, w)| *w) else { break };
            if w <= FLOOR.max(width(self.headings[widest])) {
                break;
            }
            widths[widest] = w - 1;
        }
        widths
    }
}
