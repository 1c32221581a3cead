//! The one module that prints. Standard output carries results, standard error everything else. Does I/O.

pub mod document;
pub mod page;
pub mod paint;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Problem;
use paint::Paint;
use table::Table;

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For people, with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Names only, one a line, as other commands take them.
    Name,
}

/// Where and how to print.
#[derive(Debug, Clone)]
pub struct Out {
    /// What `-o` said.
    pub format: Format,
    /// Colours of standard output.
    pub paint: Paint,
    /// Colours of standard error.
    pub paint_error: Paint,
    /// Whether standard error is a terminal, so that progress may move.
    pub live: bool,
    /// Whether a person can be asked.
    pub asks: bool,
    /// Columns of the terminal; None means that there is no terminal, and nothing is shortened.
    pub columns: Option<usize>,
}

impl Out {
    /// Looks at the terminal and the environment.
    pub fn new(format: Format) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|v| v != "dumb");
        let (stdout, stderr) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self {
            format,
            paint: Paint::new(colour && stdout),
            paint_error: Paint::new(colour && stderr),
            live: stderr,
            asks: std::io::stdin().is_terminal() && stderr,
            columns: if stdout { terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)) } else { None },
        }
    }

    /// Whether one machine-readable document is wanted on standard output, and nothing else.
    pub fn is_document(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// Whether a person reads standard output.
    pub fn is_text(&self) -> bool {
        matches!(self.format, Format::Text | Format::Wide)
    }

    /// A result for people; left out when a document or names are wanted.
    pub fn say(&self, text: &str) {
        if self.is_text() {
            self.line(text);
        }
    }

    /// A line of standard output, whatever the format.
    pub fn line(&self, text: &str) {
        // A reader that went away (`| head`) is no error of ours.
        let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n'));
    }

    /// Something beside the result: progress, advice, errors.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end_matches('\n'));
    }

    /// A question, without a line's end.
    pub fn ask(&self, text: &str) {
        let mut error = std::io::stderr().lock();
        let _ = write!(error, "{text}");
        let _ = error.flush();
    }

    /// A table with the width of the terminal.
    pub fn table(&self, table: &Table) {
        self.line(&table.render(&self.paint, self.columns));
    }

    /// The document that `-o json` or `-o yaml` asked for.
    pub fn document(&self, value: &impl Serialize) -> Result<(), Problem> {
        let text = match self.format {
            Format::Yaml => document::yaml(value)?,
            _ => document::json(value)?,
        };
        self.line(&text);
        Ok(())
    }
}
