//! Lists and pages of objects in every format, the same way for every kind. Prints through the output module.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Exit, Problem};
use crate::output::page::Page;
use crate::output::table::Table;
use crate::output::{Format, Out, document};

/// An object that can stand in a list and have a page.
pub trait Listed: Serialize {
    /// Headings of the columns.
    fn headings(wide: bool) -> Vec<&'static str>;
    /// Values of the columns.
    fn row(&self, wide: bool, now: Timestamp) -> Vec<String>;
    /// The name that other commands take.
    fn address(&self) -> String;
}

/// The table of several objects.
pub fn table<T: Listed>(items: &[T], wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(&T::headings(wide));
    for item in items {
        table.row(item.row(wide, now));
    }
    table
}

/// Prints a list. `none` is printed when the list is empty.
pub fn list<T: Listed>(out: &Out, items: &[T], now: Timestamp, none: &str) -> Result<Exit, Problem> {
    match out.format {
        Format::Json | Format::Yaml => out.document(&document::list(items))?,
        Format::Name => items.iter().for_each(|i| out.line(&i.address())),
        Format::Text | Format::Wide if items.is_empty() => out.note(none),
        Format::Text | Format::Wide => out.table(&table(items, out.format == Format::Wide, now)),
    }
    Ok(Exit::DONE)
}

/// Prints the pages of one or several objects.
pub fn pages<T: Listed>(out: &Out, items: &[T], page: impl Fn(&T) -> Page) -> Result<Exit, Problem> {
    match (out.format, items) {
        (Format::Json | Format::Yaml, [one]) => out.document(one)?,
        (Format::Json | Format::Yaml, several) => out.document(&document::list(several))?,
        (Format::Name, _) => items.iter().for_each(|i| out.line(&i.address())),
        (Format::Text | Format::Wide, _) => {
            let pages: Vec<String> = items.iter().map(|i| page(i).render(&out.paint, out.columns)).collect();
            out.line(&pages.join("\n\n"));
        }
    }
    Ok(Exit::DONE)
}

/// Prints what a changing command did: a text for people, the objects for machines, their names for other commands.
pub fn changed<T: Listed>(out: &Out, items: &[T], text: &str) -> Result<Exit, Problem> {
    match (out.format, items) {
        (Format::Json | Format::Yaml, [one]) => out.document(one)?,
        (Format::Json | Format::Yaml, several) => out.document(&document::list(several))?,
        (Format::Name, _) => items.iter().for_each(|i| out.line(&i.address())),
        (Format::Text | Format::Wide, _) => out.say(text),
    }
    Ok(Exit::DONE)
}

pub fn age<K: kube::Resource>(object: &K, now: Timestamp) -> String {
    let created = object.meta().creation_timestamp.as_ref();
    created.map_or_else(|| "-".to_owned(), |t| crate::output::text::age(t.0, now))
}
