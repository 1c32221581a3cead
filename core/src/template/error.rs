//! What is wrong with a template, in a form in which its author finds the place. No I/O.

use std::fmt;

use crate::class::ErrorClass;

/// A template that was not rendered: its name, the line and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Name of the template, such as `files[/etc/x.conf]`.
    pub name: String,
    /// Line, counted from 1. None means that the line is not known.
    pub line: Option<usize>,
    /// The reason.
    pub reason: Reason,
}

/// Why a template was not rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The text is not a template.
    #[error("{0}")]
    Syntax(String),
    /// A variable that does not exist. Only `is defined` and `is undefined` may name such a variable.
    #[error("unknown variable {path:?}{}", known_text(.under, .known))]
    Unknown {
        /// The variable as far as it is known, such as `database.pasword`.
        path: String,
        /// The longest part of the variable's path that exists. Empty means that already the first name does not exist.
        under: String,
        /// The names that exist below that part. Empty if they are not known.
        known: Vec<String>,
    },
    /// Something that templates may not do.
    #[error("{0}")]
    Refused(String),
    /// A value that does not fit the place where it is used.
    #[error("{0}")]
    Value(String),
    /// A limit was reached.
    #[error("{0}")]
    Limit(String),
}

impl TemplateError {
    /// The class of the error: a person must change the template or its values.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.chars().take(120).collect::<String>();
        match self.line {
            Some(line) => write!(f, "{name} line {line}: {}", self.reason),
            None => write!(f, "{name}: {}", self.reason),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Maximum number of names in one message.
const KNOWN_SHOWN: usize = 20;

fn known_text(under: &str, known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = known.iter().take(KNOWN_SHOWN).map(String::as_str).collect();
    let more = if known.len() > KNOWN_SHOWN { ", ..." } else { "" };
    let place = if under.is_empty() { "known".to_owned() } else { format!("known under {under:?}") };
    format!("; {place}: {}{more}", shown.join(", "))
}
