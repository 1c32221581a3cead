//! Secret texts: never shown by Debug. New ones are made from random bytes that the caller provides. No I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that must not reach logs, events, command lines or object names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Makes a password from random bytes, one character for each byte.
    ///
    /// Only letters and digits, so that the password is safe in URLs, shells and configuration files (Twenty's entry
    /// point splits the database URL at anything else: BLUEPRINTS.md, traps).
    #[must_use]
    pub fn generate(random: &[u8]) -> Self {
        Self(random.iter().map(|b| char::from(ALPHABET[usize::from(b % 64)])).collect())
    }
}

// 62 letters and digits, two of them twice, so that `b % 64` needs no rejection.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xz";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn generated_secrets_are_url_safe() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(Secret::generate(&all).reveal().chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
