//! Ids of tenants and instances: minted once, kept by export and import, used in every derived name. No I/O.

use std::fmt;

/// Length of an id in characters. 9 random characters of 32 are 45 bits: with 100,000 ids the chance that a new id
/// exists already is below one in 300 million, and then the creation is refused.
pub const ID_LENGTH: usize = 10;

const FIRST: &[u8; 16] = b"abcdefghkmnpqrtv";
const REST: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// An immutable id: ten lower-case letters and digits, beginning with a letter, safe in DNS labels, database names and
/// role names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: ten characters of a-z and 0-9 are needed, the first a letter")]
pub struct InvalidId(pub String);

impl Id {
    /// Makes an id from ten random bytes; the same bytes give the same id.
    #[must_use]
    pub fn mint(random: [u8; ID_LENGTH]) -> Self {
        let text = random
            .iter()
            .enumerate()
            .map(|(i, b)| {
                let c = if i == 0 { FIRST[usize::from(b % 16)] } else { REST[usize::from(b % 32)] };
                char::from(c)
            })
            .collect();
        Self(text)
    }

    /// Accepts a text in the form of an id.
    ///
    /// # Errors
    /// [`InvalidId`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let mut chars = text.chars();
        let first_ok = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest_ok = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if text.len() == ID_LENGTH && first_ok && rest_ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId(text.chars().take(40).collect()))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_minted_id_parses_and_is_the_same_on_replay(bytes in any::<[u8; ID_LENGTH]>()) {
            let id = Id::mint(bytes);
            prop_assert_eq!(Id::parse(id.as_str()).unwrap(), id.clone());
            prop_assert_eq!(Id::mint(bytes), id);
        }
    }

    #[test]
    fn foreign_texts_are_refused() {
        for bad in ["", "acme", "1234567890", "Abcdefghij", "abcdefghi-", "abcdefghijk", "äbcdefghi"] {
            assert!(Id::parse(bad).is_err(), "{bad}");
        }
    }
}
