//! Quoting of texts for the languages that blueprints write: SQL, shell, INI, PHP, URLs. No I/O.

use std::fmt::Write;

/// Why a text cannot be quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The target language has no way to write this character.
    #[error("{0}: the text has a NUL")]
    Nul(&'static str),
    /// A value in an INI file takes exactly one line.
    #[error("ini_value: the text has a line break or another control character")]
    Control,
    /// Readers of INI files would drop these spaces.
    #[error("ini_value: the text begins or ends with a space")]
    Space,
    /// Some readers of INI files take this character for a quote or a comment.
    #[error("ini_value: the text has a quote at its beginning, or a `;` or `#` that would begin a comment")]
    Comment,
}

/// An SQL expression for a text. PostgreSQL (`standard_conforming_strings` on, its default) and MariaDB 10.3 and newer
/// read it alike, with and without `NO_BACKSLASH_ESCAPES`.
///
/// Quotes are doubled, which both engines read. A backslash is the one character for which no plain literal works in
/// both: PostgreSQL reads it literally, MariaDB as an escape. So a backslash is never put between quotes: a text with
/// backslashes becomes `CONCAT('a',CHR(92),'b')`, which both evaluate. That works wherever a value is allowed;
/// statements that accept only a literal refuse it with an error.
///
/// # Errors
/// When the text has a NUL, because PostgreSQL has none.
pub fn sql(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError::Nul("sql_quote"));
    }
    let literal = |part: &str| format!("'{}'", part.replace('\'', "''"));
    if !text.contains('\\') {
        return Ok(literal(text));
    }
    let mut parts = Vec::new();
    for (n, part) in text.split('\\').enumerate() {
        if n > 0 {
            parts.push("CHR(92)".to_owned());
        }
        if !part.is_empty() {
            parts.push(literal(part));
        }
    }
    // CONCAT of a single argument works in both engines. The empty text makes sure that the result is a text.
    Ok(format!("CONCAT('',{})", parts.join(",")))
}

/// One word of a POSIX shell.
///
/// # Errors
/// When the text has a NUL.
pub fn shell(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError::Nul("shell_quote"));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A value of an INI file. It is returned unchanged, if every reader reads it unchanged.
///
/// # Errors
/// When a reader would see a different value: line breaks, spaces at the ends, quotes, comments.
pub fn ini(text: &str) -> Result<&str, QuoteError> {
    if text.chars().any(char::is_control) || text.contains(['\u{2028}', '\u{2029}']) {
        return Err(QuoteError::Control);
    }
    if text.trim() != text {
        return Err(QuoteError::Space);
    }
    let comment = text.starts_with(['"', '\'', ';', '#']) || text.contains(" ;") || text.contains(" #");
    if comment { Err(QuoteError::Comment) } else { Ok(text) }
}

/// A single-quoted PHP literal.
#[must_use]
pub fn php(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// A component of a URL: every byte but letters, digits and `-._~` is written as `%XX`.
#[must_use]
pub fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads an expression made by [`sql`] as a server would. `backslash` selects MariaDB's default reading.
    fn read_sql(expression: &str, backslash: bool) -> Option<String> {
        let inner = match expression.strip_prefix("CONCAT(") {
            Some(rest) => rest.strip_suffix(')')?,
            None => expression,
        };
        let (mut out, mut rest) = (String::new(), inner);
        loop {
            if let Some(after) = rest.strip_prefix("CHR(92)") {
                out.push('\\');
                rest = after;
            } else {
                let mut chars = rest.strip_prefix('\'')?.char_indices();
                let end = loop {
                    match chars.next()? {
                        (_, '\\') if backslash => out.push(chars.next()?.1),
                        (at, '\'') => match chars.clone().next() {
                            Some((_, '\'')) => {
                                chars.next();
                                out.push('\'');
                            }
                            _ => break at,
                        },
                        (_, c) => out.push(c),
                    }
                };
                rest = rest.get(end + 2..)?;
            }
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => return rest.is_empty().then_some(out),
            }
        }
    }

    fn read_php(literal: &str) -> Option<String> {
        let (mut out, mut chars) = (String::new(), literal.strip_prefix('\'')?.chars());
        loop {
            match chars.next()? {
                '\'' => return chars.next().is_none().then_some(out),
                '\\' => match chars.next()? {
                    c @ ('\'' | '\\') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
        }
    }

    fn read_shell(word: &str) -> Option<String> {
        let (mut out, mut quoted, mut chars) = (String::new(), false, word.chars());
        while let Some(c) = chars.next() {
            match (quoted, c) {
                (_, '\'') => quoted = !quoted,
                (true, c) => out.push(c),
                (false, '\\') => out.push(chars.next()?),
                (false, _) => return None,
            }
        }
        (!quoted).then_some(out)
    }

    fn read_url(text: &str) -> Option<Vec<u8>> {
        let (mut out, mut bytes) = (Vec::new(), text.bytes());
        while let Some(b) = bytes.next() {
            match b {
                b'%' => {
                    let pair = [bytes.next()?, bytes.next()?];
                    out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
                }
                b => out.push(b),
            }
        }
        Some(out)
    }

    /// Texts with many characters that could break out of quotes.
    fn nasty() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just('\''),
                Just('\\'),
                Just('"'),
                Just(','),
                Just('\n'),
                Just('%'),
                Just('\u{5c}'),
                any::<char>()
            ],
            0..40,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_text_survives_sql_in_both_readings(text in nasty()) {
            match sql(&text) {
                Ok(quoted) => {
                    prop_assert_eq!(read_sql(&quoted, false), Some(text.clone()));
                    prop_assert_eq!(read_sql(&quoted, true), Some(text));
                }
                Err(_) => prop_assert!(text.contains('\0')),
            }
        }

        #[test]
        fn any_text_survives_php_the_shell_and_urls(text in nasty()) {
            prop_assert_eq!(read_php(&php(&text)), Some(text.clone()));
            prop_assert_eq!(read_url(&url(&text)), Some(text.clone().into_bytes()));
            if let Ok(word) = shell(&text) {
                prop_assert_eq!(read_shell(&word), Some(text));
            }
        }

        #[test]
        fn an_ini_value_is_one_line_that_no_reader_trims(text in nasty()) {
            if let Ok(value) = ini(&text) {
                prop_assert_eq!(value.trim(), &text);
                prop_assert!(value.lines().count() <= 1);
            }
        }
    }

    #[test]
    fn a_backslash_never_stands_between_sql_quotes() {
        assert_eq!(sql("O'Neil").unwrap(), "'O''Neil'");
        assert_eq!(sql(r"a\b").unwrap(), "CONCAT('','a',CHR(92),'b')");
        assert_eq!(sql(r"\").unwrap(), "CONCAT('',CHR(92))");
        assert_eq!(sql("a\0"), Err(QuoteError::Nul("sql_quote")));
    }

    #[test]
    fn an_ini_value_that_would_be_read_otherwise_is_refused() {
        assert_eq!(ini("a\nuri = evil"), Err(QuoteError::Control));
        assert_eq!(ini(" a"), Err(QuoteError::Space));
        assert_eq!(ini("a ;b"), Err(QuoteError::Comment));
        assert_eq!(ini("\"a\""), Err(QuoteError::Comment));
        assert_eq!(ini("postgresql://u:p;x#y@h/"), Ok("postgresql://u:p;x#y@h/"));
    }
}
