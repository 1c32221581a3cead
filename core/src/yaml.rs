//! Reads and writes YAML, in one module, so that the crate underneath can be replaced here. No I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Maximum size of a YAML text, in bytes (the API server's own limit for an object is 1.5 MiB).
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why a YAML text was refused.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// Too large.
    #[error("the YAML text has {0} bytes; at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Not YAML, or not of the expected form.
    #[error("{0}")]
    Form(#[from] serde_norway::Error),
}

/// Reads one document.
///
/// # Errors
/// [`YamlError`] with line and column.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    bounded(text)?;
    Ok(serde_norway::from_str(text)?)
}

/// Reads all documents of a text. Empty documents are skipped.
///
/// # Errors
/// [`YamlError`] of the first document that is wrong.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    use serde::Deserialize;
    bounded(text)?;
    let mut all = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if !value.is_null() {
            all.push(value);
        }
    }
    Ok(all)
}

/// Writes a value as one document.
///
/// # Errors
/// When the value cannot be written as YAML.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, YamlError> {
    Ok(serde_norway::to_string(value)?)
}

fn bounded(text: &str) -> Result<(), YamlError> {
    if text.len() > MAX_BYTES { Err(YamlError::TooLarge(text.len())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_are_read_and_empty_ones_passed_over() {
        assert_eq!(documents("a: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert!(documents("a: [").is_err());
    }
}
