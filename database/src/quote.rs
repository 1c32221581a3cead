//! Names and literals in SQL: checked, and always quoted by these functions. No I/O.

use crate::error::{Error, Result};
use crate::model::Engine;

/// Longest name of a database or role on both engines.
const NAME_MAX: usize = 63;
/// Longest owner, tenant or hash in the registry, in bytes.
const WORD_MAX: usize = 200;

/// Checks a name that this program creates: `[a-z][a-z0-9_]{0,62}`.
pub(crate) fn name<'a>(what: &str, name: &'a str) -> Result<&'a str> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if first && rest && name.len() <= NAME_MAX {
        return Ok(name);
    }
    Err(Error::invalid(what, format!("{name:?} is not of the form [a-z][a-z0-9_]{{0,62}}")))
}

/// Checks the name of an extension or character set. Like [`name`], but `-` is allowed, and capitals, which encodings
/// have.
pub(crate) fn word<'a>(what: &str, word: &'a str) -> Result<&'a str> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !word.is_empty() && word.len() <= NAME_MAX && word.bytes().all(fine) {
        return Ok(word);
    }
    Err(Error::invalid(what, format!("{word:?} is not a plain word")))
}

/// Checks a text of the registry (owner, tenant, hash): short, printable, no quotes or backslashes.
pub(crate) fn label<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\'' | b'"' | b'\\' | b'`' | b'$');
    if text.len() <= WORD_MAX && text.bytes().all(fine) {
        return Ok(text);
    }
    Err(Error::invalid(what, format!("{text:?} is too long or holds other than plain characters")))
}

/// An identifier, quoted for the engine.
pub(crate) fn ident(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Postgresql => format!("\"{}\"", name.replace('"', "\"\"")),
        Engine::Mariadb => format!("`{}`", name.replace('`', "``")),
    }
}

/// A text literal, quoted for the engine.
///
/// For MariaDB this holds only while `sql_mode` is without `NO_BACKSLASH_ESCAPES`, which our sessions make sure of.
pub(crate) fn literal(engine: Engine, text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if !doubled.contains('\\') {
        return format!("'{doubled}'");
    }
    let escaped = doubled.replace('\\', "\\\\");
    match engine {
        Engine::Postgresql => format!(" E'{escaped}'"),
        Engine::Mariadb => format!("'{escaped}'"),
    }
}

/// A database name for statements in which MariaDB reads it as a pattern (GRANT, REVOKE). Without escaping, `_` and `%`
/// would match anything.
pub(crate) fn grant_pattern(database: &str) -> String {
    let escaped = database.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%");
    ident(Engine::Mariadb, &escaped)
}

/// A MariaDB account that may connect from any host.
pub(crate) fn account(role: &str) -> String {
    format!("{}@'%'", literal(Engine::Mariadb, role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["a", "crm_k3x_g1", &"a".repeat(63)] {
            assert!(name("database", good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "A", "a-b", "a\"b", "a b", "a\0", "ä", &"a".repeat(64)] {
            assert!(name("database", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn identifiers_cannot_be_left() {
        assert_eq!(ident(Engine::Postgresql, "a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(ident(Engine::Mariadb, "a`; DROP"), "`a``; DROP`");
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(Engine::Postgresql, "it's"), "'it''s'");
        assert_eq!(literal(Engine::Postgresql, "a\\'b"), " E'a\\\\''b'");
        assert_eq!(literal(Engine::Mariadb, "a\\'b"), "'a\\\\''b'");
    }

    #[test]
    fn grants_name_one_database_and_no_pattern() {
        assert_eq!(grant_pattern("crm_a_g1"), "`crm\\_a\\_g1`");
    }

    #[test]
    fn registry_texts_are_plain() {
        assert!(label("owner", "template/tryton-7.0/ab12").is_ok());
        assert!(label("owner", "a'b").is_err());
        assert!(label("owner", "a\nb").is_err());
    }
}
