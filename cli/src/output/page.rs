//! Pages of one object: a title, facts with aligned keys, tables, and what needs attention. No I/O.

use super::paint::Paint;
use super::table::Table;
use super::text::{clean, pad, width};

/// Narrowest column of keys.
const KEY: usize = 12;
/// Widest column of values before their notes.
const VALUE: usize = 28;

#[derive(Debug, Clone, Default)]
pub struct Page {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Fact { key: String, value: String, note: String, state: bool },
    Table { title: String, table: Table },
    Text(String),
}

impl Page {
    /// A page with a title.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: clean(&title.into()), parts: Vec::new() }
    }

    pub fn fact(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.noted(key, value, "")
    }

    /// A fact that is left out when it has no value.
    pub fn maybe(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            self.noted(key, value, "");
        }
        self
    }

    /// A fact with a remark.
    pub fn noted(&mut self, key: &str, value: impl Into<String>, note: impl Into<String>) -> &mut Self {
        let (value, note) = (clean(&value.into()), clean(&note.into()));
        self.parts.push(Part::Fact { key: key.into(), value, note, state: false });
        self
    }

    /// The state of the object, coloured.
    pub fn state(&mut self, key: &str, value: impl Into<String>, note: impl Into<String>) -> &mut Self {
        let (value, note) = (clean(&value.into()), clean(&note.into()));
        self.parts.push(Part::Fact { key: key.into(), value, note, state: true });
        self
    }

    /// A table under a title.
    pub fn table(&mut self, title: &str, table: Table) -> &mut Self {
        self.parts.push(Part::Table { title: title.into(), table: table.indented(2) });
        self
    }

    /// A line of its own.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// The page as text.
    pub fn render(&self, paint: &Paint, columns: Option<usize>) -> String {
        let keys = self.parts.iter().filter_map(key_width).max().unwrap_or(0).max(KEY);
        let values = self.parts.iter().filter_map(noted_width).max().unwrap_or(0).min(VALUE);
        let mut lines = Vec::new();
        if !self.title.is_empty() {
            lines.push(paint.bold(&self.title));
        }
        for part in &self.parts {
            lines.push(match part {
                Part::Fact { key, value, note, state } => {
                    let padded = if note.is_empty() { value.clone() } else { pad(value, values) };
                    let shown = if *state { paint.state(&padded) } else { padded };
                    let note = if note.is_empty() { String::new() } else { format!("  {}", paint.dim(note)) };
                    format!("{} {shown}{note}", pad(key, keys)).trim_end().to_owned()
                }
                Part::Table { title, table } => {
                    let rendered = table.render(paint, columns);
                    if title.is_empty() { rendered } else { format!("{title}\n{rendered}") }
                }
                Part::Text(text) => text.clone(),
            });
        }
        lines.join("\n")
    }
}

fn key_width(part: &Part) -> Option<usize> {
    if let Part::Fact { key, .. } = part { Some(width(key)) } else { None }
}

fn noted_width(part: &Part) -> Option<usize> {
    match part {
        Part::Fact { value, note, .. } if !note.is_empty() => Some(width(value)),
        _ => None,
    }
}
